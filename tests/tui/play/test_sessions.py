"""Sessions on the play screen: saved unasked, reopened as they stood, listed, named, exported, replayed."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinychat.engine.breaks import Condition
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import SamplerState
from tinychat.engine.wire import Force, Frame, Open, Run, SetBreaks, SetContext, SetParams, SetWatch, StepOnce
from tinychat.errors import StorageError, TinychatError
from tinychat.model.checkpoint import CheckpointInfo, inspect, tokenizer_of
from tinychat.session import record
from tinychat.session.claim import claim
from tinychat.session.first_line import glimpse
from tinychat.session.recall import load
from tinychat.session.record import Source
from tinychat.session.saved import autosave_folder, cut_off, fresh_path, keep_as, named_folder, saved
from tinychat.session.session import Session
from tinychat.session.tools import Searching, Tools
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.driver import ByteBudget
from tinychat.tui.opening import Opening
from tinychat.tui.palette import Look
from tinychat.tui.playapp import PlayApp
from tinychat.tui.recorded import NO_MODEL, RecordedDecoder
from tinychat.tui.screen import PlayScreen
from tinychat.tui.wording import clock_time, error_line

from .conftest import FakeDecoder, Play

Reopen = Callable[..., AbstractAsyncContextManager[Play]]


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> CheckpointInfo:
    return inspect(checkpoint)


def source_of(model: CheckpointInfo, **changes: Any) -> Source:
    own = Source(path=str(model.path), digest=model.digest, step=model.step, context=model.config.context)
    return replace(own, **changes)


MISSING = {"path": "/nowhere/big.safetensors", "digest": "ff" * 32}


def a_session(model: CheckpointInfo, prompt: str = "the fox saw", count: int = 8, **more: Any) -> Session:
    """Drawn by the scripted decoder, with a sampler's state, a moved knob and a second branch."""
    tokenizer = tokenizer_of(model)
    session = Session(tokenizer, params=SamplingParams(seed=5), **more)
    decoder = FakeDecoder(tokenizer)
    session.say(prompt) if session.mode == "chat" else session.complete(prompt)

    def draw(many: int, *, forced: bool = False) -> None:
        decoder.ids = list(session.tree.path.ids)
        for number in range(many):
            step = decoder.chosen(decoder.next_token() if not forced else 40, forced=forced)
            session.chosen(replace(step, state=SamplerState(mirostat=4.0 + number)), session.params)

    draw(count)
    session.params = session.params.with_(temperature=0.5)
    session.rewind(len(session.tree) - 3)
    draw(1, forced=True)
    draw(4)
    return session


@pytest.fixture
def reopened(model: CheckpointInfo) -> Reopen:
    """`async with reopened(path) as play:` a saved session on the screen, behind the scripted decoder."""

    @asynccontextmanager
    async def run(path: Path, *, size: tuple[int, int] = (120, 40), named: Path | None = None) -> AsyncIterator[Play]:
        decoder = FakeDecoder(tokenizer_of(model))
        opening = Opening(path=named, session=path, params=SamplingParams())
        app = PlayApp(
            opening, decoder, tokenizer=lambda: tokenizer_of(model), look=Look(), budget=ByteBudget(None),
            restart=lambda: FakeDecoder(tokenizer_of(model)),
        )  # fmt: skip
        async with app.run_test(size=size) as pilot:
            screen = app.screen
            assert isinstance(screen, PlayScreen)
            play = Play(pilot, app, screen, decoder)
            await until(play, lambda: screen.player is not None)
            await play.settle()
            yield play

    return run


async def until(play: Play, reached: Callable[[], object]) -> None:
    """Let the writer's thread and the loop work until it is so."""
    for _ in range(5000):
        if reached():
            return
        await play.pilot.pause()
        await play.pilot.pause(0.002)
    raise AssertionError("it never came:\n" + screen_text(play))


async def type_command(play: Play, line: str) -> None:
    await play.press("colon")
    play.screen.command_box.value = line
    await play.press("enter")


async def written(play: Play) -> Path:
    """The file of the session on the screen, once there is one."""
    keeper = play.screen.keeper
    assert keeper is not None
    await until(play, lambda: keeper.saver.is_written)
    assert keeper.saver.path is not None
    return keeper.saver.path


# saving


async def test_a_pause_saves_and_the_header_says_so(start) -> None:
    async with start() as play:
        await play.run_some(5)
        assert saved() == [], "not while it runs: there is time"
        await play.press("space")
        path = await written(play)
        await play.settle()
        assert "| saved" in play.text()
        found = load(path)
        assert found.summary.open
        assert found.session.tree.path.ids == play.player.session.tree.path.ids
        assert [found.session.tree.step(at) for at in (3, 7)] == [play.player.session.tree.step(at) for at in (3, 7)]
        play.screen.keeper.saver.settle()
    lines = play.app.reopening.farewell()
    assert f"tinychat play --session {path.stem}" in lines[0]
    assert not glimpse(path).open


async def test_a_long_run_is_saved_every_few_seconds(start) -> None:
    async with start() as play:
        await play.press("enter")
        keeper, now = play.screen.keeper, [100.0]
        keeper._clock, keeper._asked_at = (lambda: now[0]), now[0]
        for _ in range(4):
            now[0] += 1.0
            await play.draw(2)
        assert not keeper.saver.is_written
        now[0] += 1.5
        await play.draw(2)
        assert load(await written(play)).session.reply_length == 10
        assert play.player.running


async def test_a_prompt_that_was_never_run_leaves_no_file(start) -> None:
    async with start(prompt="the cat") as play:
        await play.press("x", "escape", "left", "left")
    assert play.app.reopening.farewell() == ("", "")
    assert saved() == []


async def test_what_is_typed_and_turned_is_saved_on_leaving(start) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space", "T", "minus", "left", "i", *"er")
        session = play.player.session
        cursor = play.screen.stream.cursor
    play.app.reopening.farewell()
    found = load(saved()[0].path)
    assert found.session.params == session.params
    assert (found.cursor, found.draft) == (cursor, "the cater")


async def test_a_terminal_that_goes_leaves_the_session_to_be_offered(start) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
    play.app.reopening.farewell(cut_off=True)
    found = cut_off()
    assert found is not None
    assert load(found.path).session.reply_length == 4


async def test_a_crash_of_the_engine_is_saved(start) -> None:
    async with start() as play:
        await play.run_some(6)
        play.decoder._frames.append(
            Frame(seq=play.decoder.seq, state="failed", error=("The engine's process was killed.", ""))
        )
        await play.settle()
        assert load(await written(play)).session.reply_length == 6


async def test_a_full_disk_is_said_once_and_stands_in_the_header(start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as play:
        await play.run_some(4)
        real = os.fsync

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        await play.press("space")
        await until(play, lambda: "disk is full" in play.text())
        assert "NOT SAVED" in play.text()
        await play.press("left")
        assert "disk is full" not in play.text()
        failure = play.screen.keeper.saver.failure
        await play.press("full_stop")
        await until(play, lambda: play.screen.keeper.saver.failure is not failure)
        await play.settle()
        assert "NOT SAVED" in play.text()
        assert "disk is full" not in play.text(), "it is said once"
        monkeypatch.setattr(os, "fsync", real)
        await play.press("full_stop")
        await until(play, lambda: "saved again" in play.text())
        await written(play)


async def test_the_last_line_says_why_nothing_was_saved(start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as play:
        await play.run_some(4)

    def refused(path: Path, chunks: object) -> None:
        raise StorageError(f"{path}: may not be written (Read-only file system).", "Choose a folder you may write to.")

    monkeypatch.setattr("tinychat.files.write_atomic", refused)
    what, hint = play.app.reopening.farewell()
    assert "The session is not saved" in what
    assert "Read-only" in what
    assert hint == "Choose a folder you may write to."


# reopening


@pytest.mark.parametrize("chat", [False, True])
async def test_a_session_stands_as_it_stood(reopened: Reopen, model, chat: bool) -> None:
    session = a_session(model, chat=chat)
    assert session.mode == ("chat" if chat else "completion")
    path = fresh_path("x")
    cursor = len(session.tree) - 2
    record.save(session, path, source=source_of(model), cursor=cursor, draft="half a wo")
    async with reopened(path) as play:
        have, context = play.player.session, session.context()
        opened = [each for each in play.decoder.sent if isinstance(each, Open)]
        assert [Path(each.path) for each in opened] == [model.path]
        assert [each.params for each in play.decoder.sent if isinstance(each, SetParams)] == [session.params]
        asked = [each for each in play.decoder.sent if isinstance(each, SetContext)]
        assert [(list(each.ids), each.prompt_len, each.state) for each in asked] == [
            (context.ids, context.prompt_len, context.state)
        ]
        assert context.state.mirostat == 7.0
        assert play.screen.stream.cursor == cursor
        assert play.screen.prompt_box.text == "half a wo"
        assert have.mode == session.mode
        assert "reopened" in play.text()
        await play.press("u")
        session.tree.undo()
        assert have.tree.path.ids == session.tree.path.ids
        await play.press("U", "full_stop")
        assert have.tree.branches[-1].length == len(context.ids) + 1
    play.app.reopening.farewell()
    assert [each.path for each in saved()] == [path], "it goes on in its own file"
    assert sum(map(len, (branch.own for branch in load(path).session.tree.branches))) == sum(
        len(branch.own) for branch in have.tree.branches
    )


async def test_a_named_model_with_other_weights_goes_on_and_says_so(reopened: Reopen, model, tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    record.save(a_session(model), path, source=source_of(model, **MISSING))
    before = path.read_bytes()
    async with reopened(path, named=model.path) as play:
        assert "other weights" in play.text()
        await play.press("full_stop")
        copy = await written(play)
        assert copy.parent == autosave_folder(), "a file of somebody else stays as it is"
        assert load(copy).source.digest == model.digest
    assert path.read_bytes() == before


async def test_another_tokenizer_is_refused_before_anything_is_shown(model, tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    path = fresh_path("x")
    record.save(session, path)
    app = PlayApp(
        Opening(path=model.path, session=path, params=SamplingParams()), FakeDecoder(tokenizer_of(model)),
        tokenizer=lambda: tokenizer_of(model), look=Look(), budget=ByteBudget(None),
    )  # fmt: skip
    async with app.run_test() as pilot:
        for _ in range(500):
            if app.fault is not None:
                break
            await pilot.pause(0.002)
    assert app.fault is not None
    assert app.fault.exit_code == 3
    assert "another tokenizer" in app.fault.what


async def test_a_session_that_is_open_elsewhere_becomes_a_copy(reopened: Reopen, model) -> None:
    path = keep_as("mine", a_session(model), source=source_of(model))
    theirs = claim(path)
    assert theirs is not None
    before = path.read_bytes()
    async with reopened(path) as play:
        assert "this is a copy" in play.text()
        await play.press("full_stop")
        assert (await written(play)).parent == autosave_folder()
    theirs.release()
    assert path.read_bytes() == before


async def test_a_start_after_a_broken_line_offers_what_was_cut_off(start, model) -> None:
    path = fresh_path("the fox")
    record.write(record.snapshot(a_session(model), source_of(model), going=True), path)
    async with start() as play:
        assert "'the fox saw' was cut off" in play.text()
        await play.press("escape", "ctrl+o")
        await until(play, lambda: "cut off" in screen_text(play))
        await play.press("enter")
        await until(play, lambda: play.player.session.prompt == "the fox saw")
        assert load(path).summary.open


def screen_text(play: Play) -> str:
    strips = play.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


# the list


async def test_the_list_finds_by_text_and_opens_and_the_session_before_is_saved(start, model) -> None:
    keep_as("alpha", a_session(model, "the fox saw"), source=source_of(model))
    keep_as("beta", a_session(model, "a boat by the river"), source=source_of(model))
    async with start(size=(80, 24)) as play:
        await play.run_some(5)
        before = play.player.session
        await play.press("escape", "ctrl+o")
        await until(play, lambda: "alpha" in screen_text(play))
        assert "on screen" in screen_text(play)
        await play.press(*"boat by")
        await until(play, lambda: "alpha" not in screen_text(play))
        await play.press("enter")
        await until(play, lambda: play.player.session.prompt == "a boat by the river")
        kept = load(next(each.path for each in saved() if not each.name))
        assert kept.session.tree.path.ids == before.tree.path.ids
        assert not kept.summary.open
        assert not play.player.recorded
        await play.settle()
        assert "boat" in play.text()


async def test_the_list_finds_by_the_model_that_drew(start, model) -> None:
    keep_as("alpha", a_session(model), source=source_of(model, path="/models/owl-large.safetensors"))
    keep_as("beta", a_session(model), source=source_of(model))
    async with start(size=(80, 24)) as play:
        await play.press("escape", "ctrl+o")
        await until(play, lambda: "beta" in screen_text(play))
        await play.press(*"owl-large")
        await until(play, lambda: "beta" not in screen_text(play))
        assert "alpha" in screen_text(play)


async def test_a_session_with_the_same_model_opens_without_loading_it_again(reopened: Reopen, model) -> None:
    first = keep_as("alpha", a_session(model), source=source_of(model))
    second = keep_as("beta", a_session(model, "a boat", 12), source=source_of(model))
    async with reopened(first) as play:
        await play.press("ctrl+o")
        await until(play, lambda: "beta" in screen_text(play))
        await play.press(*"beta", "enter")
        await until(play, lambda: play.player.session.prompt == "a boat")
        await play.settle()
        assert sum(isinstance(each, Open) for each in play.decoder.sent) == 1
        context = load(second).session.context()
        assert [each for each in play.decoder.sent if isinstance(each, SetContext)][-1].ids == tuple(context.ids)
        assert "beta, saved" in play.text()
        assert play.player.odds is not None
        assert play.screen.stream.count == len(context.ids)


async def test_breakpoints_watched_tokens_and_the_search_come_back(reopened: Reopen, start, model) -> None:
    async with start() as play:
        await play.run_some(6)
        play.player.pause()
        await play.settle()
        play.player.set_breaks((Condition("entropy", 2.5),))
        play.player.set_watch((9, 40))
        play.player.session.tools.search = Searching("diverse", {"width": 6, "groups": 3})
        play.screen.keeper.glance()
        play.screen.keeper.saver.settle()
        await play.settle()
    play.app.reopening.farewell()
    path = saved()[0].path
    tools = load(path).session.tools
    assert (tools.breaks, tools.watch) == ((Condition("entropy", 2.5),), (9, 40))
    other = keep_as("other", with_tools(model, tools), source=source_of(model))
    plain = keep_as("plain", a_session(model), source=source_of(model))
    async with reopened(other) as play:
        sent = play.decoder.sent
        assert SetBreaks(tools.breaks) in sent
        assert SetWatch((9, 40)) in sent
        assert "B break H>2.5" in play.text()
        await play.press("escape", "b")
        options = play.app.screen.options
        assert (options.method, options.value("groups"), options.spec.width) == ("diverse", 3, 6)
        await play.press("escape")
        await play.app.reopening.switch(plain)
        told = [each for each in sent if isinstance(each, (SetBreaks, SetWatch))]
        assert told[-2:] == [SetBreaks(()), SetWatch(())], "the other session has none"
        assert play.player.watch == ()


def with_tools(model: CheckpointInfo, tools: Tools) -> Session:
    session = a_session(model)
    session.tools = tools
    return session


async def test_deleting_asks_and_anything_but_y_keeps(start, model) -> None:
    path = keep_as("alpha", a_session(model), source=source_of(model))
    async with start(editing=False) as play:
        await play.press("ctrl+o")
        await until(play, lambda: "alpha" in screen_text(play))
        for answer in ("n", "escape", "enter"):
            await play.press("delete")
            assert "delete 'alpha'" in screen_text(play)
            await play.press(answer)
            assert path.exists()
            assert "Sessions" in screen_text(play)
        await play.press("delete", "y")
        assert not path.exists()
        assert "alpha" not in screen_text(play)


async def test_hostile_names_and_damaged_files_do_no_harm(start, model, tmp_path: Path) -> None:
    path = keep_as("alpha", a_session(model), source=source_of(model))
    first, *rest = path.read_bytes().splitlines(keepends=True)
    evil = json.loads(first) | {"name": "[red]x\x1b[2J\u202e", "words": "\x1b]0;own\x07[/b]"}
    (named_folder() / "evil.jsonl").write_bytes(json.dumps(evil).encode() + b"\n" + b"".join(rest))
    async with start(editing=False) as play:
        await play.press("ctrl+o")
        await until(play, lambda: "damaged" in screen_text(play))
        text = screen_text(play)
        assert "[red]x" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        await play.press(*"red", "enter")
        await until(play, lambda: "digest does not fit" in play.text())
        assert not play.player.recorded


# names and exports


async def test_a_name_keeps_it_and_a_taken_one_is_refused(start, model) -> None:
    keep_as("taken", a_session(model), source=source_of(model))
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        await type_command(play, "name taken")
        assert "There is a session taken already" in play.text()
        await play.press("ctrl+s", *"mine", "enter")
        await until(play, lambda: (named_folder() / "mine.jsonl").exists())
        await until(play, lambda: "mine, saved" in play.text())
        await play.press("ctrl+s")
        assert "saved as mine" in play.text()
        await until(play, lambda: not list(autosave_folder().iterdir()))
    assert "tinychat play --session mine" in play.app.reopening.farewell()[0]


async def test_an_export_lands_where_it_says_and_never_on_another_file(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "the-cat.md").write_text("mine")
    async with start() as play:
        await play.run_some(4)
        await play.press("space", "x")
        await play.pilot.pause()
        await play.press(*"md", "enter")
        await until(play, lambda: play.screen.command_box.display)
        assert play.screen.command_box.value == "export the-cat-2.md"
        await play.press("enter")
        await until(play, lambda: "exported to" in play.text())
        assert "**reply**" in (tmp_path / "the-cat-2.md").read_text()
        await type_command(play, "export the-cat.md")
        assert "is there already" in play.text()
        await type_command(play, "export a.session.jsonl")
        await until(play, lambda: (tmp_path / "a.session.jsonl").exists())
        assert load(tmp_path / "a.session.jsonl").session.tree.path.ids == play.player.session.tree.path.ids
        await type_command(play, "export a.docx")
        assert "ends in .txt" in play.text()
        await type_command(play, "export no/such/a.txt")
        await until(play, lambda: "folder does not exist" in play.text())
    assert (tmp_path / "the-cat.md").read_text() == "mine"


# recordings


async def test_a_recording_shows_everything_and_draws_nothing(reopened: Reopen, model, tmp_path: Path) -> None:
    session = a_session(model)
    path = tmp_path / "lesson.jsonl"
    record.save(session, path, source=source_of(model, **MISSING), cursor=len(session.tree) - 1)
    before = path.read_bytes()
    async with reopened(path, size=(200, 60)) as play:
        text = play.text()
        assert "RECORDING" in text
        assert "big.safetensors is not here" in text
        assert "raw logits" in text
        have = play.player.session
        steps = [have.tree.step(at) for at in range(len(have.tree))]
        assert steps == [session.tree.step(at) for at in range(len(session.tree))]
        for keys in (["1"], ["3"], ["enter"], ["backspace"], ["ctrl+r"], ["r"], ["i", "enter"]):
            await play.press(*keys)
            assert NO_MODEL in play.text(), keys
            await play.press("escape")
        await play.press("T", "minus")
        assert "Settings change nothing" in play.text()
        assert have.params == session.params
        assert have.tree.path.ids == session.tree.path.ids
        assert len(have.tree.branches) == len(session.tree.branches)
        await play.press("left_square_bracket")
        assert have.tree.path.ids != session.tree.path.ids
    assert play.app.reopening.farewell() == ("", "")
    assert path.read_bytes() == before
    assert saved() == []


async def test_a_recording_replays_token_by_token_and_is_whole_again(reopened: Reopen, model, tmp_path: Path) -> None:
    session = a_session(model, count=30)
    path = tmp_path / "lesson.jsonl"
    record.save(session, path, source=source_of(model, **MISSING))
    start, end = session.reply_start, len(session.tree)
    async with reopened(path) as play:
        whole = play.player.session
        await play.press("full_stop")
        assert len(play.player.session.tree) == start + 1
        assert play.screen.stream.count == start + 1
        await play.press("greater_than_sign")
        assert len(play.player.session.tree) == start + 11
        assert play.player.odds == session.tree.step(start + 11).odds, "the odds of what comes next"
        await play.press("escape")
        assert play.player.session is whole
        assert play.screen.stream.cursor == start + 10
        assert play.screen.stream.count == end
        await play.press("end")
        await type_command(play, "rate 0")
        await play.press("space")
        await until(play, lambda: play.player.session is whole)
        assert "the end of the recording" in play.text()
        assert play.screen.stream.count == end
        assert len(whole.tree.branches) == len(session.tree.branches), "a replay leaves nothing in the tree"


async def test_from_a_recording_to_a_model_and_back(reopened: Reopen, model) -> None:
    lesson = keep_as("lesson", a_session(model), source=source_of(model, **MISSING))
    keep_as("alpha", a_session(model, "a boat"), source=source_of(model))
    async with reopened(lesson) as play:
        await play.press("ctrl+o", *"alpha")
        await until(play, lambda: "a boat" in screen_text(play))
        await play.press("enter")
        await until(play, lambda: play.player.session.prompt == "a boat")
        engine = play.screen.decoder
        assert isinstance(engine, FakeDecoder)
        before = len(play.player.session.tree)
        await play.settle()
        await play.press("full_stop")
        assert len(play.player.session.tree) == before + 1
        await play.press("ctrl+o", *"lesson")
        await until(play, lambda: "the fox saw" in screen_text(play))
        await play.press("enter")
        await until(play, lambda: play.player.recorded)
        assert engine.closed
        assert play.screen.keeper is None
        await play.settle()
        assert "RECORDING" in play.text()


async def test_the_replay_keeps_the_pace_and_pauses(model) -> None:
    session, now = a_session(model, count=30), [0.0]
    decoder = RecordedDecoder(session, clock=lambda: now[0])
    path, start = session.tree.path, session.reply_start
    decoder.replay(path, len(path), session.settings)
    decoder.send(SetContext(tuple(path.ids[:start]), start, SamplerState()))
    decoder.send(Run(100, 10.0))
    decoder.read()
    shown = []
    for _ in range(20):
        now[0] += 0.05
        decoder.tick()
        shown += [step.position for frame in decoder.read() for step in frame.steps]
    assert shown == list(range(start, start + 10)), "ten tokens a second"
    decoder.send(StepOnce(2))
    frames = decoder.read()
    assert [step.token for frame in frames for step in frame.steps] == list(path.ids[start + 10 : start + 12])
    assert frames[-1].state == "paused"
    decoder.send(Force(9))
    assert decoder.read()[-1].error is not None
    decoder.close()
    assert not decoder.alive


def test_when_something_was_saved_is_said_shortly() -> None:
    from datetime import datetime

    now = datetime(2026, 11, 21, 18, 0).astimezone()
    for then, words in (
        (datetime(2026, 11, 21, 14, 3), "14:03"), (datetime(2026, 11, 20, 23, 59), "yesterday 23:59"),
        (datetime(2026, 11, 2, 9, 5), "2 Nov 09:05"), (datetime(2024, 1, 2, 9, 5), "2024-01-02 09:05"),
    ):  # fmt: skip
        assert clock_time(then.astimezone().isoformat(), now=now) == words
    assert clock_time("never \x1b") == "never \x1b"


def test_an_error_on_the_line_of_the_screen_names_the_file_without_its_folders() -> None:
    error = TinychatError("/a/very/long/way/evil.jsonl: line 6: the digest does not fit", "See:  /keep/this")
    assert error_line(error) == "evil.jsonl: line 6: the digest does not fit See:  /keep/this"
    assert error_line(TinychatError("3/4 of 'x/y' and ~/me/z.json", "")) == "3/4 of 'x/y' and z.json"
    assert "\x1b" not in error_line(TinychatError("a\x1b[2J", ""))
