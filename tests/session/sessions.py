"""Random sessions, and what two of them have in common: everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, SamplerState, StageView, Step
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer


def any_step(dice: random.Random, token: int, position: int, vocab_size: int, *, forced: bool) -> Step:
    """A step as odd as they come, in numbers that float32 holds."""
    shown = dice.sample(range(vocab_size), dice.randint(0, 12))
    shown = [each for each in shown if each != token] + [token]
    halves = [0.5 ** (place + 1) for place in range(len(shown))]
    odds = Odds(
        position=position,
        vocab_size=vocab_size,
        candidates=tuple(
            Candidate(
                token=each, logit=dice.choice([1.5, -2.25, float("-inf")]), raw=share, final=dice.choice([share, 0.0]),
                rank=dice.choice([place, place + 40]), cut_by=dice.choice([None, "top_p", "grammar"]),
            )
            for place, (each, share) in enumerate(zip(shown, halves, strict=True), start=1)
        ),
        stages=(StageView(name="raw", kept=vocab_size, mass=1.0, entropy=3.0, chosen=dice.choice([None, 0.25])),),
        entropy=3.0,
        varentropy=1.0,
        final_entropy=dice.choice([0.0, 2.0]),
        kept=dice.randint(1, vocab_size),
        temperature=dice.random(),
        region=dice.choice([None, "forked"]),
    )  # fmt: skip
    return Step(
        odds=odds, token=token, lane=dice.choice([0, 3]), forced=forced, raw=0.25, final=dice.choice([0.5, 0.0]),
        raw_rank=dice.randint(1, 90), final_rank=1, surprisal=dice.choice([2.0, 0.0, float("inf")]), u=dice.random(),
        low=0.0, high=1.0, time_s=0.01, drafted=dice.choice([None, "accepted", "rejected"]),
        state=SamplerState(mirostat=dice.choice([None, 4.5]), adaptive=dice.choice([None, (0.1, 0.2)])),
    )  # fmt: skip


def grow(session: Session, dice: random.Random, moves: int) -> None:
    """Do `moves` things a person can do."""
    tokenizer = session.tokenizer
    words = ["the cat", "the moon", "as cats do \u202e\x00\ud800", "", " sat\non"]
    for _ in range(moves):
        what = dice.choice(
            ["draw"] * 6 + ["force", "knob", "rewind", "undo", "redo", "sibling", "say", "complete", "note", "system"]
        )
        if what in ("draw", "force") and len(session.tree):
            for _ in range(dice.randint(1, 5)):
                token = dice.randrange(tokenizer.vocab_size)
                step = any_step(dice, token, len(session.tree), tokenizer.vocab_size, forced=what == "force")
                assert session.chosen(step, session.params)
        elif what == "knob":
            changes: dict[str, Any] = dice.choice(
                [
                    {"temperature": dice.choice([0.0, 0.7, 1.3])},
                    {"top_k": dice.randint(0, 9)},
                    {"logit_bias": {3: float("-inf"), 4: 0.5}},
                    {"bad_words": [(1, 2), (3,)]},
                    {"order": "hf"},
                    {"regex": "a|\u202e"},
                ]
            )
            session.params = session.params.with_(**changes)
        elif what == "rewind":
            session.rewind(dice.randint(0, len(session.tree)))
        elif what == "undo":
            session.tree.undo()
        elif what == "redo":
            session.tree.redo()
        elif what == "sibling":
            session.tree.sibling(dice.choice([-1, 1]))
        elif what == "note":
            session.tree.branch.label = dice.choice(words)
            session.tree.branch.stop = dice.choice(["", "end", "limit"])
            session.tree.branch.hidden = dice.random() < 0.3
        elif what == "system":
            session.set_system(dice.choice(words))
        elif what == "say" and session.mode == "chat":
            session.say(dice.choice(words))
        elif what == "complete" and session.mode == "completion":
            session.complete(dice.choice(words))


def any_session(tokenizer: Tokenizer, seed: int, moves: int = 30) -> Session:
    dice = random.Random(seed)
    session = Session(
        tokenizer, params=SamplingParams(seed=dice.randrange(2**64)), model=dice.choice(["", "runs/a b"]),
        chat=dice.random() < 0.5, max_tokens=dice.randint(0, 99), fixed_seed=dice.random() < 0.5,
    )  # fmt: skip
    session.system = dice.choice(["", "be kind \u2028"])
    grow(session, dice, moves)
    return session


def facts(session: Session) -> dict[str, Any]:
    """Everything a session knows, as values that can be compared."""
    tree = session.tree
    return {
        **{name: getattr(session, name) for name in ("mode", "params", "max_tokens", "fixed_seed", "prompt", "system")},
        "model": str(session.model),
        "settings": session.settings,
        "numbers": [session.setting(params) for params in list(session.settings)],
        "tokenizer": session.tokenizer.digest,
        "branches": [
            (each.number, each.parent, each.fork, each.own, each.label, each.stop, each.hidden)
            for each in tree.branches
        ],
        "path": tree.path,
        "current": tree.current,
        "undo": tree.undo_path,
        "redo": tree.redo_path,
        "steps": [tree.step(at) for at in range(len(tree))],
        "tally": session.tally(),
        "forced": session.forced(),
    }


Maker = Callable[[int], Session]
