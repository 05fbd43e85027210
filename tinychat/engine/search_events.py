"""The events of a search as plain values and records, for the wire: written by jobs/search.py, read by the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tinychat.engine.search_tree import Answer, Done, Finished, Grown, Hypothesis, Node, Pruned, SearchEvent
from tinychat.engine.trace import Step


def to_plain(events: Iterable[SearchEvent]) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """The events as values for JSON, and the steps of all that grew, in order."""
    told: list[list[Any]] = []
    steps: list[Step] = []
    for event in events:
        match event:
            case Grown(node):
                told.append(["grown", node.id, node.parent, node.score, node.logprob])
                steps.append(node.step)
            case Pruned(node=number, reason=reason):
                told.append(["pruned", number, reason])
            case Finished(node=number, reason=reason, score=score):
                told.append(["finished", number, reason, score])
            case Done():
                told.append(["done", asdict(event)])
    return {"events": told}, tuple(steps)


def from_plain(values: Mapping[str, Any], steps: Sequence[Step]) -> list[SearchEvent]:
    """The inverse of to_plain."""
    left, events = iter(steps), list[SearchEvent]()
    for kind, *told in values.get("events", ()):
        if kind == "grown":
            number, parent, score, logprob = told
            events.append(Grown(Node(id=number, parent=parent, step=next(left), score=score, logprob=logprob)))
        elif kind == "pruned":
            events.append(Pruned(*told))
        elif kind == "finished":
            events.append(Finished(*told))
        else:
            events.append(_done(told[0]))
    return events


def _done(told: Mapping[str, Any]) -> Done:
    return Done(
        hypotheses=tuple(Hypothesis(**{**each, "ids": tuple(each["ids"])}) for each in told["hypotheses"]),
        best=told["best"],
        answers=tuple(Answer(**{**each, "nodes": tuple(each["nodes"])}) for each in told["answers"]),
        stop=told["stop"],
        calls=told["calls"],
        passes=told["passes"],
    )
