"""What `tinychat score` says: records for JSON, a summary for people, the text itself on a terminal.

Nothing here scores a token.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from tinychat import __version__, score_marks, score_text
from tinychat.text import terminal
from tinychat.tui import palette

if TYPE_CHECKING:
    from tinychat.engine.score import Chunk, ScoredToken
    from tinychat.engine.totals import Score
    from tinychat.model.checkpoint import CheckpointInfo
    from tinychat.score import Output, Request
    from tinychat.score_document import ScoredDocument
    from tinychat.text.tokenizer import Tokenizer

SCHEMA = "tinychat.score/1"
_NAMES = 22  # columns of the names
_LARGE = 1e7  # from here on a perplexity has an exponent
_CELLS = 18  # of a token's label, at most
_BEFORE = 32  # characters of the text before it


def run_facts(request: Request, info: CheckpointInfo, *, context: int, stride: int) -> dict[str, Any]:
    """What every output begins with."""
    return {
        "schema": SCHEMA,
        "tinychat": __version__,
        "model": {"path": str(request.model), "digest": info.digest, "step": info.step},
        "context": context,
        "stride": stride,
    }


def totals(score: Score, n_bytes: int) -> dict[str, Any]:
    """The figures of one text, or of all."""
    return {
        "tokens": score.tokens,
        "bytes": n_bytes,
        "bits": _number(score.bits),
        "bits_per_token": _number(score.per_token(score.bits)),
        "bits_per_byte": _number(score.bits_per_byte(n_bytes)),
        "perplexity": _number(score.perplexity),
        "mean_entropy_bits": _number(score.per_token(score.entropy_bits)),
        "mean_rank": score.per_token(score.ranks),
        "top_1": score.per_token(score.top_1),
        "top_5": score.per_token(score.top_5),
    }


def token_record(token: ScoredToken, document: ScoredDocument, tokenizer: Tokenizer) -> dict[str, Any]:
    """One token for JSON, with the names that `tinychat sample` gives the same numbers."""
    label, data = _spelled(tokenizer, token.token)
    return {
        "position": token.position,
        "byte": document.offset(token.position),
        "id": token.token,
        "token": label,
        "bytes": data,
        "raw_prob": token.prob,
        "raw_rank": token.rank,
        "surprisal_bits": _number(token.surprisal),
        "entropy_bits": token.entropy,
        "expected": {
            "id": token.expected,
            "token": _spelled(tokenizer, token.expected)[0],
            "raw_prob": token.expected_prob,
        },
        "seen": token.seen,
    }


@lru_cache(maxsize=1 << 14)
def _spelled(tokenizer: Tokenizer, token: int) -> tuple[str, str]:
    """The label of a token, and its bytes in base64; a row of the model without a token has neither."""
    if token >= tokenizer.vocab_size:
        return f"<{token}>", ""
    return tokenizer.label(token), base64.b64encode(tokenizer.token_bytes(token)).decode()


def summary_record(document: ScoredDocument, tokenizer: Tokenizer) -> dict[str, Any]:
    """The figures of one text for JSON, with its most surprising tokens."""
    found = []
    for token in document.worst:
        line, column = document.place(token.position)
        found.append(token_record(token, document, tokenizer) | {"line": line, "column": column})
    facts = totals(document.score, len(document.data)) | {"most_surprising": found}
    return facts | ({"watermarks": score_marks.record(document.marks)} if document.marks else {})


def _line(value: Any) -> str:
    # json escapes all but printable ASCII and DEL, so the exact text is safe on any terminal
    return json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f")


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None  # JSON has no infinity


class PeopleWriter:
    """A summary for each text and one for all; on a terminal the text itself before it."""

    def __init__(self, request: Request, tokenizer: Tokenizer, facts: dict[str, Any]) -> None:
        self.request, self.tokenizer, self.facts = request, tokenizer, facts
        console = Console(file=sys.stdout)  # a pipe with FORCE_COLOR counts as a terminal, for less -R
        self.terminal = console.is_terminal
        self.look = palette.detect(os.environ, console.color_system, ascii=request.ascii)
        self.shows_text = request.marks or (request.show and self.terminal)
        self.width = shutil.get_terminal_size().columns
        self.marks = request.marks or self.look.needs_marks
        self.paint: score_text.Paint = score_text.plain
        if self.terminal and console.color_system is not None:
            light = score_text.has_light_ground(os.environ.get("COLORFGBG", ""))
            self.paint = score_text.painter(self.look, light=light)
        self.lines: score_text.ScoredText | None = None

    def begin(self, document: ScoredDocument) -> None:
        """Before its first token."""
        if self.shows_text:
            self.lines = score_text.ScoredText(width=self.width, look=self.look, paint=self.paint, marks=self.marks)

    def chunk(self, document: ScoredDocument, chunk: Chunk) -> None:
        """The next tokens."""
        if self.lines is not None:
            spelled = map(self.tokenizer.token_bytes, chunk.token.tolist())
            _print(self.lines.push(zip(spelled, chunk.surprisal.tolist(), strict=True)))

    def end(self, document: ScoredDocument) -> None:
        """After its last token."""
        if self.lines is not None:
            _print([*self.lines.finish(), "", score_text.legend(self.paint, marks=self.marks), ""])
        facts = totals(document.score, len(document.data))
        rows = [("text", terminal.one_line(document.name)), *_rows(facts), *score_marks.rows(document.marks)]
        if len(self.request.sources) == 1:
            rows[1:1] = self._model()
        _print([f"{name:<{_NAMES}}{value}" for name, value in rows])
        if document.worst:
            _print(["", *self._table(document)])
        if len(self.request.sources) > 1:
            _print([""])

    def finish(self, total: Score, n_bytes: int) -> None:
        """After the last text."""
        if len(self.request.sources) > 1:
            rows = [("all texts", f"{len(self.request.sources)}"), *self._model()]
            _print([f"{name:<{_NAMES}}{value}" for name, value in [*rows, *_rows(totals(total, n_bytes))]])

    def _model(self) -> list[tuple[str, str]]:
        context, stride = self.facts["context"], self.facts["stride"]
        window = f"{context:,} tokens, from one to the next {stride:,}"
        return [("model", terminal.one_line(self.facts["model"]["path"])), ("window", window)]

    def _table(self, document: ScoredDocument) -> list[str]:
        rows = [("most surprising", "bits", "rank", "prob", "token", "expected", "after")]
        for token in document.worst:
            line, column = document.place(token.position)
            rows.append(
                (
                    f"{line}:{column}",
                    f"{token.surprisal:.1f}",
                    str(token.rank),
                    f"{token.prob:.2g}",
                    self._label(token.token),
                    f"{self._label(token.expected)} {token.expected_prob:.0%}",
                    terminal.one_line(document.before(token.position, _BEFORE)),
                )
            )
        widths = [max(cell_len(row[at]) for row in rows) for at in range(6)]
        lines = []
        for row in rows:
            cells = [
                " " * (width - len(cell)) + cell if at in (1, 2) else set_cell_size(cell, width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=False))
            ]
            whole = "  ".join(cells)
            room = self.width - cell_len(whole) - 2 if self.terminal else _BEFORE * 2
            if row[0] == rows[0][0]:
                after = row[6] if room >= len(row[6]) else ""
            else:
                after = _tail(row[6], room)
            lines.append(f"{whole}  {after}".rstrip())
        return lines

    def _label(self, token: int) -> str:
        label = _spelled(self.tokenizer, token)[0]
        if self.look.glyphs == "ascii":
            label = label.replace("␣", "_")
        return label if cell_len(label) <= _CELLS else set_cell_size(label, _CELLS - 1) + "…"


def _tail(text: str, cells: int) -> str:
    """The last cells of a text."""
    while text and cell_len(text) > max(cells, 0):
        text = text[1:]
    return text


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "tokens", f"{facts['tokens']:,}"
    yield "bytes", f"{facts['bytes']:,}"
    for name, key, form in (
        ("perplexity", "perplexity", ",.2f" if (facts["perplexity"] or 0) < _LARGE else ".3e"),
        ("bits per token", "bits_per_token", ".4f"),
        ("bits per byte", "bits_per_byte", ".4f"),
        ("mean entropy", "mean_entropy_bits", ".4f"),
        ("mean rank", "mean_rank", ",.1f"),
        ("likeliest token", "top_1", ".1%"),
        ("among the first 5", "top_5", ".1%"),
    ):
        unit = " bits" if name == "mean entropy" else ""
        yield name, "-" if facts[key] is None else f"{facts[key]:{form}}{unit}"


def _print(lines: Sequence[str]) -> None:
    if lines:
        print("\n".join(lines), flush=True)


class JsonlWriter:
    """One object a token as it is scored, one with the summary of each text, one for all where there are several."""

    def __init__(self, request: Request, tokenizer: Tokenizer, facts: dict[str, Any]) -> None:
        self.request, self.tokenizer, self.facts = request, tokenizer, facts
        self.shows_text = False

    def begin(self, document: ScoredDocument) -> None:
        """Nothing is said before the first token."""

    def chunk(self, document: ScoredDocument, chunk: Chunk) -> None:
        head = {"schema": SCHEMA, "name": document.name}
        records = (_line(head | token_record(token, document, self.tokenizer)) for token in chunk)
        _print(list(records))

    def end(self, document: ScoredDocument) -> None:
        facts = {name: value for name, value in self.facts.items() if name != "schema"}
        summary = facts | summary_record(document, self.tokenizer)
        _print([_line({"schema": SCHEMA, "name": document.name, "summary": summary})])

    def finish(self, total: Score, n_bytes: int) -> None:
        if len(self.request.sources) > 1:
            _print([_line({"schema": SCHEMA, "total": totals(total, n_bytes)})])


class JsonWriter(JsonlWriter):
    """One object, written piece by piece: a long text's tokens are never all in memory."""

    _opened = False

    def begin(self, document: ScoredDocument) -> None:
        head = ", " if self._opened else _line(self.facts)[:-1] + ', "texts": ['
        self._opened = True
        self.between = "\n"
        print(head + f'{{"name": {_line(document.name)}, "tokens": [', end="")

    def chunk(self, document: ScoredDocument, chunk: Chunk) -> None:
        for token in chunk:
            print(self.between + _line(token_record(token, document, self.tokenizer)), end="")
            self.between = ",\n"

    def end(self, document: ScoredDocument) -> None:
        print(f'], "summary": {_line(summary_record(document, self.tokenizer))}}}', end="")

    def finish(self, total: Score, n_bytes: int) -> None:
        print(f'], "total": {_line(totals(total, n_bytes))}}}', flush=True)


WRITERS: dict[Output, type[PeopleWriter] | type[JsonlWriter]] = {
    "people": PeopleWriter,
    "json": JsonWriter,
    "jsonl": JsonlWriter,
}
