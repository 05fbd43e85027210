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


def talk(session: Session, make_step: Make, *texts: str) -> None:
    end = session.tokenizer.specials["<|end|>"]
    for said, reply in zip(texts[::2], texts[1::2], strict=True):
        session.say(said)
        draw(session, make_step, reply)
        session.chosen(make_step(end, len(session.tree)), session.params)


def said(session: Session) -> list[tuple[str, str]]:
    return [(t.role, session.tokenizer.decode(session.tree.path.ids[t.body : t.stop])) for t in session.turns()]


def test_turns_say_who_spoke_and_where(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.system = "as cats do"
    talk(session, make_step, "the cat?", "the mat.", "and?", "the moon")
    assert said(session) == [
        ("system", "as cats do"), ("user", "the cat?"), ("assistant", "the mat."), ("user", "and?"),
        ("assistant", "the moon"),
    ]  # fmt: skip
    assert [turn.end for turn in session.turns()][-1] == len(session.tree)
    assert Session(tokenizer, params=SamplingParams()).turns() == []


def test_another_message_in_place_of_an_old_one_keeps_the_conversation_that_was(
    tokenizer: Tokenizer, make_step: Make
) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    talk(session, make_step, "the cat?", "the mat.", "and?", "the moon")
    old = session.context().ids
    session.say_instead(session.turns()[2], "the moon?")
    assert said(session)[:3] == [("user", "the cat?"), ("assistant", "the mat."), ("user", "the moon?")]
    assert session.reply_length == 0
    session.say_instead(session.turns()[0], "cats?")
    assert session.context().ids == render([Message("user", "cats?")], tokenizer, reply=True).ids
    assert session.tree.undo()
    assert session.tree.undo()
    assert session.context().ids == old


def test_undo_takes_a_message_back_and_a_cut_reply_is_open_again(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.say("the cat?")
    draw(session, make_step, "the mat")
    before = session.context()
    session.say("and?")
    draw(session, make_step, "the moon")
    assert session.tree.undo()
    assert session.context() == before
    session.say("cats?")
    assert said(session)[-1] == ("assistant", "")
    assert session.tree.versions() is not None, "the message that was taken back is a version still"


def test_any_reply_of_a_chat_is_drawn_again_from_its_own_beginning(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    talk(session, make_step, "the cat?", "the mat.", "and?", "the moon")
    first, _, second, last = (turn.body for turn in session.turns())
    for position, start in ((first, first + 4), (None, last), (second, last)):
        assert session.again(position, new_seed=True)
        expected = session.turns()[1].body if position == first else start
        assert len(session.tree) == expected
        assert session.reply_start == expected
        session.tree.undo()


def test_the_system_message_changes_under_the_conversation(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    assert not session.set_system("as cats do")
    talk(session, make_step, "the cat?", "the mat.")
    old = session.context().ids
    assert session.set_system("the moon")
    assert said(session) == [("system", "the moon"), ("user", "the cat?"), ("assistant", "the mat.")]
    assert session.reply_length == 0, "nothing of it was drawn under this message"
    session.say("and?")
    turns = [Message("system", "the moon"), Message("user", "the cat?"), Message("assistant", "the mat.")]
    assert session.context().ids == render([*turns, Message("user", "and?")], tokenizer, reply=True).ids
    session.set_system("")
    assert [role for role, _ in said(session)] == ["user", "assistant", "user", "assistant"]
    while session.tree.undo():
        pass
    assert session.context().ids[: len(old)] == old


def test_a_reply_is_found_from_any_token(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    talk(session, make_step, "the cat?", "the mat.", "and?", "the moon")
    one, two = (turn for turn in session.turns() if turn.role == "assistant")
    assert session.reply_at(one.body) == session.reply_at(0) == range(one.body, one.end)
    assert session.reply_at(one.end) == session.reply_at(len(session.tree)) == range(two.body, two.end)


def test_what_a_message_would_give_is_what_it_gives(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    for text in ("the cat?", "and the moon?"):
        given = session.given_for(text)
        session.say(text)
        assert session.context().ids == given
        draw(session, make_step, "the mat.")
