"""Marks for a model of the toy language: well-formed sentences, true to their story, and right answers.

The language knows its own grammar and answers, so coherence is a number and no matter of taste. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError
from tinychat.model.checkpoint import CheckpointInfo, inspect, tokenizer_of
from tinychat.text.chat import Message, render
from tinychat.text.tokenizer import Tokenizer
from trainer import toy
from trainer.config_file import parse
from trainer.toy_check import Verdict, well_formed

Result = tuple[str, list[Verdict] | str, str]


def judge(checkpoint: Path, *, seed: int, count: int) -> Iterator[Result]:
    """(what, verdicts or a sentence, one example): `count` stories at each setting, then `count` questions."""
    info = inspect(checkpoint)
    tokenizer = tokenizer_of(info)
    if not tokenizer.has_chat:
        raise UsageError(f"{checkpoint}: its tokenizer has no chat roles.", "Judge a model of the toy language.")
    engine = Engine.open(checkpoint, end_ids=tokenizer.end_ids, record=1)
    for name in ("neutral", "story", "greedy"):
        # greedy says the same every time, so once is enough
        stories = [
            _reply(engine, tokenizer, [tokenizer.end_of_text], PRESETS[name].with_(seed=seed + index))
            for index in range(1 if name == "greedy" else count)
        ]
        yield f"stories, {name}", [well_formed(story) for story in stories], stories[0]
    trained_on = _trained_on(info)
    marks: list[tuple[bool, bool]] = []  # right, and new to the model
    missed = ""
    for question in toy.questions(seed + _APART, count):
        ids = render(question.messages, tokenizer, reply=True, pauses=info.pause_tokens).ids
        answer = _reply(engine, tokenizer, ids, PRESETS["greedy"]).strip()
        right = question.accepts(answer)
        marks.append((right, trained_on is not None and question.messages not in trained_on))
        if not right and not missed:
            missed = f"{question.messages[-1].text}\n{answer}   (right: {question.accepted[0]})"
    yield "answers, greedy", _share([right for right, _ in marks]), missed
    if trained_on is not None:
        yield "  to new questions", _share([right for right, new in marks if new]), ""
        yield "  to trained ones", _share([right for right, new in marks if not new]), ""


_APART = 1_000_003  # held-out questions: seeds near those that people train on are far from it


def _share(marks: Sequence[bool]) -> str:
    return f"{sum(marks)} of {len(marks)} right ({sum(marks) / len(marks):.1%})" if marks else "none were asked"


def _trained_on(info: CheckpointInfo) -> set[tuple[Message, ...]] | None:
    """The chats that the model saw, each up to an answer: short questions come up again by chance.

    None when the checkpoint does not say, or it or the one it was trained from saw other text.
    """
    seen: set[tuple[Message, ...]] = set()
    facts: object = info.training
    while isinstance(facts, dict):
        found = _seen_in(facts, str(info.path))
        if found is None:
            return None
        seen |= found
        origin = facts.get("from")
        facts = origin.get("training") if isinstance(origin, dict) else None
    return seen


def _seen_in(training: dict[str, Any], name: str) -> set[tuple[Message, ...]] | None:
    try:
        data = parse(str(training["config"]), name=name, look=False).data
    except (KeyError, UsageError):
        return None
    if not data.is_toy:
        return None
    seen: set[tuple[Message, ...]] = set()
    for document in toy.documents(data.seed, data.documents, chat_share=data.chat_share):
        messages = document.messages or ()
        seen.update(messages[:end] for end, message in enumerate(messages) if message.role == "assistant")
    return seen


def _reply(engine: Engine, tokenizer: Tokenizer, ids: list[int], params: SamplingParams) -> str:
    if len(ids) >= engine.context:
        return ""  # a chat longer than the model can see gets no answer
    engine.set_context(ids)
    drawn = []
    while engine.stop_reason() is None:
        drawn.append(engine.step(params).token)
    return tokenizer.decode(drawn)
