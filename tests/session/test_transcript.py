"""The pieces of a text, from any place on."""

from __future__ import annotations

import random

import pytest

from tinychat.session.transcript import Speller
from tinychat.session.tree import DRAWN, PROMPT, Tree
from tinychat.text.tokenizer import Tokenizer


@pytest.mark.parametrize("seed", range(40))
def test_a_speller_that_begins_behind_some_tokens_goes_on_as_one_that_saw_them(tokenizer: Tokenizer, seed: int) -> None:
    dice, tree = random.Random(seed), Tree()
    specials = list(tokenizer.specials.values())
    halves = [token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token)[:1] >= b"\x80"]
    for _ in range(60):
        kinds = [specials, halves, range(tokenizer.vocab_size)][dice.randrange(3)]
        tree.append(dice.choice(kinds), kind=dice.choice((PROMPT, DRAWN)))
    whole, path = Speller(tokenizer), tree.path
    said = [whole.push(token, given=kind == PROMPT) for token, kind in zip(path.ids, path.kinds, strict=True)]
    for length in range(len(path)):
        speller = Speller.behind(tokenizer, path, length)
        assert [speller.push(path.ids[i], given=path.kinds[i] == PROMPT) for i in range(length, len(path))] == \
            said[length:]  # fmt: skip
