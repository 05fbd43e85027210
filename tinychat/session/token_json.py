"""A token and all that is known of its choice, as plain values for JSON: one shape for samples, transcripts, proofs."""

from __future__ import annotations

import base64
import math
from typing import Any

from tinychat.engine.trace import Candidate, StageView, Step
from tinychat.text.tokenizer import Tokenizer


def token_record(step: Step, tokenizer: Tokenizer, *, trace: int) -> dict[str, Any]:
    """One token for JSON. `raw` is the model's own distribution, `final` the one it was drawn from."""
    record: dict[str, Any] = {
        "position": step.position,
        "id": step.token,
        "token": tokenizer.label(step.token),
        "bytes": base64.b64encode(tokenizer.token_bytes(step.token)).decode(),
        "forced": step.forced,
        "raw_prob": step.raw,
        "raw_logprob": _log(step.raw),
        "raw_rank": step.raw_rank,
        "final_prob": step.final,
        "final_logprob": _log(step.final),
        "final_rank": step.final_rank,
        "surprisal_bits": step.surprisal if math.isfinite(step.surprisal) else None,  # a forced token may have p = 0
        "entropy_bits": step.odds.entropy,
        "final_entropy_bits": step.odds.final_entropy,
        "kept": step.odds.kept,
        "temperature": step.odds.temperature,
        "u": step.u,
        "slice": [step.low, step.high],
    }
    if step.odds.region is not None:
        record["region"] = step.odds.region
    if step.drafted is not None:
        record["drafted"] = step.drafted
    if step.state.mirostat is not None:
        record["mirostat_mu_bits"] = step.state.mirostat
    if step.state.adaptive is not None:
        record["adaptive_sums"] = list(step.state.adaptive)
    if trace:
        record["stages"] = [stage_record(stage) for stage in step.odds.stages]
        record["candidates"] = [candidate_record(c, tokenizer) for c in step.odds.candidates[:trace]]
    return record


def stage_record(stage: StageView) -> dict[str, Any]:
    """One stage of the pipeline for JSON."""
    return {
        "stage": stage.name,
        "kept": stage.kept,
        "mass": stage.mass,
        "entropy_bits": stage.entropy,
        "chosen_prob": stage.chosen,
    }


def candidate_record(candidate: Candidate, tokenizer: Tokenizer) -> dict[str, Any]:
    """One candidate for JSON."""
    return {
        "id": candidate.token,
        "token": tokenizer.label(candidate.token),
        "rank": candidate.rank,
        "logit": candidate.logit if math.isfinite(candidate.logit) else None,
        "raw_prob": candidate.raw,
        "final_prob": candidate.final,
        "cut_by": candidate.cut_by,
    }


def _log(probability: float) -> float | None:
    return math.log(probability) if probability > 0 else None  # JSON has no minus infinity
