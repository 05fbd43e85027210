"""Chats become tokens whose control tokens come from the template only."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.text.chat import Message, parse_messages, render
from tinychat.text.tokenizer import SPECIALS, Tokenizer

SYSTEM = Message("system", "Be kind.")
USER = Message("user", "Who is Mira?")
ASSISTANT = Message("assistant", "Mira is a fox.")


def spelled(ids: list[int], tokenizer: Tokenizer) -> str:
    names = {token: name for name, token in tokenizer.specials.items()}
    return "".join(names.get(token) or tokenizer.decode([token]) for token in ids)


@pytest.mark.parametrize(
    ("messages", "reply", "expected"),
    [
        ([USER], False, "<|endoftext|><|user|>Who is Mira?<|end|>"),
        ([USER], True, "<|endoftext|><|user|>Who is Mira?<|end|><|assistant|>"),
        (
            [SYSTEM, USER, ASSISTANT],
            False,
            "<|endoftext|><|system|>Be kind.<|end|><|user|>Who is Mira?<|end|><|assistant|>Mira is a fox.<|end|>",
        ),
        (
            [USER, ASSISTANT],
            True,
            "<|endoftext|><|user|>Who is Mira?<|end|><|assistant|>Mira is a fox.",
        ),
    ],
)
def test_a_chat_reads_as_the_role_format(
    tokenizer: Tokenizer, messages: list[Message], reply: bool, expected: str
) -> None:
    assert spelled(render(messages, tokenizer, reply=reply).ids, tokenizer) == expected


def test_the_mask_is_what_the_assistant_says_and_its_end(tokenizer: Tokenizer) -> None:
    rendered = render([SYSTEM, USER, ASSISTANT, USER, ASSISTANT], tokenizer, reply=False)
    assert len(rendered.ids) == len(rendered.mask)
    said = [token for token, mine in zip(rendered.ids, rendered.mask, strict=True) if mine]
    assert spelled(said, tokenizer) == "Mira is a fox.<|end|>" * 2


def test_an_opened_reply_is_the_beginning_of_the_finished_chat(tokenizer: Tokenizer) -> None:
    opened = render([USER], tokenizer, reply=True).ids
    begun = render([USER, ASSISTANT], tokenizer, reply=True).ids
    finished = render([USER, ASSISTANT], tokenizer, reply=False).ids
    assert finished[: len(opened)] == opened
    assert finished == [*begun, tokenizer.specials["<|end|>"]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(SPECIALS) | st.text(max_size=5), max_size=5).map("".join))
def test_control_names_in_a_message_stay_plain_characters(tokenizer: Tokenizer, text: str) -> None:
    ids = render([Message("user", text)], tokenizer, reply=True).ids
    controls = [token for token in ids if tokenizer.is_special(token)]
    assert controls == [tokenizer.specials[name] for name in ("<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>")]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ([], "at least one"),
        ([ASSISTANT], "message 1 should be the user's"),
        ([USER, USER], "message 2 should be the assistant's"),
        ([SYSTEM, ASSISTANT], "message 2 should be the user's"),
        ([USER, SYSTEM], "only the first message"),
        ([SYSTEM, SYSTEM, USER], "only the first message"),
    ],
)
def test_a_wrong_order_of_roles_names_the_rule(tokenizer: Tokenizer, messages: list[Message], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        render(messages, tokenizer, reply=False)


def test_a_system_message_alone_has_no_reply(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="needs a user message"):
        render([SYSTEM], tokenizer, reply=True)


def test_a_tokenizer_without_roles_says_what_is_missing(tokenizer: Tokenizer) -> None:
    plain = tokenizers.Tokenizer(tokenizers.models.BPE())
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=["<|endoftext|>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    plain.train_from_iterator(["some text"], trainer)
    roleless = Tokenizer.from_json(plain.to_str())
    assert tokenizer.has_chat
    assert not roleless.has_chat
    with pytest.raises(ValueError, match=r"no chat tokens: <\|system\|>, <\|user\|>"):
        render([USER], roleless, reply=True)


def test_messages_of_a_jsonl_line_are_read() -> None:
    value = [{"role": "user", "content": "Hi"}, {"role": "assistant", "text": "Hello", "name": "x"}]
    assert parse_messages(value) == (Message("user", "Hi"), Message("assistant", "Hello"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"role": "user"}, "must be a list, got an object"),
        ([], "at least one"),
        (["hi"], "message 1 must be an object with role and content, got text"),
        ([{"content": "hi"}], "role must be one of system, user, assistant, got none"),
        ([{"role": "tool", "content": "hi"}], "got 'tool'"),
        ([{"role": ["user"], "content": "hi"}], "role must be one of"),
        ([{"role": "user"}], "neither"),
        ([{"role": "user", "content": "a", "text": "b"}], "both"),
        ([{"role": "user", "content": [{"type": "text"}]}], "content must be text, got a list"),
        ([{"role": "user", "content": None}], "got null"),
        ([{"role": "user", "content": 3}], "got a number"),
        ([{"role": "assistant", "content": "hi"}], "user first"),
    ],
)
def test_bad_messages_say_what_is_wrong(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_messages(value)
