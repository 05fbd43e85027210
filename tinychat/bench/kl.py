"""What a smaller number type costs in quality: perplexity, and the mean divergence from the float32 network.

Both networks read the same ids one by one through the pass that decodes, so the step that is fast is the one that is
judged. Without a text the float32 network writes one itself, at temperature 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tinychat.bench.measure import open_model, prompts
from tinychat.bench.plan import Job
from tinychat.engine.engine import Engine
from tinychat.engine.native import choose_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner, choose_device

OWN_TOKENS = 512
MOST_TOKENS = 4096  # of a longer text, the first


def divergence(job: Job) -> dict[str, Any]:
    """Perplexities per token, mean and largest KL(float32 || dtype) in nats, and the share of equal first choices."""
    device = choose_device(job.device)
    exact = open_model(replace(job, dtype="float32"), device)
    length = exact.config.context
    engine = Engine(exact, record=1, step=choose_step(job.step))
    engine.runner.await_step()
    ids = list(job.text[:MOST_TOKENS]) or _own(engine)
    coarse = open_model(job, device)
    one, other = engine.runner, Engine(coarse, record=1, step=choose_step(job.step)).runner
    other.await_step()
    nll = [0.0, 0.0]
    kls: list[float] = []
    agree = 0
    for start in range(0, len(ids) - 1, length):
        window = ids[start : start + length + 1]
        for runner in (one, other):
            runner.cache.cut(0, 0)
        for token, following in pairwise(window):
            p, q = _log_probs(one, token), _log_probs(other, token)
            nll[0] -= float(p[following])
            nll[1] -= float(q[following])
            kls.append(max(0.0, float((p.exp() * (p - q)).sum())))
            agree += int(p.argmax()) == int(q.argmax())
    count = len(kls)
    return {
        "dtype": job.dtype,
        "step": other.step_state,
        "tokens": count,
        "text": "given" if job.text else "own",
        "perplexity_float32": math.exp(nll[0] / count),
        "perplexity": math.exp(nll[1] / count),
        "kl_mean": sum(kls) / count,
        "kl_max": max(kls),
        "same_argmax": agree / count,
    }


def _log_probs(runner: Runner, token: int) -> Tensor:
    """Natural logarithms (V,) in float64 of what follows the token."""
    return torch.log_softmax(runner.feed({0: [token]})[0].double(), -1)


def _own(engine: Engine) -> Sequence[int]:
    """A text of the network's own: OWN_TOKENS ids, or a context full."""
    engine.set_context(prompts(engine.config.vocab_size, 1, 1)[0])
    params = SamplingParams()
    for _ in range(min(OWN_TOKENS, engine.context) - 1):
        engine.step(params)
    return engine.tokens()
