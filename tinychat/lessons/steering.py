"""Lessons on the tools around a text: what-if, lanes, breakpoints. They stand at the end of the catalogue."""

from __future__ import annotations

from tinychat.engine.params import SamplingParams
from tinychat.lessons.lesson import Lesson, LessonStep, Scene

_PROMPT = "Once upon a time"
_STORY = SamplingParams(temperature=0.8, top_p=0.95, seed=7)
DOUBT = 3.0  # bits: there a story may go several ways


def _last_temperature(scene: Scene) -> float:
    """Of the settings that the last token of the text was drawn with; 0 where nothing was drawn."""
    path = scene.session.tree.path
    return scene.session.settings[path.setting[-1]].temperature if scene.drawn else 0.0


def _doubts(scene: Scene) -> list[bool]:
    """Whether the model was in doubt, for every token of the reply."""
    return [step.odds.entropy > DOUBT for step in scene.steps()]


def _stops_at_doubt(scene: Scene) -> bool:
    return any(each.kind == "entropy" and each.value == DOUBT for each in scene.session.tools.breaks)


STEERING: tuple[Lesson, ...] = (
    Lesson(
        name="what-if",
        title="What if? Another setting on the same darts",
        prompt=_PROMPT,
        params=_STORY,
        rate=60,
        max_tokens=40,
        steps=(
            LessonStep(
                "The darts are kept with the text. So it can be said what other settings would have made of it, "
                "without running it.",
                "Run 40 tokens with Space.",
                lambda scene: scene.drawn >= 40,
                "Space runs and pauses.",
            ),
            LessonStep(
                "A knob that is turned while the text stands still asks that question. The answer stands beside the "
                "knobs, or in the status line.",
                "Turn T to 0.5 and read at which token the text would first differ.",
                lambda scene: scene.params.temperature == 0.5 and scene.drawn >= 40,
                "T, then .5 and Enter. It is the second token.",
            ),
            LessonStep(
                "One key makes it so: from that token on it is drawn anew, as a branch. The old text stays.",
                "Press w.",
                lambda scene: scene.is_new_branch and _last_temperature(scene) == 0.5,
                "Turn T to another value first, if the answer has gone.",
            ),
            LessonStep(
                "Nothing was lost, and every token still knows the settings that it was drawn with.",
                "Go back to the old text with u.",
                lambda scene: scene.session.tree.current != scene.then.branch and _last_temperature(scene) == 0.8,
                "[ and ] go from version to version as well.",
            ),
        ),
    ),
    Lesson(
        name="lanes",
        title="Lanes: two settings side by side",
        prompt=_PROMPT,
        params=_STORY,
        rate=60,
        max_tokens=40,
        steps=(
            LessonStep(
                "Lanes put settings beside each other: the same prompt, the same darts, each lane with its own knobs.",
                "Run 40 tokens with Space: that is lane A.",
                lambda scene: scene.drawn >= 40,
                "Space runs and pauses.",
            ),
            LessonStep(
                "Lane B begins where the reply does. Where they part, the first difference is marked, and below "
                "stands how far apart the distributions are.",
                "Press v. There: T, then 1.5 and Enter; Space runs lane B, and Enter takes it as a branch.",
                lambda scene: scene.is_new_branch and scene.used.temperature == 1.5 and scene.drawn >= 30,
                "Tab goes from lane to lane, Esc leaves without a branch.",
            ),
            LessonStep(
                "Hotter, and stranger: its mean surprisal in the status line is higher.",
                "Go to the text of lane A with [ or ].",
                lambda scene: scene.session.tree.current != scene.then.branch and scene.used.temperature == 0.8,
                "u goes back too.",
            ),
        ),
    ),
    Lesson(
        name="breakpoints",
        title="Breakpoints: stop where it matters",
        prompt=_PROMPT,
        params=_STORY,
        rate=60,
        max_tokens=200,
        steps=(
            LessonStep(
                "Most tokens are certain; a story is decided at a few. A breakpoint stops the run behind a token that "
                "meets it.",
                "Press B, then Enter at the entropy, type 3 and Enter; Esc closes the list.",
                _stops_at_doubt,
                "It is the first row: entropy, raw, above 3 bit.",
            ),
            LessonStep(
                "Entropy is the doubt before the draw: 3 bits are as much as between 8 tokens of equal odds.",
                "Run with Space until it stops.",
                lambda scene: _stops_at_doubt(scene) and any(_doubts(scene)[-1:]),
                "The status line says which breakpoint was met.",
            ),
            LessonStep(
                "Space goes on to the next such place; a step back, another candidate would lead elsewhere.",
                "Go on with Space until the reply has 3 such tokens.",
                lambda scene: sum(_doubts(scene)) >= 3,
                "With c, colour entropy, they show.",
            ),
            LessonStep(
                "There are others: an unlikely draw, a rank, a text, a repetition. All that are on hold at once.",
                "Switch all of them off: B, then 0.",
                lambda scene: not scene.session.tools.breaks,
                "Esc closes the list again.",
            ),
        ),
    ),
)  # fmt: skip
