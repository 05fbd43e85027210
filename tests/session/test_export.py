"""Transcripts: every format says the same text, and no text acts on the page that shows it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.session.autosave import Autosave
from tinychat.session.export import branch_lines, export, turns
from tinychat.session.recall import Recording, load
from tinychat.session.record import Source, save
from tinychat.session.saved import find, keep_as
from tinychat.session.session import Session
from tinychat.session.transcript import whole_text
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.branchrows import BranchRows

from .sessions import any_session, any_step

HOSTILE = [
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt; & &amp;", "<!-- ", "]]>",
    "\x1b]0;own\x07\x1b[2J", "\u202eevil\u2066", "\x00\x7f\x9b", "\"' onmouseover=alert(1) x='",
    "```\n# not a title\n````",
    "e" + "\u0301" * 50, "\u2028\u2029\ufeff", "javascript:alert(1)", "{{constructor}}", "%3Cscript%3E",
]  # fmt: skip
FORBIDDEN = {*map(chr, range(32)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u202e", "\u2066", "\u2028"} - {"\n", "\t"}


class Page(HTMLParser):
    """What a browser would make of it: tags with their attributes, text by tag, and the open tags at the end."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def words(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))


def recorded(session: Session, path: Path, **more: Any) -> Recording:
    save(session, path, source=Source(path="/m/a<b>.safetensors", digest="ab" * 32, step=3), **more)
    return load(path)


def whole(recording: Recording, kind: str, **more: Any) -> str:
    return "".join(export(recording, kind, **more))


def hostile_session(tokenizer: Tokenizer, text: str, *, chat: bool = False) -> Session:
    session, dice = Session(tokenizer, params=SamplingParams(regex=text[:8] and "a|<b>"), chat=chat), random.Random(1)
    session.system = text if chat else ""
    session.say(text) if chat else session.complete(text)
    for token in tokenizer.encode(text):
        step = any_step(dice, token, len(session.tree), tokenizer.vocab_size, forced=dice.random() < 0.2)
        session.chosen(step, session.params)
    return session


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_acts_on_the_page(tokenizer: Tokenizer, tmp_path: Path, text: str, chat: bool) -> None:
    written = whole(recorded(hostile_session(tokenizer, text, chat=chat), tmp_path / "a"), "html")
    assert not FORBIDDEN & set(written)
    page = Page(written)
    assert page.open == []
    assert [tag for tag, _ in page.tags if tag in ("script", "style")] == ["style", "script", "script"]
    known = {"html", "head", "meta", "title", "style", "body", "header", "h1", "p", "code", "span", "main", "aside"}
    assert {tag for tag, _ in page.tags} <= known | {"script", "strong"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")], tag
    assert "://" not in re.sub(r"<script type.*?</script>", "", written, flags=re.S)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_allows_its_own_script_and_style_alone(tokenizer: Tokenizer, tmp_path: Path, text: str) -> None:
    page = Page(whole(recorded(hostile_session(tokenizer, text), tmp_path / "a"), "html"))
    policy = next(each["content"] for tag, each in page.tags if tag == "meta" and "http-equiv" in each)
    assert policy is not None
    data, script = page.texts["script"]

    def digest(code: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src '{digest(page.words('style'))}'; script-src '{digest(script)}'"
    )  # fmt: skip
    assert {"tokens", "labels", "settings", "seeds"} == set(json.loads(data))


def test_the_page_has_the_text_and_the_odds_of_every_token(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = hostile_session(tokenizer, "the cat sat on the mat & looked")
    page = Page(whole(recorded(session, tmp_path / "a"), "html", candidates=3))
    data = json.loads(page.texts["script"][0])
    start = session.reply_start
    assert list(data["tokens"]) == [str(at) for at in range(start, len(session.tree))]
    marked = [each for tag, each in page.tags if tag == "span" and each.get("data-at")]
    assert [each["data-at"] for each in marked] == list(data["tokens"])
    for at, odds in data["tokens"].items():
        step = session.tree.step(int(at))
        assert step is not None
        assert odds["id"] == step.token
        assert [row[0] for row in odds["rows"]] == [c.token for c in step.odds.candidates[:3]]
        assert all(str(row[0]) in data["labels"] for row in odds["rows"])
        assert (odds["draw"] is None) == step.forced
        assert ("forced" in str(marked[int(at) - start]["class"])) == step.forced
    assert page.words("span").count("the cat sat on the mat & looked") == 2
    assert "prefers-color-scheme: dark" in page.words("style")


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_formats_are_safe_to_look_at_and_data_is_exact(tokenizer: Tokenizer, tmp_path: Path, text: str) -> None:
    session = hostile_session(tokenizer, text)
    recording = recorded(session, tmp_path / "a")
    for kind in ("txt", "md", "json", "jsonl"):
        assert not FORBIDDEN & set(whole(recording, kind)), kind
    one = json.loads(whole(recording, "json"))
    facts, *lines = (json.loads(line) for line in whole(recording, "jsonl").splitlines())
    assert one == {**facts, "tokens": lines}
    reply = [token for token in lines if token["kind"] != "prompt"]
    assert b"".join(base64.b64decode(token["bytes"]) for token in reply) == text.encode(errors="replace")
    assert [token["id"] for token in lines] == list(session.tree.path.ids)
    assert "".join(token["text"] for token in lines).strip("\n") == whole_text(session)
    assert SamplingParams.from_dict(one["settings"][0]) == session.settings[0]


def test_no_text_leaves_its_block_in_markdown(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = hostile_session(tokenizer, "```\n# not a title\n`````` end")
    written = whole(recorded(session, tmp_path / "a"), "md")
    outside, fence = [], ""
    for line in written.splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.rstrip("texsh")
        else:
            outside.append(line)
    assert not fence
    assert "# not a title" not in outside
    assert [line for line in outside if line.startswith("#")] == outside[:1]


def test_turns_are_told_apart(tokenizer: Tokenizer) -> None:
    session = hostile_session(tokenizer, "the cat?", chat=True)
    session.say("the moon?")
    assert turns(session) == [
        ("system", "the cat?"), ("you", "the cat?"), ("model", "the cat?"), ("you", "the moon?"),
    ]  # fmt: skip
    assert turns(hostile_session(tokenizer, "the cat")) == [("prompt", "the cat"), ("reply", "the cat")]


def test_any_session_has_every_format(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for seed in range(30):
        recording = recorded(any_session(tokenizer, seed), tmp_path / "a")
        for kind in ("txt", "md", "html", "json", "jsonl"):
            assert whole(recording, kind)


def test_the_doors_list_find_and_write(tinychat: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert "No session" in tinychat("sessions").err
    session = hostile_session(tokenizer, "the cat sat \x1b[2J")
    source = Source(path="/m/a.safetensors", digest="d", step=3)
    keep_as("cats", session, source=source)
    saver = Autosave(source)
    session.rewind(session.reply_start + 1)
    session.complete("the moon")
    saver.pause(session)
    assert saver.close() is not None
    listed = tinychat("sessions", "--json").json
    assert listed["schema"] == "tinychat.sessions/1"
    assert {each["words"][:8] for each in listed["sessions"]} == {"the cat ", "the moon"}
    table = tinychat("sessions").text
    assert "cats" in table
    assert "\x1b" not in table
    assert len(tinychat("sessions", "MOON").text.splitlines()) == 1
    assert tinychat("transcript", "cats").text.startswith("the cat sat")
    page = tmp_path / "page.html"
    assert tinychat("transcript", "cats", "-o", page, "--candidates", 2).bytes == b""
    assert page.read_text().startswith("<!doctype html>")
    assert tinychat("transcript", "cats", "--branch", 0, "--to", "json").json["branch"] == 0
    for args, code in (
        (["nobody"], 2), (["cats", "--branch", 99], 2), (["cats", "--to", "pdf"], 2), (["cats", "--candidates", 3], 2),
        ([str(page)], 3),
    ):  # fmt: skip
        assert tinychat("transcript", *args).code == code
    path = find("cats")
    path.write_bytes(path.read_bytes()[:-40])
    assert "The file is cut" in tinychat("transcript", "cats").err


def test_the_branches_are_listed_with_the_numbers_that_the_transcript_takes(
    tinychat: Any, tokenizer: Tokenizer
) -> None:
    session = any_session(tokenizer, 3, moves=40)
    keep_as("cats", session, source=Source())
    ran = tinychat("transcript", "cats", "--list")
    numbers = [branch.number for branch in session.tree.written()]
    assert [int(line.split()[0].rstrip("*")) for line in ran.text.splitlines()] == numbers
    starred = [line for line in ran.text.splitlines() if line.split()[0].endswith("*")]
    assert len(starred) == (session.tree.current in numbers)
    for number in numbers[:3]:
        assert tinychat("transcript", "cats", "--branch", number).code == 0
    assert tinychat("transcript", "cats", "--list", "--to", "md").code == 2


def test_an_empty_branch_is_told_of(tinychat: Any, tokenizer: Tokenizer) -> None:
    session = hostile_session(tokenizer, "the cat sat")
    keep_as("cats", session, source=Source())
    assert tinychat("transcript", "cats").err == ""
    session.clear()
    keep_as("anew", session, source=Source())
    assert "--branch N" in tinychat("transcript", "anew").err
    assert tinychat("transcript", "anew", "--branch", 0).text.startswith("the cat sat")


def test_a_branch_is_listed_with_the_place_that_the_playground_shows(tokenizer: Tokenizer) -> None:
    compared = 0
    for seed in range(8):
        session = any_session(tokenizer, seed, moves=40)
        rows = BranchRows(session, tokenizer.label)
        rows.refresh(running=False)
        shown = {row.number: row for row in map(rows.row, range(len(rows)))}
        for line in branch_lines(session):
            number, *words = line.split()
            row = shown.get(int(number.rstrip("*")))
            if row is not None:
                assert f" {row.tokens} tokens " in line
                if row.begins.startswith("@"):
                    assert words[1] == row.begins.split()[0]
                    compared += 1
    assert compared


def test_a_session_is_deleted_by_its_whole_name_only(tinychat: Any, tokenizer: Tokenizer) -> None:
    path = keep_as("cats", any_session(tokenizer, 3), source=Source())
    assert tinychat("sessions", "--delete", "ca").code == 2
    assert tinychat("sessions", "--delete", "dogs").code == 2
    assert tinychat("sessions", "cats", "--delete", "cats").code == 2
    assert path.exists()
    assert tinychat("sessions", "--delete", "cats").code == 0
    assert not path.exists()
