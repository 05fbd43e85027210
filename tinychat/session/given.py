"""What the model is given: the very tokens, and what about them a person may not have meant.

The text of a prompt is never changed behind a person's back: nothing is trimmed and nothing is cut. So what is
unusual is said, the gravest first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinychat.session.session import Session
from tinychat.session.tree import PROMPT
from tinychat.text.chat import TEMPLATE
from tinychat.text.terminal import clean
from tinychat.text.tokenizer import Tokenizer

LITTLE_ROOM = 16  # tokens
_SHOWN_NAME = 24
# the spellings of the common chat formats and of the older start and end signs
_ALIKE = re.compile(
    r"<\|[^\s|<>]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Given:
    """Ids in order, the kind of each as in the tree, and what is to be said about them."""

    ids: list[int]
    kinds: bytes
    template: str  # the name of the chat format; "" for a text as it is
    draft: bool  # as Enter would give it; else as it is now
    warnings: list[str]


def given_now(session: Session, *, context: int) -> Given | None:
    """What the engine holds; None where there is nothing yet."""
    path = session.tree.path
    if not len(path):
        return None
    turns = session.turns()
    said = [session.tokenizer.decode(path.ids[turn.body : turn.stop]) for turn in turns if turn.role != "assistant"]
    text = "\n".join(said) if turns else session.tokenizer.decode(path.ids[: session.reply_start])
    ids = list(path.ids)
    warnings = warnings_of(session, text, ids, context=context, reply=session.reply_length)
    return Given(ids, bytes(path.kinds), TEMPLATE if turns else "", False, warnings)


def given_by(session: Session, text: str, *, context: int) -> Given | None:
    """What Enter would give for the text in the box; None where that is given already, or is nothing to send."""
    path, chat = session.tree.path, session.mode == "chat"
    if chat and not text.strip():
        return None
    ids = session.given_for(text)
    if not chat and list(path.ids[: session.reply_start]) == ids:
        return None
    shared = len(path) if chat and session.is_open_chat() else 0
    kinds = bytes(path.kinds[:shared]) + bytes([PROMPT]) * (len(ids) - shared)
    return Given(ids, kinds, TEMPLATE if chat else "", True, warnings_of(session, text, ids, context=context))


def warnings_of(session: Session, text: str, ids: Sequence[int], *, context: int, reply: int = 0) -> list[str]:
    """What may not have been meant by a prompt or message `text` that makes the context `ids`; the gravest first.

    `reply` of the ids are a reply already.
    """
    tokenizer, found = session.tokenizer, list[str]()
    start, chat = tokenizer.end_of_text, session.mode == "chat"
    prompt = len(ids) - reply
    if prompt > context:
        found.append(f"{prompt} tokens, the model holds {context}: nothing is cut or drawn; shorten the text")
    elif len(ids) == context:
        found.append(f"{len(ids)} tokens fill the model's context: nothing can be drawn")
    if chat and session.system and tokenizer.specials.get("<|system|>") not in ids:
        found.append("the system message is not in this conversation; :system sets it anew")
    elif not chat and session.system:
        found.append("a completion has no system message; m changes to chat")
    if list(ids[:2]) == [start, start]:
        found.append("two start tokens: the model has seen one at the beginning of a text")
    found += _alike(text, tokenizer)
    if not chat and text.endswith((" ", "\t")):
        found.append("the prompt ends with a space: words bring their own")
    if not chat and not text:
        found.append("the prompt is empty: the model begins a text of its own")
    left = context - len(ids)
    if 0 < left < LITTLE_ROOM and not reply:
        found.append(f"{left} tokens are left for the reply")
    return found


def _alike(text: str, tokenizer: Tokenizer) -> list[str]:
    found = []
    start = tokenizer.label(tokenizer.end_of_text)
    for name in dict.fromkeys(match[0] for match in _ALIKE.finditer(text)):
        shown = clean(name, keep="")
        shown = shown if len(shown) <= _SHOWN_NAME else shown[: _SHOWN_NAME - 2] + ".."
        if name == start and text.startswith(name):
            found.append(f"{shown} is typed out: plain characters, behind the start token that is always there")
        elif name in tokenizer.specials:
            found.append(f"{shown} in the text is plain characters, not the special token")
        else:
            found.append(f"{shown} looks like a special token; this model has none of that name")
    return found
