"""The panel of a lesson: what there is to know, and the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinychat.tui.lineview import LineView, Row
from tinychat.tui.widgets.lines import wrap

if TYPE_CHECKING:
    from tinychat.lessons.lesson import Course, Lesson, LessonStep

LEAST, MOST = 3, 6  # rows inside


class LessonView(LineView):
    """Text, then the task or that it is done."""

    _course: Course | None = None
    _following: Lesson | None = None

    def show(self, course: Course, following: Lesson | None) -> None:
        """Draw the course as it is now; `following` is the lesson after it."""
        self._course, self._following = course, following
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        course = self._course
        if course is None:
            return []
        step = course.step
        words = f"Hint: {step.hint}" if course.hinted and step.hint else step.text
        role = "dart" if course.hinted else "text"
        rows: list[Row] = [((f" {line}", role),) for line in wrap(words, width - 2)]
        if course.done:
            rows.append(((f" {self._ending(course)}", "chosen"),))
        else:
            rows += [((f" {line}", "strong"),) for line in task_lines(step, width)]
        return rows[:height]

    def _ending(self, course: Course) -> str:
        if not course.is_over:
            return "Done. Enter goes on."
        if self._following is None:
            return "Done, and that was the last lesson. Enter closes it."
        return f"Done, and so is this lesson. Enter opens the next: {self._following.name}."


def task_lines(step: LessonStep, width: int) -> list[str]:
    """The task in lines."""
    first, *more = wrap(f"Task: {step.task}", width - 2)
    return [first, *(f"      {line}" for line in more)]


def lesson_height(lesson: Lesson, width: int) -> int:
    """Rows of the panel with its border: enough for its longest step, so that nothing moves from step to step."""
    inner = width - 2
    most = max(len(wrap(step.text, inner - 2)) + len(task_lines(step, inner)) for step in lesson.steps)
    return 2 + min(max(most, LEAST), MOST)
