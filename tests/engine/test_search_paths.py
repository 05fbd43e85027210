"""Diverse beams, beam sampling, best-of-n, majority, CoT-decoding and self-evaluation on tables."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from tables import END, START, Table, TableEngine, V, done_of
from vectors import REJECT, chance

from tinychat.engine import draw
from tinychat.engine.answers import find
from tinychat.engine.params import SamplingParams
from tinychat.engine.search import search
from tinychat.engine.search_params import LAST_NUMBER, SearchParams
from tinychat.engine.search_tree import Grown, tree_of
from tinychat.model.vocabulary import Vocabulary

DIGITS = Vocabulary((b"1", b"2", b" ", b"a", b"b", b""), (END,))
LIVELY = SamplingParams(temperature=1.3, seed=11)


# ---- diverse beams ---------------------------------------------------------------------------------------------------


def slow_diverse(table: Table, width: int, groups: int, cost: float, length: int) -> list[list[tuple[int, ...]]]:
    """Per group what ended: each group in turn takes its best, a token costs for every earlier group that took it."""
    size = width // groups
    live: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(groups)]
    ended: list[list[tuple[int, ...]]] = [[] for _ in range(groups)]
    while any(live):
        taken: Counter[int] = Counter()
        for group in range(groups):
            grown = [
                (running + float(value) - cost * taken[token], -token, -place, (*ids, token))
                for place, (running, ids) in enumerate(live[group])
                for token, value in enumerate(table.logp(ids))
            ]
            best = sorted(grown, reverse=True)[:size]
            live[group] = []
            for running, _, _, ids in best:
                if ids[-1] == END or len(ids) == length:
                    ended[group].append(ids)
                else:
                    live[group].append((running, ids))
            taken.update({ids[-1] for *_, ids in best})
    return ended


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("cost", [0.0, 0.5, 3.0])
def test_diverse_beams_are_those_of_the_definition(groups: int, cost: float) -> None:
    for seed in range(6):
        table = Table(seed)
        spec = SearchParams(
            method="diverse", width=6, groups=groups, diversity=cost, stop_rule="never", max_tokens=4
        )  # fmt: skip
        done = done_of(TableEngine(table), spec)
        expected = Counter(itertools.chain(*slow_diverse(table, 6, groups, cost, 4)))
        assert Counter(each.ids for each in done.hypotheses) == expected
        for each in done.hypotheses:  # ranked without the cost
            total = sum(float(table.logp(each.ids[:n])[token]) for n, token in enumerate(each.ids))
            assert each.logprob == each.score == pytest.approx(total)


def test_diversity_brings_more_first_tokens() -> None:
    firsts = []
    for cost in (0.0, 5.0):
        spec = SearchParams(method="diverse", width=4, groups=4, diversity=cost, max_tokens=4)
        firsts.append(sum(len({h.ids[0] for h in done_of(TableEngine(Table(s)), spec).hypotheses}) for s in range(8)))
    assert firsts == [8, 32]  # one group's choice is everybody's; all four differ


# ---- beam sampling ---------------------------------------------------------------------------------------------------


def test_beam_sampling_draws_by_the_law_of_its_softmax() -> None:
    table = Table(3)
    engine = TableEngine(table)
    spec = SearchParams(method="beam-sampling", width=1, max_tokens=1)  # whatever is drawn first ends there
    seen = Counter(done_of(engine, spec, LIVELY.with_(seed=seed)).hypotheses[0].ids[0] for seed in range(300))
    law = np.exp(_log_softmax(table.logp(()) / LIVELY.temperature))
    assert chance(np.array([seen[token] for token in range(V)]), law) > REJECT


def test_beam_sampling_draws_pairs_without_replacement_from_accumulated_scores() -> None:
    """Two places, two beams: the law of the four draws at the second place, given what lives, is enumerated."""
    table = Table(4)
    spec = SearchParams(method="beam-sampling", width=2, max_tokens=2, stop_rule="never")
    engine = TableEngine(table)
    scaled = {ids: _log_softmax(table.logp(ids) / LIVELY.temperature) for ids in [(), *((t,) for t in range(V))]}
    law: Counter[frozenset[tuple[int, ...]]] = Counter()
    first = {(token,): float(scaled[()][token]) for token in range(V)}
    for drawn, chance_of in _ordered(first, 4):
        early = frozenset(ids for ids in drawn[:2] if ids[-1] == END)
        live = sorted((ids for ids in drawn if ids[-1] != END), key=lambda ids: -first[ids])[:2]
        flat = {(*ids, token): first[ids] + float(scaled[ids][token]) for ids in live for token in range(V)}
        for pair, share in _ordered(flat, 2):
            law[early | frozenset(pair)] += chance_of * share
    assert sum(law.values()) == pytest.approx(1.0)
    seen: Counter[frozenset[tuple[int, ...]]] = Counter()
    for seed in range(400):
        seen[frozenset(h.ids for h in done_of(engine, spec, LIVELY.with_(seed=seed)).hypotheses)] += 1
    assert set(seen) <= set(law)
    assert chance(np.array([seen[key] for key in law]), np.array(list(law.values()))) > REJECT


def _log_softmax(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return values - np.log(np.exp(values - values.max()).sum()) - values.max()


def _ordered(scores: dict[tuple[int, ...], float], count: int) -> list[tuple[tuple[tuple[int, ...], ...], float]]:
    """All ordered draws without replacement, with their probability."""
    weights = {key: math.exp(value) for key, value in scores.items()}
    found = []

    def extend(drawn: tuple[tuple[int, ...], ...], left: float, share: float) -> None:
        if len(drawn) == count:
            found.append((drawn, share))
            return
        for key, weight in weights.items():
            if key not in drawn:
                extend((*drawn, key), left - weight, share * weight / left)

    extend((), sum(weights.values()), 1.0)
    return found


# ---- samples ---------------------------------------------------------------------------------------------------------


def samples_of(table: Table, params: SamplingParams, count: int, length: int) -> list[tuple[int, ...]]:
    """What lane i draws by itself."""
    found = []
    for lane in range(count):
        ids: list[int] = []
        while len(ids) < length and (not ids or ids[-1] != END):
            probs = np.exp(_log_softmax(table.logp(ids) / params.temperature))
            ids.append(draw.pick(probs / probs.sum(), draw.uniform(params.seed, 1 + len(ids), lane)).token)
        found.append(tuple(ids))
    return found


@pytest.mark.parametrize("rule", ["sum", "mean"])
def test_best_of_n_is_the_likeliest_of_the_draws_of_n_lanes(rule: str) -> None:
    for seed in range(8):
        table, params = Table(seed), LIVELY.with_(seed=seed)
        done = done_of(
            TableEngine(table), SearchParams(method="best-of", paths=7, max_tokens=5, length_rule=rule), params
        )
        drawn = samples_of(table, params, 7, 5)
        assert Counter(each.ids for each in done.hypotheses) == Counter(drawn)

        def score(ids: Sequence[int], table: Table = table) -> float:
            total = sum(float(table.logp(ids[:n])[token]) for n, token in enumerate(ids))
            return total / len(ids) if rule == "mean" else total

        assert done.hypotheses[0].score == pytest.approx(max(map(score, drawn)))


def test_the_majority_is_the_commonest_answer() -> None:
    spec = SearchParams(method="majority", paths=9, max_tokens=5)
    contested = 0
    for seed in range(12):
        table, params = Table(seed), LIVELY.with_(seed=seed)
        done = done_of(TableEngine(table, vocabulary=DIGITS), spec, params)
        said = [find(ids, DIGITS, spec.pattern) for ids in samples_of(table, params, 9, 5)]
        votes = Counter(found.text for found in said if found)
        assert {answer.text: answer.weight for answer in done.answers} == dict(votes)
        assert done.answers[0].weight == max(votes.values())
        best = next(each for each in done.hypotheses if each.node == done.best)
        assert best.answer == done.answers[0].text
        assert best.score == max(each.score for each in done.hypotheses if each.answer == best.answer)
        contested += len(votes) > 1 and done.best != done.hypotheses[0].node
    assert contested > 0  # the commonest answer is not always the likeliest reply


@pytest.mark.parametrize("method", ["best-of", "majority"])
def test_equal_samples_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="temperature 0"):
        done_of(TableEngine(Table(0)), SearchParams(method=method), SamplingParams(temperature=0.0))


# ---- CoT-decoding ----------------------------------------------------------------------------------------------------


def test_cot_branches_on_first_tokens_and_weighs_answers_by_the_lead_of_their_tokens() -> None:
    spec = SearchParams(method="cot", paths=4, max_tokens=5)
    aggregated_wins = 0
    for seed in range(60):
        table = Table(seed)
        done = done_of(TableEngine(table, vocabulary=DIGITS), spec)
        weights: dict[str, float] = {}
        expected = {}
        for first in np.argsort(-table.logp(()), kind="stable")[:4].tolist():
            ids, leads = [first], [_lead(table, [])]
            while len(ids) < 5 and ids[-1] != END:
                leads.append(_lead(table, ids))
                ids.append(int(table.logp(ids).argmax()))
            text = "".join("12 ab"[token] for token in ids if token != END)
            answer, delta = None, 0.0
            for place in range(len(text)):  # the last run of digits, by hand
                if text[place] in "12" and (place == 0 or text[place - 1] not in "12"):
                    stop = place
                    while stop < len(text) and text[stop] in "12":
                        stop += 1
                    answer, delta = text[place:stop], sum(leads[place:stop]) / (stop - place)
            expected[tuple(ids)] = (answer, pytest.approx(delta))
            if answer is not None:
                weights[answer] = weights.get(answer, 0.0) + delta
        assert {each.ids: (each.answer, each.score) for each in done.hypotheses} == expected
        assert {answer.text: answer.weight for answer in done.answers} == pytest.approx(weights)
        if weights:
            assert done.answers[0].weight == pytest.approx(max(weights.values()))
            aggregated_wins += done.hypotheses[0].answer != done.answers[0].text
    assert aggregated_wins > 0  # summed and single best differ somewhere, and both are reported


def _lead(table: Table, ids: Sequence[int]) -> float:
    first, second = sorted(np.exp(table.logp(ids)))[:-3:-1]
    return float(first - second)


def test_an_answer_is_the_last_match_or_its_group_and_the_tokens_it_touches() -> None:
    words = Vocabulary((b"The answer is ", b"4", b"2", b".", "é"[:1].encode()[:1], "é".encode()[1:], b"1,0", b"00 "))
    number = SearchParams(method="cot").pattern
    found = find([0, 1, 2, 3], words, number)
    assert found is not None
    assert (found.text, found.start, found.end) == ("42", 1, 3)
    found = find([1, 0, 4, 5, 6, 7], words, number, plain=True)
    assert found is not None
    assert (found.text, found.start, found.end) == ("1000", 4, 6)
    found = find([0, 1, 3], words, SearchParams(method="cot", answer=r"answer is (\d)").pattern)
    assert found is not None
    assert (found.text, found.start) == ("4", 1)
    assert find([0, 3], words, number) is None
    assert number.pattern == LAST_NUMBER


# ---- self-evaluation -------------------------------------------------------------------------------------------------


def test_self_evaluation_takes_the_rival_with_the_surest_continuation() -> None:
    spec = SearchParams(method="self-eval", width=3, chaos_top=0.45, chaos_ratio=0.5, rollout=2, max_tokens=4)
    changed = 0
    for seed in range(40):
        table = Table(seed)
        done = done_of(TableEngine(table), spec)
        ids: list[int] = []
        while len(ids) < 4 and (not ids or ids[-1] != END):
            row = table.logp(ids)
            order = np.argsort(-row, kind="stable")[:3].tolist()
            best = float(np.exp(row[order[0]]))
            rivals = [t for t in order if np.exp(row[t]) >= 0.5 * best] if best <= 0.45 else order[:1]
            chosen = max(rivals, key=lambda t: 0.5 * row[t] + 0.5 * _judged(table, [*ids, t], 2, 4)) \
                if len(rivals) > 1 else rivals[0]  # fmt: skip
            changed += chosen != order[0]
            ids.append(chosen)
        assert done.hypotheses[0].ids == tuple(ids)
    assert changed > 0


def _judged(table: Table, ids: list[int], count: int, length: int) -> float:
    seen = []
    while len(seen) < count and ids[-1] != END and len(ids) < length:
        row = table.logp(ids)
        ids = [*ids, int(row.argmax())]
        seen.append(float(row.max()))
    return sum(seen) / len(seen) if seen else 0.0


@pytest.mark.parametrize("off", [{"chaos_top": 0.0}, {"rollout_weight": 0.0}, {"width": 1}])
def test_self_evaluation_without_a_say_is_greedy(off: dict[str, float]) -> None:
    for seed in range(5):
        engine = TableEngine(Table(seed))
        greedy = done_of(engine, SearchParams(width=1, max_tokens=5)).hypotheses[0]
        spec = SearchParams(method="self-eval", max_tokens=5, **off)  # type: ignore[arg-type]  # names of options
        assert done_of(engine, spec).hypotheses[0].ids == greedy.ids


# ---- every method ----------------------------------------------------------------------------------------------------

EVERY = {
    "beam": {}, "diverse": {}, "beam-sampling": {}, "best-first": {}, "a-star": {"heuristic": 0.5}, "cot": {"paths": 3},
    "self-eval": {}, "best-of": {"paths": 3}, "majority": {"paths": 3}, "exhaustive": {},
}  # fmt: skip


@pytest.mark.parametrize("method", EVERY)
def test_the_events_make_a_tree_whose_leaves_are_the_hypotheses(method: str) -> None:
    engine = TableEngine(Table(6), vocabulary=DIGITS)
    before = engine.tokens()
    spec = SearchParams(method=method, max_tokens=4, **EVERY[method])  # type: ignore[arg-type]
    events = list(search(engine, LIVELY, spec))
    nodes, done = tree_of(events)
    assert done is not None
    assert done is events[-1]
    seen = {0}
    for event in events:
        if isinstance(event, Grown):  # parents come first, ids count up
            assert event.node.parent in seen
            assert event.node.id == len(seen)
            seen.add(event.node.id)
    for each in done.hypotheses:
        node, ids = each.node, []
        assert nodes[node].state == "finished"
        while node:
            ids.append(nodes[node].step.token)
            assert nodes[node].step.position == len(engine.prompt) + len(_above(nodes, node))
            node = nodes[node].parent
        assert tuple(ids[::-1]) == each.ids
    parents = {node.parent for node in nodes.values()}
    assert all(node.state != "live" for node in nodes.values() if node.id not in parents)  # no leaf is left hanging
    assert engine.tokens() == before == [START]


def _above(nodes: dict, node: int) -> list[int]:  # type: ignore[type-arg]
    found = []
    while node := nodes[node].parent:
        found.append(node)
    return found


class Endless(Table):
    def logits(self, prefix):  # type: ignore[no-untyped-def]  # as the table's
        row = super().logits(prefix).copy()
        row[END] -= 8.0
        return row


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupt_ends_cleanly_with_what_is_there(method: str, after: int) -> None:
    asked = itertools.count()
    spec = SearchParams(method=method, max_tokens=5, **EVERY[method])  # type: ignore[arg-type]
    engine = TableEngine(Endless(1), vocabulary=DIGITS)
    events = list(search(engine, LIVELY, spec, lambda: next(asked) >= after))
    nodes, done = tree_of(events)
    assert done is not None
    assert done.stop == "interrupted"
    if after:
        assert any(each.reason == "interrupted" for each in done.hypotheses)
        assert all(nodes[each.node].state == "finished" for each in done.hypotheses)


@pytest.mark.parametrize("method", ["cot", "majority"])
def test_a_stopped_search_weighs_the_answers_of_the_paths_that_had_ended(method: str) -> None:
    cut_ones_left_out = none_had_ended = 0
    for seed in range(30):
        for after in range(1, 5):
            asked = itertools.count()
            spec = SearchParams(method=method, max_tokens=6, paths=5)
            engine = TableEngine(Table(seed), vocabulary=DIGITS)
            events = search(engine, LIVELY.with_(seed=seed), spec, lambda asked=asked, n=after: next(asked) >= n)  # type: ignore[misc]
            _, done = tree_of(list(events))
            assert done is not None
            if done.stop != "interrupted":
                continue
            whole = [each for each in done.hypotheses if each.reason != "interrupted" and each.answer is not None]
            cut = [each for each in done.hypotheses if each.reason == "interrupted" and each.answer is not None]
            voters = {node for answer in done.answers for node in answer.nodes}
            assert voters == {each.node for each in whole or cut}
            cut_ones_left_out += bool(whole and cut)
            none_had_ended += bool(cut and not whole)
    assert cut_ones_left_out > 0
    assert none_had_ended > 0
