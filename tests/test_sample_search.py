"""`tinychat sample --search`: the best reply on stdout, all of it in JSON, events line by line."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinychat.engine.search_params import METHODS
from tinychat.search_options import SEARCH_NAMES, read_search

Result = tuple[int, str, str]


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> Callable[..., Result]:
    """Run `tinychat sample ARGS` in this process: exit code, stdout, stderr."""
    from tinychat import __main__ as entry

    def run(*args: object) -> Result:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        command = ["tinychat", "sample", "-m", checkpoint, "--prompt-ids", "5,9,17", *args]
        monkeypatch.setattr(sys, "argv", [str(each) for each in command])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            entry.main()
        out.flush()
        err.flush()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()

    return run


def test_text_is_the_best_hypothesis_of_json(sample: Callable[..., Result]) -> None:
    asked = ("--search", "beam", "--width", 3, "-n", 6)
    code, text, said = sample(*asked)
    assert code == 0
    assert "beam search" in said
    record = json.loads(sample(*asked, "--json")[1])
    assert record["text"] == text
    best = record["hypotheses"][0]
    assert (best["node"], best["text"]) == (record["best"], text)
    assert [token["id"] for token in record["tokens"]] == best["ids"]
    assert record["search"]["width"] == 3
    assert record["stop_reason"] == best["reason"]
    scores = [each["score"] for each in record["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    assert "tokens" not in best


def test_the_tree_in_json_spells_every_hypothesis(sample: Callable[..., Result]) -> None:
    record = json.loads(sample("--search", "diverse", "--width", 4, "-n", 5, "--json", "--trace", 2)[1])
    nodes = {node["id"]: node for node in record["tree"]}
    for each in record["hypotheses"]:
        node, ids, total = each["node"], [], 0.0
        assert nodes[node]["state"] == "finished"
        while node:
            ids.append(nodes[node]["token_id"])
            total += math.log(nodes[node]["final_prob"])
            node = nodes[node]["parent"]
        assert ids[::-1] == each["ids"] == [token["id"] for token in each["tokens"]]
        assert total == pytest.approx(each["logprob"])
        assert all(len(token["candidates"]) >= 2 for token in each["tokens"])


def test_lines_are_the_events_as_they_happen(sample: Callable[..., Result]) -> None:
    asked = ("--search", "beam", "--width", 2, "-n", 4)
    lines = [json.loads(line) for line in sample(*asked, "--jsonl")[1].splitlines()]
    events = [line for line in lines if "event" in line]
    assert {event["event"] for event in events} >= {"grown", "finished", "done"}
    done = events[-1]
    assert done["event"] == "done"
    record: dict[str, Any] = json.loads(sample(*asked, "--json")[1])
    assert done["hypotheses"] == record["hypotheses"]
    grown = [event for event in events if event["event"] == "grown"]
    assert [event["id"] for event in grown] == [node["id"] for node in record["tree"]]


@pytest.mark.parametrize("method", [each for each in METHODS if each != "exhaustive"])
def test_every_method_answers(sample: Callable[..., Result], method: str) -> None:
    needed = ("--phrase", "o") if method == "constrained" else ()
    code, out, _ = sample("--search", method, "-n", 4, "--json", "--seed", 3, *needed)
    record = json.loads(out)
    assert code == 0
    assert record["search"]["method"] == method
    assert 1 <= len(record["tokens"]) <= 4
    assert record["best"] in {each["node"] for each in record["hypotheses"]}


@pytest.mark.parametrize("method", ["cot", "majority"])
def test_that_no_reply_holds_an_answer_is_said(sample: Callable[..., Result], method: str) -> None:
    asked = ("--search", method, "-n", 3, "--paths", 2, "--seed", 3, "--json")
    code, out, said = sample(*asked, "--answer", "[0-9]{40}")
    assert code == 0
    assert json.loads(out)["notes"] == ["none of the replies holds an answer: the best of them stands for all"]
    assert "none of the replies" in said
    assert json.loads(sample(*asked, "--answer", "(?s).")[1])["notes"] == []


def test_exhaustive_search_is_refused_where_it_would_never_end(sample: Callable[..., Result]) -> None:
    code, out, said = sample("--search", "exhaustive", "-n", 4)
    assert (code, out) == (2, "")
    assert "at most 50000" in said


def test_exhaustive_search_finds_all_that_a_grammar_allows(sample: Callable[..., Result]) -> None:
    record = json.loads(sample("--search", "exhaustive", "-n", 8, "--regex", "(o|x)(a|oo)?", "--json")[1])
    whole = [each for each in record["hypotheses"] if each["reason"] in ("end", "grammar")]
    assert {each["text"] for each in whole} == {"o", "x", "oa", "xa", "ooo", "xoo"}
    assert sum(math.exp(each["logprob"]) for each in whole) == pytest.approx(1.0, abs=1e-6)
    code, out, said = sample("--search", "exhaustive", "-n", 8, "--regex", "[a-z ]*")
    assert (code, out) == (2, "")
    assert "no end in sight" in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--width", 3), "--width is for searches"),
        (("--search", "bem"), "got 'bem'"),
        (("--search", "beam", "--paths", 3), "--paths is read by cot, best-of, majority, not by beam"),
        (("--search", "beam", "--width", "many"), "--width must be a whole number, got 'many'"),
        (("--search", "beam", "-n", 0), "max_tokens must be"),
        (("--search", "majority", "-t", 0), "they are all the same"),
        (("--search", "beam", "--stop", "x"), "drawn"),
        (("--search", "beam", "--force", "0=3"), "drawn"),
        (("--search", "beam", "--at", "1:top_k=3"), "drawn"),
    ],
)
def test_what_cannot_be_is_refused(sample: Callable[..., Result], given: tuple[object, ...], words: str) -> None:
    code, out, said = sample(*given)
    assert (code, out) == (2, "")
    assert words in said


def test_settings_without_an_effect_are_named(sample: Callable[..., Result]) -> None:
    assert "top_p: no effect" in sample("--search", "beam", "-n", 2, "--top-p", 0.9)[2]
    assert "no effect" not in sample("--search", "best-of", "-n", 2, "--top-p", 0.9)[2]


def test_every_option_has_a_name_of_its_own() -> None:
    from tinychat.engine.params import SamplingParams

    assert len(set(SEARCH_NAMES)) == len(SEARCH_NAMES)
    assert read_search({}, SamplingParams(), max_tokens=0) is None


def ids_of(result: Result) -> list[int]:
    assert result[0] == 0, result[2]
    return [token["id"] for token in json.loads(result[1])["tokens"]]


def test_a_search_goes_on_behind_what_was_drawn(sample: Callable[..., Result]) -> None:
    drawn = ids_of(sample("--seed", 3, "-n", 4, "--force", "1=8", "--json"))
    search = ("--search", "beam", "--width", 3, "--json")
    whole = ids_of(sample("--seed", 3, "-n", 9, "--force", "1=8", "--search-after", 4, *search))
    assert whole[:4] == drawn
    _, out, _ = sample("--prompt-ids", ",".join(str(i) for i in (5, 9, 17, *drawn)), "-n", 5, *search)
    assert whole[4:] == [token["id"] for token in json.loads(out)["tokens"]]


def test_another_hypothesis_can_be_the_answer(sample: Callable[..., Result]) -> None:
    asked = ("--search", "beam", "--width", 3, "-n", 5, "--json")
    record = json.loads(sample(*asked)[1])
    for number, hypothesis in enumerate(record["hypotheses"], start=1):
        assert ids_of(sample(*asked, "--hypothesis", number)) == hypothesis["ids"]
    assert sample(*asked, "--hypothesis", 99)[0] == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--search-after", 3), "are for searches"),
        (("--search", "beam", "-n", 5, "--search-after", 5), "leaves no token"),
        (("--search", "beam", "--force", "0=3"), "--force is for replies that are drawn"),
    ],
)
def test_what_a_search_would_ignore_is_refused(sample: Callable[..., Result], args: tuple[Any, ...], said: str) -> None:
    code, _, error = sample(*args)
    assert code == 2
    assert said in error
