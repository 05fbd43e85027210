"""Lanes: texts that grow side by side, who draws them, and in what they differ. No widgets here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from tinychat.engine.packing import glance, unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import FRESH, SamplerState, Step
from tinychat.engine.wire import Answer
from tinychat.session.records import Records
from tinychat.session.session import Session
from tinychat.session.transcript import Speller
from tinychat.session.tree import KIND_NAMES, PROMPT
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui import status
from tinychat.tui.tokentext import StreamToken

KIND = "lanes"
NAN = float("nan")
AT_ONCE = 64  # tokens asked for at a time where the pace is free
DIFFERS = "differs"  # written into the text at the first difference
STOPS = {"end": "ended", "grammar": "ended", "context": "context full", "no_legal_token": "no token left"}


class Host(Protocol):
    """A model that draws lanes."""

    name: str
    is_main: bool  # the model of the session, whose draws can be a branch
    tokenizer: Tokenizer
    context: int

    def ask(self, values: dict[str, Any], listener: Callable[[Answer], None]) -> None: ...
    def drop(self) -> None: ...


class Lane:
    """One text. Its own tokens, drawn here, begin at `begun`; what stands before was there already."""

    def __init__(self, host: Host, params: SamplingParams, *, start: int) -> None:
        self.host = host
        self.params = params
        self.start = start  # the position of the reply's first token
        self.begun = 0
        self.ids: list[int] = []
        self.tokens: list[StreamToken] = []
        self.stop = ""
        self.trouble = ""
        self.until = 0  # tokens that it may hold; more is drawn below that
        self._packed = Records()
        self._settings: list[SamplingParams | None] = []
        self._speller = Speller(host.tokenizer)
        self._bits = 0.0  # of the reply

    @classmethod
    def of_path(cls, host: Host, session: Session, length: int) -> Lane:
        """The first `length` tokens of a session's path, under the settings in force."""
        path, start = session.tree.path, session.reply_start
        lane = cls(host, session.params, start=start)
        for i in range(length):
            given = path.kinds[i] == PROMPT
            numbers = (NAN, NAN, NAN, 0) if given else (path.surprisal[i], path.prob[i], path.entropy[i], path.rank[i])
            text = lane._speller.push(path.ids[i], given=given)
            lane.ids.append(path.ids[i])
            lane.tokens.append(StreamToken(text, _kind(path.kinds[i]), *numbers))
            lane._settings.append(None if given else session.settings[path.setting[i]])
        lane._packed = path.packed.first(length)
        lane._bits = sum(path.surprisal[start:length])
        lane.begun = length
        if length > start and path.ids[length - 1] in host.tokenizer.end_ids:
            lane.stop = "end"
        return lane

    @classmethod
    def of_prompt(cls, host: Host, ids: Sequence[int], params: SamplingParams) -> Lane:
        """A reply to these ids that has not begun."""
        lane = cls(host, params, start=len(ids))
        for token in ids:
            lane.ids.append(token)
            lane.tokens.append(StreamToken(lane._speller.push(token, given=True), "prompt", NAN, NAN, NAN, 0))
            lane._packed.append(None)
            lane._settings.append(None)
        lane.begun = len(ids)
        return lane

    def copy(self, params: SamplingParams) -> Lane:
        """Another lane that stands where this one began."""
        return self._cut(self.begun, params)

    def _cut(self, length: int, params: SamplingParams) -> Lane:
        lane = Lane(self.host, params, start=self.start)
        for i in range(length):
            lane._speller.push(self.ids[i], given=i < self.start)
        lane.ids, lane.tokens = self.ids[:length], [_plain(token) for token in self.tokens[:length]]
        lane._packed, lane._settings = self._packed.first(length), self._settings[:length]
        lane._bits = sum(token.surprisal for token in lane.tokens[lane.start :])
        lane.begun = min(self.begun, length)
        return lane

    def again(self) -> Lane:
        """The same lane with none of its own tokens."""
        return self._cut(self.begun, self.params)

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def reply_length(self) -> int:
        return len(self.ids) - self.start

    @property
    def wants(self) -> int:
        """How many tokens are still to be drawn."""
        return 0 if self.stop or self.trouble else max(0, min(self.until, self.host.context) - self.length)

    def turn(self, params: SamplingParams) -> None:
        """Draw the next token with these; what stopped the lane under others is forgotten."""
        if params != self.params:
            self.params, self.trouble = params, ""
            if self.stop == "no_legal_token":
                self.stop = ""

    def take(self, packed: bytes) -> None:
        """A token more, as its packed record."""
        step = glance(packed, self.host.tokenizer.vocab_size)
        text = self._speller.push(step.token, given=False)
        before = self._settings[-1] if self._settings else None
        moved = status.moves(before, self.params) if before is not None and before is not self.params else ""
        self._bits += min(step.surprisal, 999.0)
        self.tokens.append(
            StreamToken(text, "drawn", min(step.surprisal, 999.0), step.final, step.entropy, step.raw_rank, moved=moved)
        )
        self.ids.append(step.token)
        self._packed.append(packed)
        self._settings.append(self.params)

    @property
    def state(self) -> SamplerState:
        """The samplers' state before the next token."""
        last = self.step(self.length - 1) if self.length > self.start else None
        return FRESH if last is None else last.state

    def step(self, position: int) -> Step | None:
        """The record of a position; None where there is none."""
        data = self._packed[position] if 0 <= position < len(self._packed) else None
        return None if data is None else unpack_step(data)

    def own(self) -> list[tuple[Step, SamplingParams]]:
        """What was drawn here, with the settings of each."""
        found = []
        for position in range(self.begun, self.length):
            step, params = self.step(position), self._settings[position]
            assert step is not None, "own tokens are recorded"
            assert params is not None, "and have settings"
            found.append((step, params))
        return found

    def perplexity(self) -> float:
        """Of the reply, by the model's own odds; 0 without one."""
        return float(2.0 ** min(self._bits / self.reply_length, 60.0)) if self.reply_length else 0.0

    def mark(self, position: int) -> None:
        """Write the first difference into the text."""
        token = self.tokens[position]
        self.tokens[position] = replace(token, moved=f"{token.moved} {DIFFERS}".strip())

    def unmark(self, position: int) -> None:
        if position < len(self.tokens):
            self.tokens[position] = _plain(self.tokens[position])

    def asked(self, count: int) -> dict[str, Any]:
        """What the engine has to know to draw `count` tokens."""
        return {
            "ids": self.ids, "prompt_len": self.start, "params": self.params.to_dict(), "count": count,
            "state": asdict(self.state),
        }  # fmt: skip


def _plain(token: StreamToken) -> StreamToken:
    return replace(token, moved=token.moved.removesuffix(DIFFERS).rstrip()) if DIFFERS in token.moved else token


def _kind(kind: int) -> Any:
    name = KIND_NAMES[kind]
    return name if name in ("prompt", "drawn", "forced") else "drawn"


def packed_steps(answer: Answer) -> Iterator[tuple[int, bytes]]:
    """The lane and the packed record of every step of an answer."""
    start = 0
    for lane, size in zip(answer.values.get("lanes", ()), answer.values.get("sizes", ()), strict=True):
        yield lane, answer.blob[start : start + size]
        start += size


@dataclass(slots=True)
class Race:
    """The lanes, and the asking for their tokens: those that are behind come first, so that all stand level."""

    lanes: list[Lane]
    rate: float | None = None
    running: bool = False
    _credit: float = 0.0
    _out: dict[int, list[Lane]] = field(default_factory=dict)  # by id of a host: the lanes of the question in hand
    error: str = ""

    def go(self, count: int, *, level: bool = False) -> None:
        """Draw until all hold `count` tokens more than the shortest holds now; `level`: no fewer than the longest."""
        live = [lane for lane in self.lanes if not lane.stop and not lane.trouble]
        if not live:
            return
        target = min(lane.reply_length for lane in live) + count
        if level:
            target = max(target, *(lane.reply_length for lane in self.lanes))
        for lane in live:
            lane.until = lane.start + target
        self.running, self.error, self._credit = True, "", 1.0

    def halt(self) -> None:
        """Stop; what is on its way is not taken."""
        self.running = False
        for host in self.hosts():
            host.drop()
        self._out.clear()

    def hosts(self) -> list[Host]:
        """The models, in the order of their first lanes."""
        return list({id(lane.host): lane.host for lane in self.lanes}.values())

    @property
    def quiet(self) -> bool:
        """Whether nothing runs and no answer is awaited."""
        return not self.running and not self._out

    def turned(self, lane: Lane) -> None:
        """The settings of a lane are others now: what was asked for with the old ones is not taken."""
        if self._out.pop(id(lane.host), None) is not None:
            lane.host.drop()
            self._ask(AT_ONCE if self.rate is None else 1)

    def tick(self, seconds: float) -> None:
        """Ask for what the pace allows."""
        if not self.running:
            return
        if not any(lane.wants for lane in self.lanes):
            if not self._out:
                self.running = False
            return
        if self.rate is None:
            self._ask(AT_ONCE)
            return
        self._credit = min(self._credit + seconds * self.rate, max(self.rate / 4, 1.0))
        if self._credit >= 1.0 and self._ask(int(self._credit)):
            self._credit -= int(self._credit)

    def _ask(self, most: int) -> bool:
        """Whether anything was asked for."""
        asked = False
        live = [lane for lane in self.lanes if lane.wants]
        shortest = min((lane.reply_length for lane in live), default=0)
        ahead = [lane.reply_length for lane in live if lane.reply_length > shortest]
        for host in self.hosts():
            # all of its lanes, also those that draw nothing now: the engine keeps what they hold
            lanes = [lane for lane in self.lanes if lane.host is host]
            level = min(ahead) - shortest if ahead else most
            counts = [min(most, level, lane.wants) if lane.reply_length == shortest else 0 for lane in lanes]
            if id(host) in self._out or not any(counts):
                continue
            told = [lane.asked(count) for lane, count in zip(lanes, counts, strict=True)]
            self._out[id(host)] = lanes
            host.ask({"lanes": told}, lambda answer, host=host: self._hear(host, answer))  # type: ignore[misc]
            asked = True
        return asked

    def _hear(self, host: Host, answer: Answer) -> None:
        lanes = self._out.get(id(host))
        if lanes is None:
            return
        values: Mapping[str, Any] = answer.values
        for index, packed in packed_steps(answer):
            lanes[index].take(packed)
        for index, reason in values.get("stops", {}).items():
            lanes[int(index)].stop = "" if reason == "trouble" else reason
        for index, words in values.get("trouble", {}).items():
            lanes[int(index)].trouble = words
        if answer.error is not None:
            self.error, self.running = " ".join(answer.error), False
        if answer.done:
            self._out.pop(id(host), None)
            if self.running and self.rate is None:
                self.tick(0.0)
