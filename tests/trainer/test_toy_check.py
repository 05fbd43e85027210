"""The checker: every story of the generator is well-formed and consistent, and broken ones are not."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import toy
from trainer.toy_check import share_well_formed, well_formed
from trainer.toy_dice import Dice
from trainer.toy_stories import story


@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_every_story_is_well_formed_and_consistent(seed: int, index: int) -> None:
    text = story(Dice(seed, index))
    verdict = well_formed(text)
    assert verdict.bad == ()
    assert verdict.contradictions == ()
    assert verdict.share == verdict.consistent_share == 1
    assert verdict.begins
    assert verdict.ends
    assert verdict.sentences >= 4


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_words_are_not_well_formed(seed: int) -> None:
    words = story(Dice(1, seed)).split()
    random.Random(seed).shuffle(words)
    assert well_formed(" ".join(words)).share < 0.25


@pytest.mark.parametrize("seed", range(30))
def test_two_words_that_changed_places_are_found(seed: int) -> None:
    words = story(Dice(2, seed)).split(" ")
    at = random.Random(seed).choice([i for i in range(len(words) - 1) if words[i] != words[i + 1]])
    words[at], words[at + 1] = words[at + 1], words[at]
    verdict = well_formed(" ".join(words))
    assert verdict.good < verdict.sentences
    assert len(verdict.bad) <= 3


STORY = """\
Once upon a time, there was a clever fox named Felix. He had a golden key. It was the best key in the whole world.
But there was a hole in his pocket. One sunny morning, the key fell out. Felix looked under the bed. No key. \
He looked behind the door. No key. He looked in the cupboard. Only a sock. Then he met Bella the bear. \
"Why are you so sad?" asked Bella. "My key is gone," said Felix.
They went back, step by step, with their noses to the ground. There, between two stones, lay the key. \
"Thank you, Bella!" cried Felix. Felix was happy. The end."""


def test_a_story_by_hand_is_accepted() -> None:
    verdict = well_formed(STORY)
    assert verdict.bad == verdict.contradictions == ()
    assert verdict.sentences == 19


@pytest.mark.parametrize(
    ("old", "new", "stretch"),
    [
        ("He had a golden key", "She had a golden key", "She had a golden key"),  # Felix is a he
        ("lay the key", "lay the hat", "lay the hat"),  # it was a key that was lost
        ("said Felix", "said Felicity", "Felicity"),  # nobody of that name
        ('"Thank you, Bella!"', '"Thank you, Bruno!"', "Thank you, Bruno"),  # the helper was Bella
        ("No key. He", "No scarf. He", "No scarf"),
        ("in his pocket", "in her pocket", "in her pocket"),
    ],
)
def test_a_fact_that_changes_is_found_where_it_changes(old: str, new: str, stretch: str) -> None:
    verdict = well_formed(STORY.replace(old, new, 1))
    assert verdict.consistent < verdict.sentences
    assert any(stretch in found for found in (*verdict.contradictions, *verdict.bad))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a clever fox", "an clever fox"),
        ("Felix was happy", "Felix were happy"),
        ("was a hole in", "was hole in"),
        ("Felix was happy", "felix was happy"),
        ("The end.", "The the end."),
        ("The end.", "The end"),
        ("lay the key.", "lay the key"),
    ],
)
def test_broken_grammar_is_found(old: str, new: str) -> None:
    verdict = well_formed(STORY.replace(old, new, 1))
    assert verdict.good < verdict.sentences


def test_a_bad_sentence_costs_only_itself() -> None:
    verdict = well_formed(STORY.replace("Felix was happy.", "Felix purple the."))
    assert verdict.bad == ("Felix purple the.",)
    assert verdict.sentences - verdict.good == 1


def test_a_text_that_breaks_off_has_one_bad_sentence() -> None:
    verdict = well_formed(STORY[:-20])
    assert len(verdict.bad) == 1
    assert not verdict.ends


def test_other_text_is_not_the_language() -> None:
    other = "The quick brown fox jumps over the lazy dog. It was the best of times, it was the worst of times."
    assert well_formed(other).share == 0
    empty = well_formed("")
    assert (empty.sentences, empty.share, empty.consistent_share, empty.ends) == (0, 0.0, 0.0, False)


def test_paragraphs_may_fall_anywhere() -> None:
    assert well_formed(re.sub(r"\n", " ", STORY)).share == 1


def test_the_share_over_texts_weighs_sentences() -> None:
    good, bad = "Good night, Felix!", "No such sentence here."
    assert share_well_formed([good, good, good, bad]) == 0.75
    assert share_well_formed([]) == 0
    assert toy.share_well_formed is share_well_formed
