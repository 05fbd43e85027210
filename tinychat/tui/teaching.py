"""A lesson on the play screen: its panel, what Enter does when a task is done, and the way to the next one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from tinychat.engine.wire import Answer
from tinychat.errors import TinychatError
from tinychat.tui.actions import ActionScreen
from tinychat.tui.choosing import chooser
from tinychat.tui.widgets.lesson import LessonView, lesson_height
from tinychat.tui.widgets.panel import Panel
from tinychat.tui.wording import error_line

if TYPE_CHECKING:
    from tinychat.lessons.lesson import Course, Lesson


class TeachingScreen(ActionScreen):
    """Lessons, and the actions that belong to them."""

    course: Course | None = None

    def lesson_panel(self) -> ComposeResult:
        self.lesson_view = LessonView(self.look, id="lesson-view")
        yield Panel(self.lesson_view, id="lesson")

    def start_lesson(self, lesson: Lesson) -> None:
        """Its prompt and settings, in a text of its own; what was there stays in the tree."""
        player = self.player
        if player is None:
            self.say("the model is being opened")
            return
        session = player.session
        if session.model:
            self.say("the lessons are about the model that ships: tinychat learn", "warn")
            return
        from tinychat.lessons.lesson import Course

        if player.running:
            player.pause()
        session.mode, session.fixed_seed, session.max_tokens = "completion", True, lesson.max_tokens
        session.params = lesson.params
        session.complete(lesson.prompt)
        if session.machine.speculation != lesson.machine.speculation:
            plan = lesson.machine.speculation
            player.speculate(None if plan is None else dict(plan), self._hear_speculation)
        player.set_params(session.params)
        player.set_rate(lesson.rate)
        player.sync()
        self.prompt_box.load_text(lesson.prompt)
        self.course = Course(lesson, session)
        self.tab, self.picked = "candidates", "temperature"
        self.set_focus(None)
        self.moved_to("")
        self.calm()
        self.show_lesson()

    def _hear_speculation(self, answer: Answer) -> None:
        if answer.error is not None:
            self.say(" ".join(answer.error), "warn")

    def paint(self) -> None:
        super().paint()
        self.check_task()

    def knobs_changed(self) -> None:
        super().knobs_changed()
        self.check_task()

    def check_task(self) -> None:
        """Whether the task of the lesson is done by now."""
        player, course = self.player, self.course
        if player is None or course is None or course.done or not len(player.session.tree):
            return
        from tinychat.lessons import progress
        from tinychat.lessons.lesson import Scene

        step = self.step_here() if self.stream.cursor is not None else None
        odds = step.odds if step is not None else player.odds
        scene = Scene(
            session=player.session, odds=odds, step=step, position=self.position, tab=self.tab, then=course.then
        )
        if course.look(scene):
            if course.is_over:
                try:
                    progress.remember(course.lesson.name)
                except TinychatError as error:
                    self.say(error_line(error), "warn")
            self.show_lesson()

    def show_lesson(self) -> None:
        """The panel as the course is now."""
        course = self.course
        if course is not None:
            from tinychat.lessons.catalogue import next_lesson

            self.lesson_view.show(course, next_lesson(course.lesson))
            self.lay_out()
            at, count = course.at + 1, len(course.lesson.steps)
            keys = "Enter goes on" if course.done else "F2 hint  F3 skip"
            self.title_of("lesson", f"Lesson {course.lesson.name}, step {at} of {count}", f"{keys}  F4 lessons")
            self.call_after_refresh(self.paint_all)

    def lesson_rows(self) -> int:
        """Rows of the panel; 0 without a lesson."""
        return 0 if self.course is None else lesson_height(self.course.lesson, self.app.size.width)

    # actions

    def action_take(self) -> None:
        if self.course is not None and self.course.done:
            self.action_lesson_next()
        else:
            super().action_take()

    def action_lesson_next(self) -> None:
        course, player = self.course, self.player
        if course is None or player is None:
            self.say("no lesson is open: F4 lists them")
            return
        from tinychat.lessons.catalogue import next_lesson

        self.calm()
        if course.go_on(player.session):
            self.selected = None
            self.show_lesson()
        elif (following := next_lesson(course.lesson)) is not None:
            self.start_lesson(following)
        else:
            self.close_lesson()

    def close_lesson(self) -> None:
        """The panel goes; text and settings stay."""
        self.course = None
        self.lay_out()
        self.say("the lessons are over; F4 lists them again")
        self.call_after_refresh(self.paint_all)

    def action_lesson_hint(self) -> None:
        if self.course is None:
            self.say("no lesson is open: F4 lists them")
        else:
            self.course.hinted = not self.course.hinted
            self.show_lesson()

    def action_lessons(self) -> None:
        from tinychat.lessons import progress
        from tinychat.lessons.catalogue import LESSONS

        done = progress.done()
        entries: list[tuple[str, Callable[[], None], str]] = [
            (
                f"{lesson.name}  {lesson.title}{'  (done)' if lesson.name in done else ''}",
                partial(self.start_lesson, lesson),
                lesson.steps[0].text,
            )
            for lesson in LESSONS
        ]
        if self.course is not None:
            entries.insert(0, ("close the lesson", self.close_lesson, "The text and the settings stay."))
        self.app.push_screen(chooser(entries, placeholder="A lesson"))
