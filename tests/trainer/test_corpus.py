"""Corpus readers: text comes through as it is, in bounded memory, and what is not text is refused by its place."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.errors import CorpusError, UsageError
from tinychat.text.tokenizer import Tokenizer
from trainer import corpus, data_parquet, toy
from trainer.corpus import PIECE_CHARS, Document, Reading, documents, encode_document


def read(*sources: Path | str) -> list[Document]:
    return list(documents([str(source) for source in sources]))


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(*sources: Path | str) -> list[str | None]:
    return [document.text for document in read(*sources)]


def refused(path: Path, *said: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read(path)
    assert str(path) in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 4
    for part in said:
        assert part in caught.value.what


# --- text --------------------------------------------------------------------------------------------------------


def test_a_text_file_is_one_document_as_it_stands(tmp_path: Path) -> None:
    text = "First.\n\n  Second, indented.\n\tTab, ümlaut, 日本, 🦊.\n"
    path = written(tmp_path, "a.txt", text)
    assert read(path) == [Document(text, None, str(path))]


def test_a_line_with_the_end_of_text_parts_documents(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "one\n<|endoftext|>\n\n<|endoftext|>\ntwo\nthree <|endoftext|> here\n")
    assert texts(path) == ["one\n", "two\nthree <|endoftext|> here\n"]


def test_windows_line_ends_and_a_byte_order_mark_are_taken_off(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")) == ["one\ntwo\n"]


def test_an_empty_file_holds_no_document(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a.txt", ""), written(tmp_path, "b.txt", " \n\n")) == []


def test_a_long_text_comes_in_pieces_that_join_to_the_whole(tmp_path: Path) -> None:
    text = "".join(f"Paragraph {n} has a few words in it.\n\n" for n in range(3 * PIECE_CHARS // 35))
    found = read(written(tmp_path, "a.txt", text), written(tmp_path, "b.txt", "short\n"))
    pieces = found[:-1]
    assert len(pieces) >= 3
    assert "".join(piece.text or "" for piece in pieces) == text
    assert [piece.continues for piece in pieces] == [False] + [True] * (len(pieces) - 1)
    assert all(len(piece.text or "") < 2 * PIECE_CHARS for piece in pieces)
    assert found[-1].continues is False


def test_one_line_of_megabytes_is_no_reason_to_hold_it_all(tmp_path: Path) -> None:
    text = "ä" * (3 * PIECE_CHARS)
    pieces = read(written(tmp_path, "a.txt", text))
    assert "".join(piece.text or "" for piece in pieces) == text
    assert max(len(piece.text or "") for piece in pieces) <= 2 * PIECE_CHARS + (1 << 16)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")).filter(lambda t: t.strip()),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, wanted: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    wanted = [text for text in wanted if not text.startswith("\ufeff") and corpus.SEPARATOR not in text]
    for number, text in enumerate(wanted):
        written(folder, f"{number}.txt", text)
    if wanted:
        assert texts(folder) == wanted


# --- what is not text --------------------------------------------------------------------------------------------


def test_bad_utf8_says_line_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "fine\nüber alles \n".encode() + b"caf\xe9 au lait\n")
    refused(path, "line 3, column 4", "0xe9")


def test_a_character_cut_off_at_the_end_is_found(tmp_path: Path) -> None:
    refused(written(tmp_path, "a.txt", "fine\nab€".encode()[:-1]), "line 2, column 3")


def test_bad_utf8_far_into_a_long_line_says_the_right_column(tmp_path: Path) -> None:
    refused(written(tmp_path, "a.txt", "é".encode() * 50_000 + b"\xff"), "line 1, column 50001")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\xff\xfeh\x00i\x00", "UTF-16"),
        (b"PAR1\x15\x04", "must end in .parquet"),
        (b"\x28\xb5\x2f\xfd\x04", "a zstd archive"),
        (b"text\nand a\0byte\n", "zero byte in line 2"),
    ],
)
def test_binary_is_recognised(tmp_path: Path, head: bytes, said: str) -> None:
    refused(written(tmp_path, "a.txt", head), said)


def test_a_missing_file_an_empty_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.txt", "no such file")
    refused(tmp_path / "*.txt", "no such file")
    refused(tmp_path, "no .txt")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


# --- folders, globs, stdin ---------------------------------------------------------------------------------------


def test_a_folder_is_read_sorted_and_recursively(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/b.jsonl", "c.bin", "a/.d.txt"):
        written(tmp_path, name, '{"text": "j"}' if name.endswith("jsonl") else name)
    assert texts(tmp_path) == ["a/.d.txt", "j", "a/z.md", "b.txt"]


def test_a_glob_names_its_files_in_order(tmp_path: Path) -> None:
    for name in ("2.txt", "1.txt", "x/3.txt"):
        written(tmp_path, name, name)
    assert texts(tmp_path / "*.txt") == ["1.txt", "2.txt"]
    assert texts(f"{tmp_path}/**/*.txt") == ["1.txt", "2.txt", "x/3.txt"]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    written(tmp_path, "1.txt", "other")
    assert texts(written(tmp_path, "[1].txt", "this")) == ["this"]


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from a pipe")))
    assert texts("-") == ["from a pipe"]


def test_toy_is_the_toy_language() -> None:
    assert next(iter(documents(["toy"]))) == next(toy.documents(1, 1))


def test_a_link_to_a_folder_above_brings_no_file_twice(tmp_path: Path) -> None:
    written(tmp_path, "a/b/1.txt", "one")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/also.txt").symlink_to(tmp_path / "a/b/1.txt")
    (tmp_path / "a/self.txt").symlink_to("self.txt")
    assert texts(tmp_path) == texts(f"{tmp_path}/**/*.txt") == ["one"]
    refused(tmp_path / "a/self.txt", "leads nowhere")


def test_reading_goes_on_from_any_place(tmp_path: Path) -> None:
    written(tmp_path, "1.txt", "a\n<|endoftext|>\nb\n<|endoftext|>\nc")
    written(tmp_path, "2.jsonl", '{"text": "d"}\n{"text": "e"}\n')
    written(tmp_path, "3.txt", "f")
    reading = Reading(str(tmp_path))
    places, found = [(0, 0)], []
    for document in reading.documents():
        found.append(document)
        places.append(reading.place)
    assert reading.done == reading.total == sum(file.stat().st_size for file in tmp_path.iterdir())
    for number, place in enumerate(places):
        assert list(Reading(str(tmp_path)).documents(place)) == found[number:]


# --- JSON lines --------------------------------------------------------------------------------------------------


def test_json_lines_hold_text_or_chats(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "text": "u"}, {"role": "assistant", "content": "a"}]
    rows = [{"text": "t\nt", "source": "x"}, {"messages": chat}]
    path = written(tmp_path, "a.jsonl", "\n\n".join(json.dumps(row) for row in rows))
    first, second = read(path)
    assert (first.text, first.origin) == ("t\nt", f"{path}:1")
    assert [(m.role, m.text) for m in second.messages or ()] == [("system", "s"), ("user", "u"), ("assistant", "a")]
    assert second.origin == f"{path}:3"


def test_the_field_with_the_text_has_any_name(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    rows = [{"text": "not this", "body": "this"}, {"body": chat}]
    path = written(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    first, second = documents([str(path)], field="body")
    assert first.text == "this"
    assert [message.text for message in second.messages or ()] == ["u", "a"]
    with pytest.raises(CorpusError, match="no field 'story'; it has: text, body") as caught:
        list(documents([str(path)], field="story"))
    assert str(path) in caught.value.what


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"text": "a"', "column 13"),
        ('{"text": 5}', "neither a text nor messages"),
        ("[1]", "neither a text nor messages"),
        ("[" * 5000, "line 2"),
        ('{"messages": []}', "at least one message"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "role must be one of"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "user first"),
        ('{"text": "\\ud800"}', "surrogate"),
        ('{"messages": [{"role": "user", "content": "\\udfff"}]}', "surrogate"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    refused(written(tmp_path, "a.jsonl", '{"text": "fine"}\n' + row + "\n"), "line 2", said)


def test_a_row_that_is_not_utf8_is_refused_by_line_and_column(tmp_path: Path) -> None:
    refused(written(tmp_path, "a.jsonl", b'{"text": "fine"}\n{"text": "\xff"}\n'), "line 2, column 11")


# --- parquet ---------------------------------------------------------------------------------------------------


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path, "a.parquet", b"PAR1")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(path) in caught.value.what
    assert "tinychat[parquet]" in caught.value.hint


def test_parquet_rows_hold_text_or_chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(data_parquet, "ROWS", 3)
    said = [f"story {number}" for number in range(10)]
    chat = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"id": list(range(10)), "text": said}), path, row_group_size=4)
    assert texts(path) == said
    assert read(path)[6].origin == f"{path}:7"
    assert list(Reading(str(path)).documents((0, 7))) == read(path)[7:]
    parquet.write_table(pyarrow.table({"talk": [chat]}), tmp_path / "b.parquet")
    (document,) = documents([str(tmp_path / "b.parquet")], field="talk")
    assert [message.text for message in document.messages or ()] == ["u", "a"]
    refused(tmp_path / "b.parquet", "no column text or messages; it has: talk")
    parquet.write_table(pyarrow.table({"text": ["fine", None]}), path)
    refused(path, "row 2", "neither a text")
    os.truncate(path, 50)
    refused(path, "not a parquet file")


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the fox saw the moon over the pond " * 20], vocab_size=300)


def test_a_document_starts_with_the_end_of_text_and_its_next_piece_does_not(tokenizer: Tokenizer) -> None:
    whole = encode_document(Document("the fox", None, "a"), tokenizer)
    assert whole == [tokenizer.end_of_text, *tokenizer.encode("the fox")]
    assert encode_document(Document(" saw", None, "a", continues=True), tokenizer) == tokenizer.encode(" saw")


def test_control_names_inside_a_text_stay_characters(tokenizer: Tokenizer) -> None:
    ids = encode_document(Document("a <|endoftext|> b <|user|>", None, "a"), tokenizer)
    assert ids.count(tokenizer.end_of_text) == 1
    assert not any(tokenizer.is_special(token) for token in ids[1:])


def test_a_chat_is_rendered_in_the_role_format(tokenizer: Tokenizer, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "the fox"}, {"role": "assistant", "content": "the moon"}]}
    (document,) = read(written(tmp_path, "a.jsonl", json.dumps(row)))
    ids = encode_document(document, tokenizer)
    special = tokenizer.specials
    end = special["<|end|>"]
    user, assistant = tokenizer.encode("the fox"), tokenizer.encode("the moon")
    assert ids == [
        *(tokenizer.end_of_text, special["<|user|>"], *user, end),
        *(special["<|assistant|>"], *assistant, end),
    ]
