"""Fine-tuning from a checkpoint, whole and by adapters: it starts where that ended, resumes to the bit, and plays."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinychat.engine.params import SamplingParams
from tinychat.errors import CorpusError, UsageError
from tinychat.model.checkpoint import inspect, read, tokenizer_of
from tinychat.model.transformer import Transformer, load
from tinychat.sample import Request
from tinychat.sample_prompt import resolved
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.text.chat import PAUSE, TEMPLATE, Message, render
from trainer import checkpoints, judge
from trainer.config import Lora, TrainConfig
from trainer.config_file import dumps, parse
from trainer.config_file import load as load_config
from trainer.events import Evaluated, Event, Started, Stopped, TrainStep, Warned
from trainer.first_weights import adopt
from trainer.loop import train
from trainer.lora import add_adapters, is_adapter, merged
from trainer.loss import IGNORED, loss_sum
from trainer.signals import StopFlag

STEPS = 6
BASE = """
[data]
valid_fraction = 0.3
[tokenizer]
vocab_size = 290
[model]
context = 24
width = 16
layers = 2
heads = 2
[train]
steps = 4
tokens_per_step = 96
lr = 1e-2
threads = 1
device = "cpu"
[eval]
every = 2
batches = 2
rows = 2
[sample]
every = 0
"""
CHAT = f"""
[data]
loss = "assistant"
valid_fraction = 0.2
[train]
steps = {STEPS}
tokens_per_step = 96
micro_rows = 2
lr = 1e-2
threads = 1
device = "cpu"
[eval]
every = 3
batches = 2
rows = 2
[sample]
every = 3
prompts = []
chats = ["fox"]
max_tokens = 4
[save]
every = 2
"""
WORDS = ["fox", "owl", "mill", "red", "ran", "saw", "the", "a", "kite", "old"]


def _say(dice: random.Random, most: int) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(1, most)))


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short chats, and one that is longer than the context."""
    path = tmp_path_factory.mktemp("text") / "chats.jsonl"
    dice = random.Random(3)
    with path.open("w") as file:
        for turns in [2] * 60 + [14]:
            said = [{"role": "assistant" if turn % 2 else "user", "content": _say(dice, 3)} for turn in range(turns)]
            file.write(json.dumps({"messages": said}) + "\n")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on plain text."""
    folder = tmp_path_factory.mktemp("base")
    text, dice = folder / "text.jsonl", random.Random(5)
    text.write_text("".join(json.dumps({"text": _say(dice, 20)}) + "\n" for _ in range(60)))
    run = folder / "run"
    list(train(parse(BASE, name="base", overrides=[f"data.text={text}"]), out=run))
    return run


def _config(base: Path, chats: Path, *overrides: str) -> TrainConfig:
    return parse(CHAT, name="chat", overrides=[f"train.from={base}", f"data.text={chats}", *overrides])


def _run(config: TrainConfig, out: Path, **keywords: Any) -> list[Event]:
    return list(train(config, out=out, **keywords))


def _state(out: Path) -> dict[str, bytes]:
    found, broken = checkpoints.newest(out / "checkpoints")
    assert found is not None
    assert broken == []
    return {name: array.tobytes() for name, array in (*found.weights().items(), *found.state().items())}


def _losses(events: list[Event]) -> list[tuple[int, float, float]]:
    return [(event.step, event.loss, event.grad_norm) for event in events if isinstance(event, TrainStep)]


KINDS = {"whole": (), "adapters": ("lora.rank=2",), "pauses": ("data.pause_tokens=2",)}


@pytest.mark.parametrize("overrides", KINDS.values(), ids=KINDS)
def test_stopped_and_resumed_is_the_unbroken_run_bit_for_bit(
    overrides: tuple[str, ...], base: Path, chats: Path, tmp_path: Path
) -> None:
    config = _config(base, chats, *overrides)
    unbroken = _run(config, tmp_path / "unbroken")
    flag = StopFlag()
    first = []
    for event in train(config, out=tmp_path / "run", stop=flag):
        first.append(event)
        if isinstance(event, TrainStep) and event.step == 3:
            flag.request("SIGTERM")
    torch.manual_seed(999)
    second = _run(load_config(tmp_path / "run" / "config.toml"), tmp_path / "run", resume=True)
    assert _losses(first) + _losses(second) == _losses(unbroken)
    assert _state(tmp_path / "run") == _state(tmp_path / "unbroken")
    kept, whole = (tmp_path / name / "ckpt.safetensors" for name in ("run", "unbroken"))
    assert {name: array.tobytes() for name, array in read(kept)[1].items()} == {
        name: array.tobytes() for name, array in read(whole)[1].items()
    }
    assert isinstance(second[-1], Stopped)


def test_the_first_evaluation_is_that_of_the_checkpoint(base: Path, chats: Path, tmp_path: Path) -> None:
    events = _run(_config(base, chats), tmp_path / "run")
    before = next(event for event in events if isinstance(event, Evaluated))
    assert before.step == 0
    adapters = _run(_config(base, chats, "lora.rank=2"), tmp_path / "lora")
    again = next(event for event in adapters if isinstance(event, Evaluated))
    assert (again.step, again.loss) == (0, before.loss)


def test_long_chats_are_told(base: Path, chats: Path, tmp_path: Path) -> None:
    events = _run(_config(base, chats, "data.valid_fraction=0"), tmp_path)
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any(message.startswith("1 chat is longer than the context of 24: cut between turns") for message in told)


def test_the_result_plays_by_itself_and_says_where_it_comes_from(base: Path, chats: Path, tmp_path: Path) -> None:
    _run(_config(base, chats), tmp_path)
    origin = inspect(base / "best.safetensors")
    info = inspect(tmp_path / "ckpt.safetensors")
    assert info.tokenizer_json == origin.tokenizer_json
    assert info.chat_template == TEMPLATE
    assert info.config == origin.config
    assert info.training["from"]["digest"] == origin.digest
    assert info.training["from"]["training"] == origin.training


def test_plain_text_is_mixed_in_by_share(base: Path, chats: Path, tmp_path: Path) -> None:
    text = base.parent / "text.jsonl"
    config = _config(
        base, chats, f'data.text=["{chats}", "{text}"]', "data.weights=[0.5, 0.5]", "data.valid_fraction=0"
    )
    events = _run(config, tmp_path)
    assert isinstance(events[-1], Stopped)
    seen = next(event for event in events if isinstance(event, Started))
    assert seen.train_tokens > 600


def test_what_the_base_was_trained_on_is_not_new_to_its_child(base: Path) -> None:
    toy = "data.documents=20", "data.chat_share=1.0"
    old, new = (dumps(parse("", name="x", overrides=[*toy, f"data.seed={seed}"])) for seed in (3, 4))
    info = inspect(base / "best.safetensors")
    alone = judge._trained_on(replace(info, training={"config": new}))
    both = judge._trained_on(replace(info, training={"config": new, "from": {"training": {"config": old}}}))
    assert alone is not None
    assert both is not None
    assert alone < both
    elsewhere = {"config": new, "from": {"training": {"config": dumps(parse("", name="x", overrides=["data.text=a"]))}}}
    assert judge._trained_on(replace(info, training=elsewhere)) is None


# --- adapters ----------------------------------------------------------------------------------------------------


def _with_adapters(base: Path) -> tuple[Transformer, Transformer]:
    """A plain network, and the same with adapters that have learned something."""
    plain, _ = load(base / "best.safetensors")
    model = Transformer(plain.config)
    adopt(model, plain.state_dict())
    add_adapters(model, Lora(rank=3), torch.Generator().manual_seed(1))
    return plain, model.eval()


def test_new_adapters_change_nothing(base: Path) -> None:
    plain, model = _with_adapters(base)
    ids = torch.arange(12).reshape(2, 6)
    with torch.inference_mode():
        assert torch.equal(model(ids), plain(ids))


def test_merged_weights_are_base_and_adapters(base: Path) -> None:
    plain, model = _with_adapters(base)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_adapter(name):
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    one = Transformer(plain.config).eval()
    one.load_state_dict(merged(model.state_dict(), Lora(rank=3).scale))
    ids = torch.arange(12).reshape(2, 6)
    with torch.inference_mode():
        assert not torch.allclose(model(ids), plain(ids), atol=1e-2)
        assert torch.allclose(model(ids), one(ids), atol=1e-6, rtol=1e-5)


def test_only_adapters_are_trained_and_kept(base: Path, chats: Path, tmp_path: Path) -> None:
    events = _run(_config(base, chats, "lora.rank=2", 'lora.targets=["qkv", "down"]'), tmp_path)
    shape = next(event for event in events if isinstance(event, Started)).shape
    assert shape.endswith("llama from run, adapters of rank 2 (512)")
    found, _ = checkpoints.newest(tmp_path / "checkpoints")
    assert found is not None
    assert found.weights() == {}
    names = {name.partition("/")[2] for name in found.state()}
    assert len(names) == 2 * 2 * 2  # blocks, targets, both sides
    assert all(is_adapter(name) for name in names)
    before, after = (read(path)[1] for path in (base / "best.safetensors", tmp_path / "ckpt.safetensors"))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {
        f"blocks.{block}.{layer}.weight" for block in (0, 1) for layer in ("attention.qkv", "feed_forward.down")
    }


def test_adapters_go_on_with_their_own_base_only(base: Path, chats: Path, tmp_path: Path) -> None:
    copy = tmp_path / "base"
    shutil.copytree(base, copy)
    config = _config(copy, chats, "lora.rank=2")
    flag = StopFlag()
    for event in train(config, out=tmp_path / "run", stop=flag):
        if isinstance(event, TrainStep):
            flag.request("SIGTERM")
    shutil.copyfile(tmp_path / "run" / "ckpt.safetensors", copy / "best.safetensors")
    with pytest.raises(CorpusError, match=r"train\.from is another"):
        _run(config, tmp_path / "run", resume=True)


def test_another_rank_is_another_run(base: Path, chats: Path, tmp_path: Path) -> None:
    _run(_config(base, chats, "lora.rank=2", "train.steps=1"), tmp_path)
    with pytest.raises(UsageError, match=r"lora\.rank was 2, is 3"):
        _run(_config(base, chats, "lora.rank=3", "train.steps=1"), tmp_path, resume=True)


# --- pause tokens ------------------------------------------------------------------------------------------------


def test_a_pause_token_is_added_seen_and_learned_but_never_a_label(base: Path, chats: Path, tmp_path: Path) -> None:
    _run(_config(base, chats, "data.pause_tokens=2"), tmp_path)
    origin, info = inspect(base / "best.safetensors"), inspect(tmp_path / "ckpt.safetensors")
    tokenizer = tokenizer_of(info)
    pause = tokenizer.specials[PAUSE]
    assert info.config.vocab_size == origin.config.vocab_size + 1 == pause + 1
    weights = read(tmp_path / "ckpt.safetensors")[1]["embedding.weight"]
    mean = read(base / "best.safetensors")[1]["embedding.weight"].mean(axis=0)
    assert not np.allclose(weights[pause], mean, atol=1e-4)


def test_the_number_of_pauses_is_set_when_it_talks(base: Path, chats: Path, tmp_path: Path) -> None:
    _run(_config(base, chats, "data.pause_tokens=2", "train.steps=1"), tmp_path)
    info = inspect(tmp_path / "ckpt.safetensors")
    tokenizer = tokenizer_of(info)
    asked = [Message("user", "fox")]
    for pauses, seen in ((None, 2), (0, 0), (5, 5)):
        request = Request(prompt="fox", model=info.path, params=SamplingParams(), chat=True, pauses=pauses)
        _, ids = resolved(request, tokenizer, info)
        assert ids == render(asked, tokenizer, reply=True, pauses=seen).ids
        assert ids.count(tokenizer.specials[PAUSE]) == seen
    session = Session(tokenizer, params=SamplingParams(seed=1), chat=True, pauses=3)
    session.say("fox")
    assert list(session.tree.path.ids) == render(asked, tokenizer, reply=True, pauses=3).ids
    assert " --pause-tokens 3 " in command(session)
    origin = inspect(base / "best.safetensors")
    request = Request(prompt="fox", model=origin.path, params=SamplingParams(), chat=True, pauses=1)
    with pytest.raises(UsageError, match="was not trained with pauses"):
        resolved(request, tokenizer_of(origin), origin)


# --- the loss ----------------------------------------------------------------------------------------------------


def test_nothing_to_learn_is_no_loss_no_gradient_and_no_count() -> None:
    logits = torch.randn(2, 5, 7, requires_grad=True)
    loss, count = loss_sum(logits, torch.full((2, 5), IGNORED))
    loss.backward()  # type: ignore[no-untyped-call]
    assert (float(loss.detach()), count) == (0.0, 0)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_masked_loss_and_gradient_are_those_of_transformers(base: Path) -> None:
    llama = pytest.importorskip("transformers").LlamaForCausalLM
    from transformers.loss.loss_utils import ForCausalLMLoss  # type: ignore[import-not-found,unused-ignore]

    assert llama is not None
    logits = torch.randn(3, 8, 11, generator=torch.Generator().manual_seed(2), requires_grad=True)
    ids = torch.randint(0, 11, (3, 8), generator=torch.Generator().manual_seed(3))
    keep = torch.tensor([[0] * 8, [0, 0, 1, 1, 0, 1, 1, 0], [1] * 8], dtype=torch.bool)
    theirs = ForCausalLMLoss(logits, torch.where(keep, ids, -100), vocab_size=11)
    (expected,) = torch.autograd.grad(theirs, logits)
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = torch.where(keep, ids, IGNORED)[:, 1:]  # they shift inside
    ours, count = loss_sum(logits, targets)
    (found,) = torch.autograd.grad(ours / count, logits)
    assert count == int(keep[:, 1:].sum())
    assert torch.allclose(ours.detach() / count, theirs.detach(), atol=1e-6)
    assert torch.allclose(found, expected, atol=1e-7)
