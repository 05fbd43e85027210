"""Why this token: its record in plain sentences. Nothing here draws."""

from __future__ import annotations

from collections.abc import Callable

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step
from tinychat.tui.bars import percent
from tinychat.tui.lineview import Piece


def explain(step: Step, label: Callable[[int], str], params: SamplingParams) -> list[Piece]:
    """Why this token: plain sentences from its record, and the settings it was drawn with."""
    odds, name = step.odds, f"'{label(step.token)}'"
    said: list[Piece] = [
        (f"{name} was the model's {ordinal(step.raw_rank)} choice, with {percent(step.raw)}%.", "text")
    ]
    for before, after in zip(odds.stages, odds.stages[1:], strict=False):
        word = after.name.replace("_", " ")
        if after.kept < before.kept:
            said.append(
                (f"{word} kept {after.kept} of {before.kept} tokens, {percent(after.mass)}% of the mass.", "quiet")
            )
        elif abs(after.entropy - before.entropy) >= 0.01:
            verb = "sharpened" if after.entropy < before.entropy else "flattened"
            said.append((f"{word} {verb} the odds from {before.entropy:.2f} to {after.entropy:.2f} bits.", "quiet"))
    if odds.region is not None:
        said.append((f"The entropy policy calls this place {odds.region!r}.", "text"))
    if abs(odds.temperature - params.temperature) >= 0.005:
        said.append((f"The temperature used was {odds.temperature:.2f}; {params.temperature:.2f} is set.", "text"))
    if step.forced:
        said.append(("You chose it; nothing was drawn.", "forced"))
    elif odds.kept == 1 or step.high - step.low >= 1.0:
        said.append((f"Nothing else was left, so {name} was certain.", "text"))
    else:
        said.append((f"That left {name} a share of {percent(step.final)}%.", "text"))
        said.append((f"The draw u={step.u:.4f} fell into its slice {step.low:.4f} to {step.high:.4f}.", "text"))
    first = odds.candidates[0] if odds.candidates else None
    if first is not None and first.token != step.token:
        said.append((f"The likeliest token was '{label(first.token)}', with {percent(first.raw)}%.", "quiet"))
    return said + _afterwards(step)


def _afterwards(step: Step) -> list[Piece]:
    """What drafts and stateful stages made of it."""
    said: list[Piece] = []
    if step.drafted is not None:
        word = "was right and saved a pass" if step.drafted == "accepted" else "was another token, and went"
        said.append((f"It had been guessed ahead: the guess {word}.", "quiet"))
    if step.state.mirostat is not None:
        said.append((f"Mirostat's bound mu is {step.state.mirostat:.2f} bits after it.", "quiet"))
    if step.state.adaptive is not None and step.state.adaptive[1] > 0:
        mean = step.state.adaptive[0] / step.state.adaptive[1]
        said.append((f"The tokens that adaptive-p remembers had {percent(mean)}% on average.", "quiet"))
    return said


def next_words(odds: Odds | None) -> Piece:
    """What can be said before a token is drawn."""
    if odds is None or not odds.candidates:
        return ("Nothing is known yet: run, or choose a token.", "quiet")
    if not odds.kept:
        return ("The settings leave no token that could come next.", "warn")
    word = f"{odds.kept} of {odds.vocab_size} tokens could come next, with {odds.final_entropy:.2f} bits of choice."
    return (word, "quiet")


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    tail = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"
