"""The actions of the play screen that open another screen."""

from __future__ import annotations

from tinychat.tui.inspecting import InspectScreen
from tinychat.tui.lane_actions import LaneScreen
from tinychat.tui.session_actions import SessionScreen


class DoorScreen(InspectScreen, SessionScreen, LaneScreen):
    """What lies behind the play screen, a key for each."""
