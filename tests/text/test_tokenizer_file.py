"""A stranger's tokenizer.json is read exactly or refused, quickly, saying what is wrong."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.errors import FileFormatError
from tinychat.text import tokenizer as tokenizer_module
from tinychat.text.tokenizer import Tokenizer

Data = dict[str, Any]


@pytest.fixture(scope="module")
def good(tokenizer: Tokenizer) -> str:
    return tokenizer.to_json()


def put(*path: str | int, to: Any) -> Callable[[Data], None]:
    """A change of one value of the file."""

    def change(data: Data) -> None:
        inner: Any = data
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return change


def drop(*path: str) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def no_special(data: Data) -> None:
    data["added_tokens"] = data["added_tokens"][1:]
    data["model"]["vocab"] = {token: number for token, number in data["model"]["vocab"].items() if number}
    data["model"]["vocab"]["zz"] = 0


def hole(data: Data) -> None:
    vocab = data["model"]["vocab"]
    vocab[max(vocab, key=vocab.__getitem__)] += 7


def same_id(data: Data) -> None:
    vocab = data["model"]["vocab"]
    vocab[max(vocab, key=vocab.__getitem__)] = 40


def repeated_merge(data: Data) -> None:
    data["model"]["merges"].append(data["model"]["merges"][0])


def split(pattern: Any, **more: Any) -> Data:
    cut = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False} | more
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [cut, last]}


ADDED = {"id": 1, "content": "<|pad|>", "single_word": False, "lstrip": False, "rstrip": False, "special": True}

WRONG: dict[str, tuple[Callable[[Data], None], str]] = {
    "no model": (drop("model"), "model must be an object"),
    "model is a list": (put("model", to=[]), "model must be an object"),
    "WordPiece": (put("model", "type", to="WordPiece"), "the model is 'WordPiece', not BPE"),
    "model type is an object": (put("model", "type", to={"a": 1}), "not BPE"),
    "unknown top key": (put("auto_map", to={}), "unknown key 'auto_map'"),
    "unknown model key": (put("model", "code", to="x"), "unknown key 'code'"),
    "vocab missing": (drop("model", "vocab"), "model.vocab must be an object"),
    "vocab is a list": (put("model", "vocab", to=["a"]), "model.vocab must be an object"),
    "vocab empty": (put("model", "vocab", to={}), "model.vocab must be an object"),
    "text id": (put("model", "vocab", "a", to="5"), "id of 'a' must be a whole number"),
    "float id": (put("model", "vocab", "a", to=5.0), "id of 'a' must be a whole number"),
    "true id": (put("model", "vocab", "a", to=True), "id of 'a' must be a whole number"),
    "negative id": (put("model", "vocab", "a", to=-1), "id of 'a' must be a whole number"),
    "huge id": (put("model", "vocab", "a", to=2**63), "id of 'a' must be a whole number"),
    "gigantic id": (put("model", "vocab", "a", to=10**4000), "a huge number"),
    "hole in ids": (hole, "the ids have holes"),
    "id twice": (same_id, "belongs to both"),
    "byte missing": (drop("model", "vocab", "a"), "the ids have holes"),
    "not the byte alphabet": (put("model", "vocab", "▁the", to=512), "is not in the byte alphabet"),
    "control in a token": (put("model", "vocab", "\x1b[2J", to=512), "is not in the byte alphabet"),
    "empty token": (put("model", "vocab", "", to=512), "has 0 characters"),
    "endless token": (put("model", "vocab", "a" * 5000, to=512), "has 5000 characters"),
    "merges missing": (drop("model", "merges"), "model.merges must be a list"),
    "merge of three": (put("model", "merges", 0, to="a b c"), "merge 1 must be two tokens"),
    "merge of one": (put("model", "merges", 3, to=["a"]), "merge 4 must be two tokens"),
    "merge of numbers": (put("model", "merges", 0, to=[1, 2]), "merge 1 must be two tokens"),
    "merge outside": (put("model", "merges", 0, to="q qqq"), "'qqq' is no token"),
    "joined merge outside": (put("model", "merges", 0, to="q Q"), "'qQ' is no token"),
    "merge into a special": (put("model", "merges", 0, to=["<|", "end|>"]), "is no token"),
    "merge twice": (repeated_merge, "is there twice"),
    "dropout": (put("model", "dropout", to=0.1), "model.dropout = 0.1 is not supported"),
    "word suffix": (put("model", "end_of_word_suffix", to="</w>"), "end_of_word_suffix"),
    "byte fallback": (put("model", "byte_fallback", to=True), "byte_fallback"),
    "ignore_merges is text": (put("model", "ignore_merges", to="yes"), "ignore_merges must be true or false"),
    "unk_token is a number": (put("model", "unk_token", to=3), "unk_token must be text"),
    "added tokens an object": (put("added_tokens", to={}), "added_tokens must be a list"),
    "added token a number": (put("added_tokens", 0, to=7), r"added_tokens\[0\] must be an object"),
    "added token without text": (put("added_tokens", 1, "content", to=None), "must be printable text"),
    "added token with escapes": (put("added_tokens", 1, "content", to="\x1b[2J"), "must be printable text"),
    "added token a surrogate": (put("added_tokens", 1, "content", to="\ud800"), "must be printable text"),
    "added token twice": (put("added_tokens", 0, to=ADDED), "'<|pad|>' is there twice"),
    "added token elsewhere": (put("added_tokens", 1, "id", to=9), "has id 9, but 1 in model.vocab"),
    "added token far away": (put("added_tokens", 1, "id", to=2**40), "must be a whole number"),
    "special is text": (put("added_tokens", 1, "special", to="no"), "special must be true or false"),
    "plain added token": (
        put("added_tokens", 1, to=ADDED | {"content": "    ", "id": 512, "special": False}),
        "plain text outside the BPE vocabulary",
    ),
    "no end of text": (no_special, "no special token ends a document"),
    "normalizer": (put("normalizer", to={"type": "Lowercase"}), "the normalizer .* is not supported"),
    "replacing normalizer": (
        put("normalizer", to={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        "the normalizer .* is not supported",
    ),
    "no pre_tokenizer": (put("pre_tokenizer", to=None), "pre_tokenizer must be"),
    "Whitespace": (put("pre_tokenizer", to={"type": "Whitespace"}), "'Whitespace' is not byte-level"),
    "prefix space": (put("pre_tokenizer", "add_prefix_space", to=True), "add_prefix_space must be false"),
    "stranger's regex": (put("pre_tokenizer", to=split({"Regex": "(a|aa)+$"})), "unknown pattern, which is not run"),
    "regex is a list": (put("pre_tokenizer", to=split([])), "unknown pattern"),
    "split by removal": (
        put("pre_tokenizer", to=split({"Regex": r"'s|'t|'re|'ve|'m|'ll|'d"}, behavior="Removed")),
        "unknown pattern",
    ),
    "no regex at all": (put("pre_tokenizer", "use_regex", to=False), "is not supported"),
    "empty sequence": (put("pre_tokenizer", to={"type": "Sequence", "pretokenizers": []}), "pre_tokenizer must be"),
    "odd sequence": (put("pre_tokenizer", to={"type": "Sequence", "pretokenizers": [1]}), "pre_tokenizer must be"),
    "post-processor": (put("post_processor", to={"type": "Evil"}), "post_processor"),
    "no decoder": (put("decoder", to=None), "the decoder must be ByteLevel"),
    "truncation is a number": (put("truncation", to=5), "truncation must be null or an object"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_refused_with_the_reason(good: str, change: Callable[[Data], None], reason: str) -> None:
    data = json.loads(good)
    change(data)
    text = json.dumps(data)
    start = time.process_time()
    with pytest.raises(FileFormatError, match=reason) as caught:
        Tokenizer.from_json(text, origin="theirs\x1b.json")
    assert time.process_time() - start < 1
    assert caught.value.exit_code == 3
    assert caught.value.what.startswith("theirs␛.json: ")
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300


NOT_JSON = {
    "empty": ("", "not JSON"),
    "text": ("hello", "not JSON"),
    "a list": ("[]", "the file must be an object"),
    "a number": ("5", "the file must be an object"),
    "null": ("null", "the file must be an object"),
    "NaN": ('{"model": NaN}', "NaN is no number"),
    "key twice": ('{"model": {}, "model": {}}', "the key 'model' is there twice"),
    "nested lists": ("[" * 100_000, "nested too deeply|not JSON"),
    "nested objects": ('{"a":' * 100_000, "nested too deeply|not JSON"),
    "endless number": ('{"model":' + "9" * 100_000 + "}", "not JSON"),
    "many values": ("[" + "[]," * 1_500_000 + "[]]", "more than 1000000 JSON values"),
    "many keys": ('{"model":{"vocab":{' + ",".join(f'"{n}":{n}' for n in range(600_000)) + "}}}", "or 500000 keys"),
    "very long": ('"' + "a" * 21_000_000 + '"', "too large"),
    "pickle": ("\x80\x04\x95", "not JSON"),
    "byte order mark": ("\ufeff{}", "not JSON"),
}


@pytest.mark.parametrize(("text", "reason"), NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_tokenizer_is_refused_in_a_second(text: str, reason: str) -> None:
    start = time.process_time()
    with pytest.raises(FileFormatError, match=reason):
        Tokenizer.from_json(text)
    assert time.process_time() - start < 1


def test_a_file_cut_anywhere_is_refused(good: str) -> None:
    for at in range(0, len(good), 97):
        with pytest.raises(FileFormatError):
            Tokenizer.from_json(good[:at])


def any_place(data: Any, draw: st.DrawFn) -> tuple[Any, Any]:
    """A container inside the JSON value, and a key of it."""
    while True:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(data[key], dict | list) and data[key] and draw(st.booleans())):
            return data, key
        data = data[key]


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers())


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_change_gives_a_working_tokenizer_or_the_one_error(good: str, data: st.DataObject) -> None:
    value = json.loads(good)
    for _ in range(data.draw(st.integers(1, 3))):
        inner, key = data.draw(st.composite(lambda draw: any_place(value, draw))())
        inner[key] = data.draw(JUNK)
    try:
        read = Tokenizer.from_json(json.dumps(value, allow_nan=True))
    except FileFormatError:
        return
    assert read.decode(read.encode("It's 42 — ok 🚀")) == "It's 42 — ok 🚀"
    assert Tokenizer.from_json(read.to_json()).digest == read.digest


def test_a_panic_of_native_code_is_the_files_fault(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As pyo3's: no Exception, so `except Exception` lets it through."""

    def explode(parts: object) -> None:
        raise Panic("index out of bounds\x1b")

    monkeypatch.setattr(tokenizer_module, "_encoder", explode)
    with pytest.raises(FileFormatError, match="cannot be built"):
        Tokenizer.from_json(good)


def test_a_file_is_read_from_disk(good: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(good, encoding="utf-8")
    assert Tokenizer.from_file(path).digest == tokenizer.digest
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert Tokenizer.from_file(link).digest == tokenizer.digest


def test_only_readable_regular_files_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    binary = tmp_path / "binary"
    binary.write_bytes(b"{}\xff")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path, reason in {
        pipe: "not a regular file",
        tmp_path: "not a regular file|cannot be read",
        Path("/dev/zero"): "not a regular file",
        binary: r"not UTF-8 text \(byte 2\)",
        sparse: "too large",
        loop: "cannot be read",
        tmp_path / "missing\x1b": "missing␛: cannot be read",
    }.items():
        start = time.process_time()
        with pytest.raises(FileFormatError, match=reason):
            Tokenizer.from_file(path)
        assert time.process_time() - start < 1
