"""The door for scripts: a prompt in, text or JSON out, the same engine as the playground.

stdout carries the completion or the JSON and nothing else; stderr carries notices. Nothing here draws a screen.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from tinychat.engine.machine import Machine, open_engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import SearchParams
from tinychat.engine.stopping import StopRules
from tinychat.engine.trace import Step
from tinychat.errors import EXIT_HANGUP, EXIT_INTERRUPTED, EXIT_TERMINATED, UsageError

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine
    from tinychat.text.tokenizer import Tokenizer

Output = Literal["text", "json", "jsonl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to sample, and how to say it."""

    prompt: str
    ids: tuple[int, ...] | None = None  # instead of the prompt: exactly these
    params: SamplingParams
    model: Path
    max_tokens: int = 256
    stops: tuple[str, ...] = ()
    past_end: bool = False  # go on where the model has ended
    rules: StopRules = field(default_factory=StopRules)
    bad_words: tuple[str, ...] = ()  # as text; added to those of params
    negative: str | None = None  # as text; in place of negative_ids of params
    chat: bool = False
    system: str = ""
    pauses: int | None = None  # pause tokens before the reply of a chat; None: as many as it was trained with
    schedule: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # token of the reply -> settings from there
    forced: Mapping[int, int] = field(default_factory=dict)  # token of the reply -> id
    lanes: Mapping[int, int] = field(default_factory=dict)  # token of the reply -> whose darts from there
    search: SearchParams | None = None  # None: the reply is drawn
    search_after: int = 0  # so many tokens are drawn before it
    hypothesis: int = 0  # the one to answer with, best first, from 1; 0 is the search's own choice
    output: Output = "text"
    trace: int = 0  # candidates per token in JSON, with the stages; 0 leaves both out
    echo: bool = False
    raw: bool = False
    machine: Machine = field(default_factory=Machine)
    quiet: bool = False
    verbose: bool = False

    @property
    def record(self) -> int:
        """How many candidates the engine records: none that nobody will read."""
        return max(1, self.trace)


@dataclass(slots=True)
class Outcome:
    """How a sample ended, filled in while it runs."""

    steps: list[Step] = field(default_factory=list)
    stop_reason: str | None = None  # None while it runs
    stop: str | None = None
    why: str = ""  # of no_legal_token, in words
    prefill_s: float = 0.0
    decode_s: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        return len(self.steps) / self.decode_s if self.decode_s > 0 else 0.0


def run(request: Request) -> int:
    """Sample once; the exit code. Errors are raised as TinychatError."""
    started = time.perf_counter()
    if request.raw and sys.stdout.isatty():
        raise UsageError(
            "--raw would send the model's own bytes to a terminal.", "Redirect the output, or leave --raw out."
        )
    from tinychat.sample_output import Notices, engine_record, request_facts, run_facts, summary, writer_for
    from tinychat.sample_prompt import check_outputs, request_notes, resolved

    check_outputs(request)
    notices = Notices(quiet=request.quiet)
    from tinychat.model import checkpoint as checkpoints

    # everything that can be wrong is settled before torch is imported, which takes seconds
    info = checkpoints.inspect(request.model)
    tokenizer = checkpoints.tokenizer_of(info)
    request, ids = resolved(request, tokenizer, info)
    with notices.waiting("loading the model"):
        engine = open_engine(request.model, request.machine, end_ids=tokenizer.end_ids, record=request.record)
    loaded = time.perf_counter()
    notes = request_notes(request, ids)
    for note in notes:
        notices.say(note)

    outcome = Outcome()
    writer = writer_for(request, tokenizer, request_facts(request, info, ids))
    stopping = _StopFlag()
    first_token_s: float | None = None
    found: dict[str, Any] = {}
    with stopping:
        if request.search is None:
            for step, text in sample(engine, tokenizer, ids, request, outcome, interrupted=stopping.is_set):
                if first_token_s is None:
                    first_token_s = time.perf_counter() - started
                writer.token(step, text, outcome)
        else:
            from tinychat.sample_search import draw_first, run_search

            put = writer.put_json if request.output == "jsonl" else None
            with notices.waiting("searching"):
                first = replace(request, search=None, max_tokens=request.search_after, rules=StopRules())
                drawn = sample(engine, tokenizer, ids, first, outcome, interrupted=stopping.is_set)
                for step, text in draw_first(drawn, outcome):
                    if put is not None:
                        writer.token(step, text, outcome)
                text, found = run_search(
                    request, request.search, engine, tokenizer, outcome, interrupted=stopping.is_set, put=put
                )
            if put is None:
                writer.token(None, text, outcome)
            if request.search.method in ("cot", "majority") and not found["answers"]:
                notes.append("none of the replies holds an answer: the best of them stands for all")
                notices.say(notes[-1])
    if outcome.stop_reason in ("length", "context") and request.params.is_on("grammar"):
        notes.append("the reply was cut off: it need not match what it was to become")
        notices.say(notes[-1])
    facts = run_facts(request, info, ids, outcome) | found
    facts |= {"notes": notes, **engine_record(engine.facts(), request.machine)}
    facts["timing"] = {
        "load_s": round(loaded - started, 4),
        "first_token_s": round(first_token_s, 4) if first_token_s is not None else None,
        "prefill_s": round(outcome.prefill_s, 4),
        "tokens_per_s": round(outcome.tokens_per_s, 1),
    }
    writer.end(facts, outcome)
    if outcome.why:
        notices.say(outcome.why)
    notices.say(summary(request, facts, outcome))
    return stopping.exit_code


def sample(
    engine: Engine,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    request: Request,
    outcome: Outcome,
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Step | None, str]]:
    """Each step with the text that became safe to show with it; `outcome` says how it ended.

    The step is None for a held-back tail that no further token followed.
    """
    from tinychat.engine.engine import NoLegalToken
    from tinychat.text.stream import TextStream

    stream = TextStream(tokenizer, request.stops)
    params, lane = request.params, 0
    clock = time.perf_counter()
    engine.set_context(ids)
    outcome.prefill_s = time.perf_counter() - clock
    clock = time.perf_counter()
    for index in range(request.max_tokens):
        if index in request.schedule:
            params = params.with_(**request.schedule[index])
        lane = request.lanes.get(index, lane)
        try:
            if index in request.forced:
                step = engine.force(request.forced[index], params, draw_lane=lane)
            else:
                step = engine.step(params, draw_lane=lane)
        except NoLegalToken as error:
            outcome.stop_reason, outcome.why = "no_legal_token", f"{error.what} {error.hint}"
            yield None, stream.finish()
            return
        outcome.steps.append(step)
        text = stream.push(step.token)
        outcome.decode_s = time.perf_counter() - clock
        if stream.stopped is not None:
            outcome.stop_reason, outcome.stop = "stop", stream.stopped
        elif interrupted():
            outcome.stop_reason = "interrupted"
        else:
            ended = engine.stop_reason()
            if ended == "end" and request.past_end:
                ended = None
            outcome.stop_reason = ended or request.rules.reason(outcome.steps, outcome.decode_s)
            if outcome.stop_reason is None and index + 1 == request.max_tokens:
                outcome.stop_reason = "length"
        if outcome.stop_reason is not None:
            yield step, text + stream.finish()
            return
        yield step, text
    outcome.stop_reason = "length"  # only for zero tokens asked for


_SIGNALS: dict[int, int] = {
    signal.SIGINT: EXIT_INTERRUPTED,
    signal.SIGTERM: EXIT_TERMINATED,
    signal.SIGHUP: EXIT_HANGUP,
}


class _StopFlag:
    """Ctrl-C, TERM and a hang-up end the sample after the token being drawn; what was said stays said."""

    def __init__(self) -> None:
        self.signal = 0
        self.old: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup: somebody wants it to go on
            try:
                self.old[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: the caller handles signals
                return

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:  # the second time: at once
            raise KeyboardInterrupt
        self.signal = number

    def is_set(self) -> bool:
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        return _SIGNALS[self.signal] if self.signal else 0
