"""What the model would say next after one fixed text: asked again and again, it shows what is being learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.evaluate import Prompt, looking

if TYPE_CHECKING:
    from tinychat.model.transformer import Transformer
    from tinychat.text.tokenizer import Tokenizer
    from trainer.config import Sample

TOP = 8  # tokens told: what is shown are fewer, and those of now have a past


def probe_prompt(config: Sample, tokenizer: Tokenizer, context: int) -> Prompt | None:
    """The text of the config, by default the first prompt; None when there is none or it is too long."""
    text = config.probe if config.probe is not None else next(iter(config.prompts), "")
    if not text or not config.probe_every:
        return None
    ids = tokenizer.encode_document(text)
    return Prompt(ids, text) if len(ids) <= context else None


def likeliest(model: Transformer, tokenizer: Tokenizer, prompt: Prompt) -> list[tuple[str, float]]:
    """The likeliest next tokens and their raw probabilities."""
    device = next(model.parameters()).device
    with looking(model), torch.inference_mode():
        row = model(torch.tensor([prompt.ids], device=device))[0, -1].float()
        shares, tokens = torch.softmax(row, dim=-1).topk(min(TOP, len(row)))
    texts = (tokenizer.label(token) for token in tokens.tolist())
    return [(text, round(share, 6)) for text, share in zip(texts, shares.tolist(), strict=True)]
