"""Searches on tables small enough to enumerate: 6 tokens, 5 places, 3906 replies."""

from __future__ import annotations

import math

import pytest
from tables import (
    END,
    START,
    Table,
    TableEngine,
    V,
    done_of,
    every_hypothesis,
    slow_beam,
)

from tinychat.engine.params import SamplingParams
from tinychat.engine.scores import LengthScore
from tinychat.engine.search_params import SearchParams

LENGTHS = [LengthScore(), LengthScore("mean"), LengthScore("power", 0.6), LengthScore("gnmt", 0.6)]


def spec(method: str = "beam", **options: object) -> SearchParams:
    return SearchParams(method=method, **{"max_tokens": 5, **options})  # type: ignore[arg-type]


def by(lengths: LengthScore) -> dict[str, object]:
    alpha = {"length_alpha": lengths.alpha} if lengths.rule in ("power", "gnmt") else {}
    return {"length_rule": lengths.rule, **alpha}


# ---- exhaustive ------------------------------------------------------------------------------------------------------


def test_exhaustive_search_finds_every_reply_with_its_probability() -> None:
    table = Table(1)
    done = done_of(TableEngine(table), spec("exhaustive"))
    expected = every_hypothesis(table, 5)
    assert {each.ids for each in done.hypotheses} == set(expected)
    assert len(expected) == 3906
    assert sum(math.exp(each.logprob) for each in done.hypotheses) == pytest.approx(1.0, abs=1e-9)
    assert all(each.logprob == pytest.approx(expected[each.ids], abs=1e-9) for each in done.hypotheses)
    assert done.calls == sum(5**n for n in range(5))  # one for every prefix that goes on
    assert {each.reason for each in done.hypotheses} == {"end", "length"}


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda each: each.rule)
def test_exhaustive_search_ranks_by_the_length_rule(lengths: LengthScore) -> None:
    table = Table(2)
    done = done_of(TableEngine(table), spec("exhaustive", max_tokens=4, **by(lengths)))
    best = max(every_hypothesis(table, 4).items(), key=lambda item: lengths.score(item[1], len(item[0])))
    assert done.hypotheses[0].ids == best[0]
    assert done.best == done.hypotheses[0].node
    scores = [each.score for each in done.hypotheses]
    assert scores == sorted(scores, reverse=True)


def test_exhaustive_search_refuses_what_it_could_never_finish() -> None:
    with pytest.raises(ValueError, match="6\\^7 replies"):
        done_of(TableEngine(Table(0)), spec("exhaustive", max_tokens=7))


def test_exhaustive_search_counts_the_tokens_that_the_settings_leave() -> None:
    few = SamplingParams(allowed_ids=(1, 2, 3, END), banned_ids=(2,), logit_bias=((3, -math.inf),))
    done = done_of(TableEngine(Table(0)), spec("exhaustive", max_tokens=7), few)
    expected = [(*[1] * n, END) for n in range(7)] + [(1,) * 7]
    assert sorted(each.ids for each in done.hypotheses) == sorted(expected)
    assert math.fsum(math.exp(each.logprob) for each in done.hypotheses) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="2\\^20 replies"):
        done_of(TableEngine(Table(0)), spec("exhaustive", max_tokens=20), few)


# ---- beams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["ours", "hf", "slots"])
@pytest.mark.parametrize("seed", range(8))
def test_beams_are_those_of_the_definition(seed: int, variant: str) -> None:
    table = Table(seed)
    for width in (1, 2, 4, 6):
        done = done_of(TableEngine(table), spec(width=width, variant=variant, stop_rule="never"))
        expected = slow_beam(table, width, 5, variant=variant)
        assert {each.ids: pytest.approx(each.logprob) for each in done.hypotheses} == dict(expected)


@pytest.mark.parametrize("variant", ["ours", "slots"])
def test_one_beam_is_greedy(variant: str) -> None:
    for seed in range(10):
        table = Table(seed)
        ids: list[int] = []
        while len(ids) < 5 and (not ids or ids[-1] != END):
            ids.append(int(table.logp(ids).argmax()))
        assert done_of(TableEngine(table), spec(width=1, variant=variant)).hypotheses[0].ids == tuple(ids)


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda each: each.rule)
@pytest.mark.parametrize("seed", range(4))
def test_as_many_beams_as_prefixes_are_exhaustive_under_every_score(seed: int, lengths: LengthScore) -> None:
    table = Table(seed)
    done = done_of(TableEngine(table), spec(width=V**2, max_tokens=3, **by(lengths)))
    best = max(every_hypothesis(table, 3).items(), key=lambda item: lengths.score(item[1], len(item[0])))
    assert done.hypotheses[0].ids == best[0]
    assert done.hypotheses[0].score == pytest.approx(lengths.score(best[1], len(best[0])))


@pytest.mark.parametrize("seed", [28, 43, 52])
def test_as_many_beams_as_tokens_are_not_exhaustive(seed: int) -> None:
    table = Table(seed)
    found = done_of(TableEngine(table), spec(width=V)).hypotheses[0].score
    assert found < max(every_hypothesis(table, 5).values()) - 1e-6


def test_a_wider_beam_may_answer_with_less() -> None:
    engine = TableEngine(Table(78))
    one, two = (done_of(engine, spec(width=width)).hypotheses[0].score for width in (1, 2))
    assert two < one - 1e-6


@pytest.mark.parametrize("lengths", [*LENGTHS, LengthScore("power", 2.0), LengthScore("power", -1.0)], ids=str)
def test_the_safe_rule_loses_nothing(lengths: LengthScore) -> None:
    for seed in range(12):
        engine = TableEngine(Table(seed))
        safe, never = (done_of(engine, spec(width=2, stop_rule=rule, **by(lengths))) for rule in ("safe", "never"))
        assert safe.hypotheses[0].ids == never.hypotheses[0].ids
        assert safe.calls <= never.calls


def test_early_stops_lose() -> None:
    lost = {"hf-true": 0, "hf-false": 0}
    for seed in range(40):
        engine = TableEngine(Table(seed))
        options = {"width": 2, "length_rule": "power", "length_alpha": 2.0}
        best = done_of(engine, spec(stop_rule="never", **options)).hypotheses[0].score
        for rule in lost:
            lost[rule] += done_of(engine, spec(stop_rule=rule, **options)).hypotheses[0].score < best - 1e-9
    assert lost["hf-true"] > lost["hf-false"] > 0


def test_the_prune_rule_drops_what_is_far_behind_the_best_that_ended() -> None:
    fewer = 0
    for seed in range(20):
        table = Table(seed)
        done = done_of(TableEngine(table), spec(width=3, stop_rule="prune", prune_factor=1.2))
        expected = slow_beam(table, 3, 5, prune=1.2)
        assert {each.ids for each in done.hypotheses} == {ids for ids, _ in expected}
        fewer += len(expected) < len(slow_beam(table, 3, 5))
    assert fewer > 0


def test_all_beams_may_end_at_once() -> None:
    class Ending(Table):
        def logits(self, prefix):  # type: ignore[no-untyped-def]  # as the table's
            row = super().logits(prefix).copy()
            row[END] = 50.0 if len(prefix) == 2 else -50.0
            return row

    done = done_of(TableEngine(Ending(5)), spec(width=3))
    assert done.stop == "complete"
    assert [each.reason for each in done.hypotheses] == ["end"] * 3
    assert {len(each.ids) for each in done.hypotheses} == {3}


def test_a_full_context_ends_hypotheses_and_they_compete() -> None:
    table = Table(3)
    done = done_of(TableEngine(table, context=4, prompt=(START, START)), spec(width=4, max_tokens=50))
    assert {(len(each.ids), each.reason) for each in done.hypotheses} <= {(1, "end"), (2, "end"), (2, "context")}
    assert {each.reason for each in done.hypotheses} == {"end", "context"}
    assert done.hypotheses[0].score == max(each.score for each in done.hypotheses)


# ---- best-first ------------------------------------------------------------------------------------------------------


def test_best_first_finds_what_beams_find_with_fewer_odds() -> None:
    calls = [0, 0]
    for seed in range(30):
        engine = TableEngine(Table(seed))
        for width in (1, 2, 3, 4):
            beam, first = done_of(engine, spec(width=width)), done_of(engine, spec("best-first", width=width))
            assert first.hypotheses[0].ids == beam.hypotheses[0].ids
            assert first.hypotheses[0].score == pytest.approx(beam.hypotheses[0].score)
            assert first.calls <= beam.calls
            calls = [calls[0] + beam.calls, calls[1] + first.calls]
    assert calls[1] < 0.8 * calls[0]


@pytest.mark.parametrize("lengths", LENGTHS[1:], ids=lambda each: each.rule)
def test_wide_best_first_is_exhaustive_under_length_rules(lengths: LengthScore) -> None:
    for seed in range(6):
        table = Table(seed)
        done = done_of(TableEngine(table), spec("best-first", width=V**2, max_tokens=3, **by(lengths)))
        best = max(every_hypothesis(table, 3).items(), key=lambda item: lengths.score(item[1], len(item[0])))
        assert done.hypotheses[0].ids == best[0]


def test_a_star_without_a_heuristic_is_best_first_and_with_one_looks_at_less() -> None:
    calls = [0, 0]
    for seed in range(25):
        engine = TableEngine(Table(seed))
        first = done_of(engine, spec("best-first", width=4))
        assert done_of(engine, spec("a-star", width=4)) == first
        hasty = done_of(engine, spec("a-star", width=4, heuristic=1.0))
        calls = [calls[0] + first.calls, calls[1] + hasty.calls]
    assert calls[1] < calls[0]


def test_an_admissible_heuristic_changes_no_answer() -> None:
    for seed in range(25):
        table = Table(seed)
        most = max(float(table.logp(ids[:n]).max()) for ids in every_hypothesis(table, 3) for n in range(len(ids)))
        engine = TableEngine(table)
        plain = done_of(engine, spec("best-first", width=V**2, max_tokens=3))
        if plain.hypotheses[0].reason == "length":  # an early end costs nothing more: only then is it admissible
            found = done_of(engine, spec("a-star", width=V**2, max_tokens=3, heuristic=-most))
            assert found.hypotheses[0].ids == plain.hypotheses[0].ids


@pytest.mark.parametrize("memory", [1, 2, 5])
def test_little_memory_costs_passes_and_nothing_else(memory: int) -> None:
    for seed in range(10):
        engine = TableEngine(Table(seed))
        few, many = (done_of(engine, spec("best-first", width=4, memory=each)) for each in (memory, 64))
        assert few.hypotheses == many.hypotheses
        assert few.calls == many.calls
        assert few.passes >= many.passes
