"""Constrained beams: everything they answer with holds the phrases, and with room for all it is the best that does."""

from __future__ import annotations

import pytest
from tables import END, Table, TableEngine, done_of, every_hypothesis
from tables import NEUTRAL as PARAMS

from tinychat.engine.constrained_beams import UNMET
from tinychat.engine.search import search
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import tree_of
from tinychat.model.vocabulary import Vocabulary

TEXTS = (b"a", b"b", b"ab", b"c", b" a", b"")
VOCABULARY = Vocabulary(TEXTS, end_ids=(END,))


def spec(*phrases: str, **options: object) -> SearchParams:
    return SearchParams(method="constrained", phrases=phrases, **{"max_tokens": 3, "width": 64, **options})  # type: ignore[arg-type]


def text(ids: tuple[int, ...]) -> bytes:
    return b"".join(TEXTS[token] for token in ids)


@pytest.mark.parametrize("phrases", [("ab",), ("c",), ("b", "c"), ("aab",), ("bab",), ("ca", " a"), ("aba",)])
@pytest.mark.parametrize("rule", ["sum", "mean"])
def test_with_room_for_every_prefix_it_is_the_best_reply_with_the_phrases(phrases: tuple[str, ...], rule: str) -> None:
    for seed in range(5):
        table = Table(seed)
        wanted = spec(*phrases, length_rule=rule)
        score = wanted.lengths.score
        fitting = {
            ids: score(total, len(ids))
            for ids, total in every_hypothesis(table, 3).items()
            if all(phrase.encode() in text(ids) for phrase in phrases)
        }
        best = max(fitting.items(), key=lambda item: item[1])
        done = done_of(TableEngine(table, vocabulary=VOCABULARY), wanted)
        assert done.hypotheses[0].ids == best[0]
        assert done.hypotheses[0].score == pytest.approx(best[1])
        for each in done.hypotheses:
            assert each.ids in fitting
            assert each.score == pytest.approx(fitting[each.ids])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_narrow_beams_say_the_phrases_too(width: int) -> None:
    for seed in range(20):
        done = done_of(TableEngine(Table(seed), vocabulary=VOCABULARY), spec("bab", "c", width=width, max_tokens=8))
        assert done.hypotheses
        for each in done.hypotheses:
            assert b"bab" in text(each.ids)
            assert b"c" in text(each.ids)


def test_what_cannot_be_said_in_the_room_there_is_says_what_came_nearest() -> None:
    engine = TableEngine(Table(3), vocabulary=VOCABULARY)
    done = done_of(engine, spec("abcabc", max_tokens=2))
    assert done.hypotheses
    assert all(b"abcabc" not in text(each.ids) and each.reason == "length" for each in done.hypotheses)


def test_those_that_ran_out_of_room_do_not_compete_with_one_that_said_all() -> None:
    nodes, done = tree_of(search(TableEngine(Table(1), vocabulary=VOCABULARY), PARAMS, spec("cc", max_tokens=2)))
    assert done is not None
    assert [text(each.ids) for each in done.hypotheses] == [b"cc"]
    assert any(node.reason == UNMET for node in nodes.values())


def test_interrupted_it_answers_with_what_is_said() -> None:
    calls = iter([False, False, False, True])
    engine = TableEngine(Table(2), vocabulary=VOCABULARY)
    *_, done = search(engine, PARAMS, spec("c", width=4, max_tokens=8), lambda: next(calls))
    assert done.stop == "interrupted"
    assert done.hypotheses
    assert b"c" in text(done.hypotheses[0].ids)


def test_no_phrase_and_phrases_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match="needs phrases"):
        done_of(TableEngine(Table(0), vocabulary=VOCABULARY), spec())
    with pytest.raises(ValueError, match="read by constrained"):
        SearchParams(method="beam", phrases=("a",))
    with pytest.raises(ValueError, match="list of texts"):
        SearchParams(method="constrained", phrases="ab")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reads text"):
        done_of(TableEngine(Table(0)), spec("a"))
