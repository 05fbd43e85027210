"""Marks for a model of the toy language: well-formed sentences, true to their story, and right answers.

The language knows its own grammar and answers, so coherence is a number and no matter of taste. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinychat.engine.engine import Engine
from tinychat.engine.params import PRESETS, SamplingParams
from tinychat.errors import UsageError
from tinychat.model.checkpoint import inspect, tokenizer_of
from tinychat.text.chat import render
from tinychat.text.tokenizer import Tokenizer
from trainer import toy
from trainer.toy_check import Verdict, well_formed

Result = tuple[str, list[Verdict] | str, str]


def judge(checkpoint: Path, *, seed: int, count: int) -> Iterator[Result]:
    """(what, verdicts or a sentence, one example): `count` stories at each setting, then `count` questions."""
    tokenizer = tokenizer_of(inspect(checkpoint))
    if not tokenizer.has_chat:
        raise UsageError(f"{checkpoint}: its tokenizer has no chat roles.", "Judge a model of the toy language.")
    ends = (tokenizer.end_of_text, tokenizer.specials["<|end|>"])
    engine = Engine.open(checkpoint, end_ids=ends, record=1)
    for name in ("neutral", "story", "greedy"):
        # greedy says the same every time, so once is enough
        stories = [
            _reply(engine, tokenizer, [tokenizer.end_of_text], PRESETS[name].with_(seed=seed + index))
            for index in range(1 if name == "greedy" else count)
        ]
        yield f"stories, {name}", [well_formed(story) for story in stories], stories[0]
    right = 0
    missed = ""
    for question in toy.questions(seed + _APART, count):
        ids = render(question.messages, tokenizer, reply=True).ids
        answer = _reply(engine, tokenizer, ids, PRESETS["greedy"]).strip()
        if answer in question.accepted:
            right += 1
        elif not missed:
            missed = f"{question.messages[-1].text}\n{answer}   (right: {question.accepted[0]})"
    yield "answers, greedy", f"{right} of {count} right ({right / count:.1%})", missed


_APART = 1_000_003  # held-out questions: seeds near those that people train on are far from it


def _reply(engine: Engine, tokenizer: Tokenizer, ids: list[int], params: SamplingParams) -> str:
    engine.set_context(ids)
    drawn = []
    while engine.stop_reason() is None:
        drawn.append(engine.step(params).token)
    return tokenizer.decode(drawn)
