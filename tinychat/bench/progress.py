"""How far it is, on stderr: a bar where a person looks at a terminal, a line a stage where nobody does."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A context manager over `total` measurements."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._bar = None
        if console.is_terminal:
            columns = BarColumn(bar_width=20), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
            self._bar = Bar(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=total)

    def say(self, text: str, *, where: str = "") -> None:
        """What happens now."""
        text = where + text
        if self._bar is None:
            print(f"tinychat bench: {text}", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, description=text)

    def step(self) -> None:
        """One measurement more."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
