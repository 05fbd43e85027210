"""Chats as tokens, with a mask of who said what.

One built-in role format:  <|endoftext|> [<|system|>text<|end|>] <|user|>text<|end|><|assistant|>text<|end|> ...
The control tokens come from here only: the same names inside a message are plain characters. Nothing here knows
models, files or screens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tinychat.text.tokenizer import CHAT_SPECIALS, Tokenizer

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)

TEMPLATE = "tinychat-roles-1"
PAUSE = "<|pause|>"  # given before a reply, never said: Goyal et al. 2023
MOST_PAUSES = 1024  # before one reply


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids, and which of them the assistant says (its <|end|> among them): the ones to learn."""

    ids: list[int]
    mask: list[bool]


def render(messages: Sequence[Message], tokenizer: Tokenizer, *, reply: bool, pauses: int = 0) -> Rendered:
    """The chat as tokens, with `pauses` pause tokens before each of the assistant's texts.

    With `reply`, the assistant's turn is left open: after a user message it is begun, and a trailing assistant
    message goes on without its <|end|>. ValueError for a wrong order of roles, or a tokenizer without these tokens.
    """
    check_order(messages)
    bodies = [tokenizer.encode(message.text) for message in messages]
    return render_encoded(messages, bodies, tokenizer, reply=reply, pauses=pauses)


def render_encoded(
    messages: Sequence[Message],
    bodies: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    *,
    reply: bool = False,
    pauses: int = 0,
) -> Rendered:
    """As `render`, from the ids of each message's text: many chats can be encoded in one batch."""
    if reply and messages[-1].role == "system":
        raise ValueError("a reply needs a user message to answer, got a system message only")
    special = _role_tokens(tokenizer)
    waits = pause_ids(tokenizer, pauses)
    ids, mask = [tokenizer.end_of_text], [False]
    for index, (message, encoded) in enumerate(zip(messages, bodies, strict=True)):
        body = [*encoded]
        if not (reply and index == len(messages) - 1 and message.role == "assistant"):
            body.append(special["<|end|>"])
        opening = [special[f"<|{message.role}|>"], *(waits if message.role == "assistant" else [])]
        ids += [*opening, *body]
        mask += [False] * len(opening) + [message.role == "assistant"] * len(body)
    if reply and messages[-1].role == "user":
        ids += [special["<|assistant|>"], *waits]
        mask += [False] * (1 + len(waits))
    return Rendered(ids, mask)


def pause_ids(tokenizer: Tokenizer, count: int) -> list[int]:
    """So many pause tokens; ValueError where the tokenizer has none."""
    if count and PAUSE not in tokenizer.specials:
        raise ValueError(f"this tokenizer has no {PAUSE}: the model was not trained with pauses")
    return [tokenizer.specials[PAUSE]] * count if count else []


def check_order(messages: Sequence[Message]) -> None:
    """ValueError where it breaks the order: a system message only first, then user and assistant in turn."""
    if not messages:
        raise ValueError("a chat needs at least one message")
    start = 1 if messages[0].role == "system" else 0
    for index, message in enumerate(messages[start:]):
        expected = ("user", "assistant")[index % 2]
        if message.role != expected:
            where = f"message {index + start + 1}"
            if message.role == "system":
                raise ValueError(f"only the first message may be the system's, but {where} is too")
            raise ValueError(f"user and assistant must alternate, user first: {where} should be the {expected}'s")


def parse_messages(value: object) -> tuple[Message, ...]:
    """Messages out of parsed JSON: [{"role": "user", "content": "..."}, ...].

    "text" does as well as "content"; other keys are not read. ValueError with the reason, for a person.
    """
    if not isinstance(value, list):
        raise ValueError(f"messages must be a list, got {_kind(value)}")
    messages = tuple(_message(item, number) for number, item in enumerate(value, 1))
    check_order(messages)
    return messages


def _message(item: Any, number: int) -> Message:
    if not isinstance(item, dict):
        raise ValueError(f"message {number} must be an object with role and content, got {_kind(item)}")
    role = item.get("role")
    if role not in ROLES:
        got = repr(role)[:40] if "role" in item else "none"
        raise ValueError(f"message {number}: role must be one of {', '.join(ROLES)}, got {got}")
    keys = [key for key in ("content", "text") if key in item]
    if len(keys) != 1:
        got = "both" if keys else "neither"
        raise ValueError(f'message {number} needs one of "content" and "text", got {got}')
    text = item[keys[0]]
    if not isinstance(text, str):
        raise ValueError(f"message {number}: {keys[0]} must be text, got {_kind(text)}")
    return Message(role, text)


def _kind(value: object) -> str:
    """What JSON calls the value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _role_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    missing = [name for name in CHAT_SPECIALS if name not in tokenizer.specials]
    if missing:
        raise ValueError(f"this tokenizer has no chat tokens: {', '.join(missing)} missing")
    return tokenizer.specials
