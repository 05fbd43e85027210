"""The actions of the play screen that open another screen."""

from __future__ import annotations

from tinychat.tui.following import FollowingScreen
from tinychat.tui.inspecting import InspectScreen
from tinychat.tui.lane_actions import LaneScreen
from tinychat.tui.replaying import ReplayScreen
from tinychat.tui.scoring import ScoringScreen
from tinychat.tui.searching import SearchingScreen
from tinychat.tui.teaching import TeachingScreen
from tinychat.tui.writing import WritingScreen


class DoorScreen(
    TeachingScreen,
    InspectScreen,
    ScoringScreen,
    WritingScreen,
    ReplayScreen,
    LaneScreen,
    SearchingScreen,
    FollowingScreen,
):
    """What lies behind the play screen, a key for each."""
