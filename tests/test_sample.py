"""`tinychat sample` as a script sees it: stdout is data, stderr is narration, every ending has its code."""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.errors import UsageError


def test_a_seed_gives_the_same_text_and_another_seed_another(sample) -> None:
    first, again, other = (sample("-p", "the fox", "-n", 20, "--seed", seed) for seed in (5, 5, 6))
    assert first.code == 0
    assert first.bytes == again.bytes != other.bytes


def test_stdout_holds_the_completion_only_and_stderr_the_seed(sample) -> None:
    run = sample("-p", "the fox", "-n", 5, "--temperature", 0)
    assert "the fox" not in run.text.split("\n")[0][:7]
    quiet = sample("-p", "the fox", "-n", 5, "-q", "--temperature", 0)
    assert quiet.err == ""
    assert quiet.bytes == run.bytes
    drawn = sample("-p", "the fox", "-n", 5)
    seed = drawn.err.rsplit("seed ", 1)[1].split()[0]
    assert sample("-p", "the fox", "-n", 5, "--seed", seed).bytes == drawn.bytes


def test_echo_prints_the_prompt_first(sample) -> None:
    plain = sample("-p", "the fox", "-n", 5, "--seed", 1)
    assert sample("-p", "the fox", "-n", 5, "--seed", 1, "--echo").text == "the fox" + plain.text


def test_piped_text_is_the_prompt_and_its_last_newline_is_dropped(sample) -> None:
    assert sample("-n", 8, "--seed", 1, stdin=b"the owl\n").bytes == sample("-n", 8, "--seed", 1, "-p", "the owl").bytes
    joined = sample("-n", 1, "--seed", 1, "--json", "-p", " sang", stdin=b"the owl\n").json
    assert joined["prompt"] == "the owl sang"


def test_json_is_one_object_that_holds_the_run(sample) -> None:
    run = sample("-p", "the fox", "-n", 12, "--seed", 9, "--top-p", 0.8, "--json").json
    assert run["schema"] == "tinychat.sample/1"
    assert run["seed"] == 9
    assert run["settings"]["top_p"] == 0.8
    assert run["usage"]["completion_tokens"] == len(run["tokens"]) <= 12
    assert run["prompt_ids"][0] == 0, "the document start comes first"
    joined = b"".join(base64.b64decode(token["bytes"]) for token in run["tokens"])
    assert run["text"] == joined.decode(errors="replace")
    for token in run["tokens"]:
        assert token["raw_logprob"] == pytest.approx(math.log(token["raw_prob"]))
        assert token["slice"][0] <= token["u"] < token["slice"][1]
        assert 0 < token["final_prob"] <= 1


def test_jsonl_is_one_line_a_token_and_the_last_says_why(sample) -> None:
    whole = sample("-p", "the fox", "-n", 9, "--seed", 4, "--json").json
    lines = sample("-p", "the fox", "-n", 9, "--seed", 4, "--jsonl").lines
    assert [line["id"] for line in lines] == [token["id"] for token in whole["tokens"]]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    assert "".join(line["text"] for line in lines) == whole["text"]
    assert {line["stop_reason"] for line in lines[:-1]} <= {None}
    assert lines[-1]["stop_reason"] == whole["stop_reason"]


def test_trace_adds_stages_and_candidates(sample) -> None:
    lines = sample("-p", "the", "-n", 3, "--seed", 4, "--jsonl", "--trace", 5, "--top-k", 3).lines
    for line in lines:
        assert [stage["stage"] for stage in line["stages"]] == ["raw", "top_k"]
        assert [candidate["rank"] for candidate in line["candidates"]][:5] == [1, 2, 3, 4, 5]
        assert [candidate["cut_by"] for candidate in line["candidates"]][:5] == [None, None, None, "top_k", "top_k"]


def test_a_stop_string_is_not_printed_and_named(sample) -> None:
    text = sample("-p", "the fox", "-n", 30, "--seed", 3, "--json").json["text"]
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    run = sample("-p", "the fox", "-n", 30, "--seed", 3, "--json", "--stop", stop).json
    assert run["stop_reason"] == "stop"
    assert run["stop"] == stop
    assert run["text"] == text[: text.index(stop)]


def test_zero_tokens_are_no_tokens(sample) -> None:
    run = sample("-p", "the fox", "-n", 0, "--json").json
    assert run["tokens"] == []
    assert run["stop_reason"] == "length"


def test_a_ban_of_everything_ends_with_its_name(sample, checkpoint: Path) -> None:
    from tinychat.model import checkpoint as checkpoints

    count = checkpoints.inspect(checkpoint).config.vocab_size
    bans = [arg for token in range(count) for arg in ("--logit-bias", f"{token}=-inf")]
    run = sample("-p", "the", "-n", 5, "--json", *bans)
    assert run.code == 0
    assert run.json["stop_reason"] == "no_legal_token"


def test_a_reply_under_a_schema_is_json_that_it_allows(sample) -> None:
    schema = '{"type": "array", "items": {"enum": ["fox", "owl"]}, "minItems": 1, "maxItems": 2}'
    run = sample("-p", "the", "-n", 60, "--seed", 1, "--json-schema", schema, "--json").json
    assert run["stop_reason"] == "end"
    assert 1 <= len(json.loads(run["text"])) <= 2


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--regex", "("], "unclosed group"),
        (["--json-schema", "{"], "must be JSON"),
        (["--at", "3:regex=("], "unclosed"),
    ],
)
def test_a_grammar_that_cannot_be_used_is_refused_before_a_token(sample, args: list[str], reason: str) -> None:
    run = sample("-p", "the", "-n", 5, *args)
    assert run.code == 2
    assert reason in run.err
    assert run.text == ""


def test_a_reply_that_was_cut_off_in_its_grammar_is_said_to_be(sample) -> None:
    run = sample("-p", "the", "-n", 3, "--regex", "[a-z]{40,60}", "--json")
    assert run.json["stop_reason"] == "length"
    assert any("was cut off" in note for note in run.json["notes"])
    assert "was cut off" in run.err
    assert "was cut off" not in sample("-p", "the", "-n", 3, "--json").err


def test_a_forced_token_that_breaks_the_grammar_is_named(sample) -> None:
    run = sample("-p", "the", "-n", 5, "--regex", "[a-z]+", "--force", "0=6", "--json")
    assert run.json["stop_reason"] == "no_legal_token"
    assert "Token 1 of the reply does not fit the regular expression" in run.err


def test_a_schedule_equals_the_settings_it_changes_to(sample) -> None:
    changed = sample("-p", "the", "-n", 10, "--seed", 2, "--at", "0:temperature=0.5,top_k=4", "--json").json
    plain = sample("-p", "the", "-n", 10, "--seed", 2, "-t", 0.5, "--top-k", 4, "--json").json
    assert [t["id"] for t in changed["tokens"]] == [t["id"] for t in plain["tokens"]]
    later = sample("-p", "the", "-n", 10, "--seed", 2, "--at", "4:temperature=0", "--json").json
    assert [t["temperature"] for t in later["tokens"]] == [1.0] * 4 + [0.0] * 6


def test_a_forced_token_is_taken_and_marked(sample) -> None:
    run = sample("-p", "the", "-n", 4, "--seed", 2, "--force", "1=70", "--json").json
    assert [token["forced"] for token in run["tokens"]] == [False, True, False, False]
    assert run["tokens"][1]["id"] == 70


def test_a_chat_prompt_carries_its_roles(sample) -> None:
    run = sample("--chat", "-s", "You are a fox.", "-p", "hello", "-n", 1, "--json").json
    assert run["mode"] == "chat"
    assert run["prompt_ids"][:2] == [0, 2], "document start, then the system turn"
    assert run["prompt_ids"][-1] == 4, "the assistant's turn is open"


def test_prompt_ids_are_taken_as_they_are(sample) -> None:
    as_text = sample("-p", "the fox", "-n", 6, "--seed", 3, "--json").json
    ids = ",".join(map(str, as_text["prompt_ids"]))
    as_ids = sample("--prompt-ids", ids, "-n", 6, "--seed", 3, "--json", stdin=b"not read").json
    assert as_ids["prompt_ids"] == as_text["prompt_ids"]
    assert as_ids["text"] == as_text["text"]


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(sample) -> None:
    run = sample("-p", "zq" * 200, "-n", 1)
    assert run.code == 2
    assert "the model sees 64" in run.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--json", "--jsonl"], "two different outputs"),
        (["--trace", "3"], "--trace is for"),
        (["--json", "--echo"], "plain text"),
        (["--system", "x"], "--system is for chats"),
        (["--top-p", "7"], "top_p must be between 0 and 1, got 7"),
        (["--preset", "hot"], "no preset 'hot'"),
        (["--order", "top_p,beam"], "got 'beam'"),
        (["--seed", "-1"], "seed must be"),
        (["--stop", ""], "--stop needs some text"),
        (["--nonsense"], "No such option"),
        (["--force", "0=99999"], "the vocabulary has"),
        (["--prompt-ids", "1,2"], "stands for the whole prompt"),
    ],
)
def test_bad_options_are_two_lines_and_exit_2(sample, args: list[str], says: str) -> None:
    run = sample("-p", "x", *args)
    assert run.code == 2
    assert says in run.err + run.text
    assert len(run.err.splitlines()) <= 2
    assert "Traceback" not in run.err


def test_errors_in_json_mode_are_json(tinychat, tmp_path: Path) -> None:
    run = tinychat("sample", "-p", "x", "-m", tmp_path / "none.safetensors", "--json")
    assert run.code == 3
    assert "no such file" in run.json["error"]["what"]
    assert run.json["error"]["exit_code"] == 3


def test_a_file_that_is_no_checkpoint_exits_3(tinychat, tmp_path: Path) -> None:
    path = tmp_path / "bad\x1b[31m.safetensors"
    path.write_bytes(b"not a checkpoint at all, but long enough to hold a header")
    run = tinychat("sample", "-p", "x", "-m", path)
    assert run.code == 3
    assert "\x1b" not in run.err


def test_a_tokenizer_of_another_model_is_refused(tinychat, checkpoint: Path, tmp_path: Path) -> None:
    from tinychat.model import checkpoint as checkpoints
    from tinychat.text.tokenizer import Tokenizer

    info, arrays = checkpoints.read(checkpoint)
    other = Tokenizer.train(["abc abd " * 50], vocab_size=264)
    path = tmp_path / "mixed.safetensors"
    checkpoints.write(
        path, arrays=arrays, config=info.config, tokenizer_json=other.to_json(), chat_template="", step=0, training={}
    )
    run = tinychat("sample", "-p", "x", "-m", path)
    assert run.code == 3
    assert f"the tokenizer has {other.vocab_size} tokens, the model {info.config.vocab_size}" in run.err


def test_seed_unused_at_temperature_0_is_said(sample) -> None:
    assert "the seed is unused" in sample("-p", "x", "-n", 1, "-t", 0).err


def test_a_trailing_space_is_said(sample) -> None:
    assert "ends with a space" in sample("-p", "the ", "-n", 1).err


def test_model_text_is_filtered_on_the_way_out(sample, checkpoint: Path) -> None:
    from tinychat.model import checkpoint as checkpoints
    from tinychat.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_json(checkpoints.inspect(checkpoint).tokenizer_json)
    hostile = tokenizer.encode("\x1b]52;c;aGk=\x07")
    forced = [arg for index, token in enumerate(hostile) for arg in ("--force", f"{index}={token}")]
    run = sample("-p", "x", "-n", len(hostile), *forced)
    assert b"\x1b" not in run.bytes
    assert b"\x07" not in run.bytes
    assert sample("-p", "x", "-n", len(hostile), *forced, "--raw").bytes == b"\x1b]52;c;aGk=\x07"


def test_raw_refuses_a_terminal(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinychat import sample as door

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="--raw"):
        door.run(door.Request(prompt="x", params=SamplingParams(), model=checkpoint, raw=True))


def test_a_reader_that_leaves_ends_it_quietly(checkpoint: Path) -> None:
    command = [sys.executable, "-m", "tinychat", "sample", "-m", str(checkpoint), "-p", "the", "-n", "50", "--jsonl"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_what_was_said_and_exits_with_128_more(
    number: signal.Signals, sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Engine.step

    def interrupted(self: Engine, *args: object, **options: object) -> object:
        result = step(self, *args, **options)
        if len(self.tokens()) == 6:
            os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(Engine, "step", interrupted)
    bans = ("--logit-bias", "0=-inf", "--logit-bias", "5=-inf")  # so that it does not end by itself
    ended = sample("-p", "", "-n", 40, "--json", "--seed", 1, *bans)
    assert ended.code == 128 + number
    assert ended.json["stop_reason"] == "interrupted"
    assert len(ended.json["tokens"]) == 5


def test_a_full_disk_is_said_and_exits_6(checkpoint: Path) -> None:
    command = [sys.executable, "-m", "tinychat", "sample", "-m", str(checkpoint), "-p", "the", "-n", "3", "-q"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert ended.returncode == 6
    assert b"Traceback" not in ended.stderr
