"""The door that scores texts: what the model thinks of every token of them, and of the whole.

stdout carries the figures or the JSON; stderr carries notices. Nothing here draws a token or a screen.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

from tinychat.engine.machine import Machine, open_engine
from tinychat.errors import UsageError
from tinychat.score_marks import Marks, search

Output = Literal["people", "json", "jsonl"]
_PROGRESS_S = 0.3  # what is done sooner needs no sign of progress


@dataclass(frozen=True, slots=True)
class Source:
    """A text that was named or given: exactly these bytes, which are UTF-8."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to score, and how to say it."""

    sources: tuple[Source, ...]
    model: Path
    context: int | None = None  # None: the model's
    stride: int | None = None  # None: half the context
    most: int = 10  # most surprising tokens to name
    output: Output = "people"
    show: bool = True  # the text itself, on a terminal
    marks: bool = False  # beneath the text, as where there is no colour
    ascii: bool = False
    machine: Machine = field(default_factory=Machine)
    watermarks: Marks = field(default_factory=Marks)
    quiet: bool = False
    verbose: bool = False


def read_sources(paths: list[str], text: str | None) -> tuple[Source, ...]:
    """The texts of the command line, stdin where none is named; UsageError for what is not there or is no text."""
    if not paths and text is None:
        if sys.stdin.isatty():
            raise UsageError(
                "There is nothing to score.", 'Name a file, pipe a text in, or give one:  tinychat score --text "..."'
            )
        paths = ["-"]
    if paths.count("-") > 1:
        raise UsageError("- is named twice: stdin can be read once.", "Name it once.")
    found = [_read(path) for path in paths]
    if text is not None:
        found.append(Source("--text", text.encode()))
    return tuple(found)


def _read(path: str) -> Source:
    name = "stdin" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is no UTF-8 text (byte {error.start}).", "Convert it first:  iconv -t UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise UsageError(f"{name}: {reason}.", "Name a file that can be read.") from error
    return Source(name, data)


def run(request: Request) -> int:
    """Score all texts; the exit code. Errors are raised as TinychatError."""
    from tinychat.model import checkpoint as checkpoints
    from tinychat.sample_output import Notices
    from tinychat.score_output import WRITERS, run_facts

    notices = Notices(quiet=request.quiet)
    # everything that can be wrong is settled before torch is imported, which takes seconds
    info = checkpoints.inspect(request.model)
    context, stride = _window(request, info.config.context)
    tokenizer = checkpoints.tokenizer_of(info)
    with notices.waiting("loading the model"):
        from tinychat.engine.runner import default_threads
        from tinychat.engine.score import score
        from tinychat.engine.totals import Score
        from tinychat.score_document import ScoredDocument

        # passes over thousands of tokens gain from every core, also in a model that decodes best on one
        machine = replace(request.machine, step="eager", threads=request.machine.threads or default_threads())
        model = open_engine(request.model, machine, end_ids=tokenizer.end_ids).runner.model
    facts = run_facts(request, info, context=context, stride=stride)
    writer = WRITERS[request.output](request, tokenizer, facts)
    shown = notices.live and not notices.quiet and not writer.shows_text
    started = time.perf_counter()
    total, n_bytes = Score(), 0
    for source in request.sources:
        document = ScoredDocument(source.name, source.data, tokenizer, most=request.most)
        writer.begin(document)
        with Progress(len(document.ids) - 1, shown=shown) as progress:
            for chunk in score(model, document.ids, context=context, stride=stride):
                document.add(chunk)
                progress.clear()  # stdout may be the same terminal
                writer.chunk(document, chunk)
                progress.advance(len(chunk))
        document.marks = search(request.watermarks, document.ids[1:], info.config.vocab_size)
        writer.end(document)
        total, n_bytes = total + document.score, n_bytes + len(document.data)
    writer.finish(total, n_bytes)
    seconds = time.perf_counter() - started
    if request.verbose and total.tokens:
        notices.say(f"{total.tokens:,} tokens in {seconds:.1f} s, {total.tokens / seconds:,.0f} tokens/s")
    return 0


def _window(request: Request, most: int) -> tuple[int, int]:
    """The context and the stride; UsageError for what cannot be."""
    context = most if request.context is None else request.context
    if not 2 <= context <= most:
        raise UsageError(f"--context must be from 2 to {most}, got {context}.", "The model sees no more than that.")
    stride = max(1, context // 2) if request.stride is None else request.stride
    if not 1 <= stride < context:
        raise UsageError(
            f"--stride must be from 1 to {context - 1}, got {stride}.", "Every window needs a token to begin with."
        )
    return context, stride


class Progress:
    """How much of a text is scored, on one line of stderr that goes when it is done; a context manager."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total, self._shown = total, shown
        self._done = 0
        self._stands = False
        self._started = time.perf_counter()

    def advance(self, count: int) -> None:
        """So many tokens more."""
        self._done += count
        seconds = time.perf_counter() - self._started
        if self._shown and seconds > _PROGRESS_S:
            speed = f"{self._done / seconds:,.0f} tokens/s"
            self._stands = True
            print(f"\rscoring {self._done / self._total:.0%}, {speed}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line back, until the next sign of progress."""
        if self._stands:
            self._stands = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.clear()
