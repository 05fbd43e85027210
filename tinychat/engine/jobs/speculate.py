"""Guess ahead, or no more, from the next token on.

values  plan (fields of speculate.Speculation), or null for one token a pass
answer  plan, as it is in force now
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinychat.engine.questions import Desk, Reply
from tinychat.engine.speculate import Speculation


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError for a plan that cannot be, UsageError for one that this engine cannot follow: the old one stays."""
    plan = values["plan"]
    desk.engine.speculation = None if plan is None else Speculation(**plan)
    yield Reply({"plan": plan})
