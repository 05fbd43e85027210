"""The darts of a fan's lanes in the command of a branch."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

from tinychat import options
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer


def test_the_command_of_a_branch_names_its_lanes(tokenizer: Tokenizer, make_step: Callable[..., Step]) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    for lane in (0, 0, 3, 3, 0):
        session.chosen(replace(make_step(270, len(session.tree)), lane=lane), session.params)
    assert session.lanes() == [(2, 3), (4, 0)]
    words = shlex.split(command(session))
    given = [words[at + 1] for at, word in enumerate(words) if word == "--lane"]
    assert options.lanes(given) == {2: 3, 4: 0}
