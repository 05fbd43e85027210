"""Every lesson is played to its end on the model that ships: each task can be done, and is not done before.

A hand does what the keys do: settings, tokens, the cursor, another run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tinychat import files
from tinychat.engine.breaks import Condition
from tinychat.engine.engine import Engine
from tinychat.engine.machine import Machine, open_engine
from tinychat.errors import UsageError
from tinychat.lessons import progress
from tinychat.lessons.catalogue import LESSONS, find_lesson, next_lesson
from tinychat.lessons.lesson import Course, Lesson, Scene
from tinychat.lessons.steering import DOUBT
from tinychat.model.checkpoint import inspect, tokenizer_of
from tinychat.session.session import Session


class Hand:
    """A person at the playground, without a screen."""

    def __init__(self, lesson: Lesson, engine: Engine) -> None:
        self.engine = engine
        self.session = Session(tokenizer_of(inspect(files.asset(files.SHIPPED))), params=lesson.params, fixed_seed=True)
        self.session.complete(lesson.prompt)
        self.cursor: int | None = None  # None: the end
        self.tab = "candidates"
        self.course = Course(lesson, self.session)
        self.first: list[int] = []  # the reply after the first step, and its mean surprisal
        self.first_bits = 0.0

    def turn(self, **values: Any) -> None:
        self.session.params = self.session.params.with_(**values)

    def draw(self, count: int) -> None:
        context = self.session.context()
        self.engine.set_context(context.ids, prompt_len=context.prompt_len, state=context.state)
        for _ in range(count):
            self.session.chosen(self.engine.step(self.session.params), self.session.params)
        self.cursor = None

    def again(self, count: int) -> None:
        self.fork(0, count)

    def fork(self, place: int, count: int) -> None:
        """Draw on from a place of the reply."""
        self.session.rewind(self.session.reply_start + place)
        self.draw(count)

    def draw_to_doubt(self) -> None:
        """As a breakpoint does."""
        self.draw(1)
        while self.session.tree.step(len(self.session.tree) - 1).odds.entropy <= DOUBT:  # type: ignore[union-attr]
            assert self.session.reply_length < 200
            self.draw(1)

    def take(self, row: int) -> None:
        step = self.session.tree.step(self.position)
        assert step is not None
        self.session.rewind(self.position)
        context = self.session.context()
        self.engine.set_context(context.ids, prompt_len=context.prompt_len, state=context.state)
        token = step.odds.candidates[row].token
        self.session.chosen(self.engine.force(token, self.session.params), self.session.params)
        self.cursor = None

    def find(self, wanted: Callable[[Any], bool]) -> None:
        tree = self.session.tree
        self.cursor = next(at for at in range(len(tree) - 1, self.session.reply_start - 1, -1) if wanted(tree.step(at)))

    @property
    def position(self) -> int:
        return len(self.session.tree) if self.cursor is None else self.cursor

    def scene(self) -> Scene:
        step = self.session.tree.step(self.cursor) if self.cursor is not None else None
        if step is None:
            context = self.session.context()
            self.engine.set_context(context.ids, prompt_len=context.prompt_len, state=context.state)
        odds = step.odds if step is not None else self.engine.peek(self.session.params)
        return Scene(
            session=self.session, odds=odds, step=step, position=self.position, tab=self.tab, then=self.course.then
        )


Moves = list[Callable[[Hand], object]]


def _go(position: int) -> Callable[[Hand], None]:
    def go(hand: Hand) -> None:
        hand.cursor = hand.session.reply_start + position

    return go


def _do(*moves: Callable[[Hand], object]) -> Callable[[Hand], None]:
    def do(hand: Hand) -> None:
        for move in moves:
            move(hand)

    return do


def _tab(hand: Hand) -> None:
    hand.tab = "pipeline"


PLAYED: dict[str, Moves] = {
    "reading": [
        lambda hand: hand.draw(1), lambda hand: hand.draw(2), _go(0), _do(_go(1), lambda hand: hand.take(0)), _tab,
    ],
    "greedy": [
        lambda hand: hand.draw(240),
        lambda hand: hand.find(lambda step: step.raw < 0.01),
        _do(lambda hand: hand.turn(temperature=0.8), lambda hand: hand.again(100)),
    ],
    "temperature": [
        lambda hand: hand.turn(temperature=2.0),
        lambda hand: hand.turn(temperature=0.3),
        lambda hand: hand.turn(temperature=0.0),
    ],
    "top-k": [
        lambda hand: hand.turn(top_k=3),
        _do(lambda hand: hand.draw(20), lambda hand: hand.find(lambda step: step.odds.candidates[0].raw > 0.99)),
        _do(lambda hand: hand.turn(top_k=1), lambda hand: setattr(hand, "cursor", None)),
    ],
    "top-p": [
        lambda hand: hand.turn(top_p=0.3),
        _do(
            lambda hand: hand.turn(top_p=0.9), lambda hand: hand.draw(20),
            lambda hand: hand.find(lambda step: step.odds.kept == 1),
        ),
        lambda hand: hand.find(lambda step: step.odds.kept >= 5),
    ],
    "min-p": [
        lambda hand: hand.turn(top_p=0.9),
        lambda hand: hand.turn(top_p=1.0, min_p=0.1),
        lambda hand: hand.draw(20),
    ],
    "penalties": [
        lambda hand: hand.draw(240),
        _do(lambda hand: hand.turn(repetition_penalty=1.2), lambda hand: hand.again(240)),
        lambda hand: hand.find(lambda step: step.raw_rank > 1),
    ],
    "order": [
        lambda hand: hand.turn(order="llama.cpp"),
        lambda hand: hand.turn(temperature=0.5),
        lambda hand: hand.turn(order="default"),
    ],
    "draws": [
        lambda hand: hand.draw(40),
        _do(lambda hand: hand.turn(temperature=0.5), lambda hand: hand.again(40)),
        _go(1),
    ],
    "beam": [
        lambda hand: hand.draw(30),
        _do(lambda hand: hand.turn(temperature=0.0), lambda hand: hand.again(12)),  # what a search puts there
        lambda hand: hand.find(lambda step: step.raw > 0.5),
    ],
    "speculation": [
        lambda hand: hand.draw(240),
        lambda hand: hand.find(lambda step: step.drafted == "accepted"),
        lambda hand: hand.find(lambda step: step.drafted == "rejected"),
    ],
    "what-if": [
        lambda hand: hand.draw(40),
        lambda hand: hand.turn(temperature=0.5),
        lambda hand: hand.fork(1, 20),
        lambda hand: hand.session.tree.undo(),
    ],
    "lanes": [
        lambda hand: hand.draw(40),
        _do(lambda hand: hand.turn(temperature=1.5), lambda hand: hand.fork(0, 40)),
        lambda hand: hand.session.tree.undo(),
    ],
    "breakpoints": [
        lambda hand: setattr(hand.session.tools, "breaks", (Condition("entropy", DOUBT),)),
        lambda hand: hand.draw_to_doubt(),
        _do(lambda hand: hand.draw_to_doubt(), lambda hand: hand.draw_to_doubt()),
        lambda hand: setattr(hand.session.tools, "breaks", ()),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Engine:
    path = files.asset(files.SHIPPED)
    return open_engine(path, Machine(step="eager", threads=1), end_ids=tokenizer_of(inspect(path)).end_ids)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_every_task_can_be_done_and_is_not_done_before(lesson: Lesson, engine: Engine) -> None:
    if lesson.machine.speculation is not None:
        path = files.asset(files.SHIPPED)
        machine = Machine(step="eager", threads=1, speculation=lesson.machine.speculation)
        engine = open_engine(path, machine, end_ids=tokenizer_of(inspect(path)).end_ids)
    hand = Hand(lesson, engine)
    assert len(PLAYED[lesson.name]) == len(lesson.steps)
    for number, move in enumerate(PLAYED[lesson.name]):
        assert not hand.course.look(hand.scene()), f"step {number + 1} is done before anything was"
        move(hand)
        assert hand.course.look(hand.scene()), f"step {number + 1}: {hand.course.step.task}"
        _claims(lesson.name, number, hand)
        if not number and hand.session.reply_length:
            hand.first = list(hand.session.tree.path.ids[hand.session.reply_start :])
            hand.first_bits = hand.session.tally().bits / hand.session.reply_length
        if not hand.course.is_over:
            assert hand.course.go_on(hand.session)
    assert hand.course.is_over
    assert not hand.course.go_on(hand.session)


def _claims(name: str, number: int, hand: Hand) -> None:
    """What the texts say in numbers."""
    scene = hand.scene()
    odds = scene.odds
    assert odds is not None
    if (name, number) in (("greedy", 0), ("penalties", 0)):
        assert scene.repeats() >= 4
    elif (name, number) in (("greedy", 2), ("penalties", 1)):
        assert scene.repeats() <= 2
    elif (name, number) == ("reading", 0):
        assert hand.session.tree.step(hand.session.reply_start).raw > 0.99  # type: ignore[union-attr]
    elif (name, number) == ("temperature", 0):
        good = [each for each in odds.candidates if each.raw > 0.001]
        assert 36 <= len(good) <= 40
        assert 0.22 < 1 - sum(each.final for each in good) < 0.24
    elif (name, number) == ("top-k", 0):
        assert 0.76 < 1 - sum(each.raw for each in odds.candidates[:3]) < 0.80
    elif (name, number) == ("min-p", 0):
        assert odds.kept == 285
    elif (name, number) == ("min-p", 1):
        assert odds.kept == 38
    elif name == "order":
        assert odds.kept == (28, 28, 19)[number]
    elif (name, number) == ("draws", 2):
        assert scene.step is not None
        assert f"{scene.step.u:.3f}" == "0.803"
    elif (name, number) == ("what-if", 2):
        reply = list(hand.session.tree.path.ids[hand.session.reply_start :])
        assert reply[0] == hand.first[0]
        assert reply[1] != hand.first[1]
    elif (name, number) == ("lanes", 1):
        assert hand.session.tally().bits / scene.drawn > hand.first_bits
    elif (name, number) == ("beam", 2):
        assert hand.session.tally().bits / scene.drawn < 0.9


def test_the_first_law_of_order_needs_36(engine: Engine) -> None:
    assert Hand(find_lesson("order"), engine).scene().kept == 36


def test_speculation_gives_the_text_of_greedy_decoding(engine: Engine) -> None:
    greedy, drafted = Hand(find_lesson("greedy"), engine), Hand(find_lesson("speculation"), engine)
    machine = Machine(step="eager", threads=1, speculation=find_lesson("speculation").machine.speculation)
    path = files.asset(files.SHIPPED)
    drafted.engine = open_engine(path, machine, end_ids=tokenizer_of(inspect(path)).end_ids)
    greedy.draw(240)
    drafted.draw(240)
    assert list(greedy.session.tree.path.ids) == list(drafted.session.tree.path.ids)
    fates = [step.drafted for step in drafted.scene().steps()]
    assert fates.count("accepted") > 60
    assert "rejected" in fates[:8]


def test_texts_are_short_and_whole() -> None:
    names = [lesson.name for lesson in LESSONS]
    assert len(names) == len(set(names)) == 14
    for lesson in LESSONS:
        assert 3 <= len(lesson.steps) <= 6
        for step in lesson.steps:
            assert len(step.text) <= 3 * 74, step.text
            assert len(step.task) <= 2 * 74 - 20, step.task
            assert step.text.endswith((".", "?")), step.text


def test_lessons_follow_each_other_and_are_found() -> None:
    assert next_lesson(LESSONS[-1]) is None
    assert next_lesson(LESSONS[0]) == LESSONS[1]
    with pytest.raises(UsageError) as refused:
        find_lesson("topp")
    assert "top-p" in refused.value.hint


def test_progress_is_kept_and_damage_is_no_end() -> None:
    assert progress.done() == frozenset()
    progress.remember("top-p")
    progress.remember("greedy")
    assert progress.done() == {"top-p", "greedy"}
    for text in ("", "[]", '{"done": 3}', '{"done": ["what", 4]}'):
        (files.state_folder() / progress.FILE).write_text(text, encoding="utf-8")
        assert progress.done() == frozenset()
