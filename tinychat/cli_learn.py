"""`tinychat learn`: its options."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from tinychat import files
from tinychat.tui.config import Taste, in_force, read_config


def lesson_names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from tinychat.lessons.catalogue import LESSONS

    return [lesson.name for lesson in LESSONS if lesson.name.startswith(incomplete)]


def learn(
    lesson: Annotated[
        str | None,
        typer.Argument(metavar="LESSON", help="Which one; the list if left out.", autocompletion=lesson_names),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="The list as one JSON object.")] = False,
    ascii_only: Annotated[
        bool | None, typer.Option("--ascii/--no-ascii", help="Draw with ASCII characters only.")
    ] = None,
    color: Annotated[
        bool | None, typer.Option("--color/--no-color", help="With or without colour; NO_COLOR does the latter.")
    ] = None,
) -> None:
    """Short lessons in the playground, on the shipped model.

    \b
    tinychat learn
    tinychat learn reading
    tinychat learn top-p

    Each has a few steps with a task that the playground itself sees done. F2 is a hint, F3 goes on, F4 lists them.
    """
    from tinychat.lessons.catalogue import find_lesson

    found = None if lesson is None else find_lesson(lesson)
    if found is None or json_output:
        _list(json_output)
        return
    from tinychat.tui.app import need_terminal, run_play
    from tinychat.tui.opening import Opening

    need_terminal("tinychat learn")
    config = read_config()
    flags = {name: value for name, value in (("ascii", ascii_only), ("color", color)) if value is not None}
    wanted = in_force(config, os.environ, flags)
    if wanted["color"] is not None:
        os.environ.pop("NO_COLOR", None)
        if not wanted["color"]:
            os.environ["NO_COLOR"] = "1"
    raise typer.Exit(
        run_play(
            Opening(
                path=files.find_checkpoint(None),
                lesson=found.name,
                machine=found.machine,
                params=found.params,
                prompt=found.prompt,
                max_tokens=found.max_tokens,
                rate=found.rate,
                fixed_seed=True,
            ),
            ascii_only=wanted["ascii"],
            no_mouse=not wanted["mouse"],
            bandwidth=wanted["bandwidth"],
            theme=wanted["theme"],
            config=config,
            taste=Taste(enter_runs=wanted["enter"] == "run", tokens=wanted["tokens"], marks=wanted["marks"]),
        )
    )


def _list(json_output: bool) -> None:
    from tinychat.lessons.catalogue import LESSONS
    from tinychat.lessons.progress import done

    passed = done()
    if json_output:
        rows = [
            {"name": each.name, "title": each.title, "steps": len(each.steps), "done": each.name in passed}
            for each in LESSONS
        ]
        print(json.dumps({"schema": "tinychat.lessons/1", "lessons": rows}))
        return
    width = max(len(each.name) for each in LESSONS)
    for each in LESSONS:
        print(f"{each.name:<{width}}  {'done' if each.name in passed else f'{len(each.steps)} steps':<7}  {each.title}")
    following = next((each.name for each in LESSONS if each.name not in passed), LESSONS[0].name)
    print(f"Open one:  tinychat learn {following}", file=sys.stderr)
