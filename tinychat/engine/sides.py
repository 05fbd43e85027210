"""What the settings need beside the logits of a position: above all which other passes, and after which ids.

A reply has no odds after nothing: where a pass shall not see the prompt, the prompt's last token stands for "a reply
begins here", as in transformers' classifier-free guidance. Without a prompt there is nothing to leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinychat.engine.context import Sides
from tinychat.engine.params import SamplingParams
from tinychat.engine.tracks import Look

AMATEUR = "amateur"  # the lane's own ids, through the other model
NEGATIVE = "negative prompt"
UNPROMPTED = "reply alone"
_READING = ("think_budget", "grammar", "dry", "min_tokens", "end_decay")  # stages that look into the vocabulary


@dataclass(frozen=True, slots=True)
class Needs:
    """What some settings ask for; found once for them, not once a token."""

    params: SamplingParams | None  # whose needs; None: nobody's
    words: bool  # the vocabulary
    grammar: bool  # what it allows
    sides: bool  # other passes, or early layers of the own one


def needs_of(params: SamplingParams | None) -> Needs:
    if params is None:
        return Needs(None, words=False, grammar=False, sides=False)
    return Needs(
        params,
        words=params.temperature_mode == "adapt" or any(params.is_on(stage) for stage in _READING),
        grammar=params.is_on("grammar"),
        sides=params.temperature_mode == "kl" or any(map(params.is_on, ("guidance", "contrastive", "dola"))),
    )


def side_ids(params: SamplingParams, ids: Sequence[int], prompt_len: int) -> dict[str, list[int]]:
    """The side passes by kind; of a lane with these ids, of which the first `prompt_len` are the prompt."""
    found = {}
    if params.is_on("guidance") and params.negative_ids:
        found[NEGATIVE] = [*params.negative_ids, *ids[prompt_len:]]
    if (params.is_on("guidance") and not params.negative_ids) or params.temperature_mode == "kl":
        found[UNPROMPTED] = list(ids[max(prompt_len - 1, 0) :])
    if params.is_on("contrastive"):
        found[AMATEUR] = list(ids)
    return found


def sides_of(params: SamplingParams, own: Look, others: Mapping[str, Look]) -> Sides:
    """What the stages are shown, from the lane's own pass and its side passes by kind."""
    without = others.get(NEGATIVE if params.negative_ids else UNPROMPTED) if params.is_on("guidance") else None
    unprompted = others.get(UNPROMPTED) if params.temperature_mode == "kl" else None
    amateur = others.get(AMATEUR) if params.is_on("contrastive") else None
    return Sides(
        without=None if without is None else without.logits,
        unprompted=None if unprompted is None else unprompted.logits,
        amateur=None if amateur is None else amateur.logits,
        early=own.early if params.is_on("dola") else None,
    )
