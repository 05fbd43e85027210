"""Draw again what a file claims was drawn, and find the first difference.

The same tokens must come, on the same darts, with the same distributions. Floating point sums run in another order on
another machine or number of threads, so numbers may differ by what rounding explains (ROUNDING); where every one of
them agrees to the last bit, ranks and counts must agree, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinychat.session.token_json import token_record
from tinychat.text.terminal import one_line
from tinychat.verify.claims import Case, Claim

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine
    from tinychat.text.tokenizer import Tokenizer

# differences of probabilities, and of everything else (logits, bits), that rounding explains, by number type
ROUNDING = {"float32": (1e-4, 1e-2), "bfloat16": (0.03, 0.3), "float16": (0.01, 0.1), "int8": (0.01, 0.1)}
_SHARES = ("raw_prob", "final_prob", "slice", "mass", "chosen_prob")
_EXACT = ("id", "bytes", "forced", "position", "u", "region", "drafted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first token that is another. `index` counts the tokens of its reply from 0."""

    reply: int
    index: int
    what: str  # token, or the name of the number
    was: Mapping[str, Any]
    now: Mapping[str, Any] | None  # None: nothing could be drawn
    reasons: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """How many tokens came out the same, and by how much their numbers differed at most."""

    tokens: int = 0
    forced: int = 0
    compared: int = 0  # tokens of which the file has numbers
    largest: float = 0.0  # difference of a probability
    other: float = 0.0  # of a logit, of bits or the like, as a share of those above 1
    unlike: int = 0  # tokens with a rank, a count or a word that is another, where a number is, too: a near tie
    difference: Difference | None = None
    causes: tuple[str, ...] = ()  # what is known to be another than it was: weights, number type, step, device
    notes: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether every number that was compared is the same to the last bit."""
        return not (self.largest or self.other or self.unlike)


def verify(case: Case, engine: Engine, tokenizer: Tokenizer) -> Verdict:
    """Draw every reply again, up to the first difference. UsageError for settings that this model cannot use."""
    facts = engine.facts()
    verdict = Verdict(causes=tuple(_other_machine(case, facts)))
    share, other = ROUNDING.get(str(facts["dtype"]), ROUNDING["float32"])
    for number, reply in enumerate(case.replies):
        engine.set_context(reply.before)
        for index, claim in enumerate(reply.claims):
            now = _draw(engine, claim, tokenizer, packed=case.packed)
            gap = _Gap(share=share, other=other)
            what = "token" if now is None else gap.compare(claim, now)
            if what:
                verdict.difference = Difference(
                    reply=number,
                    index=index,
                    what=what,
                    was=claim.record or {"id": claim.token, "token": tokenizer.label(claim.token)},
                    now=now,
                    reasons=tuple(_reasons(verdict.causes, claim, now, what)),
                )
                return verdict
            verdict.tokens += 1
            verdict.forced += claim.forced
            verdict.compared += claim.record is not None
            verdict.largest = max(verdict.largest, gap.largest)
            verdict.other = max(verdict.other, gap.other)
            verdict.unlike += bool(gap.unlike)
    return verdict


def _draw(engine: Engine, claim: Claim, tokenizer: Tokenizer, *, packed: bool) -> dict[str, Any] | None:
    from tinychat.engine.engine import NoLegalToken
    from tinychat.engine.packing import pack_step, unpack_step

    try:
        if claim.forced:
            step = engine.force(claim.token, claim.params, draw_lane=claim.lane)
        else:
            step = engine.step(claim.params, draw_lane=claim.lane)
    except NoLegalToken:
        return None
    if packed:
        step = unpack_step(pack_step(step))
    return token_record(step, tokenizer, trace=len(step.odds.candidates))


class _Gap:
    """How far two records of one token are apart."""

    def __init__(self, *, share: float, other: float) -> None:
        self.limits = {True: share, False: other}
        self.largest = 0.0  # of probabilities
        self.other = 0.0  # of everything else
        self.worst = ""  # the name of a number beyond its limit
        self.unlike = ""  # of a count or a word that is another

    def compare(self, claim: Claim, now: Mapping[str, Any]) -> str:
        """What is another beyond rounding: a name; empty for nothing."""
        if now["id"] != claim.token:
            return "token"
        was = claim.record
        if was is None:
            return ""
        for name in _EXACT:
            if name == "drafted" and name not in now:
                continue  # drawn again without guessing ahead: the same tokens, unless one says otherwise
            if name in was and was[name] != now.get(name):
                return name
        self._walk(was, now, "")
        if self.worst:
            return self.worst
        return "" if self.largest or self.other else self.unlike

    def _walk(self, was: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
        for name, value in was.items():
            if name in ("text", "schema", "seed", "index", "run", "stop_reason", "stop"):
                continue  # of the line, not of the token
            here = f"{where}{name}"
            if name == "candidates":
                fresh = {each["id"]: each for each in now["candidates"]}
                for each in value:
                    if each["id"] in fresh:  # near ties may change places at the end of the list
                        self._walk(each, fresh[each["id"]], f"candidate {each['id']}: ")
            elif name == "stages":
                if [each["stage"] for each in value] != [each["stage"] for each in now["stages"]]:
                    self.worst = self.worst or "stages"
                    continue
                for one, two in zip(value, now["stages"], strict=True):
                    self._walk(one, two, f"{one['stage']}: ")
            elif name in now:
                self._number(here, name, value, now[name])
            else:
                self.unlike = self.unlike or here

    def _number(self, where: str, name: str, was: Any, now: Any) -> None:
        if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
            for one, two in zip(was, now, strict=True):
                self._number(where, name, one, two)
        elif _is_number(was) and _is_number(now) and float in (type(was), type(now)):
            gap = abs(was - now) if was != now else 0.0
            if name not in _SHARES and name.endswith(("logprob", "bits", "logit")):
                gap /= max(1.0, abs(now))  # of a large number the last digits are worth more
            if name in _SHARES:
                self.largest = max(self.largest, gap)
            else:
                self.other = max(self.other, gap)
            if not gap <= self.limits[name in _SHARES]:
                self.worst = self.worst or where
        elif was != now:
            self.unlike = self.unlike or where


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _reasons(causes: tuple[str, ...], claim: Claim, now: Mapping[str, Any] | None, what: str) -> Iterator[str]:
    """What explains a difference, the likeliest first."""
    found = [*causes, *_other_record(claim, now, what)]
    if not found and now is not None and what not in ("token", "u"):
        found = [f"{what} in the file is not what comes now: the settings, or the number itself, were changed"]
    yield from found


def _other_machine(case: Case, facts: Mapping[str, Any]) -> Iterator[str]:
    if case.source.digest and case.source.digest != facts["digest"]:
        yield f"the weights are others: digest {case.source.digest[:12]} then, {facts['digest'][:12]} now"
    for name, said in (("dtype", "number type"), ("forward", "decoding step"), ("device", "device")):
        then = case.ran_on.get(name)
        if then is not None and then != facts[name]:
            yield f"the {said} is another: {one_line(str(then))[:40]} then, {facts[name]} now"


def _other_record(claim: Claim, now: Mapping[str, Any] | None, what: str) -> Iterator[str]:
    from tinychat.engine.draw import uniform

    was = claim.record or {}
    u, place = was.get("u"), was.get("slice")
    drawn = not claim.forced and was.get("drafted") is None
    if isinstance(u, float) and isinstance(was.get("position"), int):
        if drawn and 0 <= was["position"] < 1 << 32 and u != uniform(claim.params.seed, was["position"], claim.lane):
            yield "the random number is not that of this seed and position: seed, prompt or u were changed in the file"
        if drawn and isinstance(place, list) and len(place) == 2 and all(isinstance(each, float) for each in place):
            low, high = place
            if not low <= u < high:
                yield f"the file contradicts itself: u {u:.6f} is not in [{low:.6f}, {high:.6f}): it was changed"
            elif what == "token" and (near := min(u - low, high - u)) < 1e-4:
                yield f"the dart fell {near:.1e} from the border of its slice: rounding may move it to the neighbour"
    if now is not None and isinstance(was.get("kept"), int) and was["kept"] != now["kept"]:
        yield f"the settings left {was['kept']} tokens then, {now['kept']} now: they were changed, or a cut is close"
    if now is None:
        yield "the settings leave no token to draw here: they were changed, or the grammar was"
    if now is not None and what == "token" and was.get("raw_prob") is None:
        yield "the file says nothing of this choice but the token"
