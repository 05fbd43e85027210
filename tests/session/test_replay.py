"""The copied command says everything that made the text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.options import schedule
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer

Make = Callable[..., Step]


def options(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:2] == ["tinychat", "sample"]
    return words[2:]


def test_every_setting_that_is_not_neutral_is_a_flag(tokenizer: Tokenizer) -> None:
    params = SamplingParams(
        temperature=0.123456789, top_k=40, frequency_penalty=-0.5, seed=2**64 - 1, order="vllm", logit_bias={3: -1.5}
    )
    session = Session(tokenizer, params=params, model="my model.safetensors", max_tokens=99)
    session.complete('it\'s "the" cat\n$HOME `x`')
    words = options(command(session))
    assert words[:4] == ["-m", "my model.safetensors", "-p", 'it\'s "the" cat\n$HOME `x`']
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    assert pairs["--seed"] == str(2**64 - 1)
    assert float(pairs["--temperature"]) == 0.123456789
    assert (pairs["--top-k"], pairs["--frequency-penalty"]) == ("40", "-0.5")
    assert (pairs["--order"], pairs["--logit-bias"], pairs["-n"]) == ("vllm", "3=-1.5", "99")
    assert "--top-p" not in pairs


def test_knob_moves_and_forced_tokens_count_from_the_start_of_the_reply(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    for index, token in enumerate((270, 271, 272)):
        if index == 1:
            session.params = session.params.with_(temperature=0.5, top_p=0.9)
        session.chosen(make_step(token, len(session.tree), forced=index == 2), session.params)
    words = options(command(session))
    assert words[words.index("--at") + 1] == "1:temperature=0.5,top_p=0.9"
    assert words[words.index("--force") + 1] == "2=272"
    assert words[words.index("-n") + 1] == "3"


def test_a_first_chat_turn_is_text_and_a_later_one_is_ids(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(), chat=True)
    session.system = "as cats do"
    session.say("the cat?")
    words = options(command(session))
    assert words[:5] == ["--chat", "--system", "as cats do", "-p", "the cat?"]
    session.chosen(make_step(270, len(session.tree)), session.params)
    session.say("the mat?")
    words = options(command(session))
    ids = [int(token) for token in words[words.index("--prompt-ids") + 1].split(",")]
    assert ids == session.context().ids


def test_a_reply_that_went_past_an_end_says_so(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the")
    for index, token in enumerate((270, tokenizer.end_of_text, 271)):
        assert ("--past-end" in options(command(session))) is (index == 3)
        session.chosen(make_step(token, len(session.tree)), session.params)
    assert "--past-end" in options(command(session))


def test_what_it_runs_on_is_read_back_by_the_command(tokenizer: Tokenizer, checkpoint: Path) -> None:
    from tinychat import cli
    from tinychat.machine_options import read_machine

    plan = {"kind": "draft", "length": 3, "verify": "residual"}
    machine = Machine(dtype="bfloat16", amateur=str(checkpoint), draft=str(checkpoint), speculation=plan)
    session = Session(tokenizer, params=SamplingParams(), machine=machine)
    session.complete("the")
    given = cli.command("sample").make_context("sample", options(command(session))).params
    assert read_machine({name: value for name, value in given.items() if value is not None}) == machine


@pytest.mark.parametrize("order", ["hf", "temperature,top_k"])
def test_a_moved_order_can_be_read_back(tokenizer: Tokenizer, make_step: Make, order: str) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the")
    session.chosen(make_step(270, len(session.tree)), session.params)
    session.params = session.params.with_(order=order)
    session.chosen(make_step(271, len(session.tree)), session.params)
    words = options(command(session))
    assert words[words.index("--at") + 1] == f"1:order={order}"


def test_what_changed_in_mid_reply_is_read_back_by_sample(tokenizer: Tokenizer, make_step: Make) -> None:
    session = Session(tokenizer, params=SamplingParams(logit_bias={9: 1.0}))
    session.complete("the cat")
    after = SamplingParams(logit_bias={3: -math.inf, 4: 0.1}, seed=8, order="top_k,temperature,logit_bias", top_k=7)
    for index, params in enumerate((session.params, after, SamplingParams())):
        session.chosen(make_step(270 + index, len(session.tree)), params)
    words = options(command(session))
    given = [words[i + 1] for i, word in enumerate(words) if word == "--at"]
    read = schedule(given, session.params)
    assert session.params.with_(**read[1]) == after
    assert after.with_(**read[2]) == SamplingParams()
