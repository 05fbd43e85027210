"""Looking at the model without touching it: held-out loss on fixed batches, and samples.

Both run in evaluation mode with random numbers of their own, so that no training number depends on how often they
run; both look at the stop flag. Nothing here knows files or screens.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.text.chat import Message, render
from trainer.events import Progress
from trainer.loss import IGNORED, objective_sum
from trainer.signals import StopFlag
from trainer.upload import uploaded

if TYPE_CHECKING:
    from tinychat.model.transformer import Transformer
    from tinychat.text.tokenizer import Tokenizer
    from trainer.batches import Batches
    from trainer.config import Sample
    from trainer.distributed import Agreed, Ranks


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over held-out tokens, and the means made of them."""

    nats: float
    tokens: int
    text_bytes: int

    @property
    def loss(self) -> float:
        return self.nats / max(1, self.tokens)

    @property
    def bits_per_byte(self) -> float:
        return bits_per_byte(self.nats, self.text_bytes)


def bits_per_byte(nats: float, text_bytes: int) -> float:
    """Bits per byte of text: comparable between vocabularies, as the loss per token is not."""
    return nats / math.log(2) / max(1, text_bytes)


@contextmanager
def looking(model: Transformer) -> Iterator[None]:
    """Evaluation mode, and the global generators (dropout's) as they were afterwards."""
    training = model.training
    devices = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else []
    with torch.random.fork_rng(devices=devices):
        model.eval()
        try:
            yield
        finally:
            model.train(training)


def evaluate(
    model: Transformer,
    batches: Batches,
    count: int,
    byte_lengths: npt.NDArray[np.int32],
    stop: Agreed,
    ranks: Ranks,
) -> Generator[Progress, None, Score | None]:
    """The score over batches 0 to `count`, shared by all processes; None when somebody wants to stop."""
    device = next(model.parameters()).device
    found = np.zeros((count, 3))  # nats, tokens, bytes of each batch: added up in one order, whoever computed them
    nats: dict[int, torch.Tensor] = {}  # of own batches; read at the end, so that the device never waits for the host
    with looking(model):
        for begin in range(0, count, ranks.world):
            stop.settle()
            if stop.reason is not None:
                return None
            # sharded weights need all processes in every pass: one without a batch of its own computes the last again
            index = min(begin + ranks.rank, count - 1)
            x, y, documents = batches.batch(index)
            apart = None if documents is None else uploaded(documents, device)
            # not inference mode: weights in parts that are first gathered in it cannot be trained any more
            with torch.no_grad():
                logits = model(uploaded(x, device), documents=apart)
                _, part = objective_sum(logits, uploaded(y, device))
            if begin + ranks.rank < count:
                nats[index] = part
                found[index] = 0.0, (y != IGNORED).sum(), byte_lengths[y[y != IGNORED]].sum()
            yield Progress(what="evaluating", done=min(begin + ranks.world, count), total=count, unit="batches")
        if nats:
            found[list(nats), 0] = torch.stack(list(nats.values())).tolist()
    total, tokens, text_bytes = np.array(ranks.sum(found.ravel().tolist())).reshape(count, 3).cumsum(0)[-1].tolist()
    return Score(total, int(tokens), int(text_bytes))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A beginning, as ids and as a person reads it."""

    ids: list[int]
    text: str


def prompts(config: Sample, tokenizer: Tokenizer, context: int, pauses: int = 0) -> tuple[list[Prompt], list[str]]:
    """Completions, then chats; and why some of them cannot be used, for a person."""
    made = [Prompt(tokenizer.encode_document(text), text) for text in config.prompts]
    told = []
    if tokenizer.has_chat:
        for text in config.chats:
            ids = render([Message("user", text)], tokenizer, reply=True, pauses=pauses).ids
            made.append(Prompt(ids, f"{text} "))
    elif config.chats:
        told.append("sample.chats: the tokenizer has no chat tokens")
    for prompt in made:
        if len(prompt.ids) >= context:
            told.append(f"sample: {prompt.text[:30]!r} leaves no room in a context of {context}")
    return [prompt for prompt in made if len(prompt.ids) < context], told


def sample(
    model: Transformer, tokenizer: Tokenizer, prompt: Prompt, config: Sample, *, seed: int, stop: StopFlag
) -> Generator[Progress, None, str | None]:
    """What the model says after the prompt; None when somebody wants to stop."""
    params = SamplingParams(temperature=config.temperature, top_p=config.top_p, seed=seed)
    said: list[int] = []
    with looking(model):
        engine = Engine(model, end_ids=tokenizer.end_ids, record=1)
        engine.set_context(prompt.ids)
        while len(said) < config.max_tokens and engine.stop_reason() is None:
            if stop.reason is not None:
                return None
            said.append(engine.step(params).token)
            if len(said) % 16 == 0:
                yield Progress(what="sampling", done=len(said), total=config.max_tokens, unit="tokens")
    return tokenizer.decode(said)  # special tokens add no text
