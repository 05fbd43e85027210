"""The player alone, without a screen: frames and commands in step."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.session.session import Session
from tinychat.tui.player import Player

MOVES = st.lists(
    st.sampled_from(
        ["run", "draw", "pause", "rewind", "undo", "redo", "next", "knob", "regenerate", "step", "read", "take"]
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_the_engine_and_the_tree_end_on_the_same_path(tokenizer, scripted, moves) -> None:
    session = Session(tokenizer, params=SamplingParams(seed=3))
    decoder = scripted(tokenizer)
    player = Player(session, decoder, context=10**6)
    player.open("x", machine=Machine(), end_ids=(0,))
    session.complete("the cat")
    player.sync()
    for move in moves:
        tree = session.tree
        if move == "draw":
            decoder.draw(3)
        elif move == "read":
            player.receive(decoder.read())
        elif move == "rewind":
            session.rewind(max(session.reply_start, len(tree) - 2))
            player.sync()
        elif move in ("undo", "redo", "next"):
            if tree.sibling(1) if move == "next" else getattr(tree, move)():
                player.sync()
        elif move == "knob":
            player.set_params(session.params.nudge("temperature", 1))
        elif move == "regenerate":
            session.again(new_seed=True)
            player.set_params(session.params)
            player.sync()
            player.run()
        elif move == "take":
            player.take(max(session.reply_start, len(tree) - 1), 50)
        else:
            getattr(player, move)()
    player.pause()
    player.receive(decoder.read())
    assert list(session.tree.path.ids) == decoder.ids
    assert not player.running
    for position in range(session.reply_start, len(session.tree)):
        step = session.tree.step(position)
        if step is not None:
            params = session.settings[session.tree.path.setting[position]]
            assert params.temperature == step.odds.temperature, "a token keeps the settings it was drawn with"
