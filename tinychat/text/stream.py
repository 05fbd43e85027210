"""Text out of tokens while they arrive: half a character waits, a possible stop string is held back.

Nothing here knows which token ends a reply, or what a terminal does with the text: see terminal.py.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from tinychat.text.tokenizer import Tokenizer


class TextStream:
    """One reply, token by token. The joined pushes and `finish` equal the decode of all tokens, cut at the stop.

    The cut is where the first stop string begins in the whole text, wherever token borders fall; text behind it
    never shows. Held back is only what can still become a stop string, or is half a character.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        if isinstance(stops, str):
            raise ValueError("stops must be a sequence of strings, got one string")
        if "" in stops:
            raise ValueError("a stop string must not be empty")
        self._tokenizer = tokenizer
        self._stops = tuple(dict.fromkeys(stops))
        self._longest = max(map(len, self._stops), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._finished = False
        self._stopped: str | None = None

    @property
    def stopped(self) -> str | None:
        """The stop string that was met. From then on every push gives nothing."""
        return self._stopped

    def push(self, token: int) -> str:
        """The text that is now safe to show, maybe none. ValueError after `finish`."""
        if self._finished:
            raise ValueError("this stream is finished: start a new TextStream")
        if not self._stops:
            return self._decoder.decode(self._tokenizer.token_bytes(token))
        return self._advance(self._decoder.decode(self._tokenizer.token_bytes(token)), last=False)

    def finish(self) -> str:
        """The rest: what was held back, and U+FFFD for a character that never became whole."""
        if self._finished:
            return ""
        self._finished = True
        return self._advance(self._decoder.decode(b"", final=True), last=True)

    def _advance(self, text: str, *, last: bool) -> str:
        if self._stopped is not None:
            return ""
        text = self._held + text
        wait = len(text) if last else self._may_begin(text)
        found = min(((at, len(stop), stop) for stop in self._stops if (at := text.find(stop)) >= 0), default=None)
        if found is not None and found[0] <= wait:
            self._stopped, self._held = found[2], ""
            return text[: found[0]]
        # a stop that was found behind `wait` stays held: an earlier one may still become whole
        self._held = text[wait:]
        return text[:wait]

    def _may_begin(self, text: str) -> int:
        """The first place from which all the rest is the beginning of a stop string; the end where there is none."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(stop.startswith(text[at:]) for stop in self._stops):
                return at
        return len(text)
