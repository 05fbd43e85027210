"""Text to ids and back, exactly; the `tokenizers` library itself is the outside oracle."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from tinychat.text import bytelevel
from tinychat.text.tokenizer import SPECIALS, Tokenizer

BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
TRICKY = [
    "",
    " ",
    "Hello, world! It's 2026.",
    "don't  DON'T we'll\t\ttabs\r\n\r\n  indented",
    "naïve café — “quotes” 12345 67",
    "小狐狸住在磨坊旁。👩‍🚀🚀 ﬁ Å",
    "e\u0301\u0301 \u00a0 \u2003x\x00\x7f",
]


def test_specials_then_bytes_then_merges_have_fixed_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.specials == {name: number for number, name in enumerate(SPECIALS)}
    assert tokenizer.end_of_text == 0
    assert [tokenizer.token_bytes(token) for token in range(6)] == [b""] * 6
    assert [tokenizer.token_bytes(6 + byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.vocab_size > 400
    assert len({tokenizer.token_bytes(token) for token in range(6, tokenizer.vocab_size)}) == tokenizer.vocab_size - 6
    assert [tokenizer.is_special(token) for token in (0, 5, 6, tokenizer.vocab_size - 1)] == [True, True, False, False]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert not any(map(tokenizer.is_special, ids))


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*SPECIALS, " ", "a", "<|", "|>"]), max_size=8).map("".join))
def test_names_of_specials_in_text_are_plain_characters(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert not any(map(tokenizer.is_special, ids))
    assert tokenizer.decode(ids) == text


def test_a_lone_surrogate_counts_as_a_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


def test_a_batch_is_each_text_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_batch(TRICKY) == [tokenizer.encode(text) for text in TRICKY]
    assert tokenizer.encode_batch([]) == []


def test_decoding_ids_outside_the_vocabulary_is_a_mistake(tokenizer: Tokenizer) -> None:
    for token in (-1, tokenizer.vocab_size):
        with pytest.raises(ValueError, match="token must be from 0"):
            tokenizer.decode([token])


def test_byte_lengths_count_the_bytes_of_a_text(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.byte_lengths()
    assert lengths.dtype == np.int32
    assert lengths.shape == (tokenizer.vocab_size,)
    for text in TRICKY:
        assert lengths[tokenizer.encode(text)].sum() == len(text.encode())


def test_training_twice_gives_the_same_tokenizer(tokenizer: Tokenizer, corpus: list[str]) -> None:
    assert Tokenizer.train(iter(corpus), vocab_size=512).to_json() == tokenizer.to_json()


def test_another_process_with_other_hashing_trains_the_same(tokenizer: Tokenizer, corpus: list[str]) -> None:
    program = (
        "import json, sys; from tinychat.text.tokenizer import Tokenizer;"
        "print(Tokenizer.train(json.load(sys.stdin), vocab_size=512).digest)"
    )
    for threads, seed in (("false", "1"), ("true", "2")):
        environment = {"PYTHONPATH": ":".join(sys.path), "TOKENIZERS_PARALLELISM": threads, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], input=json.dumps(corpus), env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == tokenizer.digest, done.stderr


def test_a_tiny_corpus_gives_a_smaller_vocabulary() -> None:
    assert Tokenizer.train([], vocab_size=1000).vocab_size == 262
    assert Tokenizer.train(["abab"], vocab_size=1000).vocab_size == 263  # "ab" is the only pair that occurs twice
    assert Tokenizer.train(["abab abab"], vocab_size=264).vocab_size <= 264


def test_a_vocabulary_below_the_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 262"):
        Tokenizer.train(["text"], vocab_size=261)


def test_training_on_one_endless_word_stays_quick() -> None:
    letters = random.Random(1).choices("etaoinshrdlu", k=300_000)
    start = time.process_time()
    Tokenizer.train(["".join(letters), " " * 300_000, "\ud800"], vocab_size=600)
    assert time.process_time() - start < 5  # 0.3 s; uncut it takes the library 15 s and grows with the square


@pytest.mark.parametrize("unit", ["a", "ab", " ", "!", "中", " \n", "é", "1"])
def test_a_line_of_a_megabyte_encodes_in_linear_time(tokenizer: Tokenizer, unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    start = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - start < 5  # 0.2 to 0.4 s
    assert sum(tokenizer.byte_lengths()[ids]) == len(text.encode())


def test_json_round_trip_keeps_every_byte_of_the_file(tokenizer: Tokenizer) -> None:
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert again.digest == tokenizer.digest
    assert [again.encode(text) for text in TRICKY] == [tokenizer.encode(text) for text in TRICKY]
    assert again.specials == tokenizer.specials


def test_the_library_reads_our_file_alike(tokenizer: Tokenizer) -> None:
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    assert theirs.get_vocab_size() == tokenizer.vocab_size
    for text in TRICKY:
        ids = tokenizer.encode(text)
        assert theirs.encode(text).ids == ids
        assert theirs.decode(ids) == text
    assert theirs.encode("<|end|>").ids == [5]  # theirs knows the specials; ours never takes them from text


def foreign(
    corpus: list[str],
    *,
    pre: pre_tokenizers.PreTokenizer = BYTE_LEVEL,
    special: str = "<|endoftext|>",
    last: bool = False,
    nfc: bool = False,
) -> tokenizers.Tokenizer:
    """A tokenizer as Hugging Face would publish it, made by the library alone."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre
    theirs.decoder = decoders.ByteLevel()
    if nfc:
        theirs.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[] if last else [special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(corpus, trainer)
    if last:  # as GPT-2 has it, behind everything else
        theirs.add_special_tokens([special])
    return theirs


def split_by(name: str) -> pre_tokenizers.PreTokenizer:
    cut = pre_tokenizers.Split(tokenizers.Regex(bytelevel.SPLIT_PATTERNS[name]), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


FOREIGN = {
    "gpt2": {},
    "gpt2, special last": {"last": True},
    "gpt2, written as a split": {"pre": split_by("gpt2")},
    "llama3": {"pre": split_by("llama3"), "special": "<|end_of_text|>"},
    "qwen2": {"pre": split_by("qwen2"), "nfc": True},
    "digits": {"pre": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL])},
}


@pytest.mark.parametrize("kind", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_encodes_as_the_library_does(corpus: list[str], kind: dict[str, object]) -> None:
    theirs = foreign(corpus, **kind)  # type: ignore[arg-type]
    ours = Tokenizer.from_json(theirs.to_str())
    assert ours.vocab_size == theirs.get_vocab_size()
    assert ours.end_of_text == theirs.token_to_id(str(kind.get("special", "<|endoftext|>")))
    assert not ours.has_chat
    for text in [*TRICKY, *corpus]:
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ids
        assert ours.decode(ids) == theirs.decode(ids)
    assert Tokenizer.from_json(ours.to_json()).digest == ours.digest
    again = tokenizers.Tokenizer.from_str(ours.to_json())
    assert [again.encode(text).ids for text in corpus] == [theirs.encode(text).ids for text in corpus]


def test_older_spellings_of_a_gpt2_file_mean_the_same(corpus: list[str]) -> None:
    data = json.loads(foreign(corpus).to_str())
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    del data["model"]["type"], data["model"]["ignore_merges"], data["model"]["byte_fallback"]
    data["model"]["continuing_subword_prefix"] = data["model"]["end_of_word_suffix"] = ""
    data["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    old = Tokenizer.from_json(json.dumps(data))
    assert old.digest == Tokenizer.from_json(foreign(corpus).to_str()).digest


def test_ignored_merges_are_kept(corpus: list[str]) -> None:
    data = json.loads(foreign(corpus).to_str())
    data["model"]["ignore_merges"] = True
    data["model"]["vocab"]["Ġzebra"] = len(data["model"]["vocab"])
    theirs = tokenizers.Tokenizer.from_str(json.dumps(data))
    ours = Tokenizer.from_json(json.dumps(data))
    assert ours.encode("a zebra") == theirs.encode("a zebra").ids
    assert ours.token_bytes(ours.encode("a zebra")[-1]) == b" zebra"
    assert Tokenizer.from_json(ours.to_json()).digest == ours.digest


def test_names_that_are_not_special_show_but_are_never_taken_from_text(corpus: list[str]) -> None:
    theirs = foreign(corpus)
    theirs.add_tokens(["<think>"])
    ours = Tokenizer.from_json(theirs.to_str())
    think = theirs.token_to_id("<think>")
    assert ours.decode([think]) == "<think>"
    assert not ours.is_special(think)
    assert think not in ours.encode("<think>")
    assert Tokenizer.from_json(ours.to_json()).digest == ours.digest


def test_labels_are_short_and_show_everything(tokenizer: Tokenizer) -> None:
    assert tokenizer.label(0) == "<|endoftext|>"
    assert tokenizer.label(6 + ord("\n")) == "↵"
    assert tokenizer.label(6 + ord(" ")) == "␣"
    assert tokenizer.label(6 + ord("\t")) == "⇥"
    assert tokenizer.label(6 + 0x1B) == "␛"
    assert tokenizer.label(6 + 0xE2) == "<E2>"
    assert tokenizer.label(tokenizer.encode(" the")[0]).startswith("␣")
    for token in range(tokenizer.vocab_size):
        label = tokenizer.label(token)
        assert label
        assert label.isprintable()
        assert " " not in label or "<" in label  # the space between broken bytes only


def test_labels_of_broken_characters_marks_and_long_tokens(corpus: list[str]) -> None:
    data = json.loads(foreign(corpus).to_str())
    vocab = data["model"]["vocab"]
    added = ["a\u0301"[1:].encode(), "🚀".encode()[:3], b"x\xe2\x80", b"-" * 200, "\u202e".encode()]
    first = len(vocab)
    for data_bytes in added:
        vocab.setdefault("".join(bytelevel.CHAR_OF_BYTE[byte] for byte in data_bytes), len(vocab))
    labels = list(map(Tokenizer.from_json(json.dumps(data)).label, range(first, len(vocab))))
    assert labels == ["◌\u0301", "<F0 9F 9A>", "x<E2 80>", "-" * 31 + "…", "<U+202E>"]
