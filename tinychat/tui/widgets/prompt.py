"""The prompt box and the command line: where text is typed. Enter submits (or ctrl+j), a paste never does."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, TextArea

from tinychat.text.terminal import clean


class PromptBox(TextArea):
    """Several lines of text; Up and Down at the edges bring earlier prompts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j", "newline", "New line", id="prompt.newline", show=False, tooltip="A line break."),
        Binding("escape", "leave_edit", "Leave editing", id="prompt.leave", show=False, tooltip="Back to INSPECT."),
        Binding("ctrl+c,super+c", "copy_or_interrupt", "Copy", id="prompt.copy", show=False, tooltip="Copy, or stop."),
        Binding("ctrl+d,delete", "delete_or_quit", "Delete", id="prompt.delete", show=False,
                tooltip="Delete to the right; leaves when the prompt is empty."),
    ]  # fmt: skip

    class Submitted(Message):
        """Enter was pressed."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Left(Message):
        """Esc was pressed."""

    class Interrupted(Message):
        """Ctrl+C without a selection."""

    class QuitWished(Message):
        """Ctrl+D in an empty prompt."""

    def __init__(self, text: str = "", *, id: str | None = None) -> None:
        # a TextArea draws control characters as they are; here the model also gets what is seen
        super().__init__(clean(text), soft_wrap=True, tab_behavior="focus", show_line_numbers=False, id=id)
        self.highlight_cursor_line = False
        self.enter_runs = True  # else Enter and ctrl+j have changed places
        self.recalls = True  # whether Up and Down bring earlier prompts
        self._earlier: list[str] = []
        self._at = 0  # place in the earlier prompts; their number for the text in hand
        self._in_hand = self.text

    def remember(self, text: str) -> None:
        """Keep a prompt that was run for the Up key."""
        if text and (not self._earlier or self._earlier[-1] != text):
            self._earlier.append(text)
        self._at = len(self._earlier)

    async def _on_key(self, event: events.Key) -> None:
        # a paste arrives as a Paste event, so an Enter key is always a person
        if event.key == "enter" and self.enter_runs:
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted(self.text))
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def action_newline(self) -> None:
        if self.enter_runs:
            self.insert("\n")
        else:
            self.post_message(self.Submitted(self.text))

    def action_leave_edit(self) -> None:
        self.post_message(self.Left())

    def action_copy_or_interrupt(self) -> None:
        if self.selected_text:
            self.action_copy()
        else:
            self.post_message(self.Interrupted())

    def action_delete_or_quit(self) -> None:
        if self.text:
            self.action_delete_right()
        else:
            self.post_message(self.QuitWished())

    def action_cursor_up(self, select: bool = False) -> None:
        if not select and self.cursor_location[0] == 0 and self._recall(-1):
            return
        super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if not select and self.cursor_location[0] == self.document.line_count - 1 and self._recall(1):
            return
        super().action_cursor_down(select)

    def _recall(self, delta: int) -> bool:
        to = self._at + delta
        if not self.recalls or not 0 <= to <= len(self._earlier):
            return False
        if self._at == len(self._earlier):
            self._in_hand = self.text
        self._at = to
        self.load_text(self._in_hand if to == len(self._earlier) else self._earlier[to])
        self.move_cursor(self.document.end)
        return True


class OneLine(Input):
    """A line of text; of what is pasted the first line, made safe."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(clean(event.text.partition("\n")[0], keep=""))


class CommandBox(OneLine):
    """The `:` line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="command.leave", show=False, tooltip="Close the command line.")
    ]

    class Left(Message):
        """Esc was pressed."""

    def __init__(self, *, placeholder: str, id: str) -> None:
        super().__init__(placeholder=placeholder, id=id, select_on_focus=False)

    def action_leave(self) -> None:
        self.post_message(self.Left())
