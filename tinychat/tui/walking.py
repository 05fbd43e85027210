"""From branch to branch: undo, versions, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.geometry import Size

from tinychat.session.tree import PROMPT
from tinychat.tui.actions import ActionScreen
from tinychat.tui.branchrows import BranchRows
from tinychat.tui.layouts import TABS
from tinychat.tui.player import Player
from tinychat.tui.widgets.tree import TreeView


class BranchScreen(ActionScreen):
    """Actions that change nothing but where we stand."""

    _rows: BranchRows | None = None
    _tab_before = TABS[0]

    def paint(self) -> None:
        super().paint()
        self.paint_tree()

    def paint_tree(self) -> None:
        """The list of branches, where it is seen."""
        player = self.player
        if player is None or "tree" not in self.play_layout.places(Size(*self.app.size)):
            return
        if self._rows is None or self._rows.session is not player.session:
            self._rows = BranchRows(player.session, self.label_of)
        self._rows.refresh(running=player.running)
        self.tree_view.show(self._rows, here=self._rows.branches.row_of(player.session.tree.current))

    # moves

    def action_undo(self) -> None:
        self._move(lambda player: player.session.tree.undo(), "back: {}", "nothing to undo")

    def action_redo(self) -> None:
        self._move(lambda player: player.session.tree.redo(), "forth: {}", "nothing to redo")

    def action_previous_branch(self) -> None:
        self._sibling(-1)

    def action_next_branch(self) -> None:
        self._sibling(1)

    def _sibling(self, delta: int) -> None:
        self.calm()
        player = self.player
        if player is None:
            return
        tree, cursor = player.session.tree, self.stream.cursor
        versions = tree.sibling(delta, cursor)
        if versions is None:
            self.say("this text has one version only; t lists all branches")
            return
        player.sync()
        words = f"version {versions.at + 1} of {len(versions.numbers)}, {self.place_words(versions.fork)}"
        again = tree.versions()
        self.moved_to(words)
        if cursor is not None or again is None or again.fork != versions.fork:
            self.stream.aim(versions.fork)  # so that the same key walks on over the same versions
            self.paint()

    def place_words(self, position: int) -> str:
        """Where two branches part, in words."""
        assert self.player is not None, "positions come with a player"
        session = self.player.session
        path = session.tree.path
        if position >= len(path) or path.kinds[position] != PROMPT:
            return f"from token {position - session.tree.path.kinds.rfind(PROMPT, 0, position)} of the reply on"
        return "from the message on" if session.turns() else "from the prompt on"

    def _move(self, move: Callable[[Player], bool], done: str, not_done: str) -> None:
        self.calm()
        player = self.player
        if player is None:
            return
        if not move(player):
            self.say(not_done)
            return
        player.sync()
        tree = player.session.tree
        self.moved_to(done.replace("{}", f"branch {tree.current} {tree.branch.label}".rstrip()))

    def moved_to(self, words: str) -> None:
        self.tree_view.selected = None
        super().moved_to(words)

    # the list

    def action_tree(self) -> None:
        """To the list, and with the same key back to the panel before."""
        self.calm()
        if self.screen_shape in ("tiny", "message"):
            self.say("the list of branches needs 80 x 24; [ ] walk the versions here")
        elif self.tab == "tree":
            self.show_tab(self._tab_before)
        else:
            self._tab_before = self.tab
            self.show_tab("tree")
            self.say("Up Down walk, Enter goes there, z folds, H hides; t closes")

    def show_tab(self, tab: str) -> None:
        """Make a panel the one that Up and Down act on."""
        self.tab = tab
        self.tree_view.forget()
        self.lay_out()
        self.call_after_refresh(self.paint_all)

    def up_or_down(self, delta: int) -> None:
        if self.tab != "tree":
            super().up_or_down(delta)
            return
        self.calm()
        self.tree_view.walk(delta)
        self.paint_lines()

    def action_take(self) -> None:
        if self.tab == "tree" and not self.armed and self.player is not None and self._rows is not None:
            self._go(self._chosen_branch())
        else:
            super().action_take()

    @on(TreeView.Chosen)
    def _tree_chosen(self, message: TreeView.Chosen) -> None:
        self._go(message.number)

    def _chosen_branch(self) -> int:
        """The branch of the selected row, else the one we stand on."""
        assert self.player is not None, "rows come with a player"
        selected = self.tree_view.selected
        if selected is None or self._rows is None or selected >= len(self._rows):
            return self.player.session.tree.current
        return self._rows.row(selected).number

    def _go(self, number: int) -> None:
        def go(player: Player) -> bool:
            return player.session.tree.go(number)

        self._move(go, "{}; u goes back", "that is the branch you stand on")
        self.tree_view.forget()

    def action_fold(self) -> None:
        self.calm()
        if self.player is None or self._rows is None:
            return
        if self.tab != "tree":
            self.say("t opens the list of branches; z folds there")
        elif self._rows.branches.fold(number := self._chosen_branch()):
            self.paint_tree()
            self.tree_view.selected = self._rows.branches.row_of(number)
            self.paint_tree()
        else:
            self.say("no other branch grew from this one")

    def action_hide(self) -> None:
        self.calm()
        player = self.player
        if player is None or self._rows is None or self.tab != "tree":
            self.say("t opens the list of branches; H hides one there")
            return
        tree, number = player.session.tree, self._chosen_branch()
        if number in tree.line():
            self.say("the text in hand grows from that branch: go to another one first")
            return
        tree.branches[number].hidden = True
        self._rows.branches.changed()
        self.paint()
        self.say(f"branch {number} is hidden, not deleted; :unhide shows all again")

    def action_unhide(self) -> None:
        self.calm()
        if self.player is None:
            return
        tree = self.player.session.tree
        hidden = tree.hidden()
        for branch in tree.branches:
            branch.hidden = False
        if self._rows is not None:
            self._rows.branches.changed()
        self.paint()
        self.say(f"{len(hidden)} hidden branches are shown again" if hidden else "nothing is hidden")

    def label_branch(self, text: str) -> None:
        """Name the branch that is chosen in the list, else the one we stand on; "" takes the name away."""
        if self.player is None:
            return
        number = self._chosen_branch() if self.tab == "tree" else self.player.session.tree.current
        self.player.session.tree.branches[number].label = text
        self.paint()
        self.say(f"branch {number} is called {text}" if text else f"branch {number} has no name")
