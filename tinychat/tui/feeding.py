"""Brings a stream view up to the path of a session, in slices of time that no key has to wait for.

What the stream shows already, of this path or of another one that begins alike, stays as it is laid out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tinychat.engine.packing import FATES
from tinychat.session.session import Session
from tinychat.session.transcript import Speller
from tinychat.session.tree import KIND_NAMES, PROMPT, Tree
from tinychat.tui import status
from tinychat.tui.tokentext import StreamToken
from tinychat.tui.widgets.stream import StreamView

SLICE_S = 0.03
BATCH = 256  # tokens between two looks at the clock
NAN = float("nan")


class Feed:
    """One stream, and how much of which path is in it."""

    def __init__(self, stream: StreamView, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._stream = stream
        self._clock = clock
        self._tree: Tree | None = None
        self._moves = -1  # Tree.moves of the tokens in the stream
        self._shown = 0  # how many of them
        self._comparing = False  # with the tokens of before, which are still there
        self._speller: Speller | None = None

    def bring(self, session: Session) -> bool:
        """Go on for a slice; whether all of the path is there then."""
        tree = session.tree
        if not self.follows(session):
            same = min(tree.shared_since(self._moves), self._shown) if self._tree is tree else 0
            if same:
                self._stream.truncate(same)
            self._comparing = not same
            self._speller, self._shown = Speller.behind(session.tokenizer, tree.path, same), same
            self._tree, self._moves = tree, tree.moves
        until, tokens = self._clock() + SLICE_S, list[StreamToken]()
        while self._shown < len(tree):
            tokens += self._new(session, min(self._shown + BATCH, len(tree)))
            if self._clock() >= until:
                break
        self._stream.append(tokens)  # at once: each time it is painted
        if self._shown < len(tree):
            return False
        if self._comparing:
            self._comparing = False
            self._stream.truncate(len(tree))
        return True

    def follows(self, session: Session) -> bool:
        """Whether this is the path that was brought last, as far as it was."""
        return self._tree is session.tree and self._moves == session.tree.moves

    def share(self, session: Session) -> float:
        """How much of the path is there."""
        return self._shown / len(session.tree) if self._tree is session.tree and len(session.tree) else 1.0

    def _new(self, session: Session, stop: int) -> list[StreamToken]:
        """The tokens of the path up to `stop` that are not in the stream."""
        start, tokens = self._shown, self._tokens(session, stop)
        self._shown = stop
        if self._comparing:
            same = self._stream.common(tokens, start)
            if same < len(tokens):
                self._comparing = False
                self._stream.truncate(start + same)
            return tokens[same:]
        return tokens

    def _tokens(self, session: Session, stop: int) -> list[StreamToken]:
        assert self._speller is not None, "set with the path"
        path, start, push, tokens = session.tree.path, self._shown, self._speller.push, list[StreamToken]()
        turned = set(session.turned(start, stop))
        columns = zip(
            path.ids[start:stop], path.kinds[start:stop], path.surprisal[start:stop], path.prob[start:stop],
            path.entropy[start:stop], path.rank[start:stop], path.fate[start:stop], strict=True,
        )  # fmt: skip
        for i, (token, kind, surprisal, prob, entropy, rank, fate) in enumerate(columns, start):
            text, name = push(token, given=kind == PROMPT), KIND_NAMES[kind]
            if kind == PROMPT:
                surprisal = prob = entropy = NAN
                rank = 0
            moved = ""
            if i in turned and session.moved(i):
                moved = status.moves(session.settings[path.setting[i - 1]], session.settings[path.setting[i]])
            tokens.append(StreamToken(text, name, surprisal, prob, entropy, rank, moved=moved, guess=FATES[fate] or ""))
        return tokens
