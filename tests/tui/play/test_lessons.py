"""A lesson on the screen: its panel, tasks that are seen done, hints, and the way on."""

from __future__ import annotations

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import Answer, Ask
from tinychat.lessons import progress
from tinychat.lessons.catalogue import LESSONS, find_lesson
from tinychat.lessons.lesson import Lesson, LessonStep
from tinychat.tui.layouts import Wish, arrange
from tinychat.tui.screen import PlayScreen
from tinychat.tui.teaching import TeachingScreen
from tinychat.tui.widgets.lesson import lesson_height

SIZES = [(80, 24), (120, 24), (120, 40), (200, 60)]
TWO = Lesson(
    name="reading",
    title="Two steps",
    prompt="the cat",
    params=SamplingParams(seed=7),
    steps=(
        LessonStep("Tokens are drawn.", "Press . once.", lambda scene: scene.drawn >= 1, "Esc first."),
        LessonStep("Knobs turn.", "Turn K to 3.", lambda scene: scene.params.top_k == 3, "K, 3, Enter."),
    ),
)


def _teacher(play) -> TeachingScreen:
    assert isinstance(play.screen, TeachingScreen)
    play.player.session.model = ""  # the one that ships
    return play.screen


@pytest.mark.parametrize("size", SIZES)
async def test_a_lesson_is_gone_through_by_doing(start, size) -> None:
    async with start(size=size, prompt="") as play:
        teacher = _teacher(play)
        teacher.start_lesson(TWO)
        await play.settle()
        assert "Lesson reading, step 1 of 2" in play.text()
        assert "Task: Press . once." in play.text()
        await play.press("f2")
        assert "Hint: Esc first." in play.text()
        await play.press("full_stop")
        assert "Done. Enter goes on." in play.text()
        await play.press("enter")
        assert "step 2 of 2" in play.text()
        assert play.player.session.tally().forced == 0  # Enter took no candidate
        assert progress.done() == frozenset()
        await play.press("K", "3", "enter")
        assert "Enter opens the next: greedy" in play.text()
        assert progress.done() == {"reading"}
        await play.press("enter")
        assert "Lesson greedy, step 1 of 3" in play.text()
        assert play.player.session.prompt == "The owl"
        assert play.player.session.params.temperature == 0


async def test_a_step_can_be_skipped_and_the_lesson_closed(start) -> None:
    async with start() as play:
        teacher = _teacher(play)
        await play.press("escape", "f3")
        assert "no lesson is open" in play.text()
        teacher.start_lesson(TWO)
        await play.press("f3")
        assert "step 2 of 2" in play.text()
        teacher.close_lesson()
        await play.settle()
        assert "Lesson reading" not in play.text()


async def test_enter_takes_a_candidate_while_the_task_is_not_done(start) -> None:
    async with start() as play:
        teacher = _teacher(play)
        teacher.start_lesson(TWO)
        for key in ("full_stop", "enter", "down", "enter"):
            await play.press(key)
        assert play.player.session.tally().forced == 1


async def test_lessons_are_about_the_model_that_ships(start) -> None:
    async with start() as play:
        teacher = _teacher(play)
        play.player.session.model = "mine.safetensors"
        teacher.start_lesson(TWO)
        await play.settle()
        assert "about the model that ships" in play.text()
        assert teacher.course is None


async def test_a_lesson_brings_its_speculation_and_the_next_one_takes_it_away(start) -> None:
    async with start() as play:
        teacher = _teacher(play)
        for name, plan in (("speculation", {"kind": "lookup"}), ("greedy", None)):
            teacher.start_lesson(find_lesson(name))
            asked = [each for each in play.decoder.sent if isinstance(each, Ask) and each.kind == "speculate"][-1]
            assert asked.values == {"plan": plan}
            seq = play.decoder.sent.index(asked) + 1
            play.decoder.frame(answers=(Answer(kind="speculate", seq=seq, values={"plan": plan}),))
            await play.settle()
            assert play.player.session.machine.speculation == plan
        sent = len(play.decoder.sent)
        teacher.start_lesson(find_lesson("temperature"))
        assert not any(isinstance(each, Ask) and each.kind == "speculate" for each in play.decoder.sent[sent:])


async def test_all_lessons_are_in_the_list(start) -> None:
    async with start() as play:
        _teacher(play)
        await play.press("escape", "f4")
        assert "reading" in play.text()
        await play.press("escape")


@pytest.mark.parametrize("size", [*SIZES, (60, 20), (40, 4), (40, 14)])
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_panel_has_room_for_every_step_and_crowds_nobody_out(size, lesson) -> None:
    width, height = size
    rows = lesson_height(lesson, width)
    parts = arrange(width, height, Wish(lesson=rows))
    regions = list(parts.values())
    assert all(not one.overlaps(two) for one in regions for two in regions if one is not two)
    assert all(each.y >= 0 and each.bottom <= height and each.height > 0 for each in regions)
    if (width, height) in SIZES:
        assert parts["lesson"].height == rows
        assert parts["stream"].height >= 4


def test_the_list_says_what_is_done(tinychat) -> None:
    progress.remember("greedy")
    listed = tinychat("learn")
    assert listed.code == 0
    assert "greedy       done" in listed.text
    assert "tinychat learn reading" in listed.err
    rows = {each["name"]: each for each in tinychat("learn", "--json").json["lessons"]}
    assert rows["greedy"]["done"] is True
    assert len(rows) == len(LESSONS)
    assert "Did you mean top-p?" in tinychat("learn", "top_p").err
    assert "needs a terminal" in tinychat("learn", "top-p").err


@pytest.mark.parametrize(("lesson", "edits"), [("top-k", 0), ("", 1)])
async def test_a_lesson_never_opens_in_the_prompt(start, monkeypatch, lesson, edits) -> None:
    edited: list[str] = []
    monkeypatch.setattr(PlayScreen, "action_edit", lambda screen: edited.append(screen.prompt_box.text))
    async with start(lesson=lesson) as play:
        assert len(edited) == edits
        assert ("Lesson top-k" in play.text()) == bool(lesson)


async def test_a_lesson_opens_in_the_mode_that_the_header_says(start) -> None:
    async with start(size=(80, 24), lesson="top-k") as play:
        await play.settle()
        assert "INSPECT" in play.text()
        assert "EDIT" not in play.text()
        assert "Space run" in " ".join(play.text().split())
        await play.press("i")
        assert "EDIT" in play.text()
