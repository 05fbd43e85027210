"""The actions of the play screen that open another screen."""

from __future__ import annotations

from tinychat.tui.actions import ActionScreen


class DoorScreen(ActionScreen):
    """What lies behind the play screen, a key for each."""
