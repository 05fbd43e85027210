"""Prompts, chats, seeds and settings as one session keeps them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.session.session import Session
from tinychat.session.transcript import reply_text, whole_text
from tinychat.text.chat import Message, render
from tinychat.text.tokenizer import Tokenizer

Make = Callable[..., Step]


def draw(session: Session, make_step: Make, text: str) -> None:
    for token in session.tokenizer.encode(text):
        assert session.chosen(make_step(token, len(session.tree)), session.params)


def test_a_completion_starts_with_the_document_token(tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    assert session.context().ids == [tokenizer.end_of_text, *tokenizer.encode("the cat")]
    assert session.context().prompt_len == len(session.context().ids)


def test_a_chat_keeps_the_drawn_ids_of_earlier_turns(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.say("the cat?")
    draw(session, make_step, "the mat.")
    before = session.context().ids
    session.say("and the moon?")
    assert session.context().ids[: len(before)] == before
    talk = [Message("user", "the cat?"), Message("assistant", "the mat."), Message("user", "and the moon?")]
    assert session.context().ids == render(talk, tokenizer, reply=True).ids


def test_a_system_message_opens_the_next_chat(tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.system = "as cats do"
    session.say("the cat?")
    talk = [Message("system", "as cats do"), Message("user", "the cat?")]
    assert session.context().ids == render(talk, tokenizer, reply=True).ids


def test_the_same_prompt_again_gets_another_seed_unless_one_was_asked_for(
    tokenizer: Tokenizer, make_step: Make
) -> None:
    session = Session(tokenizer, params=SamplingParams(seed=2**63))
    session.complete("the cat")
    draw(session, make_step, " sat")
    session.complete("the cat")
    assert session.params.seed != 2**63
    session.set_seed(7)
    draw(session, make_step, " sat")
    session.complete("the cat")
    assert session.params.seed == 7


def test_a_token_of_a_path_that_was_left_is_refused(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    assert not session.chosen(make_step(9, len(session.tree) + 3), session.params)


def test_moved_settings_are_known_at_their_token(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the")
    draw(session, make_step, " cat")
    at = len(session.tree)
    session.params = session.params.with_(temperature=0.5)
    draw(session, make_step, " sat")
    assert [i for i in range(len(session.tree)) if session.moved(i)] == [at]
    base, changes = session.reply_settings()
    assert base.temperature == 1.0
    assert [(i, p.temperature) for i, p in changes] == [(at - session.reply_start, 0.5)]
    assert session.tally().knob_moves == 1


def test_the_tally_follows_rewinding(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the")
    draw(session, make_step, " cat sat on the mat")
    whole = session.tally()
    assert whole.bits == pytest.approx(2.0 * whole.tokens)
    session.rewind(session.reply_start + 1)
    assert session.tally().tokens == 1
    session.tree.undo()
    assert session.tally() == whole


def test_text_of_a_conversation_has_headers_and_no_control_characters(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.say("hello \x1b[31m\u202e")
    draw(session, make_step, "the\x07 cat")
    text = whole_text(session)
    assert text.startswith("you  hello ")
    assert "model  the" in text
    assert not any(sign in text + reply_text(session) for sign in "\x1b\u202e\x07")
