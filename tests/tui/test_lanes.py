"""Lanes without a screen: what is asked for, in what they differ, and how far apart two distributions are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tinychat.engine.packing import pack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step
from tinychat.engine.wire import Answer
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.difference import (
    divergence,
    divergence_words,
    first_difference,
    same_place,
    text_difference,
)
from tinychat.tui.fans import Ray, agreement, agreement_words, clusters, common_length
from tinychat.tui.lanes import AT_ONCE, Lane, Race

TOKENIZER = Tokenizer.train(["the cat sat on the mat and looked at the moon, as cats do. "] * 4, vocab_size=290)
OTHER = Tokenizer.train(["the moon looked at all the cats that sat on a mat. "] * 4, vocab_size=270)


class Host:
    """Answers when a test says so; the steps name tokens."""

    def __init__(self, tokenizer: Tokenizer = TOKENIZER, context: int = 100) -> None:
        self.name, self.tokenizer, self.context, self.is_main = "toy", tokenizer, context, True
        self.asked: list[list[dict[str, Any]]] = []
        self.dropped = 0
        self._listener: Callable[[Answer], None] | None = None

    def ask(self, values: dict[str, Any], listener: Callable[[Answer], None]) -> None:
        self.asked.append([dict(each, ids=list(each["ids"])) for each in values["lanes"]])
        self._listener = listener

    def drop(self) -> None:
        self.dropped += 1
        self._listener = None

    def answer(self, tokens: dict[int, list[int]], **values: Any) -> None:
        """Tokens by lane of the question, and its end."""
        assert self._listener is not None, "nothing is asked"
        for lane, each in tokens.items():
            for token in each:
                position = len(self.asked[-1][lane]["ids"])
                self.asked[-1][lane]["ids"].append(token)
                packed = pack_step(a_step(position, token))
                told = {"lanes": [lane], "sizes": [len(packed)]}
                self._listener(Answer(kind="lanes", seq=1, values=told, blob=packed))
        self._listener(Answer(kind="lanes", seq=1, values=values))
        self._listener(Answer(kind="lanes", seq=1, done=True))


def odds(finals: dict[int, float], *, kept: int | None = None, position: int = 0) -> Odds:
    candidates = tuple(
        Candidate(token=token, logit=0.0, raw=share, final=share, rank=rank)
        for rank, (token, share) in enumerate(finals.items(), 1)
    )
    count = sum(share > 0 for share in finals.values()) if kept is None else kept
    raw = StageView(name="raw", kept=10, mass=1.0, entropy=1.0)
    return Odds(
        position=position, vocab_size=10, candidates=candidates, stages=(raw,), entropy=1.0, varentropy=0.0,
        final_entropy=1.0, kept=count, temperature=1.0,
    )  # fmt: skip


def a_step(position: int, token: int) -> Step:
    return Step(
        odds=odds({token: 0.5, token - 1: 0.5}, position=position), token=token, lane=0, forced=False, raw=0.5,
        final=0.5, raw_rank=1, final_rank=1, surprisal=1.0, u=0.1, low=0.0, high=0.5, time_s=0.0,
    )  # fmt: skip


def two(host: Host | None = None) -> tuple[Host, Race]:
    host = host or Host()
    ids = TOKENIZER.encode("the cat")
    return host, Race([Lane.of_prompt(host, ids, SamplingParams(seed=seed)) for seed in (1, 1)])


def test_full_speed_asks_for_many_at_once_and_goes_on_by_itself() -> None:
    host, race = two()
    race.go(AT_ONCE + 3)
    race.tick(0.0)
    assert [lane["count"] for lane in host.asked[-1]] == [AT_ONCE, AT_ONCE]
    host.answer({0: [270] * AT_ONCE, 1: [270] * AT_ONCE})
    assert [lane["count"] for lane in host.asked[-1]] == [3, 3]
    host.answer({0: [270] * 3, 1: [270] * 3})
    race.tick(0.0)
    assert not race.running
    assert [lane.reply_length for lane in race.lanes] == [AT_ONCE + 3] * 2


def test_a_pace_asks_for_what_is_due() -> None:
    host, race = two()
    race.rate = 10.0
    race.go(20)
    counts: list[int] = []
    for at in range(40):
        race.tick(0.1 if at else 0.0)  # the first at once: it answers a key
        if len(host.asked) > len(counts):
            counts.append(host.asked[-1][0]["count"])
            host.answer({lane: [270] * counts[-1] for lane in (0, 1)})
    assert counts == [1] * 20


def test_a_lane_behind_catches_up_before_the_others_go_on() -> None:
    host, race = two()
    race.lanes[0].take(pack_step(a_step(race.lanes[0].length, 270)))
    race.lanes[0].take(pack_step(a_step(race.lanes[0].length, 271)))
    race.go(1, level=True)
    race.tick(0.0)
    assert [lane["count"] for lane in host.asked[-1]] == [0, 2], "no more than the gap"
    host.answer({1: [270, 272]})
    race.tick(0.0)
    assert not race.running
    race.go(1)
    race.tick(0.0)
    assert [lane["count"] for lane in host.asked[-1]] == [1, 1]


def test_other_settings_hold_for_the_next_token_that_is_taken() -> None:
    host, race = two()
    race.go(30)
    race.tick(0.0)
    late = host._listener
    hot = SamplingParams(temperature=2.0, seed=1)
    race.lanes[1].turn(hot)
    race.turned(race.lanes[1])
    assert host.dropped == 1
    assert late is not None
    assert host.asked[-1][1]["params"]["temperature"] == 2.0
    host.answer({0: [270], 1: [270]})
    assert [params for _, params in race.lanes[1].own()] == [hot]


def test_stops_and_trouble_end_a_lane_and_other_settings_take_the_trouble_away() -> None:
    host, race = two()
    race.go(10)
    race.tick(0.0)
    host.answer({0: [270]}, stops={"0": "end", "1": "trouble"}, trouble={"1": "no amateur"})
    race.tick(0.0)
    assert not race.running
    assert (race.lanes[0].stop, race.lanes[1].trouble) == ("end", "no amateur")
    race.go(5)
    assert not race.running
    race.lanes[1].turn(SamplingParams(temperature=0.5))
    race.go(5)
    assert race.running


def test_an_error_ends_the_run_and_is_told() -> None:
    host, race = two()
    race.go(10)
    race.tick(0.0)
    assert host._listener is not None
    host._listener(Answer(kind="lanes", seq=1, done=True, error=("It broke.", "Open it again.")))
    assert (race.error, race.running) == ("It broke. Open it again.", False)


def test_two_models_keep_level_token_by_token() -> None:
    one, other = Host(), Host()
    ids = TOKENIZER.encode("the cat")
    race = Race([Lane.of_prompt(host, ids, SamplingParams()) for host in (one, other)])
    race.go(AT_ONCE * 2)
    race.tick(0.0)
    assert (len(one.asked), len(other.asked)) == (1, 1)
    one.answer({0: [270] * AT_ONCE})
    assert len(one.asked) == 1, "it waits for the other model"
    other.answer({0: [270] * AT_ONCE})
    assert (len(one.asked), len(other.asked)) == (2, 2)


def grown(host: Host, words: str, replies: list[int]) -> Lane:
    lane = Lane.of_prompt(host, host.tokenizer.encode(words), SamplingParams())
    for token in replies:
        lane.take(pack_step(a_step(lane.length, token)))
    return lane


def test_the_first_difference_is_of_tokens_where_the_tokenizer_is_the_same() -> None:
    host = Host()
    one, other = grown(host, "the cat", [270, 271, 272]), grown(host, "the cat", [270, 275])
    assert first_difference(one, other) == one.start + 1
    assert first_difference(one, grown(host, "the cat", [270])) is None
    assert same_place(one, one.start + 1, other) == one.start + 1
    assert same_place(one, one.start + 2, other) is None


def test_lanes_of_other_tokenizers_are_compared_by_their_text() -> None:
    one = grown(Host(), "the cat", TOKENIZER.encode(" sat on the mat"))
    other = grown(Host(OTHER), "the cat", OTHER.encode(" sat on a mat"))
    assert text_difference(one, other) == len(" sat on ")
    place = same_place(one, one.length - 1, other)
    assert place is not None
    ahead = "".join(token.text for token in one.tokens[one.start : one.length - 1])
    reached = "".join(token.text for token in other.tokens[other.start : place + 1])
    assert len(reached) > len(ahead)
    assert "cannot be compared" in divergence_words(one, other, one.start)


def brute(p: dict[int, float], q: dict[int, float]) -> float:
    total = 0.0
    for token in p.keys() | q.keys():
        a, b = p.get(token, 0.0), q.get(token, 0.0)
        m = (a + b) / 2
        total += 0.5 * sum(x * math.log2(x / m) for x in (a, b) if x)
    return total


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}),
        ({1: 1.0}, {2: 1.0}),
        ({1: 0.7, 2: 0.2, 3: 0.1}, {2: 0.6, 4: 0.4}),
        ({1: 0.25, 2: 0.75, 3: 0.0}, {1: 0.5, 2: 0.25, 3: 0.25}),
    ],
)
def test_the_divergence_of_whole_records_is_exact(p: dict[int, float], q: dict[int, float]) -> None:
    found = divergence(odds(p), odds(q))
    assert found.exact
    assert found.bits == pytest.approx(brute(p, q), abs=1e-12)


def test_of_a_record_that_is_not_whole_it_is_the_least() -> None:
    p, q = {1: 0.4, 2: 0.3, 3: 0.2, 4: 0.1}, {1: 0.1, 2: 0.2, 5: 0.4, 6: 0.3}
    found = divergence(odds({1: 0.4, 2: 0.3}, kept=4), odds({1: 0.1, 2: 0.2}, kept=4))
    assert not found.exact
    assert 0 < found.bits < brute(p, q)
    assert found.words().startswith("at least ")


def test_behind_the_first_difference_odds_are_of_different_contexts() -> None:
    host = Host()
    one, other = grown(host, "the cat", [270, 271, 272]), grown(host, "the cat", [270, 275, 276])
    assert divergence_words(one, other, one.start + 1).startswith("JS divergence at token 2: ")
    assert divergence_words(one, other, one.start + 2) == "contexts differ from token 3 on"


def test_a_fan_is_summed_up() -> None:
    texts = [[1, 2, 3], [1, 2, 4], [1, 2, 3], [1, 5, 3], [1]]
    assert common_length(texts) == 1
    assert [(group.token, group.rays) for group in clusters(texts)] == [(2, (0, 1, 2)), (5, (3,)), (None, (4,))]
    assert agreement(texts, 10) == [5, 3, 2]
    assert agreement_words(texts) == "3 of 5 agree on the next 2 tokens"
    assert agreement_words([[1], [2], [3]]) == "no 2 of 3 agree on the next token"
    assert agreement_words([[], []]) == ""
    assert Ray(0, [a_step(0, 270), a_step(1, 271)]).perplexity == 2.0
