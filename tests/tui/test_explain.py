"""The card of a token says what its record says: for drawn, forced, certain, guessed and masked tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, StageView, Step
from tinychat.tui.explain import explain, greedy, next_words
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.widgets.why import WhyView

from .conftest import Moon


def words(moon: Moon, step: Step, params: SamplingParams | None = None) -> list[str]:
    return [text for text, _ in explain(step, moon.label, params or moon.params)]


def card(moon: Moon, step: Step, width: int, height: int) -> list[str]:
    view = WhyView(Look("ascii", "none"))
    view.show(tuple(explain(step, moon.label, moon.params)), step.odds, step, moon.label)
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def test_a_drawn_token_is_told_stage_by_stage(moon: Moon) -> None:
    assert words(moon, moon.step) == [
        """'" pale"' was the model's 2nd choice, with 13.0%.""",
        """Rep penalty 1.10 flattened the odds from 4.85 to 4.86 bits and raised '" pale"' from 13.0% to 13.6%.""",
        """Temperature 0.80 sharpened the odds from 4.86 to 3.66 bits and raised '" pale"' from 13.6% to 17.2%.""",
        """Top-p 0.88 kept 9 of 50257 tokens, 88.1% of the mass and raised '" pale"' from 17.2% to 19.6%.""",
        """That left '" pale"' a share of 19.6%.""",
        "The draw u=0.4170 fell into its slice 0.3650 to 0.5610.",
        """Greedy would have taken '" bright"', with 36.5%.""",
    ]


def test_a_first_choice_that_was_cut_is_named(moon: Moon) -> None:
    first = replace(moon.odds.candidates[0], final=0.0, cut_by="xtc")
    step = replace(moon.step, odds=replace(moon.odds, candidates=(first, *moon.odds.candidates[1:])))
    assert words(moon, step)[-2:] == [
        "Greedy would have taken it too.",
        """The model's first choice was '" bright"', with 21.4%, which xtc cut.""",
    ]


def test_a_forced_token_was_not_drawn(moon: Moon) -> None:
    said = words(moon, replace(moon.step, forced=True))
    assert "You chose it; nothing was drawn." in said
    assert not any("u=" in each for each in said)
    against = words(moon, replace(moon.step, forced=True, final=0.0, final_rank=0, low=0.0, high=0.0))
    assert "You chose it, against the settings, which had cut it; nothing was drawn." in against


def test_greedy_and_certain_tokens_need_no_draw(moon: Moon) -> None:
    sure = replace(moon.step, final=1.0, low=0.0, high=1.0)
    assert any("Temperature 0" in each for each in words(moon, sure, SamplingParams(temperature=0.0)))
    assert any("as good as certain" in each for each in words(moon, sure))
    alone = replace(sure, odds=replace(moon.odds, kept=1))
    said = words(moon, alone)
    assert any("Nothing else was left" in each for each in said)
    assert not any("Greedy" in each for each in said)


def test_a_guess_that_passed_its_own_test_fell_into_no_slice(moon: Moon) -> None:
    accepted = replace(moon.step, drafted="accepted", u=0.3, low=0.0, high=0.9)
    said = words(moon, accepted)
    assert "It was a guess, to be kept with a chance of 0.9000; the number u=0.3000 was below." in said
    assert "It had been guessed ahead: the guess was right and saved a pass." in said
    assert not any("slice" in each for each in said)
    assert not any("u 0.300" in row for row in card(moon, accepted, 78, 9))


def test_a_grammar_is_named_with_what_it_let_through(moon: Moon) -> None:
    stages = (moon.odds.stages[0], StageView(name="grammar", kept=3, mass=0.2, entropy=1.0, chosen=0.65))
    step = replace(moon.step, odds=replace(moon.odds, stages=stages, kept=3))
    said = words(moon, step, SamplingParams(regex="a+"))
    assert (
        said[1] == """The grammar kept 3 of 50257 tokens, 20.0% of the mass and raised '" pale"' from 13.0% to 65.0%."""
    )


def test_the_draw_is_seen_in_seven_rows_of_eighty_columns(moon: Moon) -> None:
    rows = card(moon, moon.step, 78, 7)
    assert len(rows) == 7
    assert "u 0.417" in rows[4]
    assert "pale" in rows[5]
    assert "bright" in rows[5]
    assert "0.365" in rows[6]
    assert rows[3].endswith("more")


def test_a_low_panel_keeps_to_the_words(moon: Moon) -> None:
    assert not any("u 0.417" in row for row in card(moon, moon.step, 60, 5))


@pytest.mark.parametrize("width", [1, 5, 12, 40, 120])
@pytest.mark.parametrize("height", [1, 3, 6, 7, 30])
def test_the_card_fits_any_panel(moon: Moon, width: int, height: int) -> None:
    view = WhyView(Look())
    view.show(tuple(explain(moon.step, moon.label, moon.params)), moon.odds, moon.step, moon.label)
    rows = view.rows(width, height)
    assert len(rows) <= height
    for row in rows:
        assert view.make_strip(row, width).cell_length == width


def test_greedy_takes_the_lower_id_of_equals(moon: Moon) -> None:
    twins = tuple(Candidate(token=t, logit=0.0, raw=0.5, final=0.5, rank=t, cut_by=None) for t in (7, 3))
    best = greedy(replace(moon.odds, candidates=twins))
    assert best is not None
    assert best.token == 3
    assert greedy(replace(moon.odds, candidates=())) is None


def test_before_a_draw_the_number_of_choices_is_told(moon: Moon) -> None:
    assert next_words(moon.odds)[0] == "9 of 50257 tokens could come next, with 2.64 bits of choice."
