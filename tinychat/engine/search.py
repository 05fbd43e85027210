"""The one entry to every way of searching for a reply.

A search is a generator of events (search_tree.py) that starts from what lane 0 of an engine holds and leaves the engine
as it is. Nothing here knows text, threads or screens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tinychat.engine.attention import AttentionRunner
from tinychat.engine.beams import beam_search
from tinychat.engine.best_first import best_first, exhaustive
from tinychat.engine.constrained_beams import constrained
from tinychat.engine.contrastive_search import HiddenRunner, contrastive
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import ContextFull
from tinychat.engine.paths import Paths
from tinychat.engine.runner import Runner
from tinychat.engine.search_params import SearchParams, check_search, scoring
from tinychat.engine.search_tree import SearchEvent
from tinychat.engine.self_eval import self_eval
from tinychat.engine.several import cot, sample

Search = Callable[[Paths, SearchParams, Callable[[], bool]], Iterator[SearchEvent]]

METHODS: dict[str, Search] = {
    "beam": beam_search,
    "diverse": beam_search,
    "beam-sampling": beam_search,
    "best-first": best_first,
    "a-star": best_first,
    "constrained": constrained,
    "contrastive": contrastive,
    "cot": cot,
    "self-eval": self_eval,
    "best-of": sample,
    "majority": sample,
    "exhaustive": exhaustive,
}


def search(
    engine: Engine,
    params: SamplingParams,
    spec: SearchParams,
    interrupt: Callable[[], bool] = lambda: False,
) -> Iterator[SearchEvent]:
    """Search from what lane 0 holds; the last event is Done.

    Scores are log-softmax after guidance, constraints, bias and penalties; methods that sample use the whole chain of
    settings and the seed. `interrupt` is asked before every pass: when it says True, what is there competes as it is.
    ValueError where settings and search contradict each other, ContextFull when there is no room for a token.
    """
    yield from METHODS[spec.method](paths_for(engine, params, spec), spec, interrupt)


def paths_for(
    engine: Engine, params: SamplingParams, spec: SearchParams, interrupt: Callable[[], bool] | None = None
) -> Paths:
    """The hypotheses of a search, before its first token. `interrupt` is asked between chunks of the prompt: when it
    says True the rest is owed (Paths.read). Raises what `search` raises.
    """
    check_search(params, spec)
    if spec.method in ("cot", "majority", "constrained") and engine.vocabulary is None:
        raise ValueError(f"{spec.method} reads text: the engine must know its vocabulary")
    if engine.length(0) >= engine.context:
        raise ContextFull(f"The context is full: {engine.context} tokens.", "Go back some tokens.")
    runner: Callable[[Runner], Runner] | None = HiddenRunner if spec.method == "contrastive" else None
    if spec.coverage:
        runner = AttentionRunner
    used = params if spec.samples else scoring(params)
    paths = Paths(engine, used, lanes=_lanes(spec), max_tokens=spec.max_tokens, runner=runner)
    paths.read(interrupt)
    return paths


def _lanes(spec: SearchParams) -> int:
    if spec.method in ("best-first", "a-star", "exhaustive"):
        return spec.memory
    return spec.paths if spec.method in ("cot", "best-of", "majority") else spec.width
