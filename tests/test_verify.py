"""`tinychat verify`: what was drawn comes again, and what was changed is found at its token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinychat.engine.machine import open_engine
from tinychat.engine.packing import pack_step, unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.model import checkpoint as checkpoints
from tinychat.session.record import Source, save
from tinychat.session.records import Records
from tinychat.session.session import Session


@pytest.fixture
def drawn(sample: Any) -> dict[str, Any]:
    run = sample(
        "-p", "the fox", "-n", 16, "--min-tokens", 16, "--seed", 9, "--top-p", 0.9,
        "--at", "5:temperature=0.7,seed=3", "--force", "3=17", "--mirostat", "v2", "--mirostat-tau", 2.5,
        "--json", "--trace", 4,
    )  # fmt: skip
    assert run.code == 0
    return run.json


Check = Callable[..., Any]


@pytest.fixture
def verify(tinychat: Any, tmp_path: Path) -> Check:
    def check(run: Any, *args: object) -> Any:
        path = tmp_path / "run.json"
        path.write_bytes(run if isinstance(run, bytes) else json.dumps(run).encode())
        return tinychat("verify", path, *args)

    return check


def test_the_same_tokens_come_again(drawn: dict[str, Any], verify: Check) -> None:
    run = verify(drawn)
    assert run.code == 0
    assert run.text.startswith("identical: 16 tokens, 1 of them forced; every number to the last bit")
    told = verify(drawn, "--json").json
    assert (told["identical"], told["tokens"], told["largest_difference"]) == (True, 16, 0.0)


def test_lines_are_verified_too_from_stdin_and_cut(sample: Any, tinychat: Any) -> None:
    data = sample("-p", "the owl", "-n", 9, "--min-tokens", 9, "--seed", 2, "--jsonl").bytes
    assert tinychat("verify", "-", stdin=data).text.startswith("identical: 9 tokens")
    cut = tinychat("verify", "-", stdin=data[:-30])
    assert cut.text.startswith("identical: 8 tokens")
    assert "cut: line 9" in cut.err
    whole_lines = tinychat("verify", "-", stdin=b"\n".join(data.split(b"\n")[:4]) + b"\n")
    assert "identical: 4 tokens" in whole_lines.text
    assert "The file is cut" in whole_lines.err


def at(run: Any) -> tuple[int, str, list[str]]:
    told = run.json
    assert run.code == 1
    assert told["identical"] is False
    first = told["diverged"]
    assert told["tokens"] == first["token"]
    return first["token"], first["what"], first["reasons"]


def test_a_changed_token_is_found_where_it_stands(drawn: dict[str, Any], verify: Check) -> None:
    drawn["tokens"][7]["id"] = (drawn["tokens"][7]["id"] + 1) % 290
    assert at(verify(drawn, "--json"))[:2] == (7, "token")
    said = verify(drawn).text
    assert said.startswith("diverged at token 7")
    assert said.count("raw 0.") >= 10, "both distributions, token and candidates"


@pytest.mark.parametrize(
    ("name", "by"), [("final_prob", 0.01), ("raw_prob", 1e-3), ("raw_rank", 1), ("kept", 1), ("entropy_bits", 0.5),
                     ("u", 1e-9), ("mirostat_mu_bits", 0.1), ("raw_logprob", -1e-8), ("temperature", 1)],
)  # fmt: skip
def test_any_changed_number_is_found(drawn: dict[str, Any], verify: Check, name: str, by: float) -> None:
    token = drawn["tokens"][6]
    token[name] += by
    run = verify(drawn, "--json")
    if name == "raw_logprob":  # far below rounding: said, and no divergence
        assert run.code == 0
        return
    assert at(run)[:2] == (6, name)


@pytest.mark.parametrize(("row", "name"), [("candidates", "raw_prob"), ("candidates", "logit"), ("stages", "mass")])
def test_a_changed_row_is_found(drawn: dict[str, Any], verify: Check, row: str, name: str) -> None:
    drawn["tokens"][2][row][1][name] += 0.4
    place, what, _ = at(verify(drawn, "--json"))
    assert place == 2
    assert name in what


def test_another_seed_is_named_as_the_reason(drawn: dict[str, Any], verify: Check) -> None:
    drawn["seed"] = drawn["settings"]["seed"] = 10
    place, _, reasons = at(verify(drawn, "--json"))
    assert place == 0
    assert "seed" in reasons[0]


def test_another_temperature_is_found_at_its_first_token(drawn: dict[str, Any], verify: Check) -> None:
    drawn["schedule"]["5"]["temperature"] = 2.5
    assert at(verify(drawn, "--json"))[0] == 5


def test_other_weights_are_named_as_the_reason(
    drawn: dict[str, Any], verify: Check, checkpoint: Path, tmp_path: Path
) -> None:
    info, arrays = checkpoints.read(checkpoint)
    other = tmp_path / "other.safetensors"
    changed = {name: array + 0.05 if array.ndim == 2 else array for name, array in arrays.items()}
    checkpoints.write(
        other, arrays=changed, config=info.config, tokenizer_json=info.tokenizer_json,
        chat_template=info.chat_template, step=info.step, training=info.training,
    )  # fmt: skip
    _, _, reasons = at(verify(drawn, "--json", "-m", other))
    assert reasons[0].startswith("the weights are others")


def test_another_number_type_is_named_as_the_reason(drawn: dict[str, Any], verify: Check) -> None:
    half = verify(drawn, "--json", "--dtype", "float16").json
    assert half["largest_difference"] > 1e-5 or not half["identical"]
    assert "the number type is another: float32 then, float16 now" in half["causes"]
    assert "number type" in verify(drawn, "--dtype", "float16").text


def test_differences_below_rounding_are_said_and_are_no_divergence(drawn: dict[str, Any], verify: Check) -> None:
    for token in drawn["tokens"]:
        token["raw_prob"] *= 1 + 1e-6
        token["raw_rank"] += 0 if token["raw_prob"] > 0.01 else 1  # a near tie
    run = verify(drawn)
    assert run.code == 0
    assert "probabilities within" in run.text
    assert "rounding" in run.text


@pytest.mark.parametrize("name", ["entropy_bits", "raw_logprob", "mirostat_mu_bits"])
def test_what_differs_beside_the_probabilities_is_not_called_exact(
    drawn: dict[str, Any], verify: Check, name: str
) -> None:
    drawn["tokens"][2][name] *= 1 + 1e-6
    run = verify(drawn)
    assert run.code == 0
    assert "every probability to the last bit, logits and bits within" in run.text
    assert "only rounding differs" in run.text
    told = verify(drawn, "--json").json
    assert (told["identical"], told["exact"], told["largest_difference"]) == (True, False, 0.0)
    assert 0 < told["largest_other_difference"] < 1e-5


def nudged(number: float, by: int = 3) -> float:
    """A few steps of float32 below."""
    found = np.float32(number)
    for _ in range(by):
        found = np.nextafter(found, np.float32(0))
    return float(found)


def as_another_build_drew_it(step: Step) -> Step:
    """The same choice with other last digits everywhere."""
    odds = step.odds
    rows = [
        replace(each, raw=nudged(each.raw), final=nudged(each.final), logit=nudged(each.logit))
        for each in odds.candidates
    ]
    rows[-2:] = [replace(rows[-1], rank=rows[-2].rank), replace(rows[-2], rank=rows[-1].rank)]  # a near tie
    return replace(
        step, raw=nudged(step.raw), final=nudged(step.final), surprisal=nudged(step.surprisal),
        low=step.low * (1 - 1e-9), high=step.high * (1 - 1e-9),
        odds=replace(
            odds, candidates=tuple(rows), entropy=nudged(odds.entropy), final_entropy=nudged(odds.final_entropy),
            stages=tuple(replace(each, mass=nudged(each.mass), kept=each.kept) for each in odds.stages),
        ),
    )  # fmt: skip


def test_a_session_of_another_build_differs_by_rounding_only(tinychat: Any, checkpoint: Path, tmp_path: Path) -> None:
    session, source = a_session(checkpoint, chat=True)
    for branch in session.tree.branches:
        old, branch.own.packed = branch.own.packed, Records()
        for record in old:
            branch.own.packed.append(record and pack_step(as_another_build_drew_it(unpack_step(record))))
    path = tmp_path / "s.jsonl"
    save(session, path, source=source)
    run = tinychat("verify", path)
    assert run.code == 0
    assert run.text.startswith("identical: ")
    assert "only rounding differs" in run.text
    assert "near ties change ranks or counts of" in run.text
    told = tinychat("verify", path, "--json").json
    assert (told["identical"], told["exact"], told["compared"]) == (True, False, told["tokens"])
    assert 0 < told["largest_difference"] < 1e-5


def test_tokens_without_numbers_are_not_said_to_agree_in_them(tinychat: Any, checkpoint: Path, tmp_path: Path) -> None:
    session, source = a_session(checkpoint, chat=False)
    for branch in session.tree.branches:
        count, branch.own.packed = len(branch.own), Records()
        for _ in range(count):
            branch.own.packed.append(None)
    path = tmp_path / "s.jsonl"
    save(session, path, source=source)
    told = tinychat("verify", path, "--json").json
    assert (told["identical"], told["exact"], told["compared"]) == (True, False, 0)
    assert "the file has no numbers of them" in tinychat("verify", path).text


def a_session(checkpoint: Path, *, chat: bool) -> tuple[Session, Source]:
    """A session drawn by the real engine: knob moves, a forced token, a branch; of a chat two turns."""
    info = checkpoints.inspect(checkpoint)
    tokenizer = checkpoints.tokenizer_of(info)
    engine = open_engine(checkpoint, Source().machine, end_ids=())
    session = Session(tokenizer, params=SamplingParams(seed=4, top_p=0.95, adaptive_target=0.3), chat=chat)

    def go(count: int) -> None:
        context = session.context()
        engine.set_context(context.ids, prompt_len=context.prompt_len, state=context.state)
        for _ in range(count):
            assert session.chosen(engine.step(session.params), session.params)

    session.say("the owl") if chat else session.complete("the owl")
    go(6)
    if chat:
        session.say("the fox")
        go(4)
    session.params = session.params.with_(temperature=1.4)
    go(4)
    session.rewind(len(session.tree) - 3)
    go(0)
    assert session.chosen(engine.force(33, session.params), session.params)
    go(5)
    return session, Source(path=str(checkpoint), digest=info.digest, step=info.step, context=info.config.context)


@pytest.mark.parametrize("chat", [False, True])
def test_a_session_is_verified_on_its_branch(tinychat: Any, checkpoint: Path, tmp_path: Path, chat: bool) -> None:
    session, source = a_session(checkpoint, chat=chat)
    path = tmp_path / "s.jsonl"
    save(session, path, source=source)
    run = tinychat("verify", path)
    drawn_tokens = sum(kind != 0 for kind in session.tree.path.kinds)
    assert run.text.startswith(f"identical: {drawn_tokens} tokens, 1 of them forced"), run.text + run.err
    session.tree.go(0)
    save(session, path, source=source)
    assert tinychat("verify", path).code == 0
    session.settings[0] = session.settings[0].with_(seed=5)
    save(session, path, source=source)
    assert at(tinychat("verify", path, "--json"))[0] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "tinychat.sample/2"}, "newer tinychat"),
        ({"schema": "x"}, "no output of tinychat sample"),
        ({"prompt_ids": "0,1"}, "prompt_ids must be ids"),
        ({"prompt_ids": []}, "prompt_ids is empty"),
        ({"seed": 77}, "contradict"),
        ({"settings": {"temperature": -1}}, "temperature"),
        ({"settings": {"heat": 1}}, "unknown sampling setting"),
        ({"tokens": [1]}, "tokens must be a list"),
        ({"tokens": [{"id": -4}]}, "id of token 0"),
        ({"tokens": [{"id": 1, "candidates": [3]}]}, "candidates of token 0"),
        ({"schedule": {"x": {}}}, "schedule must be"),
        ({"schedule": {"0": {"heat": 1}}}, "schedule 0"),
        ({"forced": {"0": 3}, "tokens": [{"id": 4}]}, "forced 0"),
        ({"model": {}}, "model must have"),
        ({"machine": {"device": 3}}, "machine has no such device"),
        ({"machine": {"devices": "cpu"}}, "machine has no such devices"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(
    drawn: dict[str, Any], verify: Check, change: dict[str, Any], says: str
) -> None:
    run = verify(drawn | change)
    assert run.code == 3, run.err
    assert says in run.err
    assert "run.json" in run.err


def test_what_cannot_be_verified_is_said(drawn: dict[str, Any], verify: Check, sample: Any, tmp_path: Path) -> None:
    assert verify(b"").code == verify(b"what?").code == verify(b'{"schema": ' * 9999).code == 3
    assert verify(drawn | {"tokens": []}).code == 2
    assert verify(drawn | {"prompt_ids": [0, 10**6]}).code == 2
    searched = sample("-p", "the fox", "-n", 4, "--search", "beam", "--json")
    assert "a search" in verify(searched.bytes).err
    assert verify(drawn | {"model": {"path": "/none", "digest": "0"}}).code == 3
    wrong = verify(drawn | {"model": {"path": "/none", "digest": "0"}}, "--json")
    assert wrong.json["error"]["exit_code"] == 3
    failed = sample("-p", "the fox", "--json", "--top-p", 7)
    assert "an error" in verify(failed.bytes).err


def test_hostile_words_in_a_file_do_not_reach_the_terminal(drawn: dict[str, Any], verify: Check) -> None:
    drawn["tokens"][4] |= {"token": "\x1b]0;x\x07\u202e", "id": 3}
    drawn["tokens"][4]["candidates"][0] |= {"token": "\x9b2J", "cut_by": "\x1b[2J"}
    drawn["engine"]["dtype"] = "\x1b[31m"
    run = verify(drawn)
    assert run.code == 1
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(run.text + run.err)


def test_a_session_is_named_as_everywhere_and_a_file_stays_a_file(tinychat: Any) -> None:
    assert "There is no session 'last'" in tinychat("verify", "last").err
    assert "fox.json: cannot be read" in tinychat("verify", "fox.json").err
