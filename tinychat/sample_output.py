"""What `tinychat sample` says: records for JSON, writers for stdout, notices for stderr.

Nothing here draws a token.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from tinychat import __version__
from tinychat.engine.machine import Machine
from tinychat.engine.trace import Step
from tinychat.session.token_json import token_record
from tinychat.text import terminal

if TYPE_CHECKING:
    from tinychat.model.checkpoint import CheckpointInfo
    from tinychat.sample import Outcome, Request
    from tinychat.text.tokenizer import Tokenizer

SCHEMA = "tinychat.sample/1"


def request_facts(request: Request, info: CheckpointInfo, ids: Sequence[int]) -> dict[str, Any]:
    """What was asked for: all that drawing the same tokens again needs."""
    return {
        "schema": SCHEMA,
        "tinychat": __version__,
        "model": {
            "path": str(request.model),
            "digest": info.digest,
            "step": info.step,
            "parameters": info.config.n_parameters(),
        },
        "mode": "chat" if request.chat else "completion",
        "prompt": request.prompt,
        "system": request.system,
        "prompt_ids": list(ids),
        "seed": request.params.seed,
        "settings": request.params.to_dict(),
        "schedule": schedule_record(request),
        "forced": {str(index): token for index, token in request.forced.items()},
        "lanes": {str(index): lane for index, lane in request.lanes.items()},
        "machine": request.machine.to_dict(),
    }


def run_facts(request: Request, info: CheckpointInfo, ids: Sequence[int], outcome: Outcome) -> dict[str, Any]:
    """What was asked for and how it went, without the tokens."""
    surprisals = [step.surprisal for step in outcome.steps if math.isfinite(step.surprisal)]
    mean = sum(surprisals) / len(surprisals) if surprisals else None
    return request_facts(request, info, ids) | {
        "stop_reason": outcome.stop_reason,
        "stop": outcome.stop,
        "usage": {"prompt_tokens": len(ids), "completion_tokens": len(outcome.steps)},
        "mean_surprisal_bits": mean,
        "perplexity": 2**mean if mean is not None else None,
    }


def engine_record(facts: Mapping[str, Any], machine: Machine) -> dict[str, Any]:
    """What it ran on, from Engine.facts(); with speculation also how many guesses came true."""
    names = ("device", "dtype", "threads", "forward", "passes")
    record: dict[str, Any] = {"engine": {name: facts[name] for name in names}}
    if machine.speculation is not None:
        counts = {name: facts[name] for name in ("drafted", "accepted", "passes")}
        record["speculation"] = {**machine.speculation, **counts}
    return record


def schedule_record(request: Request) -> dict[str, Any]:
    """The changes as plain values, checked: what was typed may hold what JSON does not."""
    plain, found = request.params, {}
    for index in sorted(request.schedule):
        plain = plain.with_(**request.schedule[index])
        values = plain.to_dict()
        found[str(index)] = {name: values[name] for name in request.schedule[index]}
    return found


class _TextWriter:
    """What was drawn, as it is drawn, and nothing else."""

    def __init__(self, request: Request, tokenizer: Tokenizer, asked: Mapping[str, Any]) -> None:
        self.request = request
        self.tokenizer = tokenizer
        self.asked = asked
        self.out: IO[bytes] = sys.stdout.buffer
        self.encoding = "utf-8" if request.raw else (sys.stdout.encoding or "utf-8")
        self.filter = terminal.CleanStream()
        if request.echo and request.output == "text":
            self.put(request.prompt)

    def put(self, text: str) -> None:
        shown = text if self.request.raw else self.filter.push(text)
        self.write(shown.encode(self.encoding, errors="backslashreplace"))

    def put_json(self, record: dict[str, Any], indent: int | None = None) -> None:
        # json escapes all but printable ASCII and DEL, so the exact text is safe on any terminal
        self.write(json.dumps(record, indent=indent, allow_nan=False).replace("\x7f", "\\u007f").encode() + b"\n")

    def write(self, data: bytes) -> None:
        self.out.write(data)
        self.out.flush()

    def token(self, step: Step | None, text: str, outcome: Outcome) -> None:
        if text:
            self.put(text)

    def end(self, facts: dict[str, Any], outcome: Outcome) -> None:
        if sys.stdout.isatty():
            self.put("\n")


class _JsonlWriter(_TextWriter):
    """One object a line, for every token as it is drawn; the first has the run, the last says why it ended."""

    _closed = _opened = False

    def token(self, step: Step | None, text: str, outcome: Outcome) -> None:
        self._closed = outcome.stop_reason is not None
        record: dict[str, Any] = {"schema": SCHEMA, "seed": self.request.params.seed}
        if not self._opened:
            record["run"], self._opened = self.asked, True
        if step is None:
            record |= {"index": None, "id": None}
        else:
            record |= {"index": step.position - outcome.steps[0].position}
            record |= token_record(step, self.tokenizer, trace=self.request.trace)
        record |= {"text": text, "stop_reason": outcome.stop_reason, "stop": outcome.stop}
        self.put_json(record)

    def end(self, facts: dict[str, Any], outcome: Outcome) -> None:
        if not self._closed and self.request.search is None:  # no token was asked for
            self.token(None, "", outcome)


class _JsonWriter(_TextWriter):
    """One object at the end."""

    def __init__(self, request: Request, tokenizer: Tokenizer, asked: Mapping[str, Any]) -> None:
        super().__init__(request, tokenizer, asked)
        self.text: list[str] = []

    def token(self, step: Step | None, text: str, outcome: Outcome) -> None:
        self.text.append(text)

    def end(self, facts: dict[str, Any], outcome: Outcome) -> None:
        facts["text"] = "".join(self.text)
        facts["tokens"] = [token_record(s, self.tokenizer, trace=self.request.trace) for s in outcome.steps]
        self.put_json(facts, indent=2 if sys.stdout.isatty() else None)


def writer_for(request: Request, tokenizer: Tokenizer, asked: Mapping[str, Any]) -> _TextWriter:
    """The writer of the asked-for output; `asked` are the request_facts."""
    return {"text": _TextWriter, "json": _JsonWriter, "jsonl": _JsonlWriter}[request.output](request, tokenizer, asked)


class Notices:
    """stderr: short lines, none when quiet, no cursor tricks unless it is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        if not self.quiet:
            print(f"tinychat: {terminal.one_line(text)}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Says what a person waits for, and takes it back afterwards."""
        if self.quiet or not self.live:
            yield
            return
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def summary(request: Request, facts: dict[str, Any], outcome: Outcome) -> str:
    """One line on how it went."""
    parts = [f"{len(outcome.steps)} tokens", f"stopped by {outcome.stop_reason}"]
    if request.search is not None:
        parts.append(f"{request.search.method} search: {facts['calls']} odds in {facts['passes']} passes")
    if request.search is None or request.search.samples:
        parts.append("greedy" if request.params.is_greedy else f"seed {request.params.seed}")
    if guessed := facts.get("speculation"):
        parts.append(f"drafted {guessed['drafted']}, accepted {guessed['accepted']}, {guessed['passes']} passes")
    if request.verbose:
        timing = facts["timing"]
        parts += [f"{timing['tokens_per_s']} tokens/s", f"loaded in {timing['load_s']:.2f} s"]
        if timing["first_token_s"] is not None:
            parts.append(f"first token after {timing['first_token_s']:.2f} s")
        if facts["perplexity"] is not None:
            parts.append(f"perplexity {facts['perplexity']:.2f}")
    return ", ".join(parts)
