"""The options that several doors share, and how their text becomes settings.

Nothing here imports torch or textual: it is read for --help.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tinychat.engine.knobs import KNOB_BY_NAME
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError

# readable=False: whether a file can be read is said by its reader, which has the exit code for it
_CHECKPOINT: dict[str, Any] = {
    "metavar": "PATH", "readable": False, "help": "A checkpoint or a run folder; the shipped model if left out.",
}  # fmt: skip
Model = Annotated[Path | None, typer.Option("-m", "--model", **_CHECKPOINT)]
Checkpoint = Annotated[Path | None, typer.Argument(**_CHECKPOINT)]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")]
Preset = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", help=f"Where the knobs start: {', '.join(PRESETS)}.")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="0 to 2**64 - 1; drawn and reported if left out.")
]
MaxTokens = Annotated[int, typer.Option("-n", "--max-tokens", metavar="N", min=0, help="Stop after this many tokens.")]
Order = Annotated[
    str | None,
    typer.Option("--order", metavar="NAMES", help=f"{', '.join(ORDERS)}, or stages joined by commas."),
]


def _knob(name: str, *short: str) -> Any:
    knob = KNOB_BY_NAME[name]
    text = f"{knob.help} Neutral: {knob.text(knob.neutral)}."
    return typer.Option(*short, knob.flag, metavar="N" if knob.whole else "X", help=text)


Temperature = Annotated[float | None, _knob("temperature", "-t")]
TopP = Annotated[float | None, _knob("top_p")]
TopK = Annotated[int | None, _knob("top_k")]
MinP = Annotated[float | None, _knob("min_p")]
TypicalP = Annotated[float | None, _knob("typical_p")]
TopNSigma = Annotated[float | None, _knob("top_n_sigma")]
RepetitionPenalty = Annotated[float | None, _knob("repetition_penalty")]
FrequencyPenalty = Annotated[float | None, _knob("frequency_penalty")]
PresencePenalty = Annotated[float | None, _knob("presence_penalty")]
PenaltyWindow = Annotated[int | None, _knob("penalty_window")]
PenaltyScope = Annotated[
    str | None, typer.Option("--penalty-scope", metavar="NAME", help="What penalties see: all (the default) or output.")
]
LogitBias = Annotated[
    list[str] | None, typer.Option("--logit-bias", metavar="ID=X", help="Add X to a token's logit; -inf bans it.")
]


def settings(preset: str | None, knobs: dict[str, Any], *, default: str) -> SamplingParams:
    """The preset with what was given on the command line laid over it."""
    name = preset or default
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}.", f"Choose one of {', '.join(PRESETS)}.")
    try:
        return PRESETS[name].with_(**{key: value for key, value in knobs.items() if value is not None})
    except ValueError as error:
        raise UsageError(f"{error}.", "See:  tinychat sample --help") from error


def read_prompt(prompt: str | None) -> str:
    """stdin first, then --prompt, as other tools join them; never waits on a terminal."""
    piped = ""
    if not sys.stdin.isatty():
        try:
            piped = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"stdin is no UTF-8 text (byte {error.start}).", "Convert it first:  iconv -t UTF-8"
            ) from error
        piped = piped.removesuffix("\n")
    elif prompt is None:
        raise UsageError(
            "There is nothing to continue.",
            'Give a prompt:  tinychat sample --prompt "Once upon a time"   or pipe one in.',
        )
    return piped + checked_text("--prompt", prompt or "")


def checked_text(option: str, text: str) -> str:
    """The text of an option; UsageError when its bytes were no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{option} is no UTF-8 text (character {error.start}).", "Set a UTF-8 locale, or pipe the text in."
        ) from None
    return text


def pairs(option: str, given: list[str], kind: type) -> dict[int, Any]:
    """`I=X` options as a mapping."""
    found = {}
    for text in given:
        left, equals, right = text.partition("=")
        try:
            if not equals:
                raise ValueError
            found[int(left)] = kind(right)
        except ValueError:
            raise UsageError(f"{option} {text!r} is not of the form I=X.", f"For example:  {option} 12=3") from None
        if int(left) < 0:
            raise UsageError(f"{option} {text!r}: {left} is below 0.", "Count from 0.")
    return found


def id_list(option: str, given: str) -> tuple[int, ...]:
    """`ID,ID,...` as ids."""
    try:
        ids = tuple(int(part) for part in given.split(","))
    except ValueError:
        raise UsageError(f"{option} {given!r} is no list of ids.", f"For example:  {option} 0,12,7") from None
    if min(ids) < 0:
        raise UsageError(f"{option}: {min(ids)} is below 0.", "Count from 0.")
    return ids


def schedule(given: list[str], params: SamplingParams) -> dict[int, dict[str, Any]]:
    """`I:name=x,name=x` options, each checked against the settings before it."""
    found: dict[int, dict[str, Any]] = {}
    for text in given:
        place, colon, changes = text.partition(":")
        try:
            if not colon or not place.strip().isdecimal():
                raise ValueError
            changed = found.setdefault(int(place), {})
            for pair in _split_changes(changes):
                name, equals, value = pair.partition("=")
                name = name.strip().replace("-", "_")
                if not equals:
                    raise ValueError
                changed[name] = _setting(name, value.strip())
        except ValueError as error:
            raise UsageError(
                f"--at {text!r} is not of the form I:NAME=X,NAME=X{f' ({error})' if str(error) else ''}.",
                "For example:  --at 30:temperature=0.7,top_p=0.9",
            ) from None
    for index in sorted(found):
        try:
            params = params.with_(**found[index])
        except (TypeError, ValueError) as error:
            raise UsageError(f"--at {index}: {error}.", "See:  tinychat sample --help") from error
    return found


def _split_changes(text: str) -> list[str]:
    """`a=1,order=x,y` at the commas that begin a new name: an order and the ids of a bias hold commas of their own."""
    parts: list[str] = []
    for part in text.split(","):
        name, equals, _ = part.partition("=")
        if not parts or (equals and not name.strip().isdecimal()):
            parts.append(part)
        else:
            parts[-1] += "," + part
    return parts


def _setting(name: str, value: str) -> Any:
    if name == "seed" or name in KNOB_BY_NAME:
        kind = int if name == "seed" or KNOB_BY_NAME[name].whole else float
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"{name} must be a {'whole ' * (kind is int)}number, got {value!r}") from None
    if name in ("order", "penalty_scope"):
        return value
    if name == "logit_bias":
        return pairs("--at", value.split(",") if value else [], float)
    raise ValueError(f"there is no setting {name!r} to change in mid-reply")
