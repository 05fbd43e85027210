"""A text on its way into the stream: in slices, whatever the person does meanwhile, and in the end all of it."""

from __future__ import annotations

import itertools
import random

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.session.session import Session
from tinychat.session.transcript import pieces
from tinychat.session.tree import DRAWN
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.feeding import BATCH, Feed
from tinychat.tui.palette import Look
from tinychat.tui.widgets.stream import StreamView


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat and looked at the moon, as cats do. "] * 4, vocab_size=290)


def session_of(tokenizer: Tokenizer, tokens: int) -> Session:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    draw(session, tokens)
    return session


def draw(session: Session, tokens: int, seed: int = 1) -> None:
    dice, settings = random.Random(seed), [session.params, session.params.with_(temperature=0.5)]
    for _ in range(tokens):
        number = session.setting(settings[dice.random() < 0.1])
        session.tree.append(dice.randrange(6, session.tokenizer.vocab_size), kind=DRAWN, setting=number)


def feed_of(stream: StreamView) -> Feed:
    """One whose time is up after every batch."""
    seconds = itertools.count()
    return Feed(stream, clock=lambda: float(next(seconds)))


def texts(stream: StreamView) -> list[str]:
    return [stream.token(at).text for at in range(stream.count)]


def test_a_long_text_comes_in_slices_and_whole(tokenizer: Tokenizer) -> None:
    session, stream = session_of(tokenizer, 3 * BATCH), StreamView(Look())
    feed, whole = feed_of(stream), pieces(session)
    counts = []
    while not feed.bring(session):
        counts.append(stream.count)
        assert texts(stream) == whole[: stream.count]
        assert feed.share(session) == stream.count / len(whole) < 1
    assert counts == [BATCH, 2 * BATCH, 3 * BATCH]
    assert texts(stream) == whole
    assert feed.share(session) == 1
    assert feed.bring(session)
    moved = [bool(stream.token(at).moved) for at in range(stream.count)]
    assert moved == [session.moved(at) for at in range(len(whole))]


def test_a_move_while_a_text_comes_ends_with_the_other_text(tokenizer: Tokenizer) -> None:
    session, stream, dice = session_of(tokenizer, 4 * BATCH), StreamView(Look()), random.Random(4)
    feed = feed_of(stream)
    for each in range(12):
        feed.bring(session)
        move = dice.choice(["rewind", "undo", "redo", "sibling"])
        if move == "rewind":
            session.rewind(dice.randrange(len(session.tree)))
            draw(session, dice.randrange(2 * BATCH), seed=each)
        elif move == "sibling":
            session.tree.sibling(1)
        else:
            getattr(session.tree, move)()
    while not feed.bring(session):
        pass
    assert texts(stream) == pieces(session)


def test_another_tree_keeps_what_is_the_same_and_no_more(tokenizer: Tokenizer) -> None:
    stream = StreamView(Look())
    feed, one = feed_of(stream), session_of(tokenizer, 2 * BATCH)
    while not feed.bring(one):
        pass
    stream.cursor = BATCH + 7
    for length, cursor in ((3 * BATCH, BATCH + 7), (BATCH + 20, BATCH + 7), (BATCH, None)):
        other = session_of(tokenizer, length)
        while not feed.bring(other):
            pass
        assert texts(stream) == pieces(other)
        assert stream.cursor == cursor, "on the same token as long as there is one"
    third = session_of(tokenizer, 0)
    draw(third, 2 * BATCH, seed=9)
    feed.bring(third)
    assert texts(stream) == pieces(third)[: stream.count], "nothing of the other text is left"


def test_the_cursor_waits_for_its_token(tokenizer: Tokenizer) -> None:
    session, stream = session_of(tokenizer, 3 * BATCH), StreamView(Look())
    feed = feed_of(stream)
    feed.bring(session)
    stream.aim(2 * BATCH + 5)
    assert stream.cursor is None
    feed.bring(session)
    assert stream.cursor is None
    feed.bring(session)
    assert stream.cursor == 2 * BATCH + 5
    stream.aim(3)
    assert stream.cursor == 3


async def test_a_person_who_moves_meanwhile_is_not_pulled_away(tokenizer: Tokenizer) -> None:
    from textual.app import App, ComposeResult

    stream = StreamView(Look())

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield stream

    session, feed = session_of(tokenizer, 3 * BATCH), feed_of(stream)
    async with Alone().run_test():
        feed.bring(session)
        stream.aim(2 * BATCH)
        stream.home()
        while not feed.bring(session):
            pass
        assert stream.cursor == 0
