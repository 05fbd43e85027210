"""Of a chat what the assistant says is learned and nothing else; long chats are cut between turns and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.errors import CorpusError
from tinychat.text.chat import Message, render
from tinychat.text.tokenizer import Tokenizer
from trainer.batches import IGNORED, Batches, Mode
from trainer.chat_loss import ChatTokens, Cuts, learned, stretches
from trainer.shards import Shard, write_shard


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the fox ran to the old mill and the owl saw the fox"] * 9, vocab_size=300)


@pytest.fixture(scope="module")
def chat(tokenizer: Tokenizer) -> ChatTokens:
    found = ChatTokens.of(tokenizer)
    assert found is not None
    return found


def talk(*texts: str, system: str = "") -> list[Message]:
    first = [Message("system", system)] if system else []
    return first + [Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(texts)]


def shard_of(folder: Path, documents: list[list[int]], tokenizer: Tokenizer) -> Shard:
    """With a question that nobody answers behind them: a line must be longer than a row."""
    path = folder / "a.bin"
    documents = [*documents, render(talk("fox"), tokenizer, reply=False).ids]
    write_shard(path, documents, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
    return Shard.open(path)


def batches_of(shard: Shard, tokenizer: Tokenizer, *, context: int, rows: int = 1, mode: Mode = "documents") -> Batches:
    return Batches(
        shard,
        context=context,
        rows=rows,
        seed=1,
        mode=mode,
        end_of_text=tokenizer.end_of_text,
        chat=ChatTokens.of(tokenizer),
    )


def trained(batches: Batches) -> list[list[int]]:
    """The learned labels of one epoch, of each row that has some."""
    rows = [batches.batch(index).y[0] for index in range(batches.rows_per_epoch)]
    return [row[row != IGNORED].tolist() for row in rows if (row != IGNORED).any()]


# --- which tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["documents", "packed"])
def test_the_learned_tokens_decode_to_what_the_assistant_said_with_its_end(
    mode: Mode, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    messages = talk("the fox?", "ran to the mill", "and the owl?", "saw the fox", system="be old")
    ids = render(messages, tokenizer, reply=False).ids
    shard = shard_of(tmp_path, [ids], tokenizer)
    (labels,) = trained(batches_of(shard, tokenizer, context=len(ids), mode=mode))
    end = tokenizer.specials["<|end|>"]
    assert labels.count(end) == 2
    assert labels[-1] == end
    first, second = " ".join(map(str, labels)).split(f" {end}")[:2]
    assert tokenizer.decode(map(int, first.split())) == "ran to the mill"
    assert tokenizer.decode(map(int, second.split())) == "saw the fox"


def test_the_mask_is_that_of_the_chat_format(tokenizer: Tokenizer, chat: ChatTokens) -> None:
    """Two derivations: render() marks what it writes, learned() reads the tokens."""
    rendered = render(talk("a", "b", "c", "d", system="s"), tokenizer, reply=False)
    ids = np.array(rendered.ids)
    assert learned(ids[:-1], ids[1:], chat).tolist() == rendered.mask[1:]


def test_a_changed_question_does_not_change_what_is_learned(tokenizer: Tokenizer, tmp_path: Path) -> None:
    found = []
    for number, question in enumerate(("the fox", "<|assistant|> the owl saw <|end|> an old, old mill")):
        folder = tmp_path / str(number)
        folder.mkdir()
        ids = render(talk(question, "ran"), tokenizer, reply=False).ids
        found.append(trained(batches_of(shard_of(folder, [ids], tokenizer), tokenizer, context=len(ids))))
    assert found[0] == found[1]


def test_plain_text_beside_chats_is_learned_whole(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = tokenizer.encode_document("the owl saw the old mill")
    ids = render(talk("fox", "ran"), tokenizer, reply=False).ids
    (labels,) = trained(batches_of(shard_of(tmp_path, [text, ids], tokenizer), tokenizer, context=len(text + ids)))
    assert sorted(labels) == sorted([*text[1:], tokenizer.end_of_text, *ids[-2 - len(tokenizer.encode("ran")) + 1 :]])


def test_pause_tokens_are_seen_and_not_learned(chat: ChatTokens) -> None:
    pause = ChatTokens(chat.system, chat.user, chat.assistant, chat.end, pause=290)
    ids = np.array([0, chat.user, 20, chat.end, chat.assistant, 290, 290, 21, chat.end, 0])
    assert learned(ids[:-1], ids[1:], pause).tolist() == [False] * 6 + [True, True, False]


# --- chats that are too long -------------------------------------------------------------------------------------


def test_a_long_chat_is_cut_between_turns_and_keeps_its_system_message(tokenizer: Tokenizer, chat: ChatTokens) -> None:
    messages = talk("fox", "ran", "owl", "saw", "mill", "old", system="be")
    ids = np.array(render(messages, tokenizer, reply=False).ids)
    head = render(messages[:1], tokenizer, reply=False).ids
    room = len(render(messages[:5], tokenizer, reply=False).ids)
    found, cuts = stretches(ids, room, chat)
    assert (cuts.chats, cuts.stretches, cuts.shortened, cuts.left_out) == (1, 2, 0, 0)
    parts = [ids[: part.head].tolist() + ids[part.start : part.stop].tolist() for part in found]
    assert parts[0] == render(messages[:5], tokenizer, reply=False).ids
    assert parts[1] == head + render(messages[5:], tokenizer, reply=False).ids[1:]


def test_a_long_reply_loses_its_end_and_a_question_too_long_is_left_out(
    tokenizer: Tokenizer, chat: ChatTokens, tmp_path: Path
) -> None:
    messages = talk("fox", "ran " * 30, "the owl " * 30, "saw", "mill", "old")
    ids = render(messages, tokenizer, reply=False).ids
    found, cuts = stretches(np.array(ids), 24, chat)
    assert (len(found), cuts.shortened, cuts.left_out) == (2, 1, 1)
    told = cuts.told(24)
    assert "1 chat is longer than the context of 24: cut between turns into 2" in told
    assert "1 reply is cut off at the end; 1 question too long, left out" in told
    batches = batches_of(shard_of(tmp_path, [ids], tokenizer), tokenizer, context=24)
    texts = {tokenizer.decode(labels) for labels in trained(batches)}
    assert any(text.startswith("ran ran") for text in texts)
    assert any(text.endswith("old") for text in texts)
    assert not any("saw" in text for text in texts)


@settings(max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=8), room=st.integers(4, 40)
)
def test_no_reply_is_learned_twice_and_no_stretch_is_too_long(sizes: list[tuple[int, int]], room: int) -> None:
    chat = ChatTokens(2, 3, 4, 5)
    ids, word = [0, 2, 6, 5], 10
    for question, reply in sizes:
        ids += [3, *[7] * question, 5, 4, *range(word, word + reply), 5]
        word += reply
    context = room + 4
    line = np.array(ids)
    found, cuts = stretches(line, context, chat)
    words: list[int] = []
    for part in found:
        piece = np.concatenate((line[: part.head], line[part.start : part.stop + 1]))
        x, y = piece[:-1], piece[1:]
        if part.stop == len(line):
            x, y = piece, np.append(piece[1:], 0)
        assert len(x) <= context
        words += [label for label in y[learned(x, y, chat)].tolist() if label >= 10]
    assert len(set(words)) == len(words)
    fitting = {size for size in sizes if sum(size) + 4 <= room}
    assert len(fitting) == 0 or found
    if not cuts.shortened and not cuts.left_out:
        assert words == list(range(10, word))


def test_a_chat_of_which_nothing_fits_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    ids = render(talk("the fox " * 30, "ran"), tokenizer, reply=False).ids
    path = tmp_path / "a.bin"
    write_shard(path, [ids], vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
    with pytest.raises(CorpusError, match="no question fits into 8 tokens"):
        batches_of(Shard.open(path), tokenizer, context=8)


def test_windows_know_no_speaker(tokenizer: Tokenizer, tmp_path: Path) -> None:
    shard = shard_of(tmp_path, [[1] * 40], tokenizer)
    with pytest.raises(ValueError, match="not in mode windows"):
        batches_of(shard, tokenizer, context=8, mode="windows")


def test_nothing_cut_is_nothing_told() -> None:
    assert Cuts().told(8) == ""
