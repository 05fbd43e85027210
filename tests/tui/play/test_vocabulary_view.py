"""The whole vocabulary at the cursor: found by its text, sorted, taken; only rows in sight are made."""

from __future__ import annotations

import math
from array import array
from typing import Any

import pytest

from tinychat.engine.jobs.survey import PARTS
from tinychat.engine.wire import Answer, Ask, Force
from tinychat.tui.palette import Look
from tinychat.tui.survey import NOBODY, Names, Survey
from tinychat.tui.views.vocabulary import VocabularyView

ITEMS = {"<f4": "f", "u1": "B", "<u4": "I"}


def a_survey(size: int, *, best: int) -> tuple[dict[str, Any], bytes]:
    """Token `best` is the likeliest, then those behind it, round the vocabulary; the first ten are kept."""
    order = [(best + place) % size for place in range(size)]
    ranks = [0] * size
    for place, token in enumerate(order):
        ranks[token] = place + 1
    logits = [-0.5 * ranks[token] for token in range(size)]
    total = math.log(sum(map(math.exp, logits)))
    final = [math.exp(logits[t] - total) if ranks[t] <= 10 else 0.0 for t in range(size)]
    cut = [NOBODY if ranks[t] <= 10 else 2 for t in range(size)]
    columns = (logits, final, cut, order, order, ranks)
    blob = b"".join(array(ITEMS[kind], column).tobytes() for kind, column in zip(PARTS, columns, strict=True))
    return {"stages": ["raw", "temperature", "top_p"], "kept": [size, size, 10], "log_total": total}, blob


async def opened(play: Any, *keys: str) -> VocabularyView:
    await play.run_some(6)
    await play.press("space")
    await play.press(*keys, "slash")
    view = play.app.screen
    assert isinstance(view, VocabularyView)
    return view


async def tell(play: Any, view: VocabularyView, best: int) -> None:
    at = max(i for i, each in enumerate(play.decoder.sent) if isinstance(each, Ask) and each.kind == "survey")
    values, blob = a_survey(view.player.session.tokenizer.vocab_size, best=best)
    play.decoder.frame(answers=(Answer(kind="survey", seq=at + 1, values=values, blob=blob),
                                Answer(kind="survey", seq=at + 1, done=True)))  # fmt: skip
    await play.settle()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_token_is_found_and_taken(start: Any, size: tuple[int, int]) -> None:
    async with start(size=size, look=Look("ascii", "none")) as play:
        view = await opened(play)
        await tell(play, view, best=40)
        assert "290 tokens by raw" in play.text()
        assert "10 can be drawn" in play.text()
        await play.press(*"moon")
        await play.pilot.pause()
        wanted = [t for t in range(290) if b"moon" in view.player.session.tokenizer.token_bytes(t)]
        assert sorted(view.tokens) == sorted(wanted)
        assert wanted
        assert "x top-p" in play.text()
        await play.press("enter")
        assert play.app.screen is play.screen
        forced = [each for each in play.decoder.sent if isinstance(each, Force)]
        assert forced == [Force(view.tokens[0])]


async def test_the_drawn_token_of_a_past_place_is_marked_and_its_settings_count(start: Any) -> None:
    async with start() as play:
        view = await opened(play, "left", "left")
        step = play.screen.step_here()
        asked = [each for each in play.decoder.sent if isinstance(each, Ask) and each.kind == "survey"][-1].values
        assert asked["ids"] == list(view.player.session.tree.path.ids[: step.position])
        assert asked["params"] == play.screen.settings_of(step).to_dict()
        await tell(play, view, best=step.token - 3)
        assert view.tokens[view.list_view.chosen] == step.token
        row = next(row for row in play.text().splitlines() if f"{step.token:>8}" in row and " >" in row)
        assert row


async def test_sorting_keeps_the_token_and_esc_clears_then_leaves(start: Any) -> None:
    async with start() as play:
        view = await opened(play)
        await tell(play, view, best=100)
        await play.press("down", "down", "tab", "tab")
        assert view.order == "id"
        assert view.tokens[view.list_view.chosen] == 102
        await play.press(*"#77")
        await play.pilot.pause()
        assert list(view.tokens) == [77]
        await play.press("escape")
        assert play.app.screen is view
        assert len(view.tokens) == 290
        await play.press("escape")
        assert play.app.screen is play.screen


async def test_what_cannot_be_computed_is_told(start: Any) -> None:
    async with start() as play:
        await opened(play)
        at = max(i for i, each in enumerate(play.decoder.sent) if isinstance(each, Ask))
        error = ("No model is open.", "Open one first.")
        play.decoder.frame(answers=(Answer(kind="survey", seq=at + 1, done=True, error=error),))
        await play.settle()
        assert "No model is open. Open one first." in play.text()
        await play.press("enter", *"moon", "down")


def test_names_are_looked_through_in_parts(tokenizer: Any) -> None:
    *_, found = Names(tokenizer).matches("T", range(tokenizer.vocab_size))
    texts = [tokenizer.label(t) if tokenizer.is_special(t) else tokenizer.decode([t]) for t in range(290)]
    assert found == [token for token, text in enumerate(texts) if "t" in text.lower()]
    assert list(Names(tokenizer).matches("#9999", range(290))) == [[]]


def test_a_survey_that_is_cut_is_refused() -> None:
    values, blob = a_survey(20, best=3)
    assert Survey(values, blob).entry(3).rank == 1
    with pytest.raises(ValueError, match="cut or overlong"):
        Survey(values, blob[:-1])
