"""`tinychat play` and `tinychat presets`: their options."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tinychat import files, options
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError
from tinychat.machine_options import read_machine, with_machine
from tinychat.options import BadWord, Checkpoint, Given, Negative, Order, PauseTokens, Preset, Seed, with_settings
from tinychat.session.spelling import settings_flags
from tinychat.text import terminal
from tinychat.tui.config import THEME_NAMES, Taste, in_force, read_config
from tinychat.tui.modes import MODES


@with_settings
@with_machine
def play(
    checkpoint: Checkpoint = None,
    prompt: Annotated[
        str, typer.Option("-p", "--prompt", metavar="TEXT", help="What the prompt box starts with.")
    ] = "",
    chat: Annotated[bool, typer.Option("--chat", help="Open in chat mode.")] = False,
    pause_tokens: PauseTokens = None,
    score: Annotated[
        str | None, typer.Option("--score", metavar="FILE", help="Open with the scores of this text (p inside).")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("-n", "--max-tokens", metavar="N", min=0, help="Stop after this many tokens.", show_default="256"),
    ] = None,
    seed: Seed = None,
    preset: Preset = None,
    order: Order = None,
    *,
    given: Given,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N", min=0, help="Tokens a second to show; 0 is as fast as it can.", show_default="30"
        ),
    ] = None,
    machine: dict[str, Any],
    bad_word: BadWord = None,
    negative: Negative = None,
    ascii_only: Annotated[
        bool | None, typer.Option("--ascii/--no-ascii", help="Draw with ASCII characters only.")
    ] = None,
    color: Annotated[
        bool | None, typer.Option("--color/--no-color", help="With or without colour; NO_COLOR does the latter.")
    ] = None,
    mouse: Annotated[
        bool | None, typer.Option("--mouse/--no-mouse", help="Use the mouse, or leave it to the terminal.")
    ] = None,
    theme: Annotated[str | None, typer.Option("--theme", metavar="NAME", help="; ".join(THEME_NAMES) + ".")] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", metavar="MODE", help=f"What colours the tokens: {', '.join(MODES)}.")
    ] = None,
    bandwidth: Annotated[
        int | None,
        typer.Option("--bandwidth", metavar="KB", min=1, help="Output limit in kB/s; 100 over SSH if left out."),
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the engine in a thread instead of a child process.")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="PATH", readable=False, help="The model of the second lane (v inside)."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="NAME",
            autocompletion=options.session_names,
            help="Go on with a saved session: a name, last, or a file.",
        ),
    ] = None,
) -> None:
    """Chat or complete, and steer how every token is chosen.

    \b
    tinychat play
    tinychat play runs/small --prompt "Once upon a time"
    tinychat play ckpt.safetensors --chat
    tinychat play --compare runs/other
    tinychat play --session last
    tinychat play --score story.txt
    tinychat play lesson.session.jsonl

    Press ? inside for the keys, ctrl+q to leave. What you always want stands in config.toml (tinychat paths).
    """
    from tinychat.tui.app import need_terminal, run_play

    need_terminal("tinychat sample")
    config = read_config()
    given_here = {
        "rate": rate, "max_tokens": max_tokens, "preset": preset, "theme": theme, "tokens": tokens,
        "ascii": ascii_only, "color": color, "mouse": mouse, "bandwidth": bandwidth,
    }  # fmt: skip
    wanted = in_force(config, os.environ, {name: value for name, value in given_here.items() if value is not None})
    if wanted["color"] is not None:
        os.environ.pop("NO_COLOR", None)
        if not wanted["color"]:
            os.environ["NO_COLOR"] = "1"
    from tinychat.model.follow import to_open

    if session is None and checkpoint is not None:
        from tinychat.session.reopen import is_session

        if is_session(checkpoint):
            session, checkpoint = os.path.join(".", checkpoint), None
    saved = None
    if session is not None:
        from tinychat.session.saved import find

        saved = find(session)
    if saved is not None:
        own = {
            "--prompt": prompt, "--chat": chat, "--max-tokens": max_tokens, "--seed": seed is not None,
            "--preset": preset, "--order": order, "--bad-word": bad_word, "--negative": negative,
            **{"--" + name.replace("_", "-"): True for name in given},
        }  # fmt: skip
        if too_many := [name for name, value in own.items() if value]:
            raise UsageError(f"{too_many[0]}: a saved session has its own.", "Leave it out, and change it inside.")
    seed_here = options.draw_seed() if seed is None else seed
    params = options.settings(wanted["preset"], given, default="story", seed=seed_here, order=order)
    path = None if saved is not None and checkpoint is None else to_open(checkpoint)
    run = checkpoint if saved is None and checkpoint is not None and os.path.isdir(checkpoint) else None
    if score == "-":
        raise UsageError("--score -: stdin is the keyboard here.", "Name a file, or press p inside and paste the text.")
    text = None
    if score is not None:
        from tinychat.score import read_sources

        text = read_sources([score], None)[0]
    from tinychat.tui.opening import Opening

    raise typer.Exit(
        run_play(
            Opening(
                path=path,
                run=run,
                session=saved,
                compare=None if compare is None else files.find_checkpoint(compare),
                machine=read_machine(machine),
                prompt=options.checked_text("--prompt", prompt),
                chat=chat,
                pauses=pause_tokens,
                score=None if text is None else (text.data.decode(), text.name),
                params=params,
                bad_words=options.texts("--bad-word", bad_word),
                negative=None if negative is None else options.checked_text("--negative", negative),
                max_tokens=wanted["max_tokens"],
                rate=wanted["rate"] or None,
                fixed_seed=seed is not None,
            ),
            ascii_only=wanted["ascii"],
            no_mouse=not wanted["mouse"],
            in_process=in_process,
            bandwidth=wanted["bandwidth"],
            theme=wanted["theme"],
            config=config,
            taste=Taste(enter_runs=wanted["enter"] == "run", tokens=wanted["tokens"], marks=wanted["marks"]),
        )
    )


def presets(
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """List all presets: the built-in ones and yours.

    \b
    tinychat presets
    tinychat presets --json
    tinychat sample -p "The fox" --preset mine

    Yours stand in presets.toml of the config folder, as tables [presets.NAME] of settings. In the playground
    :save-preset NAME writes one.
    """
    from tinychat.session.presets import FILE, own_presets

    own = own_presets()
    if json_output:
        listed = [
            {"name": name, "own": name in own, "settings": changed(params)} for name, params in (PRESETS | own).items()
        ]
        print(json.dumps({"schema": "tinychat.presets/1", "file": str(files.config_path(FILE)), "presets": listed}))
        return
    width = max(map(len, PRESETS | own))
    for name, params in (PRESETS | own).items():
        words = terminal.one_line(shlex.join(settings_flags(params))) or "the model's own distribution"
        print(f"{name:<{width}}  {words}")
    if not own:
        print(f"None of your own yet, in {files.config_path(FILE)}.", file=sys.stderr)


def changed(params: SamplingParams) -> dict[str, Any]:
    """What is not neutral, as plain values."""
    neutral, values = SamplingParams().to_dict(), params.to_dict()
    return {name: value for name, value in values.items() if name != "seed" and value != neutral[name]}
