"""What is set but has no effect, or works against something else that is set, in plain words."""

from __future__ import annotations

from tinychat.engine.knobs import KNOBS
from tinychat.engine.params import SamplingParams


def params_notes(params: SamplingParams) -> list[str]:
    """One short sentence for each."""
    found = []
    if params.is_greedy:
        found.append("temperature 0 is greedy: the seed is unused")
        cuts = ["top_k", "top_p", "min_p", "top_n_sigma"]  # each keeps the likeliest token wherever it stands
        if "typical" in params.stages and params.stages.index("typical") > params.stages.index("temperature"):
            cuts.append("typical")
        idle = [knob.name for knob in KNOBS if knob.stage in cuts and params.is_on(knob.stage)]
        if idle:
            found.append(f"temperature 0 keeps one token: {', '.join(idle)} cannot change it")
    penalised = any(params.is_on(stage) for stage in ("repetition", "frequency", "presence"))
    if not penalised and (params.penalty_window or params.penalty_scope != "all"):
        found.append("no penalty is on: its window and scope are unused")
    return found
