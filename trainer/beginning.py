"""How samples begin where the config does not say it: as the text itself does, for the model knows no other words."""

from __future__ import annotations

from itertools import islice

from tinychat.errors import TinychatError
from trainer.config import TrainConfig
from trainer.corpus import documents
from trainer.document import Document

LOOKED_AT = 8  # documents: the first ones may be empty
WORDS, CHARS = 4, 40


def with_own_beginning(config: TrainConfig) -> TrainConfig:
    """The config with prompts out of its own text, or a question out of its chats.

    Left as it is where it has prompts, or learns the toy language, or where nothing can be read: that is said later.
    """
    given, sources = config.sample.model_fields_set, config.data.sources
    if "prompts" in given or "toy" in sources:
        return config
    try:
        read = islice(documents(sources, field=config.data.field), LOOKED_AT)
        first = next((each for each in read if any(text.strip() for text in each.texts)), None)
    except TinychatError:
        return config
    if first is None:
        return config
    changed = _sampled(first) if "chats" not in given or first.messages is None else {"prompts": ()}
    return config.model_copy(update={"sample": config.sample.model_copy(update=changed)}) if changed else config


def _sampled(document: Document) -> dict[str, tuple[str, ...]]:
    if document.messages is None:
        return {"prompts": (first_words(document.text or ""),)}
    question = next((each.text for each in document.messages if each.role == "user" and each.text.strip()), "")
    return {"prompts": (), "chats": (question,)} if question else {}


def first_words(text: str) -> str:
    """A few words from the start, of its first line that has any."""
    return " ".join(text.strip().splitlines()[0].split()[:WORDS])[:CHARS].rstrip()
