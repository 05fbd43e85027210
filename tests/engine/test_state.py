"""What samplers carry from token to token belongs to its position: it goes back with the text and on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import PROMPT, VOCAB, a_toy, drawn

from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import FRESH, SamplerState, Step
from tinychat.errors import UsageError
from tinychat.model import checkpoint as checkpoints
from tinychat.model.checkpoint import tokenizer_of
from tinychat.model.transformer import to_arrays
from tinychat.model.vocabulary import Vocabulary
from tinychat.text.tokenizer import Tokenizer

MODEL = a_toy()
STATEFUL = {
    "mirostat v1": SamplingParams(mirostat="v1", mirostat_tau=2.0, mirostat_eta=0.5, seed=3),
    "mirostat v2": SamplingParams(mirostat="v2", mirostat_tau=2.0, mirostat_eta=0.5, seed=3),
    "adaptive-p": SamplingParams(adaptive_target=0.3, seed=3),
}


def an_engine(**options: object) -> Engine:
    engine = Engine(MODEL, **options)  # type: ignore[arg-type]
    engine.set_context(PROMPT)
    return engine


def same(a: Step, b: Step) -> bool:
    return (a.odds, a.token, a.u, a.low, a.high, a.state) == (b.odds, b.token, b.u, b.low, b.high, b.state)


@pytest.mark.parametrize("name", STATEFUL)
def test_rewinding_restores_the_state_and_replays(name: str) -> None:
    params, engine = STATEFUL[name], an_engine()
    first = [engine.step(params) for _ in range(30)]
    whole = engine.tokens()
    assert len({step.state for step in first}) == 30
    for length in (34, 20, 6, 5):
        engine.set_context(whole[:length], prompt_len=5)
        assert engine.state() == (first[length - 6].state if length > 5 else FRESH)
        assert engine.peek(params) == engine.peek(params)  # looking does not move it
        again = [engine.step(params) for _ in range(35 - length)]
        assert all(same(a, b) for a, b in zip(first[length - 5 :], again, strict=True))


def test_rewinding_with_mirostat_restores_mu() -> None:
    params, engine = STATEFUL["mirostat v2"], an_engine()
    steps = [engine.step(params) for _ in range(12)]
    assert engine.state().mirostat != steps[3].state.mirostat
    engine.cut(9)
    assert engine.state().mirostat == steps[3].state.mirostat


@pytest.mark.parametrize("name", STATEFUL)
def test_decoding_equals_a_replay_of_the_recorded_tokens(name: str) -> None:
    params, engine, replayed = STATEFUL[name], an_engine(), an_engine()
    for _ in range(20):
        step = engine.step(params)
        forced = replayed.force(step.token, params)
        assert (forced.odds, forced.state, forced.low, forced.high) == (step.odds, step.state, step.low, step.high)


def test_a_new_reply_begins_afresh_and_a_known_one_goes_on() -> None:
    params, engine = STATEFUL["mirostat v2"], an_engine()
    steps = [engine.step(params) for _ in range(10)]
    whole = engine.tokens()
    engine.set_context([*whole, 7, 7])  # the next prompt: the reply is part of it
    assert engine.state() == FRESH
    engine.set_context([*whole[:8], 40, 41], prompt_len=5)  # a branch that nobody drew
    assert engine.state() == FRESH
    engine.set_context(whole, prompt_len=5, state=steps[-1].state)  # a branch that somebody remembers
    assert engine.state() == steps[-1].state
    fresh = an_engine()
    fresh.set_context(whole, prompt_len=5, state=steps[-1].state)
    assert drawn(engine, 10, params) == drawn(fresh, 10, params)


def test_a_fork_and_a_token_chosen_elsewhere_take_the_state_along() -> None:
    params, engine = STATEFUL["mirostat v2"], an_engine(lanes=2)
    drawn(engine, 6, params)
    engine.fork(0, 1)
    assert engine.state(1) == engine.state(0)
    engine.append(3, lane=1)
    assert engine.state(1) == engine.state(0)
    engine.append(3, lane=1, state=SamplerState(mirostat=1.5))
    assert engine.state(1).mirostat == 1.5
    engine.cut(11, lane=1)
    assert engine.state(1) == engine.state(0)


# ---- what the stages are told besides --------------------------------------------------------------------------------


def test_the_dice_of_a_stage_are_those_of_the_draw() -> None:
    coin = SamplingParams(xtc_probability=0.5, xtc_threshold=0.01, seed=8)
    lanes = an_engine(lanes=2)
    lanes.set_context(PROMPT, lane=1)
    kept = []
    for _ in range(12):
        own, shared = lanes.peek(coin, lane=1), lanes.peek(coin, lane=1, draw_lane=0)
        assert shared == lanes.peek(coin, lane=0)
        kept.append(own.kept == shared.kept)
        lanes.append(2, lane=0)
        lanes.append(2, lane=1)
    assert 2 <= sum(kept) <= 10


def test_stages_that_read_get_the_vocabulary() -> None:
    letters = Vocabulary(tuple(b" " if token == 6 else b"\n" if token == 7 else b"x" for token in range(VOCAB)), (9,))
    params = SamplingParams(temperature_mode="adapt", temperature=0.5, adapt_temperature=1.5)
    engine = an_engine(vocabulary=letters, end_ids=[9])
    assert engine.peek(params).temperature == 0.5
    for token in (7, 6):
        engine.append(token)
    assert engine.peek(params).temperature == 1.5
    blind = an_engine(end_ids=[9])
    assert blind.vocabulary is None
    assert blind.peek(params).temperature == 0.5
    longer = SamplingParams(min_tokens=4)
    ends = {candidate.token: candidate.cut_by for candidate in blind.peek(longer, token=9).candidates}
    assert ends[9] == "min_tokens"  # it knows its ends without any text


def test_a_grammar_acts_on_every_position_of_the_reply() -> None:
    digits = Vocabulary((*(bytes([48 + token % 10]) for token in range(VOCAB - 1)), b""), (VOCAB - 1,))
    engine = an_engine(vocabulary=digits, end_ids=[VOCAB - 1])
    params = SamplingParams(regex="(12)+", seed=2)
    text = "".join(str(token % 10) for token in drawn(engine, 6, params) if token != VOCAB - 1)
    assert text
    assert "121212".startswith(text)
    engine.cut(6)
    assert {candidate.token % 10 for candidate in engine.peek(params).candidates if candidate.final} == {2}
    engine.force(5, params)
    with pytest.raises(NoLegalToken, match="does not fit"):
        engine.step(params)


# ---- models that help ------------------------------------------------------------------------------------------------


def test_a_checkpoint_brings_its_vocabulary_and_takes_helpers_of_its_family(checkpoint: Path, tmp_path: Path) -> None:
    engine = Engine.open(checkpoint, end_ids=[0], amateur=checkpoint, draft=checkpoint)
    assert engine.vocabulary is not None
    tokenizer = tokenizer_of(engine.info) if engine.info else None
    assert tokenizer is not None
    assert engine.vocabulary.token_bytes[10] == tokenizer.token_bytes(10)
    assert engine.vocabulary.end_ids == (0,)
    engine.set_context([1, 2])
    assert engine.step(SamplingParams(contrastive="difference")).position == 2
    twin = engine.twin(lanes=2)
    twin.set_context([1, 2])
    assert twin.peek(SamplingParams(contrastive="difference")).kept
    assert twin.vocabulary == engine.vocabulary


def test_a_helper_with_another_tokenizer_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    info, _ = checkpoints.read(checkpoint)
    other = tmp_path / "other.safetensors"
    words = "a boat by the pond, and over the river sang an owl to the moon and all the little foxes "
    turned = Tokenizer.train([words * 30], vocab_size=info.config.vocab_size).to_json()
    model = a_toy(vocab=info.config.vocab_size).float()
    checkpoints.write(
        other, arrays=to_arrays(model.state_dict()), config=model.config, tokenizer_json=turned,
        chat_template=info.chat_template, step=0, training={},
    )  # fmt: skip
    for helper in ("amateur", "draft"):
        with pytest.raises(UsageError, match="another tokenizer"):
            Engine.open(checkpoint, **{helper: other})  # type: ignore[arg-type]
