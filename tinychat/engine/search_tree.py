"""What a search did, as it does it: a growing tree of tokens, told in events.

A node is one token of a hypothesis with its full record; the path from the root to it is the hypothesis. Nothing here
decides what to grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tinychat.engine.trace import Step

State = Literal["live", "finished", "pruned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One token of a hypothesis. Log-probabilities are in nats, under the settings that score."""

    id: int  # from 1, in the order of growing
    parent: int  # 0 is the root: the prompt
    step: Step
    score: float  # of the hypothesis up to here, as the method ranks it
    logprob: float  # of the hypothesis up to here: the plain sum
    state: State = "live"
    reason: str | None = None  # why it is finished or pruned


@dataclass(frozen=True, slots=True)
class Grown:
    """A hypothesis got a token."""

    node: Node


@dataclass(frozen=True, slots=True)
class Pruned:
    """A hypothesis goes no further, and will not be answered with."""

    node: int
    reason: str  # "beaten", or "no_legal_token": the settings cut every token after it


@dataclass(frozen=True, slots=True)
class Finished:
    """A hypothesis is complete; from here on it competes with its score."""

    node: int
    reason: str  # end, grammar, length, context, no_legal_token, interrupted
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A complete reply."""

    node: int  # its last token
    ids: tuple[int, ...]
    score: float
    logprob: float
    reason: str
    answer: str | None = None  # where the method looks for one


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What several paths say, together."""

    text: str
    weight: float  # cot: the sum of their deltas; majority: how many they are
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The end of a search."""

    hypotheses: tuple[Hypothesis, ...]  # best first; may be empty when every token of the first place is cut
    best: int | None  # the node of the one to answer with; for answers, the best path of the best answer
    answers: tuple[Answer, ...] = ()  # heaviest first
    stop: str  # why the search ended: complete, stop_rule, interrupted
    calls: int  # distributions that were computed, one per hypothesis
    passes: int  # forward passes that computed them, the prompt's included


SearchEvent = Grown | Pruned | Finished | Done


class Tree:
    """Makes the nodes and keeps them."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.finished: list[int] = []
        self._answers: dict[int, str | None] = {}

    def grow(self, parent: int, step: Step, *, score: float, logprob: float) -> Grown:
        """A new live node."""
        node = Node(id=len(self.nodes) + 1, parent=parent, step=step, score=score, logprob=logprob)
        self.nodes[node.id] = node
        return Grown(node)

    def prune(self, node: int, reason: str = "beaten") -> Pruned:
        """The node goes no further."""
        self.nodes[node] = replace(self.nodes[node], state="pruned", reason=reason)
        return Pruned(node, reason)

    def finish(self, node: int, reason: str, score: float | None = None, answer: str | None = None) -> Finished:
        """The node completes a hypothesis, with its own score if none is given."""
        now = self.nodes[node]
        score = now.score if score is None else score
        self.nodes[node] = replace(now, state="finished", reason=reason, score=score)
        self.finished.append(node)
        self._answers[node] = answer
        return Finished(node, reason, score)

    def path(self, node: int) -> list[Node]:
        """The nodes from the first token to this one."""
        found: list[Node] = []
        while node:
            found.append(self.nodes[node])
            node = self.nodes[node].parent
        return found[::-1]

    def ids(self, node: int) -> tuple[int, ...]:
        """The tokens from the first to this one."""
        return tuple(each.step.token for each in self.path(node))

    def ranked(self) -> tuple[Hypothesis, ...]:
        """All finished hypotheses, best score first, equal ones in the order they finished."""
        return tuple(
            Hypothesis(
                node=node.id, ids=self.ids(node.id), score=node.score, logprob=node.logprob,
                reason=node.reason or "", answer=self._answers[node.id],
            )
            for node in sorted((self.nodes[each] for each in self.finished), key=lambda node: -node.score)
        )  # fmt: skip

    def done(self, stop: str, *, calls: int, passes: int, best: int | None = None, **more: Any) -> Done:
        """The last event; the best hypothesis is the first unless another node is named."""
        ranked = self.ranked()
        if best is None and ranked:
            best = ranked[0].node
        return Done(hypotheses=ranked, best=best, stop=stop, calls=calls, passes=passes, **more)


def tree_of(events: Iterable[SearchEvent]) -> tuple[dict[int, Node], Done | None]:
    """The nodes as the events leave them, and the end if it came: what a screen or a file makes of a search."""
    nodes: dict[int, Node] = {}
    done = None
    for event in events:
        match event:
            case Grown(node):
                nodes[node.id] = node
            case Pruned(node=number, reason=reason):
                nodes[number] = replace(nodes[number], state="pruned", reason=reason)
            case Finished(node=number, reason=reason, score=score):
                nodes[number] = replace(nodes[number], state="finished", reason=reason, score=score)
            case Done():
                done = event
    return nodes, done
