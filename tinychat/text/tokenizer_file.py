"""tokenizer.json: one strict reader, one canonical writer, and the parts between.

The reader takes the byte-level BPE subset of the Hugging Face format and refuses the rest by name. A stranger's file
never reaches the native library, and no regular expression out of it is run. Nothing here encodes or trains.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tinychat.errors import FileFormatError
from tinychat.text import bytelevel
from tinychat.text.terminal import one_line

MAX_CHARS = 20_000_000  # Llama 3, with 128 000 tokens, has 17 million
MAX_ITEMS = 1_000_000  # JSON values: a hostile file gets no more than a second and 200 MB
MAX_VOCAB = 500_000
MAX_TOKEN_CHARS = 1_024
HINT = "tinychat reads byte-level BPE files (GPT-2, Llama 3, Qwen 2). Or train your own:  tinychat train"

_END_NAMES = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
_FILE_KEYS = ("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor")
_MODEL_KEYS = ("type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk")
_ADDED_KEYS = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
_POST_PROCESSORS = ("ByteLevel", "TemplateProcessing", "Sequence")


@dataclass(frozen=True)
class Parts:
    """A byte-level BPE tokenizer as data. The ids of tokens, specials and names together are 0 .. n-1, each once."""

    tokens: dict[str, int]
    """What merging can give, in the byte alphabet."""
    merges: list[tuple[str, str]]
    """Pairs by priority. Both sides, and the two joined, are in `tokens`."""
    specials: dict[str, int]
    """Control tokens: they hold no text."""
    names: dict[str, int] = field(default_factory=dict)
    """Added tokens such as <think>: shown as text, but text never becomes one."""
    split: str = bytelevel.GPT2
    """How a text is cut before merging: a key of bytelevel.SPLIT_PATTERNS, or bytelevel.GPT2_DIGITS."""
    nfc: bool = False
    """Whether text is brought to Unicode NFC first."""
    whole_words: bool = False
    """Whether a piece that is a token as it stands skips the merges ("ignore_merges")."""

    @property
    def end_name(self) -> str | None:
        """The special between documents."""
        return next((name for name in _END_NAMES if name in self.specials), None)


class _Wrong(Exception):
    """What is wrong with the file, for a person."""


def read_text(path: Path) -> str:
    """The text of a regular file. FileFormatError for anything else, without ever waiting on a pipe."""
    shown = one_line(str(path))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise FileFormatError(f"{shown}: not a regular file.", HINT)
            if facts.st_size > 2 * MAX_CHARS:  # the byte alphabet takes at most 2 bytes a character
                raise FileFormatError(f"{shown}: {facts.st_size} bytes is too large for a tokenizer.", HINT)
            return file.read().decode("utf-8")
    except OSError as error:
        raise FileFormatError(f"{shown}: cannot be read ({error.strerror}).", HINT) from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{shown}: not UTF-8 text (byte {error.start}).", HINT) from None


def parse(text: str, *, origin: str) -> Parts:
    """The parts of a tokenizer.json. FileFormatError with `origin` and the first thing that is wrong."""
    try:
        return _parts(_json(text))
    except _Wrong as wrong:
        raise FileFormatError(f"{one_line(origin)}: {one_line(str(wrong))}.", HINT) from None


def dump(parts: Parts) -> str:
    """The one text for these parts: a tokenizer.json that other software reads too. parse(dump(parts)) == parts."""
    added = sorted((parts.specials | parts.names).items(), key=lambda item: item[1])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    value = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": name, **plain, "special": name in parts.specials} for name, token in added
        ],
        "normalizer": {"type": "NFC"} if parts.nfc else None,
        "pre_tokenizer": _dump_split(parts.split, byte_level),
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": parts.whole_words,
            "vocab": dict(sorted([*parts.tokens.items(), *added], key=lambda item: item[1])),
            "merges": [f"{left} {right}" for left, right in parts.merges],
        },
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _dump_split(split: str, byte_level: dict[str, Any]) -> dict[str, Any]:
    if split == bytelevel.GPT2:
        return byte_level
    if split == bytelevel.GPT2_DIGITS:
        return {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]}
    pattern = {"Regex": bytelevel.SPLIT_PATTERNS[split]}
    cut = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, byte_level | {"use_regex": False}]}


def _json(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARS:
        raise _Wrong(f"{len(text)} characters is too large, at most {MAX_CHARS}")
    if text.count(",") + text.count("[") + text.count("{") > MAX_ITEMS or text.count(":") > MAX_VOCAB:
        raise _Wrong(f"more than {MAX_ITEMS} JSON values, or {MAX_VOCAB} keys")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise _Wrong("nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, and numbers of thousands of digits
        raise _Wrong(f"not JSON ({error})") from None
    return _object(value, "the file", (*_FILE_KEYS, "decoder", "model"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _Wrong(f"the key {_show(twice)} is there twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise _Wrong(f"not JSON ({name} is no number)")


def _parts(data: dict[str, Any]) -> Parts:
    for key in ("truncation", "padding"):  # a caller's wishes, not part of how text becomes tokens
        if not isinstance(data.get(key), dict | None):
            raise _Wrong(f"{key} must be null or an object, got {_show(data[key])}")
    model = _model(data.get("model"))
    vocab = _vocab(model.get("vocab"))
    added = _added(data.get("added_tokens", []), vocab)
    _check_dense(vocab | {name: token for name, (token, _) in added.items()})
    tokens = {token: number for token, number in vocab.items() if token not in added}
    _check_alphabet(tokens)
    _check_after(data)
    parts = Parts(
        tokens=tokens,
        merges=_merges(model.get("merges"), tokens),
        specials={name: token for name, (token, special) in added.items() if special},
        names={name: token for name, (token, special) in added.items() if not special},
        split=_split(data.get("pre_tokenizer")),
        nfc=_nfc(data.get("normalizer")),
        whole_words=model.get("ignore_merges") is True,
    )
    if parts.end_name is None:
        raise _Wrong(f"no special token ends a document: none of {', '.join(_END_NAMES)} is there")
    return parts


def _model(value: Any) -> dict[str, Any]:
    keys = (*_MODEL_KEYS, "byte_fallback", "ignore_merges", "vocab", "merges")
    if isinstance(value, dict) and value.get("type", "BPE") != "BPE":
        raise _Wrong(f"the model is {_show(value['type'])}, not BPE")
    model = _object(value, "model", keys)
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key) not in (None, "", False):
            raise _Wrong(f"model.{key} = {_show(model[key])} is not supported")
    for key in ("fuse_unk", "ignore_merges"):
        if not isinstance(model.get(key), bool | None):
            raise _Wrong(f"model.{key} must be true or false, got {_show(model[key])}")
    if not isinstance(model.get("unk_token"), str | None):
        raise _Wrong(f"model.unk_token must be text, got {_show(model['unk_token'])}")
    return model


def _vocab(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise _Wrong(f"model.vocab must be an object of tokens and ids, got {_show(value)}")
    if len(value) > MAX_VOCAB:
        raise _Wrong(f"model.vocab has {len(value)} tokens, at most {MAX_VOCAB} are read")
    for token, number in value.items():
        _id(number, token)
        if not 0 < len(token) <= MAX_TOKEN_CHARS:
            raise _Wrong(f"the token with id {number} has {len(token)} characters, 1 to {MAX_TOKEN_CHARS} are allowed")
    return value


def _added(value: Any, vocab: dict[str, int]) -> dict[str, tuple[int, bool]]:
    """Added tokens: name to id and whether it is special."""
    if not isinstance(value, list) or len(value) > MAX_VOCAB:
        raise _Wrong(f"added_tokens must be a list, got {_show(value)}")
    added: dict[str, tuple[int, bool]] = {}
    for index, item in enumerate(value):
        item = _object(item, f"added_tokens[{index}]", _ADDED_KEYS)
        name, special = item.get("content"), item.get("special")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_TOKEN_CHARS or not name.isprintable():
            raise _Wrong(f"added_tokens[{index}].content must be printable text, got {_show(name)}")
        number = _id(item.get("id"), name)
        if not isinstance(special, bool):
            raise _Wrong(f"added_tokens[{index}].special must be true or false, got {_show(special)}")
        if not special and not (name[0] in "<[" and name[-1] in ">]"):
            # matching these would change how plain text is cut, in a way merging cannot
            raise _Wrong(f"the added token {_show(name)} is plain text outside the BPE vocabulary, not supported")
        if name in added:
            raise _Wrong(f"the added token {_show(name)} is there twice")
        if vocab.get(name, number) != number:
            raise _Wrong(f"the added token {_show(name)} has id {number}, but {vocab[name]} in model.vocab")
        added[name] = number, special
    return added


def _id(number: Any, token: str) -> int:
    if type(number) is not int or not 0 <= number < MAX_VOCAB:
        raise _Wrong(f"the id of {_show(token)} must be a whole number from 0 to {MAX_VOCAB - 1}, got {_show(number)}")
    return number


def _check_dense(ids: dict[str, int]) -> None:
    owners: dict[int, str] = {}
    for token, number in ids.items():
        if number in owners:
            raise _Wrong(f"the id {number} belongs to both {_show(owners[number])} and {_show(token)}")
        owners[number] = token
    if max(owners) != len(owners) - 1:
        hole = next(number for number in range(len(owners)) if number not in owners)
        raise _Wrong(f"the ids have holes: {hole} is missing, and the highest is {max(owners)}")


def _check_alphabet(tokens: dict[str, int]) -> None:
    if strange := set("".join(tokens)) - bytelevel.BYTE_OF_CHAR.keys():
        token = next(token for token in tokens if not strange.isdisjoint(token))
        raise _Wrong(f"the token {_show(token)} (id {tokens[token]}) is not in the byte alphabet")
    for byte, char in bytelevel.CHAR_OF_BYTE.items():
        if char not in tokens and byte not in bytelevel.NEVER_IN_UTF8:
            raise _Wrong(f"the byte 0x{byte:02X} has no token, so not every text could be encoded")


def _merges(value: Any, tokens: dict[str, int]) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise _Wrong(f"model.merges must be a list, got {_show(value)}")
    merges: dict[tuple[str, str], None] = {}
    for number, item in enumerate(value, 1):
        pair = item.split(" ") if isinstance(item, str) else item
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(side, str) for side in pair):
            raise _Wrong(f"merge {number} must be two tokens, got {_show(item)}")
        left, right = pair
        for token in (left, right, left + right):
            if token not in tokens:
                raise _Wrong(f"merge {number} ({_show(left)} and {_show(right)}): {_show(token)} is no token")
        if (left, right) in merges:
            raise _Wrong(f"merge {number} ({_show(left)} and {_show(right)}) is there twice")
        merges[left, right] = None
    return list(merges)


def _split(value: Any) -> str:
    """The name of the way to cut a text, only where it is a known one."""
    steps = value.get("pretokenizers") if isinstance(value, dict) and value.get("type") == "Sequence" else [value]
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise _Wrong(f"pre_tokenizer must be ByteLevel or a Sequence, got {_show(value)}")
    *before, last = steps
    if last.get("type") != "ByteLevel" or len(before) > 1:
        raise _Wrong(f"pre_tokenizer {_show(' + '.join(str(step.get('type')) for step in steps))} is not byte-level")
    if last.get("add_prefix_space") is not False:
        raise _Wrong("pre_tokenizer.add_prefix_space must be false: a space nobody wrote is not supported")
    own_split = last.get("use_regex", True)
    if not before and own_split is True:
        return bytelevel.GPT2
    if before and own_split is True and before[0] == {"type": "Digits", "individual_digits": True}:
        return bytelevel.GPT2_DIGITS
    if before and own_split is False and before[0].get("type") == "Split":
        return _known_regex(before[0])
    raise _Wrong(f"pre_tokenizer {_show(steps)} is not supported")


def _known_regex(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(regex, str) or regex not in bytelevel.KNOWN_REGEXES:
        raise _Wrong(f"pre_tokenizer has an unknown pattern, which is not run: {_show(pattern)}")
    if step.get("behavior") != "Isolated" or step.get("invert") is not False:
        raise _Wrong("pre_tokenizer.Split must be Isolated and not inverted")
    return bytelevel.KNOWN_REGEXES[regex]


def _nfc(value: Any) -> bool:
    if value in (None, {"type": "Sequence", "normalizers": []}):
        return False
    if value in ({"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}):
        return True
    raise _Wrong(f"the normalizer {_show(value)} is not supported (none or NFC are)")


def _check_after(data: dict[str, Any]) -> None:
    """Tokens put around a text are the chat template's business here, so a post-processor is only recognised."""
    after, decoder = data.get("post_processor"), data.get("decoder")
    if after is not None and not (isinstance(after, dict) and after.get("type") in _POST_PROCESSORS):
        raise _Wrong(f"the post_processor {_show(after)} is not supported")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise _Wrong(f"the decoder must be ByteLevel, got {_show(decoder)}")


def _object(value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where} must be an object, got {_show(value)}")
    if unknown := value.keys() - set(keys):
        raise _Wrong(f"{where} has an unknown key {_show(min(unknown))}")
    return value


def _show(value: object) -> str:
    """A short, safe look at a value of the file."""
    if isinstance(value, dict | list):
        kind = value.get("type") if isinstance(value, dict) else None
        return f"{type(value).__name__} of {len(value)}" + (f" ({_show(kind)})" if isinstance(kind, str) else "")
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a huge number"
    return one_line(text if len(text) <= 60 else text[:57] + "…")
