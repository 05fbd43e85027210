"""The reasoning budget: a block between two tags may grow no longer than so many tokens, then it is closed.

As in llama.cpp and vLLM, before all other stages. A tag is a special token of that name or, where there is none, that
text in the tokens' bytes; a template may have opened the block in the prompt.

V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT
from tinychat.engine.params import SamplingParams
from tinychat.model.vocabulary import Vocabulary


def think_budget(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts all but the next token of the closing tag once the open block has `think_budget` tokens.

    Raises ValueError where the context has no vocabulary, or no token that the tag can begin with.
    """
    if params.think_budget < 0:
        return logits
    if context.vocabulary is None:
        raise ValueError("think_budget must know the tags, got a context without a vocabulary")
    opening, closing = params.think_tags
    used, written = _block(context, context.vocabulary, opening, closing)
    if used is None or used < params.think_budget:
        return logits
    token = _next(context.vocabulary, closing, written)
    if token is None or token >= logits.shape[-1]:
        raise ValueError(f"think_budget cannot write {closing!r}: no token begins it")
    values = logits.numpy()
    only = np.full_like(values, CUT)
    only[..., token] = values[..., token]
    return torch.from_numpy(only)


def _block(context: Context, vocabulary: Vocabulary, opening: str, closing: str) -> tuple[int | None, int]:
    """How many tokens the open block has, None if none is open; how many bytes of the closing tag end the text."""
    names = {vocabulary.specials.get(opening): "open", vocabulary.specials.get(closing): "close"}
    begin, end = opening.encode(), closing.encode()
    since: int | None = None
    text = b""  # of the tokens since the last tag
    for token in context.ids().tolist():
        if token in names:
            since, text = (0 if names[token] == "open" else None), b""
            continue
        if since is not None:
            since += 1
        text += vocabulary.token_bytes[token] if 0 <= token < vocabulary.size else b""
        tag = end if since is not None else begin
        if tag in text:
            since, text = (None if since is not None else 0), text[text.index(tag) + len(tag) :]
        text = text[-max(len(begin), len(end)) :]
    written = next((n for n in range(min(len(end) - 1, len(text)), 0, -1) if text.endswith(end[:n])), 0)
    return since, written


def _next(vocabulary: Vocabulary, closing: str, written: int) -> int | None:
    """The special token of the closing tag, or the token that spells the most of what is left of its text."""
    if closing in vocabulary.specials:
        return vocabulary.specials[closing]
    whole = closing.encode()
    for rest in (whole[written:], whole):  # where nothing goes on from there, from its beginning
        fitting = [token for token, data in enumerate(vocabulary.token_bytes) if data and rest.startswith(data)]
        if fitting:
            return max(fitting, key=lambda token: len(vocabulary.token_bytes[token]))
    return None
