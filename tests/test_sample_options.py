"""Options of `tinychat sample` that say how to draw, on what, and when to stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_words_are_banned_in_both_spellings(sample, checkpoint: Path) -> None:
    from tinychat.model import checkpoint as checkpoints

    tokenizer = checkpoints.tokenizer_of(checkpoints.inspect(checkpoint))
    run = sample("-p", "the", "-n", 3, "--seed", 1, "--bad-word", "fox", "--bad-words", "7,8", "--json").json
    found = {tuple(ids) for ids in run["settings"]["bad_words"]}
    assert found == {(7, 8), tuple(tokenizer.encode("fox")), tuple(tokenizer.encode(" fox"))}


def test_a_spelling_that_another_ban_holds_off_is_left_out(sample, checkpoint: Path) -> None:
    from tinychat.model import checkpoint as checkpoints

    tokenizer = checkpoints.tokenizer_of(checkpoints.inspect(checkpoint))
    bare, spaced = tuple(tokenizer.encode("7,")), tuple(tokenizer.encode(" 7,"))
    assert spaced != bare == spaced[-len(bare) :], "the test needs a phrase that is spelled alike after a space"
    run = sample("-p", "the", "-n", 1, "--seed", 1, "--bad-word", "7,", "--json").json
    assert [tuple(ids) for ids in run["settings"]["bad_words"]] == [bare]
    assert run["notes"] == []


def test_guidance_by_the_very_same_prompt_is_said(sample) -> None:
    asked = ("-n", 2, "--seed", 1, "--json", "--guidance-scale", 2)
    plain = sample("-p", "", "-n", 2, "--seed", 1, "--json").json
    for given in (("-p", ""), ("-p", "", "--negative", ""), ("-p", "the fox", "--negative", "the fox")):
        run = sample(*given, *asked).json
        assert len([note for note in run["notes"] if note.startswith("guidance_scale has no effect")]) == 1
    assert sample("-p", "", *asked).json["text"] == plain["text"]
    assert sample("-p", "the fox", *asked).json["notes"] == []
    kl = sample("-p", "", "-n", 2, "--seed", 1, "--json", "--temperature-mode", "kl").json
    assert [note for note in kl["notes"] if "kl never moves" in note]
    assert [token["temperature"] for token in kl["tokens"]] == pytest.approx([1.0, 1.0])


def test_the_negative_prompt_is_encoded_as_the_prompt_is(sample) -> None:
    there = sample("-p", "the owl", "-n", 1, "--json").json["prompt_ids"]
    run = sample("-p", "the fox", "-n", 4, "--seed", 1, "--guidance-scale", 1.5, "--negative", "the owl", "--json").json
    assert run["settings"]["negative_ids"] == there


def test_a_schema_may_come_from_a_file(sample, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "boolean"}')
    run = sample("-p", "x", "-n", 40, "--seed", 1, "--json-schema", f"@{schema}", "--json").json
    assert json.loads(run["text"]) in (True, False)
    missing = sample("-p", "x", "--json-schema", f"@{tmp_path}/none", "--json")
    assert missing.code == 2
    assert "--json-schema @" in missing.json["error"]["what"]


def test_a_list_can_change_in_mid_reply(sample) -> None:
    run = sample("-p", "the", "-n", 6, "--seed", 2, "--at", '3:{"allowed_ids": [70], "top_k": 5}', "--json").json
    assert [token["id"] for token in run["tokens"]][3:] == [70, 70, 70]
    assert run["schedule"] == {"3": {"allowed_ids": [70], "top_k": 5}}


def test_a_ban_in_the_schedule_is_json(sample) -> None:
    run = sample("-p", "the", "-n", 2, "--at", "1:logit_bias=7=-inf", "--json").json
    assert run["schedule"] == {"1": {"logit_bias": [[7, "-inf"]]}}


def test_what_is_never_reached_is_said(sample) -> None:
    run = sample("-p", "the", "-n", 2, "--at", "2:top_k=2", "--force", "7=70", "--json")
    assert "--at 2 is never reached: -n 2 ends the reply before it" in run.err
    assert "--force 7 is never reached" in run.err
    assert len(run.json["notes"]) == 2


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--allowed-ids", "70,71", "--stop-repeat", "2:3", "-t", "0"], "repetition"),
        (["--stop-below", "1", "-n", "40"], "confidence"),
        (["--max-seconds", "1e-9"], "time"),
        (["-n", "1"], "length"),
    ],
)
def test_every_rule_that_stops_has_its_name(sample, args: list[str], reason: str) -> None:
    bans = ["--logit-bias", "0=-inf", "--logit-bias", "5=-inf"]  # so that it does not end by itself
    assert sample("-p", "the", "--seed", 1, "--json", *bans, *args).json["stop_reason"] == reason


def test_jsonl_without_a_token_has_its_closing_line(sample) -> None:
    lines = sample("-p", "the", "-n", 0, "--jsonl").lines
    assert [(line["id"], line["stop_reason"]) for line in lines] == [(None, "length")]


def test_a_mistake_of_the_parser_is_json_too(sample) -> None:
    for args in (["--jsonl", "--nonsense"], ["--json", "-n", "many"], ["--json", "--top-p"]):
        run = sample("-p", "x", *args)
        assert run.code == run.json["error"]["exit_code"] == 2
        assert run.err == ""


def test_guesses_change_no_token_and_are_counted(sample) -> None:
    plain = sample("-p", "the fox the fox", "-n", 24, "--seed", 5, "-t", 0, "--json")
    run = sample("-p", "the fox the fox", "-n", 24, "--seed", 5, "-t", 0, "--json", "--speculate", "lookup")
    assert [token["id"] for token in run.json["tokens"]] == [token["id"] for token in plain.json["tokens"]]
    counted = run.json["speculation"]
    marks = [token.get("drafted") for token in run.json["tokens"]]
    assert marks.count("accepted") == counted["accepted"] <= counted["drafted"]
    assert f"drafted {counted['drafted']}, accepted {counted['accepted']}, {counted['passes']} passes" in run.err
    assert "drafted" not in plain.err


def test_state_and_region_stand_with_each_token(sample) -> None:
    run = sample("-p", "the", "-n", 5, "--seed", 1, "--mirostat", "v2", "--temperature-mode", "entropy", "--json").json
    assert all(token["mirostat_mu_bits"] > 0 and token["region"] for token in run["tokens"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--draft-length", "3"], "--draft-length is for speculation"),
        (["--speculate", "lookup", "--exit-layer", "1"], "--exit-layer is for --speculate exit"),
        (["--speculate", "draft"], "go together"),
        (["--speculate", "luck"], "kind must be one of"),
        (["--threads", "0"], "--threads must be"),
        (["--stop-repeat", "8"], "of the form N:M"),
        (["--stop-repeat", "8:1"], "repeat_times"),
        (["--stop-below", "2"], "--stop-below: min_confidence"),
        (["--bad-word", ""], "--bad-word needs some text"),
        (["--contrastive", "difference"], "amateur"),
        (["--regex", "("], "regex"),
        (["--search", "beam", "--max-seconds", "3"], "--max-seconds is for replies that are drawn"),
        (["--banned-ids", "99999"], "banned_ids 99999: the vocabulary has"),
        (["--at", "1:banned_ids=99999"], "banned_ids 99999: the vocabulary has"),
        (["--mirostat", "v3"], "mirostat must be one of off, v1, v2"),
    ],
)
def test_what_cannot_be_or_would_be_ignored_is_two_lines(sample, args: list[str], says: str) -> None:
    run = sample("-p", "x", *args)
    assert run.code == 2
    assert says in run.err
    assert len(run.err.splitlines()) <= 2


def test_presets_are_listed_with_their_settings(tinychat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "None of your own yet" in tinychat("presets").err
    (tmp_path / "tinychat").mkdir()
    (tmp_path / "tinychat" / "presets.toml").write_text("[presets.mine]\ntop_k = 3\nregex = '[a-z ]+'\n")
    assert "mine      --top-k 3 --regex '[a-z ]+'" in tinychat("presets").text
    listed = {each["name"]: each for each in tinychat("presets", "--json").json["presets"]}
    assert listed["mine"] == {"name": "mine", "own": True, "settings": {"top_k": 3, "regex": "[a-z ]+"}}
    assert listed["story"]["own"] is False


def test_a_preset_of_ones_own_is_used(sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "tinychat").mkdir()
    (tmp_path / "tinychat" / "presets.toml").write_text("[presets.mine]\ntop_k = 3\n")
    assert sample("-p", "x", "-n", 1, "--preset", "mine", "--json").json["settings"]["top_k"] == 3
