"""Why this token: its record in plain sentences. Nothing here draws."""

from __future__ import annotations

from collections.abc import Callable

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step
from tinychat.tui.bars import percent
from tinychat.tui.lineview import Piece
from tinychat.tui.widgets.candidates import stage_label
from tinychat.tui.widgets.dart import is_dart
from tinychat.tui.widgets.pipeline import stage_title

MOVED = 0.0005  # a probability that changes by less is not worth a sentence
CERTAIN = 0.99995


def explain(step: Step, label: Callable[[int], str], params: SamplingParams, *, searched: bool = False) -> list[Piece]:
    """Why this token: plain sentences from its record, and the settings it was drawn with."""
    odds, name = step.odds, f"'{label(step.token)}'"
    said: list[Piece] = [
        (f"{name} was the model's {ordinal(step.raw_rank)} choice, with {percent(step.raw)}%.", "text")
    ]
    for before, after in zip(odds.stages, odds.stages[1:], strict=False):
        said += _stage(before, after, name, params)
    if odds.region is not None:
        said.append((f"The entropy policy calls this place {odds.region!r}.", "text"))
    if abs(odds.temperature - params.temperature) >= 0.005:
        said.append((f"The temperature used was {odds.temperature:.2f}; {params.temperature:.2f} is set.", "text"))
    said += _choice(step, name, params, searched=searched)
    said += _likeliest(step, label)
    return said + _afterwards(step)


def _stage(before: StageView, after: StageView, name: str, params: SamplingParams) -> list[Piece]:
    """What a stage did to the odds and to this token; nothing where it did nothing."""
    title = stage_title(after.name, params)
    words = []
    if after.kept < before.kept:
        title = "The grammar" if after.name == "grammar" else title
        words.append(f"kept {after.kept} of {before.kept} tokens, {percent(after.mass)}% of the mass")
    elif abs(after.entropy - before.entropy) >= 0.01:
        verb = "sharpened" if after.entropy < before.entropy else "flattened"
        words.append(f"{verb} the odds from {before.entropy:.2f} to {after.entropy:.2f} bits")
    had, has = before.chosen, after.chosen
    if had is not None and has is not None and abs(has - had) >= MOVED:
        if has == 0:
            words.append(f"cut {name}, which had {percent(had)}%")
        else:
            words.append(f"{'raised' if has > had else 'lowered'} {name} from {percent(had)}% to {percent(has)}%")
    return [(f"{title[:1].upper()}{title[1:]} {' and '.join(words)}.", "quiet")] if words else []


def _choice(step: Step, name: str, params: SamplingParams, *, searched: bool) -> list[Piece]:
    """How it was chosen among what was left."""
    if searched and step.forced:
        return [(f"A search found it, by the score of the whole text; {name} was not drawn.", "text")]
    if step.forced:
        against = "" if step.final_rank else ", against the settings, which had cut it"
        return [(f"You chose it{against}; nothing was drawn.", "forced")]
    if step.odds.kept == 1:
        return [(f"Nothing else was left, so {name} was certain.", "text")]
    if params.is_greedy:
        return [("Temperature 0 takes the likeliest: nothing is drawn, the seed is not used.", "text")]
    if step.high - step.low >= CERTAIN:
        return [(f"All the rest had next to nothing, so {name} was as good as certain.", "text")]
    said: list[Piece] = [(f"That left {name} a share of {percent(step.final)}%.", "text")]
    if not is_dart(step):
        words = f"It was a guess, to be kept with a chance of {step.high:.4f}; the number u={step.u:.4f} was below."
        said.append((words, "text"))
    elif step.low <= step.u < step.high:
        said.append((f"The draw u={step.u:.4f} fell into its slice {step.low:.4f} to {step.high:.4f}.", "text"))
    return said


def _likeliest(step: Step, label: Callable[[int], str]) -> list[Piece]:
    """What greedy would have said, and what became of the model's own first choice."""
    odds = step.odds
    best, first = greedy(odds), odds.candidates[0] if odds.candidates else None
    said: list[Piece] = []
    if best is None or step.odds.kept == 1:
        pass
    elif best.token != step.token:
        said.append((f"Greedy would have taken '{label(best.token)}', with {percent(best.final)}%.", "text"))
    elif not step.forced:
        said.append(("Greedy would have taken it too.", "quiet"))
    if first is not None and first.token != step.token and (best is None or first.token != best.token):
        gone = f", which {stage_label(first.cut_by)} cut" if first.cut_by is not None else ""
        words = f"The model's first choice was '{label(first.token)}', with {percent(first.raw)}%{gone}."
        said.append((words, "quiet"))
    return said


def greedy(odds: Odds) -> Candidate | None:
    """The likeliest after all settings, ties by lower id; None where nothing listed is left."""
    left = [each for each in odds.candidates if each.final > 0]
    return min(left, key=lambda each: (-each.final, each.token), default=None)


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
