"""Grammars against outside oracles: python's re and json, and the enumeration of small languages."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from tinychat.engine import constrain
from tinychat.engine.constrain import Grammars
from tinychat.engine.context import Context
from tinychat.engine.grammars import GrammarTooHard, check_grammar
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.model.vocabulary import Vocabulary

BYTES = tuple(bytes([byte]) for byte in range(256))
END, SPECIAL, OTHER_END = 256, 257, 258
BYTEWISE = Vocabulary((*BYTES, b"", b"", b""), (END, OTHER_END))

# halves of é (C3 A9) alone and glued to letters, two tokens of one text, one whole word, a special, two ends
SMALL = Vocabulary(
    tuple("a b Ã © ab ab ©b aÃ Ã© Ã©a bab B A ÿ".encode("latin-1").split()) + (b"",) * 3,  # Ã © are C3 A9, ÿ is FF
    (14, 16),
)


def regex(text: str) -> SamplingParams:
    return SamplingParams(regex=text)


def schema(value: object, *, compact: bool = False) -> SamplingParams:
    if compact:
        assert isinstance(value, dict)
        value = {**value, "x-guidance": {"whitespace_flexible": False}}
    return SamplingParams(json_schema=json.dumps(value))


def legal_ids(grammars: Grammars, params: SamplingParams, output: list[int]) -> set[int]:
    legal = grammars.legal(params, output)
    assert legal is not None
    assert legal.dtype == torch.bool
    return set(torch.nonzero(legal).flatten().tolist())


def text_of(vocabulary: Vocabulary, output: list[int]) -> bytes:
    return b"".join(vocabulary.token_bytes[token] for token in output)


def sample(grammars: Grammars, params: SamplingParams, rng: random.Random, most: int = 400) -> bytes | None:
    """A reply by uniform draws from what is legal; None when it does not end in time."""
    output: list[int] = []
    while len(output) < most:
        token = rng.choice(sorted(legal_ids(grammars, params, output)))
        if token in grammars.vocabulary.end_ids:
            return text_of(grammars.vocabulary, output)
        output.append(token)
    return None


FINITE = [
    "(ab|é){1,2}b?",
    "[abé]{2,3}",
    "a{0,2}éé?",
    "b(?:aé|éa|)a",
    "(?i)ab?",
    "a??b{0,2}?é|b{1,3}?",
    "^(a|ab)(bab|é)$",
]


@pytest.mark.parametrize("pattern", FINITE)
def test_the_mask_is_exactly_the_viable_prefixes(pattern: str) -> None:
    language = {
        "".join(chars).encode()
        for size in range(7)
        for chars in itertools.product("abABé", repeat=size)
        if re.fullmatch(pattern, "".join(chars))
    }
    prefixes = {text[:cut] for text in language for cut in range(len(text) + 1)}
    grammars, params = Grammars(SMALL), regex(pattern)
    waiting: list[list[int]] = [[]]
    while waiting:
        output = waiting.pop()
        so_far = text_of(SMALL, output)
        wanted = {
            token
            for token, text in enumerate(SMALL.token_bytes)
            if text and b"\xff" not in text and so_far + text in prefixes
        }
        ends = set(SMALL.end_ids) if so_far in language else set()
        assert legal_ids(grammars, params, output) == wanted | ends, output
        assert grammars.is_complete(params, output) == (so_far in language and not wanted)
        waiting += [[*output, token] for token in wanted]


# where the dialects differ: how it is written for python's re
LARGE = [
    ("[0-9]{3}-[0-9]{4}", ""),
    ("[A-Z][a-z]*( [a-z]+){0,3}[.!?]", ""),
    (r"[^ \"]{1,8}", ""),
    ("(?:yes|no|maybe)(?:, (?:yes|no|maybe))*", ""),
    (r"\p{Hiragana}{1,5}|[ぁ-ん]+", "[ぁ-ゖゝ-ゟ\U0001b001-\U0001b11f\U0001b132\U0001b150-\U0001b152\U0001f200]+"),
    ("😀{1,3}[^😀]", ""),
    ("(/[a-z]+)+/?", ""),
    ("[a-z&&[^aeiou]]+", "[b-df-hj-np-tv-z]+"),
    ("line\nline\t\\\\", ""),
]


@pytest.mark.parametrize(("pattern", "oracle"), LARGE)
def test_every_sample_matches_the_expression_as_a_whole(pattern: str, oracle: str) -> None:
    grammars, rng, found = Grammars(BYTEWISE), random.Random(1), 0
    for _ in range(25):
        written = sample(grammars, regex(pattern), rng)
        if written is not None:
            assert re.fullmatch(oracle or pattern, written.decode("utf-8"), re.DOTALL), (
                written
            )  # decode: no half character
            found += 1
    assert found >= 10


def test_the_texts_of_a_finite_schema_are_enumerated_exactly() -> None:
    params = schema(
        {
            "type": "object",
            "properties": {
                "a": {"enum": [1, True, None]},
                "b": {"type": "array", "items": {"const": "é"}, "maxItems": 2},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
        compact=True,
    )
    values = [{"a": a} | b for a in (1, True, None) for b in ({}, {"b": []}, {"b": ["é"]}, {"b": ["é", "é"]})]
    wanted = {json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() for value in values}
    grammars, found = Grammars(BYTEWISE), set()
    waiting: list[list[int]] = [[]]
    while waiting:
        output = waiting.pop()
        assert len(output) <= 40
        for token in legal_ids(grammars, params, output):
            if token == END:
                found.add(text_of(BYTEWISE, output))
            elif token != OTHER_END:
                waiting.append([*output, token])
    assert found == wanted


def test_every_sample_of_a_schema_is_json_that_it_allows() -> None:
    shape = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    grammars, rng, found = Grammars(BYTEWISE), random.Random(2), 0
    for _ in range(40):
        written = sample(grammars, schema(shape), rng)
        if written is None:
            continue
        value = json.loads(written.decode("utf-8"))
        assert set(value) == {"name", "age", "tags"}
        assert len(value["name"]) <= 6
        assert 0 <= value["age"] <= 120
        assert len(value["tags"]) <= 3
        assert set(value["tags"]) <= {"x", "y"}
        found += 1
    assert found >= 20


def test_the_empty_schema_is_any_json_and_nothing_else() -> None:
    grammars, rng, kinds = Grammars(BYTEWISE), random.Random(3), set()
    for _ in range(60):
        written = sample(grammars, SamplingParams(json_schema="{}"), rng, most=120)
        if written is not None:
            kinds.add(type(json.loads(written.decode("utf-8"))))
    assert len(kinds) >= 3
    assert legal_ids(grammars, SamplingParams(json_schema="true"), []) == legal_ids(
        grammars, SamplingParams(json_schema="{}"), []
    )


def test_white_space_in_json_comes_to_an_end() -> None:
    grammars, params = Grammars(BYTEWISE), schema({"type": "array"})
    output = [ord("["), ord("\n")]
    while ord(" ") in legal_ids(grammars, params, output):
        output.append(ord(" "))
        assert len(output) < 100
    assert ord("1") in legal_ids(grammars, params, output)
    wide = SamplingParams(json_schema='{"type": "array", "x-guidance": {"whitespace_flexible": true}}')
    assert ord(" ") in legal_ids(grammars, wide, output), "the schema has the last word"


def test_the_masked_law_is_the_law_given_that_the_token_is_legal() -> None:
    grammars, params = Grammars(SMALL), regex("([abé]{2}|é*b){1,3}").with_(seed=5)
    generator = torch.Generator().manual_seed(0)
    output: list[int] = []
    for _ in range(12):
        logits = torch.randn(SMALL.size, generator=generator) * 3
        legal = grammars.legal(params, output)
        assert legal is not None
        seen = observe(logits, params, Context(history=output, vocabulary=SMALL, legal=legal))
        law = torch.softmax(logits.double(), 0) * legal
        np.testing.assert_allclose(seen.final, (law / law.sum()).numpy(), atol=1e-12)
        step = decide(seen, params, time_s=0.0)
        assert legal[step.token]
        assert all(candidate.cut_by == "grammar" for candidate in seen.odds.candidates if not legal[candidate.token])
        if step.token in SMALL.end_ids:
            return
        output.append(step.token)


def test_rewinds_and_branches_find_the_same_masks_as_a_fresh_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrain, "STATES", 5)  # so that states are thrown away, too
    rng, params = random.Random(4), regex("((ab)*é|b{1,4}a)*")
    kept, replies = Grammars(SMALL), [[]]
    for _ in range(150):
        output = list(rng.choice(replies))
        del output[rng.randint(0, len(output)) :]
        for _ in range(rng.randint(0, 3)):  # now and then a token that does not fit, an end, or a special
            legal = sorted(legal_ids(kept, params, output))
            output.append(rng.choice(legal) if legal and rng.random() < 0.9 else rng.randrange(SMALL.size))
        replies.append(output)
        fresh = Grammars(SMALL)
        assert legal_ids(kept, params, output) == legal_ids(fresh, params, output)
        assert kept.is_complete(params, output) == fresh.is_complete(params, output)
        assert kept.trouble(params, output) == fresh.trouble(params, output)


def test_a_reply_that_does_not_fit_leaves_nothing_and_says_where() -> None:
    grammars, params = Grammars(SMALL), regex("(ab)+")
    for output, place in [([0, 0], 2), ([4, 15], 2), ([14], 1), ([4, 14, 4], 3), ([13], 1), ([4, 14, 14], 3)]:
        assert legal_ids(grammars, params, output) == set()
        trouble = grammars.trouble(params, output)
        assert trouble is not None
        assert f"Token {place} of the reply" in trouble[0]
        assert not grammars.is_complete(params, output)
    assert legal_ids(grammars, params, [4]) == {0, 4, 5, 7, 14, 16} - {7}, "and the way back is open"
    assert grammars.trouble(params, [4]) is None


def test_after_its_end_a_reply_is_complete_and_nothing_follows() -> None:
    grammars, params = Grammars(SMALL), regex("(ab)+")
    for end in SMALL.end_ids:
        assert grammars.is_complete(params, [4, end])
        assert legal_ids(grammars, params, [4, end]) == set()
    assert not grammars.is_complete(params, [4])


def test_a_model_without_an_end_knows_when_the_text_is_whole() -> None:
    endless = Vocabulary((b"a", b"b"))
    grammars, params = Grammars(endless), regex("ab?")
    assert not grammars.is_complete(params, [0])
    assert grammars.is_complete(params, [0, 1])
    trouble = grammars.trouble(params, [0, 1])
    assert trouble is not None
    assert "whole" in trouble[0]


def test_a_dead_end_leaves_nothing_to_draw_and_can_be_left() -> None:
    grammars, params = Grammars(Vocabulary((b"a", b"b", b""), (2,))), regex("ac|bb")
    assert legal_ids(grammars, params, []) == {0, 1}
    legal = grammars.legal(params, [0])
    assert observe(torch.zeros(3), params, Context(history=[0], legal=legal)).odds.kept == 0
    trouble = grammars.trouble(params, [0])
    assert trouble is not None
    assert "No token of this vocabulary" in trouble[0]
    assert legal_ids(grammars, params, [0, 1]) == set()
    assert legal_ids(grammars, params, [1]) == {1}


def test_rows_without_a_token_are_never_legal() -> None:
    padded = Vocabulary((b"a", b"", b"", b"", b"a"), (1,))
    assert legal_ids(Grammars(padded), regex("a*"), [0]) == {0, 1, 4}


def test_an_end_id_with_text_is_an_end_and_no_text() -> None:
    newline_ends = Vocabulary((b"a", b"\n"), (1,))
    grammars, params = Grammars(newline_ends), regex("a\na?|aa")
    assert legal_ids(grammars, params, [0]) == {0}
    assert legal_ids(grammars, params, [0, 0]) == {1}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"regex": "("}, "unclosed group"),
        ({"regex": "(?=a)a"}, "look-ahead"),
        ({"regex": r"(a)\1"}, "backreferences"),
        ({"regex": r"[^\s\S]"}, "no token of this vocabulary"),
        ({"regex": "\ud800"}, "surrogate"),
        ({"json_schema": "{"}, "must be JSON"),
        ({"json_schema": "[" * 100_000}, "must be JSON"),
        ({"json_schema": "3"}, "object or boolean"),
        ({"json_schema": "false"}, "nsatisfiable"),
        ({"json_schema": '{"type": "text"}'}, "text"),
        ({"json_schema": '{"not": {}}'}, "not"),
        ({"json_schema": '{"type": "integer", "minimum": 2, "maximum": 1}'}, "minimum"),
    ],
)
def test_a_grammar_that_cannot_be_used_is_named_before_a_token_is_drawn(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} ") as caught:
        check_grammar(SamplingParams(**settings), BYTEWISE)  # type: ignore[arg-type]
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_grammar_everything_is_as_it_was() -> None:
    grammars = Grammars(SMALL)
    assert grammars.legal(SamplingParams(), [0]) is None
    assert grammars.trouble(SamplingParams(), [0]) is None
    assert not grammars.is_complete(SamplingParams(), [0])
    check_grammar(SamplingParams(), SMALL)


def test_an_automaton_that_outgrows_its_limits_is_an_error_with_a_name() -> None:
    grammars, params = Grammars(BYTEWISE), regex("(([ab]{0,50}a){0,50}b){0,50}")
    with pytest.raises(GrammarTooHard, match="simpler"):
        grammars.legal(params, [ord("ab"[place * place % 3 % 2]) for place in range(400)])


def test_the_stage_refuses_to_guess() -> None:
    params, logits = regex("a"), torch.zeros(SMALL.size)
    with pytest.raises(ValueError, match="legal"):
        observe(logits, params, Context(vocabulary=SMALL))
    with pytest.raises(ValueError, match="legal must have"):
        observe(logits, params, Context(legal=torch.ones(3, dtype=torch.bool)))


def test_a_bad_grammar_is_named_before_torch_and_the_library_comes_only_with_a_grammar() -> None:
    check = """if True:
        import sys
        from tinychat.engine.grammars import check_grammar
        from tinychat.engine.params import SamplingParams
        from tinychat.model.vocabulary import Vocabulary
        vocabulary = Vocabulary((b"a",))
        check_grammar(SamplingParams(), vocabulary)
        assert "llguidance" not in sys.modules
        try:
            check_grammar(SamplingParams(regex="("), vocabulary)
        except ValueError:
            sys.exit("torch" in sys.modules)
        sys.exit("it was taken")
    """
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
