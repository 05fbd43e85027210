"""The joined stream is the decode of the whole, cut at the first stop string."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.text.stream import TextStream
from tinychat.text.tokenizer import Tokenizer

FIRST_BYTE = 6  # ids of single bytes follow the six specials


def as_bytes(data: bytes) -> list[int]:
    return [FIRST_BYTE + byte for byte in data]


def run(stream: TextStream, ids: list[int]) -> str:
    return "".join([*map(stream.push, ids), stream.finish()])


def cut(text: str, stops: list[str]) -> str:
    """The definition, in the obvious way."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def test_every_pair_of_tokens_streams_exactly(tokenizer: Tokenizer) -> None:
    for pair in itertools.product(range(tokenizer.vocab_size), repeat=2):
        stream = TextStream(tokenizer)
        shown = stream.push(pair[0]) + stream.push(pair[1]) + stream.finish()
        if shown != tokenizer.decode(pair):
            pytest.fail(f"{pair}: {shown!r} is not {tokenizer.decode(pair)!r}")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_tokens_stream_exactly(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=60))
    assert run(TextStream(tokenizer), ids) == tokenizer.decode(ids)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.lists(st.sampled_from([0x61, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0xED, 0xA0, 0xC0])))
def test_broken_utf8_reads_as_python_decodes_the_whole(tokenizer: Tokenizer, raw: bytes | list[int]) -> None:
    data = bytes(raw)
    assert run(TextStream(tokenizer), as_bytes(data)) == data.decode("utf-8", errors="replace")


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_text_ends_where_the_first_stop_begins(tokenizer: Tokenizer, data: st.DataObject) -> None:
    stops = data.draw(st.lists(st.text("ab \né", min_size=1, max_size=5), max_size=4))
    text = data.draw(st.text("ab \né🚀", max_size=40))
    ids = tokenizer.encode(text) if data.draw(st.booleans()) else as_bytes(text.encode())
    stream = TextStream(tokenizer, stops)
    assert run(stream, ids) == cut(text, stops)
    assert (stream.stopped is not None) == any(stop in text for stop in stops)
    if stream.stopped:
        assert text.startswith(stream.stopped, len(cut(text, stops)))


@settings(max_examples=200, deadline=None)
@given(st.text("ab ", max_size=30), st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=3))
def test_only_a_possible_stop_is_held_back(tokenizer: Tokenizer, text: str, stops: list[str]) -> None:
    stream, shown = TextStream(tokenizer, stops), ""
    for at, token in enumerate(as_bytes(text.encode()), 1):
        shown += stream.push(token)
        if stream.stopped:
            break
        held = text[:at].removeprefix(shown)
        assert len(held) < max(map(len, stops))
        assert not held or any(stop.startswith(held) or stop in held for stop in stops)


def test_half_a_character_waits(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    assert [stream.push(token) for token in as_bytes("a🚀b".encode())] == ["a", "", "", "", "🚀", "b"]


def test_half_a_character_at_the_end_shows_once(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    assert [stream.push(token) for token in as_bytes("a🚀".encode()[:-1])] == ["a", "", "", ""]
    assert stream.finish() == "\ufffd"
    assert stream.finish() == ""


def test_a_byte_that_can_never_complete_shows_at_once(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    assert [stream.push(token) for token in as_bytes(b"\xe2(\x80")] == ["", "\ufffd(", "\ufffd"]


def test_a_special_token_between_halves_is_no_text(tokenizer: Tokenizer) -> None:
    first, *rest = as_bytes("é".encode())
    ids = [first, tokenizer.specials["<|pad|>"], *rest]
    assert run(TextStream(tokenizer), ids) == tokenizer.decode(ids) == "é"


def test_a_stop_may_end_inside_a_token(tokenizer: Tokenizer) -> None:
    the = next(token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token) == b" the")
    stream = TextStream(tokenizer, [". t"])
    assert stream.push(FIRST_BYTE + ord(".")) == ""
    assert stream.push(the) == ""
    assert stream.stopped == ". t"
    assert stream.push(the) == stream.finish() == ""


def test_an_earlier_stop_wins_over_one_inside_it(tokenizer: Tokenizer) -> None:
    whole = TextStream(tokenizer, ["bc", "abcd"])
    assert run(whole, as_bytes(b"xabcd")) == "x"
    assert whole.stopped == "abcd"
    part = TextStream(tokenizer, ["bc", "abcd"])
    assert run(part, as_bytes(b"xabce")) == "xa"
    assert part.stopped == "bc"


def test_a_longer_stop_at_the_same_place_is_not_waited_for(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["abc", "ab"])
    assert [stream.push(token) for token in as_bytes(b"xab")] == ["x", "", ""]
    assert stream.stopped == "ab"


def test_a_stop_that_never_comes_is_shown_at_the_end(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["\n\nUser:"])
    shown = [stream.push(token) for token in as_bytes(b"hi\n\nUse")]
    assert "".join(shown) == "hi"
    assert stream.finish() == "\n\nUse"
    assert stream.stopped is None


def test_nonsense_stops_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="empty"):
        TextStream(tokenizer, ["a", ""])
    with pytest.raises(ValueError, match="sequence"):
        TextStream(tokenizer, "stop")


def test_a_finished_stream_takes_no_token(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(70)
