"""Keys become wishes, wishes become events; a lowered rate survives a stop to the bit, a pause changes nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.controls import Controls
from trainer.events import (
    Continued,
    Event,
    Paused,
    Probed,
    Progress,
    RateScaled,
    Sampled,
    Saved,
    Started,
    Stopped,
    TrainStep,
)
from trainer.loop import train
from trainer.signals import ASKED, StopFlag
from trainer.view import View
from trainer.wishes import LOWEST_SCALE, Wishes

ROOT = Path(__file__).parents[2]
CONFIG = """
[tokenizer]
vocab_size = 270
[data]
valid_fraction = 0.1
mode = "windows"
[model]
context = 8
width = 8
layers = 1
heads = 1
[train]
steps = 12
tokens_per_step = 32
optimizer = "plain"
threads = 1
device = "cpu"
[eval]
every = 0
batches = 1
rows = 2
[sample]
every = 0
prompts = ["owl"]
max_tokens = 4
probe_every = 4
[save]
every = 0
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("the owl saw a red kite over the old mill and ran\n" * 80)
    return parse(CONFIG, name="test", overrides=[f"data.text={text}"])


def _steered(
    config: TrainConfig, out: Path, wish: Callable[[Event, Wishes, StopFlag], None], *, resume: bool = False
) -> list[Event]:
    """The events of a run; `wish` may ask for something after each of them."""
    wishes, stop, seen = Wishes(), StopFlag(), []
    for event in train(config, out=out, resume=resume, stop=stop, wishes=wishes):
        seen.append(event)
        wish(event, wishes, stop)
    return seen


def _numbers(events: list[Event]) -> list[tuple[int, float, float]]:
    return [(event.step, event.loss, event.lr) for event in events if isinstance(event, TrainStep)]


def _bits(out: Path) -> dict[str, bytes]:
    found, _ = checkpoints.newest(out / "checkpoints")
    assert found is not None
    return {name: array.tobytes() for name, array in (*found.weights().items(), *found.state().items())}


def _lower_at(step: int) -> Callable[[Event, Wishes, StopFlag], None]:
    def wish(event: Event, wishes: Wishes, stop: StopFlag) -> None:
        if isinstance(event, TrainStep) and event.step == step:
            wishes.rate = 0.5

    return wish


def test_a_lowered_rate_is_halved_from_the_next_step_logged_and_kept_through_a_stop(
    config: TrainConfig, tmp_path: Path
) -> None:
    plain = _steered(config, tmp_path / "plain", lambda *_: None)
    whole = _steered(config, tmp_path / "whole", _lower_at(4))
    for (step, _, lr), (_, _, was) in zip(_numbers(whole), _numbers(plain), strict=True):
        assert lr == was * (0.5 if step > 4 else 1.0)
    (scaled,) = [event for event in whole if isinstance(event, RateScaled)]
    assert (scaled.step, scaled.scale, scaled.lr) == (4, 0.5, _numbers(whole)[4][2])
    logged = [json.loads(line)["event"] for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert "ratescaled" in logged

    def lower_then_stop(event: Event, wishes: Wishes, stop: StopFlag) -> None:
        _lower_at(4)(event, wishes, stop)
        if isinstance(event, TrainStep) and event.step == 7:
            stop.request(ASKED)

    first = _steered(config, tmp_path / "parts", lower_then_stop)
    second = _steered(config, tmp_path / "parts", lambda *_: None, resume=True)
    (started,) = [event for event in second if isinstance(event, Started)]
    assert started.rate_scale == 0.5
    assert _numbers(first) + _numbers(second) == _numbers(whole)
    assert _bits(tmp_path / "parts") == _bits(tmp_path / "whole")


def test_a_kill_right_after_the_rate_was_lowered_does_not_raise_it_again(config: TrainConfig, tmp_path: Path) -> None:
    events = train(config, out=tmp_path, wishes=(wishes := Wishes()))
    for event in events:
        _lower_at(4)(event, wishes, StopFlag())
        if isinstance(event, TrainStep) and event.step == 5:
            break
    events.close()
    found, _ = checkpoints.newest(tmp_path / "checkpoints")
    assert found is not None
    assert (found.progress.step, found.progress.rate_scale) == (4, 0.5)


def test_a_pause_holds_the_run_obeys_other_wishes_and_changes_no_bit(config: TrainConfig, tmp_path: Path) -> None:
    whole = _steered(config, tmp_path / "whole", lambda *_: None)
    looks = 0

    def wish(event: Event, wishes: Wishes, stop: StopFlag) -> None:
        nonlocal looks
        if isinstance(event, TrainStep) and event.step == 3:
            wishes.paused = True
        elif isinstance(event, Progress) and wishes.paused and event.what == "":
            looks += 1
            wishes.sample = wishes.save = looks == 1
            wishes.paused = looks < 3

    paused = _steered(config, tmp_path / "paused", wish)
    kinds = [type(event) for event in paused if not isinstance(event, Progress | Probed)]
    at = kinds.index(Paused)
    assert kinds[at : at + 4] == [Paused, Sampled, Saved, Continued]
    assert [event.step for event in paused if isinstance(event, Paused | Continued)] == [3, 3]
    assert _numbers(paused) == _numbers(whole)
    assert _bits(tmp_path / "paused") == _bits(tmp_path / "whole")


def test_a_pause_can_be_stopped_and_everything_is_saved(config: TrainConfig, tmp_path: Path) -> None:
    def wish(event: Event, wishes: Wishes, stop: StopFlag) -> None:
        if isinstance(event, TrainStep) and event.step == 3:
            wishes.paused = True
        elif isinstance(event, Paused):
            stop.request(ASKED)

    last = _steered(config, tmp_path, wish)[-1]
    assert isinstance(last, Stopped)
    assert (last.step, last.reason, last.saved) == (3, ASKED, tmp_path / "ckpt.safetensors")


def test_the_probe_tells_the_likeliest_tokens_and_touches_no_training_number(
    config: TrainConfig, tmp_path: Path
) -> None:
    events = _steered(config, tmp_path / "probed", lambda *_: None)
    probes = [event for event in events if isinstance(event, Probed)]
    assert [probe.step for probe in probes] == [4, 8, 12]
    for probe in probes:
        shares = [share for _, share in probe.top]
        assert probe.prompt == "owl"
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1
    none = config.model_copy(update={"sample": config.sample.model_copy(update={"probe": ""})})
    without = _steered(none, tmp_path / "none", lambda *_: None)
    assert not [event for event in without if isinstance(event, Probed)]
    assert _numbers(without) == _numbers(events)


# --- keys ---


def _pressed(keys: str, *, scale: float = 1.0) -> tuple[Wishes, StopFlag, View]:
    wishes, stop, view = Wishes(), StopFlag(), View(scale=scale)
    view.started = Started(
        name="x", out=Path("x"), step=0, steps=9, parameters=1, shape="", vocab_size=1, context=1, tokens_per_step=1,
        micro_batches=1, train_tokens=1, valid_tokens=1, device="cpu", threads=1, elapsed_s=0.0,
    )  # fmt: skip
    controls = Controls(wishes, stop)
    for key in keys:
        controls.press(key, view)
    return wishes, stop, view


def test_every_key_is_a_wish() -> None:
    assert _pressed(" ")[0].paused
    assert not _pressed("  ")[0].paused
    assert _pressed("s")[0].save
    assert _pressed("t")[0].sample
    assert _pressed("\t")[2].shown == "learning rate"
    assert _pressed("\t\t\t\t")[2].shown == "loss"
    assert _pressed("xyz")[0] == Wishes()


def test_the_rate_never_leaves_its_range_and_several_presses_add_up() -> None:
    assert _pressed("--")[0].rate == 0.25
    assert _pressed("-+")[0].rate == 1.0
    assert _pressed("+")[0].rate == 1.0
    assert _pressed("+++", scale=0.25)[0].rate == 4.0
    wishes, _, view = _pressed("-", scale=LOWEST_SCALE)
    assert wishes.rate == 1.0
    assert "as low as it gets" in view.note


def test_only_a_second_q_stops() -> None:
    _, stop, view = _pressed("q")
    assert stop.reason is None
    assert "q again" in view.note
    assert _pressed("qq")[1].reason == ASKED


CHILD = """
import os, select
from trainer.keyboard import Keyboard
keyboard = Keyboard().open()
print("ready", flush=True)
seen = []
while "q" not in seen:
    select.select([0], [], [])
    seen = keyboard.read()
    print("ready", seen, flush=True)
keyboard.close()
os.system("stty -a")
"""


def test_keys_come_one_by_one_pastes_and_arrows_do_not_and_the_terminal_is_given_back() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", CHILD])
    written = b""
    sent = [b"s", b"\x1b[A", b"all of this was pasted", b" ", b"\x1bOq", b"q"]
    answered = 0
    try:
        while True:
            assert select.select([terminal], [], [], 20)[0], written
            try:
                part = os.read(terminal, 4096)
            except OSError:
                break  # the child has ended
            if not part:
                break
            written += part
            if written.count(b"ready") > answered and answered < len(sent):
                os.write(terminal, sent[answered])
                answered += 1
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    text = written.decode()
    answers = [line.strip().removeprefix("ready ") for line in text.splitlines() if line.startswith("ready [")]
    assert answers == ["['s']", "[]", "[]", "[' ']", "[]", "['q']"]
    assert " icanon" in text
    assert " echo " in text
