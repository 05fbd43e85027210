"""Whole replies under a grammar: real tokenizers, the engine's step, rewinds, speculation, searches."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.params import SamplingParams
from tinychat.engine.search import search
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Done
from tinychat.engine.speculate import Speculation
from tinychat.model import checkpoint as checkpoints
from tinychat.text.tokenizer import Tokenizer

SHIPPED = Path(__file__).parents[2] / "assets" / "tinychat.safetensors"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "likes": {"type": "array", "items": {"enum": ["tea", "fish", "songs"]}, "maxItems": 3},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}
SENTENCE = r" [A-Z][a-zé]{1,9}( [a-z]{1,9}){0,4}[.!]"


def tokenizer_of(path: Path) -> Tokenizer:
    return checkpoints.tokenizer_of(checkpoints.inspect(path))


def opened(path: Path, *, ends: bool = True) -> tuple[Engine, Tokenizer]:
    tokenizer = tokenizer_of(path)
    engine = Engine.open(path, device="cpu", threads=1, end_ids=tokenizer.end_ids if ends else ())
    engine.set_context(tokenizer.encode_document("Once upon a time"))
    return engine, tokenizer


def reply(engine: Engine, params: SamplingParams) -> tuple[list[int], str | None]:
    """The ids of a whole reply, and why it is over."""
    ids: list[int] = []
    while engine.stop_reason() is None:
        ids.append(engine.step(params).token)
    return ids, engine.stop_reason()


@pytest.fixture(scope="module")
def shipped() -> tuple[Engine, Tokenizer]:
    return opened(SHIPPED)


@pytest.fixture
def small(checkpoint: Path) -> tuple[Engine, Tokenizer]:
    return opened(checkpoint)


def test_the_shipped_model_writes_json_that_the_schema_allows(shipped: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = shipped
    prompt = engine.tokens()
    for seed in range(6):
        engine.set_context(prompt)
        params = SamplingParams(json_schema=json.dumps(SCHEMA), seed=seed)
        ids, reason = reply(engine, params)
        assert reason == "end"
        value = json.loads(tokenizer.decode(ids))
        assert list(value) == ["name", "age", "likes"]
        assert len(value["name"]) <= 12
        assert 0 <= value["age"] <= 99
        assert set(value["likes"]) <= {"tea", "fish", "songs"}
    engine.set_context(prompt)


def test_a_random_model_follows_an_expression_and_ends(small: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = small
    prompt = engine.tokens()
    for seed in range(8):
        engine.set_context(prompt)
        ids, reason = reply(engine, SamplingParams(regex=SENTENCE, seed=seed, temperature=1.3))
        assert reason == "end"
        assert re.fullmatch(SENTENCE, tokenizer.decode(ids))


def test_greedy_replies_follow_the_expression_too(small: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = small
    ids, _ = reply(engine, SamplingParams(regex=SENTENCE, temperature=0.0))
    assert re.fullmatch(SENTENCE, tokenizer.decode(ids))


def test_a_model_without_an_end_stops_when_the_grammar_is_complete(checkpoint: Path) -> None:
    engine, tokenizer = opened(checkpoint, ends=False)
    params = SamplingParams(regex="(ab|cd){3}é")
    ids, reason = reply(engine, params)
    assert reason == "grammar"
    assert re.fullmatch("(ab|cd){3}é", tokenizer.decode(ids))
    with pytest.raises(NoLegalToken, match="whole"):
        engine.step(params)
    engine.cut(engine.length() - 1)
    assert engine.stop_reason() is None
    engine.step(params)
    assert engine.stop_reason() == "grammar"


def test_a_rewound_reply_goes_on_as_it_did(small: tuple[Engine, Tokenizer]) -> None:
    engine, _ = small
    params, prompt_len = SamplingParams(regex=SENTENCE, seed=3, temperature=1.3), engine.length()
    ids, _ = reply(engine, params)
    assert len(ids) > 4
    for keep in (len(ids) - 1, 1, 3, 0):
        engine.set_context([*engine.tokens()[:prompt_len], *ids[:keep]], prompt_len=prompt_len)
        assert reply(engine, params)[0] == ids[keep:]


def test_a_token_forced_against_the_grammar_ends_it_by_name(small: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = small
    params, length = SamplingParams(regex=SENTENCE), engine.length()
    engine.force(tokenizer.encode("x")[0], params)
    with pytest.raises(NoLegalToken, match="Token 1 of the reply does not fit the regular expression"):
        engine.step(params)
    assert engine.peek(params).kept == 0
    assert engine.step(SamplingParams()).odds.kept > 1, "switched off, the text goes on"
    engine.cut(length)
    assert engine.peek(params).kept > 0


def test_a_grammar_switched_on_in_mid_reply_is_about_all_of_it(small: tuple[Engine, Tokenizer]) -> None:
    engine, tokenizer = small
    for token in tokenizer.encode(" The fox"):
        engine.force(token, SamplingParams())
    assert engine.peek(SamplingParams(regex=SENTENCE)).kept > 0
    assert engine.peek(SamplingParams(regex="[a-z]+")).kept == 0


def test_a_grammar_that_cannot_be_used_leaves_the_reply_as_it_was(small: tuple[Engine, Tokenizer]) -> None:
    engine, _ = small
    length = engine.length()
    with pytest.raises(ValueError, match="regex cannot be used"):
        engine.step(SamplingParams(regex="("))
    assert engine.length() == length


def test_speculation_changes_no_token_of_a_constrained_reply(small: tuple[Engine, Tokenizer]) -> None:
    engine, _ = small
    params, prompt = SamplingParams(regex=SENTENCE, seed=1, temperature=0.8), engine.tokens()
    wanted = reply(engine, params)
    engine.speculation = Speculation(kind="exit", length=4, layer=1)
    engine.set_context(prompt)
    assert reply(engine, params) == wanted


@pytest.mark.parametrize(
    "spec",
    [SearchParams(method="beam", width=3, max_tokens=24), SearchParams(method="best-of", paths=3, max_tokens=24)],
)
def test_every_complete_hypothesis_of_a_search_follows_the_grammar(
    small: tuple[Engine, Tokenizer], spec: SearchParams
) -> None:
    engine, tokenizer = small
    pattern = r" (the|a) (fox|owl)( [a-z]{3,5})?\."
    done = list(search(engine, SamplingParams(regex=pattern), spec))[-1]
    assert isinstance(done, Done)
    ended = [each for each in done.hypotheses if each.ids[-1] in engine.end_ids]
    assert len(ended) == 3
    assert all(re.fullmatch(pattern, tokenizer.decode(each.ids)) for each in ended)
