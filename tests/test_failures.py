"""A command that fails says so in the form that was asked for, and points to its own help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinychat import cli
from tinychat.errors import TinychatError, UsageError
from tinychat.failures import Asked, say

# mistakes in options that several commands share: the rule is said by what reads the option, which knows no command
SHARED = {
    "sample": [
        ["--top-p", "3"], ["--regex", "("], ["--order", "top_p,nowhere"], ["--temperature", "hot"], ["--seed", "-1"],
        ["--speculate", "lookup", "--draft-length", "0"], ["--search", "nowhere"], ["--search", "beam", "--width", "0"],
        ["--at", "3:top_p=7"], ["--stop-repeat", "1:1"], ["--json-schema", "{"], ["--nowhere"], ["--threads"],
    ],
    "play": [
        ["--top-p", "3"], ["--order", "top_p,nowhere"], ["--temperature", "hot"], ["--seed", "-1"],
        ["--speculate", "lookup", "--draft-length", "0"], ["--theme", "nowhere"], ["--tokens", "nowhere"],
        ["--nowhere"], ["--rate", "-1"],
    ],
    "bench": [["--top-p", "3"], ["--order", "top_p,nowhere"], ["--temperature", "hot"], ["--nowhere"]],
    "score": [["--nowhere"], ["--most", "-1"]],
    "verify": [[], ["--threads", "0"]],
    "train": [["--nowhere"]],
    "data build": [[]],
    "data": [["bild"]],
}  # fmt: skip
WITH_JSON: dict[str, list[str]] = {
    "sample": ["--top-p", "3"],
    "score": ["/nowhere.txt"],
    "verify": ["/nowhere.json"],
    "info": ["/nowhere"],
    "runs": ["compare", "/nowhere"],
    "presets": [],
    "learn": ["nowhere"],
    "keys": [],
    "paths": [],
    "sessions": ["--delete", "nowhere"],
    "bench": ["--shape", "nowhere"],
    "data inspect": ["/nowhere"],
    "data build": ["/nowhere", "-o", "shards"],
}


@pytest.fixture
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinychat.tui import app

    monkeypatch.setattr(app, "need_terminal", lambda instead: None)


@pytest.mark.usefixtures("_a_terminal")
@pytest.mark.parametrize(
    ("command", "words"), [(command, words) for command, several in SHARED.items() for words in several]
)
def test_a_mistake_points_to_the_help_of_the_command_it_was_made_in(tinychat, command: str, words: list[str]) -> None:
    ended = tinychat(*command.split(), *words)
    assert (ended.code, ended.bytes) == (2, b"")
    what, hint = ended.err.splitlines()
    assert what
    assert hint.startswith("See:  ")  # the program goes by the name that it was started by
    assert hint.endswith(f"tinychat {command} --help")


def _answered(tinychat, command: str, words: list[str]) -> dict[str, Any]:
    ended = tinychat(*command.split(), *words)
    assert ended.err == ""
    assert ended.text.count("\n") == 1
    assert set(ended.json) == {"schema", "error"}
    assert ended.json["error"]["exit_code"] == ended.code != 0
    assert ended.json["error"]["what"]
    assert ended.json["error"]["hint"]
    return ended.json


@pytest.mark.parametrize("command", WITH_JSON)
def test_with_json_a_failure_is_one_object_of_the_command_s_own(tinychat, command: str) -> None:
    schema = next(place.schema for place in cli.Doors.places if place.name == command.split()[0])
    assert schema
    wrong = _answered(tinychat, command, ["--json", "--nowhere"])  # the parser gives up
    assert wrong["schema"] == schema
    assert wrong["error"]["hint"].endswith(f"tinychat {command} --help")
    if WITH_JSON[command]:
        assert _answered(tinychat, command, [*WITH_JSON[command], "--json"])["schema"] == schema


@pytest.mark.parametrize("words", [["-m", "/nowhere"], ["--json"]])
@pytest.mark.parametrize("command", ["sample", "score"])
def test_a_failure_of_jsonl_is_a_line_of_it(tinychat, command: str, words: list[str]) -> None:
    assert _answered(tinychat, command, ["--jsonl", *words])["schema"] == f"tinychat.{command}/1"


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (["bench", "train", "--config", "/nowhere"], "tinychat.bench.train/1"),
        (["bench", "--screen", "--shape", "15m"], "tinychat.bench-screen/1"),
    ],
)
def test_what_bench_measures_has_a_schema_of_its_own(tinychat, words: list[str], schema: str) -> None:
    assert _answered(tinychat, words[0], [*words[1:], "--json"])["schema"] == schema


@pytest.mark.parametrize(
    "words", [["presets"], ["learn"], ["keys"], ["paths"], ["sessions"], ["runs", "."], ["info", "CHECKPOINT"]]
)
def test_an_answer_has_the_schema_that_its_errors_have(tinychat, checkpoint: Path, words: list[str]) -> None:
    answer = tinychat(*(checkpoint if word == "CHECKPOINT" else word for word in words), "--json").json
    assert "error" not in answer
    assert answer["schema"] == next(place.schema for place in cli.Doors.places if place.name == words[0])


@pytest.mark.parametrize("name", ["sample", "score", "verify", "bench", "data"])
def test_the_other_schemas_are_those_of_their_writers(name: str) -> None:
    from tinychat import sample_output, score_output
    from tinychat.bench import report as bench_report
    from tinychat.verify import report as verify_report
    from trainer import data_inspect

    writers = {
        "sample": sample_output, "score": score_output, "verify": verify_report, "bench": bench_report,
        "data": data_inspect,
    }  # fmt: skip
    assert next(place.schema for place in cli.Doors.places if place.name == name) == writers[name].SCHEMA


@pytest.mark.parametrize("words", [["corpus", "--jsonl", "--check", "/nowhere"], ["train", "--json"], ["--json"]])
def test_where_there_is_no_json_an_error_is_two_lines(tinychat, words: list[str]) -> None:
    ended = tinychat(*words)
    assert ended.code != 0
    assert ended.bytes == b""
    assert len(ended.err.splitlines()) == 2


def test_an_option_s_value_that_looks_like_the_flag_asks_for_nothing(tinychat) -> None:
    ended = tinychat("sample", "-p", "--json", "--top-p", "3")
    assert (ended.code, ended.bytes) == (2, b"")


def test_our_own_mistake_is_an_object_too(tinychat, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinychat import options

    def broken(*args: object, **given: object) -> None:
        raise RuntimeError("kaput")

    monkeypatch.setattr(options, "settings", broken)
    answer = _answered(tinychat, "sample", ["--json", "-p", "x"])
    assert answer["error"]["what"] == "Internal error: RuntimeError: kaput"


def test_a_hint_of_the_error_s_own_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert say(UsageError("no.", "Do this."), Asked(command="tinychat sample")) == 2
    assert say(TinychatError("gone."), Asked(command="tinychat sample")) == 1
    assert capsys.readouterr().err == "no.\nDo this.\ngone.\n"


def test_no_escape_sequence_leaves_in_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = UsageError("x\x1b[31m\x7f", "y\x9b2J")
    say(error, Asked())
    say(error, Asked(schema="s", json=True))
    told = capsys.readouterr()
    assert not set("\x1b\x7f\x9b") & set(told.err + told.out)
    assert json.loads(told.out)["error"]["what"] == error.what
