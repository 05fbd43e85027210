"""The lessons. What they say of numbers and texts is so on the model that ships; tests/lessons plays every one."""

from __future__ import annotations

import difflib

from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.errors import UsageError
from tinychat.lessons.lesson import Lesson, LessonStep, Scene
from tinychat.lessons.steering import STEERING

FORK = "Once upon a time, a"  # some 38 words may follow, none of them likely
_STORY = SamplingParams(temperature=0.8, top_p=0.95, seed=7)
_PLAIN = SamplingParams(seed=7)
_ENDLESS = SamplingParams(temperature=0.0, min_tokens=250, seed=7)


def _sure(scene: Scene) -> bool:
    return scene.step is not None and scene.step.odds.candidates[0].raw > 0.99


LESSONS: tuple[Lesson, ...] = (
    Lesson(
        name="reading",
        title="Reading the screen: odds, dart, pipeline",
        prompt="Once upon a time",
        params=_STORY,
        rate=10,
        steps=(
            LessonStep(
                "A model gives every token of its vocabulary a probability: raw%. The settings change that into "
                "final%, and from this the token is drawn.",
                "Press . to draw one token.",
                lambda scene: scene.drawn >= 1,
                "Esc leaves the prompt first. The first token is a comma: the model is sure of it.",
            ),
            LessonStep(
                "Every token that is left owns a slice of 0..1, as long as its final%. The dart u is one random "
                "number: the slice it falls into is drawn.",
                "Draw on with . until a token comes that was not the likeliest.",
                lambda scene: any(step.raw_rank > 1 and not step.forced for step in scene.steps()),
                "The left arrow shows the odds that the last token was drawn from, and the status line its rank.",
            ),
            LessonStep(
                "Every token keeps its odds, its dart and its settings. The arrow keys walk over the text and show "
                "them.",
                "Walk back to the first token of the reply, the comma, with the left arrow.",
                lambda scene: scene.step is not None and scene.position == scene.session.reply_start,
                "h is the left arrow too; Home goes to the first token of all, right comes back.",
            ),
            LessonStep(
                "What the model nearly said is still there. A candidate that you take makes a new branch; the old "
                "text stays, and u goes back to it.",
                "Go one token to the right and take another candidate: its number, or Down and Enter.",
                lambda scene: scene.session.tally().forced > 0,
                "Right arrow, then 1: the first candidate.",
            ),
            LessonStep(
                "The pipeline lists what every setting did: the tokens it kept, and the share of the mass they had.",
                "Choose the pipeline with Tab.",
                lambda scene: scene.tab == "pipeline",
                "Shift+Tab goes the other way round.",
            ),
        ),
    ),
    Lesson(
        name="greedy",
        title="Greedy decoding, and why it goes round in circles",
        prompt="The owl",
        params=_ENDLESS,
        rate=60,
        steps=(
            LessonStep(
                "Temperature 0 takes the likeliest token every time. Nothing is left to chance, and every run is the "
                "same. Here the text may not end before 250 tokens.",
                "Run it with Space until 240 tokens are there.",
                lambda scene: scene.drawn >= 240,
                "} makes it faster.",
            ),
            LessonStep(
                "Its story is told. It would like to end and may not; and without chance it takes the same few ways "
                "again and again.",
                "Walk left to a place where the end was cut: a token with a raw% below 1.",
                lambda scene: scene.step is not None and scene.step.raw < 0.01
                and scene.position >= scene.session.reply_start + 150,
                "The likeliest candidate there is the end of the text, cut by min tokens.",
            ),
            LessonStep(
                "Chance is a way out: a token that is not the likeliest leads elsewhere.",
                "Turn T up to 0.8 or more (T, then =), then run again with r: 100 tokens.",
                lambda scene: scene.is_new_branch and scene.used.temperature >= 0.8 and scene.drawn >= 100,
                "T, then .8 and Enter types it. r runs the reply again from its start.",
            ),
        ),
    ),
    Lesson(
        name="temperature",
        title="Temperature: flatter or sharper, in the same order",
        prompt=FORK,
        params=_PLAIN,
        steps=(
            LessonStep(
                "The logits are divided by T before they become probabilities. T 1 is the model itself; here it "
                "knows some 38 good words.",
                "Turn T up to 2: T, then = (+ is a large step).",
                lambda scene: scene.params.temperature >= 2,
                "T, then 2 and Enter types the value.",
            ),
            LessonStep(
                "Flatter: the likely ones lost, and what was hopeless has a chance: of 100 draws about 23 are now "
                "none of those 38.",
                "Turn T down until the first candidate has a final% above 50.",
                lambda scene: scene.params.temperature > 0 and scene.odds is not None
                and scene.odds.candidates[0].final > 0.5,
                "It is there at T 0.3.",
            ),
            LessonStep(
                "Sharper: the likely ones won. The order of the candidates has not changed; T never does that.",
                "Turn T to 0: T, then _ for large steps down.",
                lambda scene: scene.params.temperature == 0 and scene.kept == 1,
                ":t 0 and Enter sets it at once.",
            ),
        ),
    ),
    Lesson(
        name="top-k",
        title="Top-k: the same number everywhere",
        prompt=FORK,
        params=_PLAIN,
        steps=(
            LessonStep(
                "Top-k keeps the k likeliest tokens and cuts the others.",
                "Turn K until exactly 3 tokens are left.",
                lambda scene: scene.params.top_k == 3 and scene.kept == 3,
                "K, then 3 and Enter.",
            ),
            LessonStep(
                "Some 35 good words were cut: together they had 78 % of the mass. K does not ask how sure the model "
                "is.",
                "Draw 20 tokens with >, then walk to one that had a raw% above 99.",
                lambda scene: scene.drawn >= 15 and _sure(scene) and scene.kept == 3,
                "Most tokens are like that: the model knows its toy language well.",
            ),
            LessonStep(
                "Three were kept here as well, though two of them have next to nothing. So k is too small at one "
                "token and too large at the next.",
                "Set K to 1 and look at the end of the text: what is that?",
                lambda scene: scene.params.top_k == 1 and scene.kept == 1 and scene.step is None,
                "K, then 1 and Enter; End goes to the end. Only the likeliest is left: greedy decoding.",
            ),
        ),
    ),
    Lesson(
        name="top-p",
        title="Top-p: a share of the mass",
        prompt=FORK,
        params=_PLAIN,
        steps=(
            LessonStep(
                "Top-p keeps the likeliest tokens until together they have the share P, and cuts the others.",
                "Turn P until exactly 5 tokens are left at the cursor.",
                lambda scene: scene.params.top_p < 1 and scene.kept == 5,
                "P, then .3 and Enter.",
            ),
            LessonStep(
                "How many that are depends on the model: sure of itself it needs one token, in doubt many.",
                "Set P to 0.9, draw 20 tokens with >, and walk to one where only 1 was left.",
                lambda scene: scene.step is not None and scene.kept == 1
                and scene.drawn_with.top_p == 0.9,
                "P, then .9 and Enter. The status line says: rank 1 of 1 kept.",
            ),
            LessonStep(
                "Here the first token had 90 % alone, so all others went.",
                "Now walk to one where at least 5 were left.",
                lambda scene: scene.step is not None and scene.kept >= 5,
                "Names and adjectives are where stories part; draw more if there is none.",
            ),
        ),
    ),
    Lesson(
        name="min-p",
        title="Min-p: measured by the likeliest",
        prompt=FORK,
        params=_PLAIN.with_(temperature=2.0),
        steps=(
            LessonStep(
                "At T 2 the distribution is flat, and its long tail of nonsense has much of the mass.",
                "Set P to 0.9 and see how many tokens are left.",
                lambda scene: scene.params.top_p == 0.9 and scene.kept > 200,
                "P, then .9 and Enter; the pipeline says how many each stage kept.",
            ),
            LessonStep(
                "285: to gather 90 % of a flat distribution takes many. Min-p asks something else: has a token at "
                "least this share of what the likeliest has?",
                "Switch P off (P, then 0) and turn M to 0.1.",
                lambda scene: scene.params.top_p == 1 and scene.params.min_p >= 0.1 and 0 < scene.kept <= 40,
                "M, then .1 and Enter.",
            ),
            LessonStep(
                "38: just the words that make sense, as flat as T 2 makes them.",
                "Draw 20 tokens with >.",
                lambda scene: scene.drawn >= 20,
                "> draws ten.",
            ),
        ),
    ),
    Lesson(
        name="penalties",
        title="Penalties: out of the circle, and what they cost",
        prompt="The owl",
        params=_ENDLESS,
        rate=60,
        steps=(
            LessonStep(
                "Greedy decoding, and an end that is forbidden for 250 tokens.",
                "Run it with Space until 240 tokens are there: it ends in a circle.",
                lambda scene: scene.drawn >= 240,
                "} makes it faster.",
            ),
            LessonStep(
                "The repetition penalty makes every token less likely that stands in the text already: positive "
                "logits are divided by R, negative ones multiplied.",
                "Turn R to 1.2 (R, then 1.2 and Enter) and run all of it again with r.",
                lambda scene: scene.is_new_branch and scene.used.repetition_penalty >= 1.2 and scene.drawn >= 240,
                "r goes back to the start of the reply and runs.",
            ),
            LessonStep(
                "No circle. But the penalty does not know what it hits: full stops and names pay as well, and the "
                "text slips.",
                "Walk to a token that the penalty brought up: its raw rank is above 1.",
                lambda scene: scene.step is not None and scene.step.raw_rank > 1,
                "At T 0 the first of final% is taken; where it is not the first of raw%, the penalty did it.",
            ),
        ),
    ),
    Lesson(
        name="order",
        title="Order matters: cut first, or flatten first?",
        prompt=FORK,
        params=_PLAIN.with_(temperature=1.5, top_p=0.9),
        steps=(
            LessonStep(
                "The stages work one after the other. In the default order T comes first: flattened by 1.5, the "
                "distribution needs 36 tokens for 90 % of its mass.",
                "Press o until the order is llama.cpp.",
                lambda scene: scene.params.order == "llama.cpp" and scene.params.temperature == 1.5,
                "The knobs panel names the order.",
            ),
            LessonStep(
                "28: llama.cpp cuts first, so top-p sees the model's own odds. The same numbers are another sampler "
                "in another program.",
                "Turn T to 0.5 and look at the pipeline.",
                lambda scene: scene.params.order == "llama.cpp" and scene.params.temperature == 0.5,
                "T, then .5 and Enter.",
            ),
            LessonStep(
                "Still 28: T comes after the cut and does not move it.",
                "Press o until the order is default again.",
                lambda scene: scene.params.order == "default" and scene.kept == 19,
                "o goes round: default, hf, llama.cpp, vllm.",
            ),
        ),
    ),
    Lesson(
        name="draws",
        title="The same darts: what a knob alone does",
        prompt="Once upon a time",
        params=_STORY,
        rate=60,
        max_tokens=40,
        steps=(
            LessonStep(
                "The dart of a token comes from the seed and its position, and from nothing else.",
                "Run 40 tokens with Space.",
                lambda scene: scene.drawn >= 40,
                "Space runs and pauses.",
            ),
            LessonStep(
                "So the same settings give the same text, and other settings meet the same darts: what differs was "
                "done by the knob.",
                "Turn T to 0.5 and run again with r.",
                lambda scene: scene.is_new_branch and scene.used.temperature == 0.5 and scene.drawn >= 40,
                "T, then .5 and Enter, then r.",
            ),
            LessonStep(
                "The texts part at the second token: the dart is where it was, u 0.803, and the slices have moved.",
                "Walk to the second token of the reply and read its dart.",
                lambda scene: scene.step is not None and scene.position == scene.session.reply_start + 1,
                "Left arrow; [ shows the other text.",
            ),
        ),
    ),
    Lesson(
        name="beam",
        title="Beam search against sampling",
        prompt="Once upon a time",
        params=_STORY,
        rate=60,
        max_tokens=30,
        steps=(
            LessonStep(
                "Sampling draws one token after the other and never looks back.",
                "Run 30 tokens with Space.",
                lambda scene: scene.drawn >= 30,
                "Space runs and pauses.",
            ),
            LessonStep(
                "Beam search follows several texts at once and keeps the ones with the highest probability as a "
                "whole.",
                "Walk left to the first token of the reply. Then b; Space searches, and Enter takes the best text.",
                lambda scene: scene.is_new_branch and scene.drawn >= 8,
                "m chooses the method, if it is not beam. What you take is a branch; the old text stays beside it.",
            ),
            LessonStep(
                "More probable, and plainer: the mean surprisal in the status line is lower. [ and ] walk between "
                "the two texts.",
                "Go to a token of this text whose raw% was above 50.",
                lambda scene: scene.step is not None and scene.step.raw > 0.5,
                "Beams seldom leave the likely tokens.",
            ),
        ),
    ),
    Lesson(
        name="speculation",
        title="Speculation: the same text in fewer passes",
        prompt="The owl",
        params=_ENDLESS,
        rate=60,
        machine=Machine(speculation={"kind": "lookup"}),
        steps=(
            LessonStep(
                "A draft guesses the next tokens, here by looking up how the text went on before. One pass of the "
                "model then checks all of them.",
                "Run it with Space until 240 tokens are there.",
                lambda scene: scene.drawn >= 240,
                "} makes it faster.",
            ),
            LessonStep(
                "What the model would have taken anyway stays: the text is that of the lesson greedy, to the token.",
                "Walk to a token whose draft was accepted: the status line says so.",
                lambda scene: scene.step is not None and scene.step.drafted == "accepted",
                "Near the end, in the circle, nearly all were.",
            ),
            LessonStep(
                "An accepted token cost no pass of its own. A wrong guess costs little: the pass has given the right "
                "token instead.",
                "Walk to a token whose draft was rejected.",
                lambda scene: scene.step is not None and scene.step.drafted == "rejected",
                "Home, then right: the first guesses were wrong. With c, colour speculation, all of them show.",
            ),
        ),
    ),
    *STEERING,
)  # fmt: skip

BY_NAME = {lesson.name: lesson for lesson in LESSONS}


def find_lesson(name: str) -> Lesson:
    """The lesson of a name; UsageError for another, with the nearest."""
    if (lesson := BY_NAME.get(name.lower())) is not None:
        return lesson
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    guess = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"There is no lesson {name!r}.", f"{guess}Choose one of {', '.join(BY_NAME)}.")


def next_lesson(lesson: Lesson) -> Lesson | None:
    """The one after it; None after the last."""
    at = list(BY_NAME).index(lesson.name) + 1
    return LESSONS[at] if at < len(LESSONS) else None
