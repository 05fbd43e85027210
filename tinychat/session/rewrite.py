"""An edited text as tokens: what was drawn before the first change stays, the rest is written anew.

A person edits what is shown, and what is shown is not always what the bytes are: half characters, control signs and
special tokens have spellings of their own. So the shown text is compared, and tokens whose text did not change keep
their ids whatever those are. Nothing here knows sessions or screens.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tinychat.text.terminal import clean
from tinychat.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The first `keep` tokens as they are, then `ids`. `plain` names special tokens that became plain text."""

    keep: int
    ids: list[int]
    plain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spelling:
    """What is shown for each token, and whether a character is only half there after it."""

    pieces: list[str]
    half: list[bool]


def spell(tokenizer: Tokenizer, ids: Sequence[int]) -> Spelling:
    """Tokens as they are shown: "" while a character is incomplete, a special token by its name."""
    names = {number: name for name, number in tokenizer.specials.items()}
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    found = Spelling([], [])
    for token in ids:
        name = names.get(token)
        text = decoder.decode(tokenizer.token_bytes(token), final=name is not None)
        found.pieces.append(clean(text) + (name or ""))
        found.half.append(bool(decoder.getstate()[0]))
    if ids:
        found.pieces[-1] += clean(decoder.decode(b"", final=True))
    return found


def rewrite(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> Rewrite:
    """The tokens for `text`, where `ids` were shown as `spell` says."""
    spelling = spell(tokenizer, ids)
    pieces = spelling.pieces
    ends = list(accumulate(map(len, pieces), initial=0))  # characters before each token, and after the last
    shown = "".join(pieces)
    if text == shown:
        return Rewrite(len(ids), [])
    same = _common(shown, text)
    # a word is written as a whole, as the model has learnt it: go back to where one begins
    seams = (at for at, end in enumerate(ends) if end <= same and not (at and spelling.half[at - 1]))
    keep = max(at for at in seams if at == 0 or tokenizer.is_special(ids[at - 1]) or _begins_word(text[ends[at] :]))
    fresh = tokenizer.encode(text[ends[keep] :])
    more = 0
    while more < min(len(fresh), len(ids) - keep) and fresh[more] == ids[keep + more] and ends[keep + more + 1] <= same:
        more += 1
    names = {number: name for name, number in tokenizer.specials.items()}
    lost = (names[token] for token in ids[keep + more :] if token in names)
    return Rewrite(keep + more, fresh[more:], tuple(dict.fromkeys(name for name in lost if name in text[ends[keep] :])))


def _begins_word(text: str) -> bool:
    return not text or text[0].isspace()


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
