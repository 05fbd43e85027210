"""What the model is given, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.session.given import given_by, given_now, warnings_of
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer


@pytest.fixture
def session(tokenizer: Tokenizer) -> Session:
    return Session(tokenizer, params=SamplingParams())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the cat", []),
        ("the cat ", ["ends with a space"]),
        ("", ["prompt is empty"]),
        ("<|endoftext|>the", ["<|endoftext|> is typed out"]),
        ("a <|user|> b", ["<|user|> in the text is plain characters"]),
        ("a <|im_start|> b </s>", ["<|im_start|> looks like", "</s> looks like"]),
        ("a < b |> c [x] <b>", []),
        ("a <|end|> b ", ["<|end|> in the text", "ends with a space"]),
    ],
)
def test_what_is_odd_about_a_prompt_is_told(session: Session, text: str, words: list[str]) -> None:
    found = warnings_of(session, text, session.given_for(text), context=256)
    assert len(found) == len(words)
    for warning, word in zip(found, words, strict=True):
        assert word in warning


def test_too_long_comes_first_and_says_that_nothing_is_cut(session: Session) -> None:
    text = "the cat " * 40
    ids = session.given_for(text)
    first, *_ = warnings_of(session, text, ids, context=20)
    assert first.startswith(f"{len(ids)} tokens, the model holds 20: nothing is cut")
    assert "fill the model's context" in warnings_of(session, "the", ids[:20], context=20)[0]
    assert "5 tokens are left" in warnings_of(session, "the", ids[:15], context=20)[0]


def test_a_doubled_start_token_and_a_system_message_that_is_not_there_are_told(session: Session) -> None:
    ids = session.given_for("the")
    assert "two start tokens" in warnings_of(session, "the", [ids[0], *ids], context=99)[0]
    session.system = "be kind"
    assert "a completion has no system message" in warnings_of(session, "the", ids, context=99)[0]
    session.mode = "chat"
    assert "not in this conversation" in warnings_of(session, "the", ids, context=99)[0]
    assert not warnings_of(session, "the", session.given_for("the"), context=99)


def test_a_draft_is_what_enter_would_give_and_nothing_once_it_is_given(
    session: Session, make_step: Callable[..., Step]
) -> None:
    assert given_now(session, context=99) is None
    draft = given_by(session, "the cat", context=99)
    assert draft is not None
    assert draft.draft
    session.complete("the cat")
    assert given_by(session, "the cat", context=99) is None
    session.chosen(make_step(50, len(session.tree)), session.params)
    now = given_now(session, context=99)
    assert now is not None
    assert (now.ids, now.draft, now.template) == ([*draft.ids, 50], False, "")
    assert list(now.kinds) == [0] * len(draft.ids) + [1]


def test_a_chat_names_its_template_and_an_empty_message_is_no_draft(tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    assert given_by(session, " ", context=99) is None
    draft = given_by(session, "the cat", context=99)
    assert draft is not None
    session.say("the cat")
    now = given_now(session, context=99)
    assert now is not None
    assert (now.ids, now.template) == (draft.ids, draft.template)
    assert now.template
