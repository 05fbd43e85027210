"""An edited text keeps what was drawn before the first change, and becomes the tokens a person would expect."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tinychat.session.rewrite import rewrite, spell
from tinychat.text.terminal import clean
from tinychat.text.tokenizer import Tokenizer

TEXT = " sat on the mat and looked at the moon, as cats do."


def apply(tokenizer: Tokenizer, ids: list[int], text: str) -> list[int]:
    found = rewrite(tokenizer, ids, text)
    return [*ids[: found.keep], *found.ids]


def shown(tokenizer: Tokenizer, ids: list[int]) -> str:
    return "".join(spell(tokenizer, ids).pieces)


def test_only_the_changed_word_and_what_follows_is_written_anew(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    found = rewrite(tokenizer, ids, TEXT.replace("moon", "mood"))
    before = tokenizer.encode(" sat on the mat and looked at the")
    assert ids[: found.keep][: len(before)] == before
    assert tokenizer.decode([*ids[: found.keep], *found.ids]) == TEXT.replace("moon", "mood")
    assert [*ids[: found.keep], *found.ids] == tokenizer.encode(TEXT.replace("moon", "mood"))


def test_a_word_that_is_lengthened_is_tokenised_as_a_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(" the ca")
    assert apply(tokenizer, ids, " the cats sat") == tokenizer.encode(" the cats sat")


def test_nothing_changed_keeps_every_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    found = rewrite(tokenizer, ids, TEXT)
    assert (found.keep, found.ids) == (len(ids), [])


def test_cutting_the_end_keeps_the_rest_as_drawn(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    found = rewrite(tokenizer, ids, " sat on the mat")
    assert not found.ids
    assert ids[: found.keep] == tokenizer.encode(" sat on the mat")


def test_tokens_that_the_tokenizer_would_not_choose_stay_where_the_text_did_not_change(tokenizer: Tokenizer) -> None:
    ids = [*(tokenizer.encode(letter)[0] for letter in " the"), *tokenizer.encode(" moon")]
    assert ids[:4] != tokenizer.encode(" the")
    found = rewrite(tokenizer, ids, " the mat")
    assert found.keep >= 4
    assert tokenizer.decode([*ids[: found.keep], *found.ids]) == " the mat"


def test_half_a_character_and_control_signs_stay_as_they_were_drawn(tokenizer: Tokenizer) -> None:
    half = tokenizer.encode("é")[0]
    ids = [*tokenizer.encode("a\x1b"), half, *tokenizer.encode("b the cat")]
    text = shown(tokenizer, ids)
    assert text == clean("a\x1b") + "\ufffd" + "b the cat"
    found = rewrite(tokenizer, ids, text.replace("cat", "mat"))
    assert ids[: found.keep] == ids[: -len(tokenizer.encode(" cat"))]
    assert tokenizer.decode(found.ids) == " mat"


def test_an_edit_right_behind_half_a_character_writes_the_whole_character_anew(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("é")
    assert len(ids) == 2
    found = rewrite(tokenizer, ids, "è")
    assert (found.keep, found.ids) == (1, tokenizer.encode("è")[1:]), "the byte they share, then the other one"


def test_a_special_token_in_changed_text_becomes_plain_characters_and_is_told(tokenizer: Tokenizer) -> None:
    user = tokenizer.specials["<|user|>"]
    ids = [*tokenizer.encode("the"), user, *tokenizer.encode(" cat")]
    kept = rewrite(tokenizer, ids, "the<|user|> mat")
    assert ids[: kept.keep][-1] == user
    assert kept.plain == ()
    lost = rewrite(tokenizer, ids, "a<|user|> cat")
    assert user not in lost.ids
    assert lost.plain == ("<|user|>",)


@given(st.integers(0, 2**32), st.text(max_size=12))
def test_the_new_tokens_show_the_edited_text(tokenizer: Tokenizer, seed: int, put: str) -> None:
    dice = random.Random(seed)
    ids = [dice.randrange(tokenizer.vocab_size) for _ in range(dice.randrange(12))]
    text = shown(tokenizer, ids)
    at, end = sorted(dice.choices(range(len(text) + 1), k=2))
    edited = text[:at] + clean(put) + text[end:]
    found = rewrite(tokenizer, ids, edited)
    new = [*ids[: found.keep], *found.ids]
    assert shown(tokenizer, new) == edited
    assert not any(tokenizer.is_special(token) for token in found.ids)
