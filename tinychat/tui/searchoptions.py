"""The search a person puts together key by key: a method, and the options that it reads. Plain values, no widget."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from tinychat.engine.scores import LENGTH_RULES
from tinychat.engine.search_params import METHODS, READS, STOP_RULES, VARIANTS, SearchParams
from tinychat.session.tools import Searching

USUAL: dict[str, Any] = {field.name: field.default for field in fields(SearchParams)} | {"max_tokens": 48}
CHOICES = {"variant": VARIANTS, "length_rule": LENGTH_RULES, "stop_rule": STOP_RULES}
TINY = 0.05
STEPS = {
    "diversity": 0.1, "length_alpha": 0.1, "coverage": 0.1, "prune_factor": 0.1, "heuristic": 0.1,
    "contrast_alpha": 0.1, "chaos_ratio": TINY, "chaos_top": TINY, "rollout_weight": 0.1, "max_tokens": 8,
}  # fmt: skip
COARSE = 4
TIPS = {
    "width": "how many hypotheses are kept, or looked at, at a time",
    "variant": "what ended beams do to the width: ours sets them aside, hf as transformers, slots use up their place",
    "groups": "so many groups share the width, each unlike those before it",
    "diversity": "what a token costs for each earlier group that chose it",
    "length_rule": "how texts of different lengths compare: sum of log-probabilities, mean, power, gnmt",
    "length_alpha": "the exponent of power and gnmt",
    "coverage": "weight of the penalty for prompt tokens that get little attention",
    "stop_rule": "when no live one is worth going on with",
    "prune_factor": "a live one below this times the best complete score is dropped",
    "memory": "hypotheses that stay in the cache",
    "heuristic": "nats that a token still to come is expected to cost",
    "contrast_alpha": "weight of being unlike what came before",
    "phrases": "texts that the reply must hold, as a shell has words; ' red' with its space is not in 'scared'",
    "paths": "how many replies",
    "answer": "a regular expression: what an answer looks like; empty is the last number",
    "rollout": "tokens that each rival is tried for",
    "chaos_ratio": "a rival is at least this share as likely as the best",
    "chaos_top": "rivals are tried where the best token is at most this likely",
    "rollout_weight": "share of the roll-out in the choice",
    "max_tokens": "tokens of a hypothesis at most",
}
METHOD_TIPS = {
    "beam": "the WIDTH best beginnings are kept at every step",
    "diverse": "beams in groups that avoid each other's words",
    "beam-sampling": "beams whose next tokens are drawn, not taken",
    "best-first": "always the best hypothesis so far grows next",
    "a-star": "best first, with a guess of what is still to come",
    "constrained": "beams that must say given phrases",
    "contrastive": "likely, but unlike what came before",
    "cot": "a path for each likely first token; the answer given most surely wins",
    "self-eval": "where the model is unsure, rivals are tried some tokens far",
    "best-of": "several replies are drawn, the likeliest wins",
    "majority": "several replies are drawn, the most frequent answer wins",
    "exhaustive": "every reply there is, where allowed ids or a grammar leave few",
}


class Options:
    """A method and values; values of other methods are remembered, all of them in what is `kept` with a session."""

    def __init__(self, kept: Searching | None = None) -> None:
        self.kept = Searching() if kept is None else kept
        self._values = USUAL | self.kept.options
        self.picked = self.names[0]
        try:
            self.spec  # noqa: B018  # made to be checked
        except ValueError:  # a file may hold values that contradict each other
            self._values = dict(USUAL)
            self.picked = self.names[0]

    @property
    def method(self) -> str:
        return self.kept.method

    @method.setter
    def method(self, method: str) -> None:
        self.kept.method = method

    @property
    def names(self) -> list[str]:
        """What the method reads, and what that makes necessary."""
        names = [*READS[self.method], "max_tokens"]
        unread = {
            "length_alpha": self._values["length_rule"] not in ("power", "gnmt"),
            "prune_factor": self._values["stop_rule"] != "prune",
        }
        return [name for name in names if not unread.get(name)]

    def value(self, name: str) -> Any:
        return self._values[name]

    @property
    def spec(self) -> SearchParams:
        """ValueError for values that contradict each other."""
        return SearchParams(method=self.method, **{name: self._values[name] for name in self.names})

    def turn_method(self, delta: int) -> None:
        """The next or the previous method."""
        self.method = METHODS[(METHODS.index(self.method) + delta) % len(METHODS)]
        if self.picked not in self.names:
            self.picked = self.names[0]

    def pick(self, delta: int) -> None:
        """The next or the previous option."""
        names = self.names
        at = names.index(self.picked) if self.picked in names else 0
        self.picked = names[(at + delta) % len(names)]

    def nudge(self, delta: int, *, coarse: bool = False) -> None:
        """Turn the picked option; a value that cannot be is passed over. ValueError for what is typed, not turned."""
        name, value = self.picked, self._values[self.picked]
        if isinstance(value, str | tuple) and name not in CHOICES:
            raise ValueError(f"{name} is typed:  : opens the line")
        if name in CHOICES:
            choices = CHOICES[name]
            self._set(name, choices[(choices.index(value) + delta) % len(choices)])
            return
        size = STEPS.get(name, 1) * (COARSE if coarse else 1)
        for times in range(1, 17):  # a width that the groups do not share evenly is passed over
            try:
                self._set(name, round(value + delta * size * times, 4) if isinstance(value, float) else
                          max(1, value + delta * size * times))  # fmt: skip
                return
            except ValueError as error:
                fault = error
        raise fault

    def reset(self) -> None:
        """The usual value of the picked option."""
        self._set(self.picked, USUAL[self.picked])

    def read(self, line: str) -> None:
        """`width 8`, `beam`, `answer yes|no`, or a value for the picked option. ValueError says what is wrong."""
        word, _, rest = line.strip().partition(" ")
        name = word.replace("-", "_")
        if word in METHODS and not rest:
            self.method = word
            self.pick(0)
        elif name in USUAL and name != "method":
            if name not in self.names:
                raise ValueError(f"{self.method} does not read {word}: it reads {', '.join(self.names)}")
            self.picked = name
            self._set(name, self._typed(name, rest.strip()))
        else:
            usual = USUAL[self.picked]
            if word.isidentifier() and not isinstance(usual, str | tuple):
                raise ValueError(f"there is no method and no option {word!r} here: {', '.join(self.names)}")
            self._set(self.picked, self._typed(self.picked, line.strip()))

    def _typed(self, name: str, words: str) -> Any:
        usual = USUAL[name]
        if isinstance(usual, str):
            return words
        if isinstance(usual, tuple):
            return tuple(shlex.split(words))
        try:
            return type(usual)(words)
        except ValueError:
            raise ValueError(f"{name} needs a {'whole ' * isinstance(usual, int)}number, got {words!r}") from None

    def _set(self, name: str, value: Any) -> None:
        before = self._values[name]
        self._values[name] = value
        try:
            self.spec  # noqa: B018  # made to be checked
        except ValueError:
            self._values[name] = before
            raise
        self.kept.options = {each: value for each, value in self._values.items() if value != USUAL[each]}
