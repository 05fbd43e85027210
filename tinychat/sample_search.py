"""The door's part of a search: the best reply as text, all hypotheses and the tree as JSON, the events as JSON lines.

Nothing here searches, and nothing is printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Done, Finished, Grown, Hypothesis, Node, Pruned, SearchEvent, tree_of
from tinychat.engine.trace import Step
from tinychat.errors import TinychatError, UsageError
from tinychat.sample_output import SCHEMA
from tinychat.session.token_json import token_record
from tinychat.text.stream import TextStream

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine
    from tinychat.sample import Outcome, Request
    from tinychat.text.tokenizer import Tokenizer


def draw_first(drawn: Iterator[tuple[Step | None, str]], outcome: Outcome) -> Iterator[tuple[Step | None, str]]:
    """The tokens before the search, on their way through. UsageError where the reply ends among them."""
    for step, text in drawn:
        stopped, outcome.stop_reason = outcome.stop_reason, None  # the search goes on
        yield step, text
        if stopped not in (None, "length", "interrupted"):
            raise UsageError(
                f"The reply ended after {len(outcome.steps)} tokens, before the search.", "Take a lower --search-after."
            )


def run_search(
    request: Request,
    spec: SearchParams,
    engine: Engine,
    tokenizer: Tokenizer,
    outcome: Outcome,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    put: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Search from what the engine holds: the text of the whole reply, and what JSON says besides it.

    `outcome` has the steps drawn before, and gets those of the answer and why it ended; `put` gets a record for every
    event as it happens. UsageError where the search cannot be made.
    """
    from tinychat.engine.search import search

    clock = time.perf_counter()
    events: list[SearchEvent] = []
    params = request.params
    for index in sorted(request.schedule):
        if index <= len(outcome.steps):
            params = params.with_(**request.schedule[index])
    try:
        for event in search(engine, params, spec, interrupted):
            events.append(event)
            if put is not None:
                put({"schema": SCHEMA, **event_record(event, tokenizer, trace=request.trace)})
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    outcome.decode_s += time.perf_counter() - clock
    nodes, done = tree_of(events)
    assert done is not None, "a search ends with Done"
    if not done.hypotheses:
        raise TinychatError("The settings cut every first token.", "Loosen the constraints, the bias or the cuts.")
    if request.hypothesis > len(done.hypotheses):
        raise UsageError(
            f"--hypothesis {request.hypothesis}: the search found {len(done.hypotheses)}.", "Take one of those."
        )
    best = next(each for each in done.hypotheses if each.node == done.best)
    if request.hypothesis:
        best = done.hypotheses[request.hypothesis - 1]
    drawn = [step.token for step in outcome.steps]
    outcome.steps += [nodes[node].step for node in path_to(nodes, best.node)]
    outcome.stop_reason = best.reason
    facts = {
        "search": spec.to_dict(),
        "search_after": len(drawn),
        **_end_record(done, tokenizer),
        "tree": [node_record(node, tokenizer) for node in nodes.values()],
    }
    if request.trace:
        for record, each in zip(facts["hypotheses"], done.hypotheses, strict=True):
            steps = [nodes[node].step for node in path_to(nodes, each.node)]
            record["tokens"] = [token_record(step, tokenizer, trace=request.trace) for step in steps]
    return text_of([*drawn, *best.ids], tokenizer), facts


def path_to(nodes: dict[int, Node], node: int) -> list[int]:
    """The nodes from the first token to this one."""
    found = []
    while node:
        found.append(node)
        node = nodes[node].parent
    return found[::-1]


def text_of(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """What the tokens say."""
    stream = TextStream(tokenizer)
    return "".join(stream.push(token) for token in ids) + stream.finish()


def event_record(event: SearchEvent, tokenizer: Tokenizer, *, trace: int) -> dict[str, Any]:
    """One event for a JSON line."""
    match event:
        case Grown(node):
            record: dict[str, Any] = {"event": "grown", **node_record(node, tokenizer)}
            if trace:
                record |= token_record(node.step, tokenizer, trace=trace) | {"id": node.id, "token_id": node.step.token}
            return record
        case Pruned(node=number, reason=reason):
            return {"event": "pruned", "id": number, "reason": reason}
        case Finished(node=number, reason=reason, score=score):
            return {"event": "finished", "id": number, "reason": reason, "score": score}
        case Done():
            return {"event": "done", **_end_record(event, tokenizer)}


def node_record(node: Node, tokenizer: Tokenizer) -> dict[str, Any]:
    """One token of the tree for JSON. Log-probabilities are in nats, under the settings that score."""
    return {
        "id": node.id,
        "parent": node.parent,
        "token_id": node.step.token,
        "token": tokenizer.label(node.step.token),
        "position": node.step.position,
        "raw_prob": node.step.raw,
        "final_prob": node.step.final,
        "score": node.score,
        "logprob": node.logprob,
        "state": node.state,
        "reason": node.reason,
    }


def _end_record(done: Done, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "search_stop": done.stop,
        "best": done.best,
        "hypotheses": [_hypothesis_record(each, tokenizer) for each in done.hypotheses],
        "answers": [{"text": each.text, "weight": each.weight, "nodes": list(each.nodes)} for each in done.answers],
        "calls": done.calls,
        "passes": done.passes,
    }


def _hypothesis_record(each: Hypothesis, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "node": each.node,
        "ids": list(each.ids),
        "text": text_of(each.ids, tokenizer),
        "score": each.score,
        "logprob": each.logprob,
        "reason": each.reason,
        "answer": each.answer,
    }
