"""A small tokenizer on text of many scripts, trained once."""

from __future__ import annotations

import pytest

from tinychat.text.tokenizer import Tokenizer

ENGLISH = """Once upon a time a small fox named Mira lived near the old mill. "Where is the red ball?" asked Mira.
The owl didn't know. They looked under the bridge, behind the barn and in the garden; it wasn't there.
At last the hedgehog, who had 12 apples and 3 pears, laughed: "You're sitting on it!"
"""
OTHERS = "Zażółć gęślą jaźń. Где мой мяч? 小狐狸住在磨坊旁。 מים ושמש ฉันรักเธอ 👩‍🚀🚀 naïve café — “quotes” … "


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return [ENGLISH * 3, OTHERS * 3, ENGLISH.upper(), "    if x == 1:\n\t\treturn x\r\n\r\n"]


@pytest.fixture(scope="session")
def tokenizer(corpus: list[str]) -> Tokenizer:
    return Tokenizer.train(corpus, vocab_size=512)
