"""Characters as tokens, in the same form as byte-level BPE: the only merges are those of the bytes of one character.

Bytes stay in the vocabulary for characters that the text did not have. Nothing here encodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tinychat.text import bytelevel


def character_merges(texts: Iterable[str], *, size: int) -> list[tuple[str, str]]:
    """Merges, in the byte alphabet, that make the characters of these texts, the most frequent ones first.

    At most `size` tokens, the 256 bytes included: the rest of the characters stay bytes. A lone surrogate is none.
    """
    found: Counter[str] = Counter()
    for text in texts:
        found.update(text)
    merges: dict[tuple[str, str], None] = {}
    for letter, _ in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        data = letter.encode("utf-8", errors="ignore")
        signs = [bytelevel.CHAR_OF_BYTE[byte] for byte in data]
        # a lead byte stands nowhere else, so joining from the left can never cross into the next character
        wanted = [("".join(signs[:end]), signs[end]) for end in range(1, len(signs))]
        if 256 + len(merges) + sum(pair not in merges for pair in wanted) <= size:
            merges.update(dict.fromkeys(wanted))
    return list(merges)
