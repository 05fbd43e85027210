"""The doors: options in, one call out. A command is imported when it is asked for, and what is slow inside it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.main

from tinychat import __version__
from tinychat.lazy_commands import LazyGroup, Place

SECTIONS = "tinychat.options:SettingsCommand"  # help with a section for each theme of settings


class Doors(LazyGroup):
    """Every command, in the order of the help."""

    places = (
        Place(
            name="sample", module="tinychat.cli_sample", line="Continue a prompt, on stdout.",
            cls=SECTIONS, schema="tinychat.sample/1",
        ),
        Place(
            name="score", module="tinychat.cli_score", line="Say how surprising a text is to a model.",
            schema="tinychat.score/1",
        ),
        Place(
            name="play", module="tinychat.cli_play", line="Chat or complete, and steer how every token is chosen.",
            cls=SECTIONS,
        ),
        Place(
            name="presets", module="tinychat.cli_play", line="List all presets: the built-in ones and yours.",
            schema="tinychat.presets/1",
        ),
        Place(
            name="learn", module="tinychat.cli_learn", line="Short lessons in the playground, on the shipped model.",
            schema="tinychat.lessons/1",
        ),
        Place(
            name="keys", module="tinychat.cli_keys", line="List the keys of the playground, with yours in force.",
            schema="tinychat.keys/1",
        ),
        Place(
            name="paths", module="tinychat.cli_keys", line="Say where files live, and what config.toml can hold.",
            schema="tinychat.paths/1",
        ),
        Place(
            name="verify", module="tinychat.cli_verify", line="Draw again what was recorded: the same tokens?",
            schema="tinychat.verify/1",
        ),
        Place(
            name="sessions", module="tinychat.cli_sessions", line="List the saved sessions, the newest first.",
            schema="tinychat.sessions/1",
        ),
        Place(
            name="transcript", module="tinychat.cli_sessions",
            line="Write a saved session as text or a page, without the model.",
        ),
        Place(
            name="runs", module="tinychat.cli_runs", line="List training runs, or compare some.",
            schema="tinychat.runs/1",
        ),
        Place(
            name="bench", module="tinychat.cli_bench", line="Measure decoding speed beside the physical floor.",
            cls=SECTIONS, schema="tinychat.bench/1",
        ),
        Place(name="train", module="tinychat.cli_train", line="Train a model from text, live."),
        Place(
            name="info", module="tinychat.cli_info", line="Say what a checkpoint is, every byte verified.",
            schema="tinychat.info/1",
        ),
        Place(name="corpus", module="tinychat.cli_corpus", line="Write, measure or mark the toy language."),
        Place(
            name="data", module="tinychat.cli_data", line="Make token shards of text, and look at them.",
            schema="tinychat.data/1",
        ),
    )  # fmt: skip


app = typer.Typer(
    cls=Doors,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Train a small language model, then see and steer how every token is chosen.

    \b
    tinychat play                                the playground on a shipped model
    tinychat train --config small.toml           a model from text, live
    tinychat sample --prompt "Once upon a time"  the same engine, for scripts
    """,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say the version and leave.")] = False,
) -> None:
    if version:
        print(f"tinychat {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def command(name: str) -> Any:
    """A command as typer runs it, for those who want to know its options."""
    group = typer.main.get_group(app)
    assert isinstance(group, Doors)
    return group.load(name)
