"""The door for scripts: a prompt in, text or JSON out, the same engine as the playground.

stdout carries the completion or the JSON and nothing else; stderr carries notices. Nothing here draws a screen.
"""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from tinychat.engine.notes import params_notes
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.errors import EXIT_HANGUP, EXIT_INTERRUPTED, EXIT_TERMINATED, UsageError

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine
    from tinychat.model.checkpoint import CheckpointInfo
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
    chat: bool = False
    system: str = ""
    schedule: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # token of the reply -> settings from there
    forced: Mapping[int, int] = field(default_factory=dict)  # token of the reply -> id
    output: Output = "text"
    trace: int = 0  # candidates per token in JSON, with the stages; 0 leaves both out
    echo: bool = False
    raw: bool = False
    device: str = "auto"
    threads: int | None = None
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
    from tinychat.sample_output import Notices, run_facts, summary, writer_for

    notices = Notices(quiet=request.quiet)
    from tinychat.model import checkpoint as checkpoints

    # everything that can be wrong is settled before torch is imported, which takes seconds
    info = checkpoints.inspect(request.model)
    tokenizer = checkpoints.tokenizer_of(info)
    ids = prompt_ids(request, tokenizer, info)
    with notices.waiting("loading the model"):
        from tinychat.engine.engine import Engine

        engine = Engine.open(
            request.model,
            device=request.device,
            threads=request.threads,
            end_ids=tokenizer.end_ids,
            record=request.record,
        )
    loaded = time.perf_counter()
    for note in [*prompt_notes(request), *params_notes(request.params)]:
        notices.say(note)

    outcome = Outcome()
    writer = writer_for(request, tokenizer)
    stopping = _StopFlag()
    first_token_s: float | None = None
    with stopping:
        for step, text in sample(engine, tokenizer, ids, request, outcome, interrupted=stopping.is_set):
            if first_token_s is None:
                first_token_s = time.perf_counter() - started
            writer.token(step, text, outcome)
    facts = run_facts(request, info, ids, outcome)
    facts["timing"] = {
        "load_s": round(loaded - started, 4),
        "first_token_s": round(first_token_s, 4) if first_token_s is not None else None,
        "prefill_s": round(outcome.prefill_s, 4),
        "tokens_per_s": round(outcome.tokens_per_s, 1),
    }
    writer.end(facts, outcome)
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
    params = request.params
    clock = time.perf_counter()
    engine.set_context(ids)
    outcome.prefill_s = time.perf_counter() - clock
    clock = time.perf_counter()
    for index in range(request.max_tokens):
        if index in request.schedule:
            params = params.with_(**request.schedule[index])
        try:
            if index in request.forced:
                step = engine.force(request.forced[index], params)
            else:
                step = engine.step(params)
        except NoLegalToken:
            outcome.stop_reason = "no_legal_token"
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
            outcome.stop_reason = engine.stop_reason()
            if outcome.stop_reason is None and index + 1 == request.max_tokens:
                outcome.stop_reason = "length"
        if outcome.stop_reason is not None:
            yield step, text + stream.finish()
            return
        yield step, text
    outcome.stop_reason = "length"  # only for zero tokens asked for


def prompt_ids(request: Request, tokenizer: Tokenizer, info: CheckpointInfo) -> list[int]:
    """The ids the model sees: the document start, then the prompt; or the rendered chat."""
    count = info.config.vocab_size
    if request.ids is not None:
        ids = list(request.ids)
        if max(ids) >= count:
            raise UsageError(f"--prompt-ids {max(ids)}: the vocabulary has {count} tokens.", "Use ids from 0.")
    elif request.chat:
        from tinychat.text.chat import Message, render

        if not tokenizer.has_chat:
            raise UsageError(
                f"{info.path}: its tokenizer has no chat roles.", "Leave --chat out, or use a model trained with chats."
            )
        turns = [Message("system", request.system)] if request.system else []
        ids = render([*turns, Message("user", request.prompt)], tokenizer, reply=True).ids
    else:
        ids = tokenizer.encode_document(request.prompt)
    for index, token in request.forced.items():
        if not 0 <= token < count:
            raise UsageError(f"--force {index}={token}: the vocabulary has {count} tokens.", "Use an id from 0.")
    for token, _ in request.params.bias:
        if token >= count:
            raise UsageError(f"--logit-bias {token}: the vocabulary has {count} tokens.", "Use an id from 0.")
    if len(ids) >= info.config.context:
        raise UsageError(
            f"The prompt is {len(ids)} tokens long; the model sees {info.config.context}.",
            f"Shorten it to at most {info.config.context - 1} tokens.",
        )
    return ids


def prompt_notes(request: Request) -> list[str]:
    """What a person may want to know about the prompt before wondering about the answer."""
    if not request.chat and request.prompt.endswith(" "):
        # tokens carry their leading space, so after a trailing one the likely next tokens do not fit any more
        return ["the prompt ends with a space: tokens begin with their own space, so the text usually gets worse"]
    return []


def draw_seed() -> int:
    """A seed short enough to be typed again."""
    return secrets.randbits(32)


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
