"""The grammar engine: the odds it promises, the bits it counts, the texts it reads back."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.toy_dice import Dice, Weighted, rows, words
from trainer.toy_grammar import Grammar, parse_line, parse_rules, parse_slots
from trainer.toy_reader import Reader

GRAMMAR = Grammar(
    {
        "animal": words("fox*3, owl*1"),
        "home": rows("fox: den\nowl: tree*2, attic*1"),
        "thing": words("apple*1, ball*1, egg*2"),
    },
    parse_slots("animal: animal\nhome: home/animal\none: thing\ntwo: thing -one"),
    parse_rules(
        """
tell
  2 a/an {animal} has a/an {one}(3:| and a/an {two}).
  1 [animal=owl] the owl lives in a/an {home}.
  1 {^animal}, {animal}! <again>
again
  1 a/an {@thing}.
  1 [home] home again.
"""
    ),
)


def test_dice_are_splitmix64() -> None:
    """The published first outputs for seed 1234567."""
    dice = Dice(0)
    dice._state = 1234567
    outputs = [dice.below(1 << 64) for _ in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_seeds_and_numbers_do_not_share_a_stream() -> None:
    first = {Dice(seed, index).below(1 << 64) for seed in range(40) for index in range(40)}
    assert len(first) == 1600


def test_draws_follow_the_weights() -> None:
    """Chi-square with 4 degrees of freedom; p = 1e-6 at 33.4."""
    weights = [1, 2, 3, 4, 90]
    table = Weighted("abcde", weights)
    dice = Dice(5)
    count = 20_000
    seen = Counter(table.draw(dice) for _ in range(count))
    expected = {value: count * weight / 100 for value, weight in zip("abcde", weights, strict=True)}
    assert sum((seen[value] - want) ** 2 / want for value, want in expected.items()) < 33.4


def test_the_bits_of_a_draw_are_its_surprise() -> None:
    table = Weighted(["a", "b", "c"], [1, 1, 2])
    for index in range(20):
        dice = Dice(1, index)
        assert dice.bits == 0
        assert table.draw(dice) in "abc"
        assert dice.bits in (1.0, 2.0)
    dice = Dice(1)
    Weighted(["only"], [7]).draw(dice)
    assert dice.bits == 0


def test_tables_fall_like_zipf_where_no_weight_is_said() -> None:
    table = words("first, second, third*50, fourth")
    assert table.values == ("first", "second", "third", "fourth")
    assert table.weights[0] > table.weights[1] > table.weights[3]
    assert table.weights[2] == 50


def written(seed: int, index: int) -> tuple[str, float]:
    dice = Dice(seed, index)
    return GRAMMAR.write("tell", dice, {}), dice.bits


def test_the_probabilities_of_all_texts_add_up_to_one() -> None:
    """And each text comes up as often as its bits say."""
    count = 30_000
    drawn = [written(3, index) for index in range(count)]
    seen = Counter(drawn)
    assert math.isclose(sum(2**-bits for _, bits in seen), 1)
    assert sum((n - count * 2**-bits) ** 2 / (count * 2**-bits) for (_, bits), n in seen.items()) < 3 * len(seen)


def test_articles_capitals_and_guards() -> None:
    texts = {written(1, index)[0] for index in range(3000)}
    assert "A fox has an apple and a ball." in texts
    assert "An owl has an egg." in texts
    assert "The owl lives in an attic." in texts
    assert "Fox, fox! an egg." in texts
    assert not any("fox lives" in text or "home again" in text or "egg and an egg" in text for text in texts)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_what_is_written_is_read_with_its_facts(seed: int, index: int) -> None:
    frame: dict[str, str] = {}
    text = GRAMMAR.write("tell", Dice(seed, index), frame)
    read = [known for end, known in Reader(GRAMMAR).read("tell", text, 0, {}) if end == len(text)]
    assert any(known.items() <= frame.items() for known in read)


@pytest.mark.parametrize(
    "text",
    [
        "An fox has an apple.",
        "A fox has an apple and an apple.",
        "a fox has an apple.",
        "A fox has an apple",
        "The owl lives in a den.",
        "Fox, owl! an egg.",
    ],
)
def test_what_could_not_be_written_is_not_read(text: str) -> None:
    assert not [end for end, _ in Reader(GRAMMAR).read("tell", text, 0, {}) if end == len(text)]


def test_facts_known_before_narrow_the_reading() -> None:
    reader = Reader(GRAMMAR)
    text = "A fox has an apple."
    assert list(reader.read("tell", text, 0, {"animal": "fox"}))
    assert not list(reader.read("tell", text, 0, {"animal": "owl"}))
    assert not list(reader.read("tell", text, 0, {"home": "tree"}))
    assert list(reader.read("tell", text, 0, None))


def test_all_that_a_rule_can_say_is_what_it_says() -> None:
    frame = {"animal": "owl", "home": "tree", "one": "ball", "two": "egg"}
    said = set(GRAMMAR.say_all("tell", frame))
    drawn = {GRAMMAR.write("tell", Dice(2, index), dict(frame)) for index in range(2000)}
    assert drawn == said


@pytest.mark.parametrize("line", ["no weight", "3 an (open|bracket", "3 closed) bracket", "3 a {slot", "3 {Bad!}"])
def test_a_template_with_a_mistake_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"line|template|bracket"):
        parse_line(line)


def test_no_eligible_line_is_said() -> None:
    with pytest.raises(ValueError, match="no line of rule tell fits"):
        Grammar({"a": words("x")}, parse_slots("a: a"), parse_rules("tell\n  1 [a=y] never")).write("tell", Dice(0), {})
