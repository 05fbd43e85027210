"""The display fits every size, says the same without colour or Unicode, lets no control code through, stops no run."""

from __future__ import annotations

import io
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tinychat.errors import UsageError
from trainer import figures
from trainer.config_file import load
from trainer.controls import Controls
from trainer.display import Dashboard, PlainLines, choose_display, line_of
from trainer.door import run_train
from trainer.events import (
    Eased,
    Evaluated,
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
    Warned,
    as_record,
    from_record,
)
from trainer.frame import frame, plain_lines
from trainer.hand import Hand
from trainer.history import MOST, Curve
from trainer.keyboard import Keyboard
from trainer.plot import plot, round_ticks
from trainer.signals import StopFlag
from trainer.strips import probe_line, probe_lines
from trainer.summary import Commands, summary
from trainer.view import SHOWN, View
from trainer.wishes import Wishes

ROOT = Path(__file__).parents[2]
HOSTILE = " [bold]red[/] \x1b[31m \x9b0m ‮ \U000e0041 \r\x07\n\n日本語 \udcff end"
SIZES = [(80, 24), (120, 40), (200, 60), (40, 20), (100, 30), (60, 10), (20, 5), (1, 1)]


def _started(step: int = 0, name: str = "small") -> Started:
    return Started(
        name=name,
        out=Path("runs/small"),
        step=step,
        steps=400,
        parameters=935_040,
        shape="4 layers x 128, 4 heads, llama",
        vocab_size=1024,
        context=256,
        tokens_per_step=4096,
        micro_batches=1,
        train_tokens=2_100_000,
        valid_tokens=40_000,
        device="cpu",
        threads=2,
        elapsed_s=0.0,
        flops_per_token=1e11 / 12_345,
        matrix_flops=4e11,
        planned_lr=tuple(2e-3 * (1 - place / 40) for place in range(33)),
    )


def _step(step: int, loss: float) -> TrainStep:
    return TrainStep(
        step=step,
        loss=loss,
        smooth_loss=loss,
        bits_per_byte=loss * 0.3,
        lr=2e-3,
        grad_norm=0.43,
        tokens=step * 4096,
        tokens_per_s=12_345.0,
        epoch=step / 100,
        elapsed_s=step * 0.2,
        eta_s=(400 - step) * 0.2,
        memory_bytes=341_000_000,
    )


def _evaluated(step: int, loss: float) -> Evaluated:
    return Evaluated(step=step, loss=loss, bits_per_byte=loss * 0.3, tokens=9000, best=True, seconds=0.3)


def _view(steps: int = 200) -> View:
    view = View()
    view.take(_started())
    for step in range(1, steps + 1):
        loss = 1.4 + 5.5 * math.exp(-step / 30)
        view.take(_step(step, loss))
        if step % 50 == 0:
            view.take(_evaluated(step, loss + 0.2))
    view.take(Sampled(step=200, prompt="Once upon a time", text=HOSTILE, temperature=0.8))
    for probed in (20, 200):
        view.take(
            Probed(step=probed, prompt=f"a fox {HOSTILE[:8]}", top=((f"␣ran {HOSTILE}", probed / 250), ("␣sat", 0.1)))
        )
    view.take(Saved(step=150, path=Path("runs/small/ckpt.safetensors"), best=False, seconds=0.1))
    view.take(Warned(step=200, message=f"something {HOSTILE}"))
    return view


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_frame_fits_exactly_and_holds_no_control_codes(width: int, height: int, ascii_only: bool) -> None:
    for view in (View(), View(waiting="loading"), _view(1), _view()):
        lines = frame(view, width, height, ascii_only=ascii_only)
        assert len(lines) == height
        for line in lines:
            assert line.cell_len <= width
            assert line.plain.isprintable() or "\udcff" in line.plain


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_everything_a_person_asks_for_is_on_the_screen(width: int, height: int) -> None:
    text = "\n".join(plain_lines(frame(_view(), width, height), width))
    for expected in (
        "small",
        "935k parameters",
        "4 layers x 128",
        "step 200/400",
        "50%",
        "0:40, 0:40 to go",
        "1.407",  # loss
        "1.607",  # held out
        "0.422",  # bits per byte
        "2.00e-03",
        "0.430",
        "12.3k",
        "819k",  # tokens seen
        "2.00",  # epoch
        "341 MB",
        "sample at step 200, temperature 0.8",
        "Once upon a time [bold]red[/] ␛[31m",
        "saved at step 150, 50 steps ago",
        "! something",
        "Ctrl-C saves and stops",
        "next after",
        "80",  # percent of the likeliest next token
        "␣sat",
        "25%" if width < 100 else "25% of 400 GFLOP/s",
    ):
        assert expected in text, expected


@pytest.mark.parametrize("ascii_only", [False, True])
def test_tab_shows_the_other_curves_and_the_rates_to_come(ascii_only: bool) -> None:
    view = _view()
    for shown in SHOWN[1:]:
        view.shown = shown
        text = "\n".join(plain_lines(frame(view, 80, 24, ascii_only=ascii_only), 80))
        assert shown in text
        assert ("planned" in text) == (shown == "learning rate")
        assert "held out)" not in text
        assert ("·" in text) != ascii_only


def test_what_has_passed_leaves_the_screen_a_pause_and_a_scaled_rate_are_on_it() -> None:
    view = _view()
    view.keys = True
    view.take(Warned(step=200, message="too hot", about="heat"))
    view.take(Paused(step=200))
    view.take(RateScaled(step=200, scale=0.25, lr=1e-3))
    text = "\n".join(plain_lines(frame(view, 80, 24), 80))
    for expected in ("! too hot", "PAUSED: space goes on", "2.00e-03 x 1/4", "space pause", "q stop"):
        assert expected in text, expected
    view.take(Eased(step=210, about="heat"))
    text = "\n".join(plain_lines(frame(view, 80, 24), 80))
    assert "too hot" not in text
    assert "something" in text  # another warning stays


def test_where_there_is_room_the_sample_before_stands_below_the_last_one() -> None:
    view = _view()
    for step, prompt, text in (
        (100, "A", " was."),
        (200, "B", " and B."),
        (300, "A", " fox ran."),
        (400, "A", " fox sat."),
    ):
        view.take(Sampled(step=step, prompt=prompt, text=text, temperature=1.0))
    text = "\n".join(plain_lines(frame(view, 120, 40), 120))
    last, before = text.index("A fox sat."), text.index("A fox ran.")
    assert last < text.index("before, at step 300") < before
    assert "and B." not in text


@pytest.mark.parametrize(("width", "height"), [(100, 20), (100, 24), (100, 30), (120, 36), (200, 60), (80, 24)])
def test_the_last_sample_is_seen_whatever_else_is_to_be_shown(width: int, height: int) -> None:
    view = _view()
    for step in range(100, 200, 20):
        view.take(Probed(step=step, prompt="a", top=tuple((letter, 0.1) for letter in "bcdef")))
    view.take(Sampled(step=200, prompt="A", text=" fox ran.", temperature=1.0))
    assert "A fox ran." in "\n".join(plain_lines(frame(view, width, height), width))


def test_the_history_of_the_probe_rises_with_the_odds() -> None:
    probes = [Probed(step=step, prompt="a", top=(("x", step / 10), ("y", 0.05))) for step in range(1, 9)]
    heading, first, second = (line.plain for line in probe_lines(probes, 50, 3, ascii_only=False))
    assert heading == 'next after "a"'
    assert " 80.0 % " in first
    assert first.endswith("█")
    assert list(first[-8:]) == sorted(first[-8:])
    assert set(second[-8:]) == {"▁"}
    assert "80%" in probe_line(probes, 40, ascii_only=True).plain


def test_the_curve_uses_the_width_and_the_two_kinds_differ_without_colour() -> None:
    view = _view()
    for ascii_only, circle in ((False, "●"), (True, "o")):
        lines = [
            line.plain for line in plot(view.curve.train, view.curve.valid, width=90, height=20, ascii_only=ascii_only)
        ]
        assert len(lines) == 20
        assert max(map(len, lines)) == 90
        assert sum(line.count(circle) for line in lines) == 4
        assert any(line.rstrip().endswith("200") for line in lines)  # the last step is on the axis
        if ascii_only:
            assert all(line.isascii() for line in lines)


def test_a_falling_loss_falls_on_the_screen() -> None:
    train = [(float(step), 4.0 - step / 100) for step in range(200)]
    lines = [line.plain[6:] for line in plot(train, [], width=60, height=16, ascii_only=True)][:-2]
    firsts = [
        next((row for row, line in enumerate(lines) if line[column : column + 1].strip()), None)
        for column in (5, 25, 45)
    ]
    assert None not in firsts
    assert firsts == sorted(firsts, key=lambda row: row or 0)
    assert firsts[0] != firsts[-1]


def test_the_early_steps_do_not_press_the_rest_flat() -> None:
    train = [(float(step), 100.0 if step < 5 else 2.0 - step / 1000) for step in range(500)]
    lines = [line.plain for line in plot(train, [], width=80, height=16, ascii_only=False)]
    rows = [row for row, line in enumerate(lines[:-2]) if any("⠀" < letter <= "⣿" for letter in line)]
    assert len(rows) >= 12


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(width=32)), max_size=40),
    st.lists(st.tuples(st.integers(0, 5000), st.floats(width=32)), max_size=5),
    st.integers(1, 120),
    st.integers(1, 40),
    st.booleans(),
)
def test_any_points_at_any_size_make_a_plot(
    train: list[tuple[float, float]], valid: list[tuple[float, float]], width: int, height: int, ascii_only: bool
) -> None:
    lines = plot(sorted(train), sorted(valid), width=width, height=height, ascii_only=ascii_only)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
def test_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    ticks = round_ticks(low, low + span, most)
    assert len(ticks) <= most
    assert all(low - span * 1e-6 - 1e-9 <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in ticks)


def test_a_run_of_a_million_steps_fits_into_the_memory() -> None:
    curve = Curve()
    for step in range(1, 50_001):
        curve.add_train(step, step / 1000)
    assert len(curve.train) < MOST
    assert curve.train[-1][0] >= 49_980
    assert all(abs(loss - step / 1000) < 0.1 for step, loss in curve.train)


def test_what_earlier_sittings_saw_comes_back_from_the_log(tmp_path: Path) -> None:
    probed = Probed(step=1, prompt="a", top=(("b", 0.5), ("c", 0.25)))
    events: list[Event] = [_step(1, 5.0), _evaluated(1, 5.5), probed, Warned(step=1, message="old"), _step(2, 4.0)]
    written = [json.dumps(as_record(event)) for event in events]
    written[4:4] = ["torn", "[]", '{"event": "trainstep", "step": 2}', '{"event": "of tomorrow", "step": 2}']
    (tmp_path / "log.jsonl").write_text("\n".join(written) + "\n")
    view = View()
    view.take(replace(_started(step=2), out=tmp_path))
    assert (view.curve.train, view.curve.valid) == ([(1, 5.0), (2, 4.0)], [(1, 5.5)])
    assert view.curve.probes == [probed]
    assert view.evaluated == view.best == _evaluated(1, 5.5)
    assert view.warnings == []
    View().take(replace(_started(step=2), out=tmp_path / "none"))


@pytest.mark.parametrize("event", [_started(), _step(3, 1.0), _evaluated(1, 2.0)])
def test_an_event_comes_back_from_its_record(event: Event) -> None:
    assert from_record(json.loads(json.dumps(as_record(event)))) == event


def test_plain_lines_come_at_intervals_and_hold_no_control_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainLines(Commands(go_on="tinychat train --resume"), every=10) as display:
        display.waiting("loading torch")
        display.show(Progress(what="encoding text", done=5, total=10, unit="documents"))
        display.show(Progress(what="encoding text", done=6, total=10, unit="documents"))
        display.show(_started(name="x\x1b[2J"))
        for step in range(1, 31):
            display.show(_step(step, 3.0))
            display.show(Progress(what="evaluating", done=1, total=2, unit="batches"))
        display.show(_evaluated(30, 3.1))
        display.show(Sampled(step=30, prompt="a", text=HOSTILE.replace("\udcff", ""), temperature=1.0))
        display.show(Warned(step=30, message="hot \x1b[1m"))
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum("loss 3.0000" in line for line in lines) == 3
    assert sum("encoding" in line for line in lines) == 1
    assert not any("evaluating" in line for line in lines)
    assert any("held out 3.1000" in line for line in lines)
    assert any(line.startswith("warning: hot ␛[1m") for line in lines)


def test_every_event_has_a_plain_line_but_progress() -> None:
    assert "by a key" not in line_of(_started(), 5)
    assert "rate x 0.25 by a key" in line_of(replace(_started(), rate_scale=0.25), 5)
    assert "no longer: heat" in line_of(Eased(step=1, about="heat"), 5)
    assert "a: b 50%" in line_of(Probed(step=1, prompt="a", top=(("b", 0.5),)), 5)
    assert line_of(Progress(what="x", done=0, total=0, unit=""), 5) == ""
    assert "saved a.safetensors" in line_of(Saved(step=1, path=Path("a.safetensors"), best=True, seconds=0.1), 5)


def _stopped(reason: str, saved: bool = True) -> Stopped:
    folder = Path("runs/my run")
    return Stopped(
        step=200,
        steps=400,
        reason=reason,
        elapsed_s=61.0,
        saved=folder / "ckpt.safetensors" if saved else None,
        best=folder / "best.safetensors" if saved else None,
        loss=1.5 if saved else None,
        valid_loss=1.6 if saved else None,
        best_loss=1.55 if saved else None,
        tokens=819_200,
    )


def test_the_summary_of_a_stopped_run_says_how_to_go_on_and_to_play() -> None:
    view = _view()
    view.take(_stopped("SIGINT"))
    text = "\n".join(
        line.plain for line in summary(view, Commands(go_on="tinychat train --config a.toml --out b --resume"))
    )
    assert "Stopped by Ctrl-C: step 200 of 400, 819k tokens, 1:01. Everything is saved." in text
    assert "held out 1.600 (best 1.550)" in text
    assert "Go on:  tinychat train --config a.toml --out b --resume" in text
    assert "tinychat play 'runs/my run/best.safetensors'" in text
    view.take(_stopped("finished"))
    assert "Go on" not in "\n".join(line.plain for line in summary(view, Commands(go_on="x")))


def test_a_run_that_never_began_promises_no_files() -> None:
    view = View()
    view.take(_stopped("SIGTERM", saved=False))
    text = "\n".join(line.plain for line in summary(view, Commands(go_on="again")))
    assert "nothing is trained yet" in text
    assert "play" not in text
    assert "again" in text


def test_the_dashboard_draws_leaves_the_screen_and_what_matters_stays() -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=80, height=24, color_system="standard", legacy_windows=False
    )
    with Dashboard(Commands(go_on="go on"), console=console, ascii_only=True) as display:
        display.waiting("loading torch")
        display.show(_started())
        for step in range(1, 20):
            display.show(_step(step, 4 - step / 10))
        display.show(_evaluated(19, 2.2))
        display.show(_stopped("finished"))
    written = stream.getvalue()
    assert written.index("\x1b[?1049h") < written.index("\x1b[?1049l")
    screen = pyte.Screen(80, 30)
    pyte.Stream(screen).feed(written[written.rindex("\x1b[?1049l") :].replace("\n", "\r\n"))
    left = "\n".join(screen.display)
    assert "Finished: step 200 of 400" in left
    assert "o" in left


def test_drawing_is_throttled() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with Dashboard(Commands(go_on=""), console=console) as display:
        display.show(_started())
        started, draws = time.monotonic(), 0
        real = display._live.refresh

        def counting() -> None:
            nonlocal draws
            draws += 1
            real()

        display._live.refresh = counting  # type: ignore[method-assign]
        while time.monotonic() - started < 0.6:
            display.show(_step(5, 3.0))
        assert draws <= 0.6 * 8 + 2


class _Keys(Keyboard):
    """A keyboard that a shell can take away."""

    usable = True
    foreground = True

    def open(self) -> Self:
        self.is_open = True
        return self

    def close(self) -> None:
        self.is_open = False

    def read(self) -> list[str]:
        return []


def test_behind_the_shell_nothing_is_drawn_and_in_front_again_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hand, "begin", lambda self, leave: None)  # the handlers of signals are pytest's
    stream, keys, stop = io.StringIO(), _Keys(0), StopFlag()
    console = Console(file=stream, force_terminal=True, width=80, height=24, legacy_windows=False)

    def written() -> str:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return text

    with Dashboard(Commands(go_on=""), console=console, hand=Hand(keys, Controls(Wishes(), stop), stop)) as display:
        display.show(_started())
        display.show(_evaluated(1, 3.0))
        assert "space pause" in written()
        keys.foreground = False  # the shell does this
        display.show(_evaluated(2, 2.9))
        left = written()
        assert "\x1b[?1049l" in left
        assert "held out" not in left
        assert not keys.is_open
        display.show(_evaluated(3, 2.8))
        assert written() == ""
        keys.foreground = True
        display.show(_evaluated(4, 2.7))
        back = written()
        assert "\x1b[?1049h" in back
        assert "space pause" in back
        assert keys.is_open
    assert not keys.is_open


class _Dead(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.display._forget_stdout", lambda: None)
    console = Console(file=_Dead(), force_terminal=True, width=80, height=24)
    with Dashboard(Commands(go_on=""), console=console) as display:
        display.show(_started())
        display.show(_stopped("SIGHUP"))
    monkeypatch.setattr("sys.stdout", _Dead())
    with PlainLines(Commands(go_on=""), every=1) as lines:
        lines.show(_step(1, 2.0))
        lines.show(_step(2, 2.0))


def test_lines_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen() -> object:
        return choose_display(commands=Commands(go_on=""), plain=False, ascii_only=False, log_every=1)

    assert isinstance(chosen(), PlainLines)  # pytest's stdout is no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(chosen(), PlainLines)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(chosen(), Dashboard)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65.4, "1:05"), (7384, "2:03:04"), (276_000, "3 d 04:40"), (-3, "0:00")]
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(950, "950"), (12_345, "12.3k"), (999_999, "1.00M"), (2.1e9, "2.10B")])
def test_counts_are_short(value: float, text: str) -> None:
    assert figures.count(value) == text


def test_config_and_display_come_before_torch() -> None:
    code = "import sys, trainer.door; sys.exit('torch' in sys.modules or 'textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_bad_config_ends_before_any_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("[train]\nlr = 0\n")
    with pytest.raises(UsageError):
        run_train(tmp_path / "bad.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_the_default_folder_is_named_after_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("one two three four\n" * 300)
    (tmp_path / "mine.toml").write_text(
        '[data]\ntext = "words.txt"\nmode = "windows"\n[tokenizer]\nvocab_size = 270\n'
        "[model]\ncontext = 8\nwidth = 8\nlayers = 1\nheads = 1\n"
        '[train]\nsteps = 3\ntokens_per_step = 32\n[sample]\nprompts = ["one"]\n'
    )
    assert run_train(Path("mine.toml"), overrides=["train.lr=1e-3"]) == 0
    assert load(tmp_path / "runs/mine/config.toml").train.lr == 1e-3
    assert "tinychat play runs/mine/" in capsys.readouterr().out


ENDLESS = """
[data]
text = "words.txt"
mode = "windows"
[tokenizer]
vocab_size = 270
[model]
context = 8
width = 8
layers = 1
heads = 1
[train]
steps = 10_000_000
tokens_per_step = 32
compile = "off"
[sample]
prompts = ["one"]
"""


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that only a signal ends; its config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("one two three four\n" * 300)
    (tmp_path / "mine.toml").write_text(ENDLESS)
    return tmp_path / "mine.toml"


@pytest.mark.slow
def test_a_signal_saves_gives_the_terminal_back_and_ends_with_its_code(endless: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    __import__("fcntl").ioctl(slave, 0x5414, struct.pack("HHHH", 30, 90, 0, 0))  # TIOCSWINSZ
    command = [sys.executable, "-m", "tinychat", "train", "--config", str(endless), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    written = b""
    is_sent = False
    try:
        while part := _read(master):
            written += part
            if not is_sent and re.search(rb"step [1-9]", written):
                os.kill(process.pid, signal.SIGINT)
                is_sent = True
        ended = process.wait()
    finally:
        os.close(master)
        process.kill()  # one that has not ended must not run on beside the other tests
    assert ended == 130
    text = written.decode(errors="replace")  # a signal may cut a character in two
    assert text.rindex("\x1b[?1049l") > text.rindex("\x1b[?1049h")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Everything is saved." in text
    assert "--resume" in text
    assert (tmp_path / "run/ckpt.safetensors").exists()


def _read(terminal: int) -> bytes:
    """What a process writes next; nothing when it has ended, or says nothing for a very long time."""
    if not select.select([terminal], [], [], 120)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way of saying that nobody is at the other end
        return b""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_any_signal_saves_and_ends_with_its_code(
    sent: signal.Signals, code: int, endless: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show = PlainLines.show

    def signalled(self: PlainLines, event: Event) -> None:
        show(self, event)
        if isinstance(event, TrainStep) and event.step == 3:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(PlainLines, "show", signalled)
    assert run_train(endless, out=endless.parent / "run") == code
    assert "Everything is saved." in capsys.readouterr().out
    assert (endless.parent / "run/ckpt.safetensors").exists()
