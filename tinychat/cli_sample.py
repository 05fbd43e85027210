"""`tinychat sample`: its options, and the request they make."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tinychat import files, options
from tinychat.errors import UsageError
from tinychat.machine_options import read_machine, with_machine
from tinychat.options import BadWord, Given, MaxTokens, Model, Negative, Order, PauseTokens, Preset, Seed, with_settings
from tinychat.search_options import read_search, with_search


@with_settings
@with_search
@with_machine
def sample(
    prompt: Annotated[str | None, typer.Option("-p", "--prompt", metavar="TEXT", help="The text to continue.")] = None,
    model: Model = None,
    max_tokens: MaxTokens = 256,
    seed: Seed = None,
    preset: Preset = None,
    order: Order = None,
    *,
    given: Given,
    searched: dict[str, str],
    search_after: Annotated[
        int, typer.Option("--search-after", metavar="N", min=0, help="Draw N tokens first, then search for the rest.")
    ] = 0,
    hypothesis: Annotated[
        int, typer.Option("--hypothesis", metavar="N", min=0, help="Answer with the N-th best reply a search found.")
    ] = 0,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="End before this text; may be repeated.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", metavar="X", help="End after this time.")
    ] = None,
    stop_repeat: Annotated[
        str | None,
        typer.Option("--stop-repeat", metavar="N:M", help="End when at most N tokens stand there M times in a row."),
    ] = None,
    stop_below: Annotated[
        float | None,
        typer.Option("--stop-below", metavar="P", help="End when the last 8 tokens' mean probability is below P."),
    ] = None,
    past_end: Annotated[bool, typer.Option("--past-end", help="Go on where the model ends its text.")] = False,
    bad_word: BadWord = None,
    negative: Negative = None,
    chat: Annotated[bool, typer.Option("--chat", help="The prompt is a user's message; the reply is printed.")] = False,
    system: Annotated[str, typer.Option("-s", "--system", metavar="TEXT", help="The system message of a chat.")] = "",
    pause_tokens: PauseTokens = None,
    prompt_ids: Annotated[
        str | None,
        typer.Option("--prompt-ids", metavar="ID,ID,...", help="Go on from exactly these ids; reads no stdin."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="I:NAME=X,...", help="From token I of the reply on, other settings; or I:{JSON}."),
    ] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", metavar="I=ID", help="Token I of the reply is this id, not drawn.")
    ] = None,
    lane: Annotated[
        list[str] | None,
        typer.Option("--lane", metavar="[I:]N", help="Other draws of this seed; I: from that token of the reply on."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON line a token, as it is drawn.")] = False,
    trace: Annotated[
        int,
        typer.Option("--trace", metavar="N", min=0, max=64, help="JSON: the stages and N candidates of every token."),
    ] = 0,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before the completion.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Exact bytes, unfiltered; not on a terminal.")] = False,
    machine: dict[str, Any],
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Speed and times on stderr.")] = False,
) -> None:
    """Continue a prompt, on stdout.

    \b
    tinychat sample --prompt "Once upon a time" --seed 7
    echo "Once upon a time" | tinychat sample --preset story
    tinychat sample --chat -p "Who lives in the forest?" --json
    tinychat sample -p "The fox" --jsonl --trace 5 | head -3
    tinychat sample -p "The fox" --search beam --width 8 --json

    Text on stdin comes first and --prompt after it; one final newline of stdin is dropped. Without settings the model's
    own distribution is sampled (temperature 1, nothing cut).
    """
    if json_output and jsonl:
        raise UsageError("--json and --jsonl are two different outputs.", "Choose one of them.")
    from tinychat import sample as door

    output: door.Output = "jsonl" if jsonl else "json" if json_output else "text"

    if prompt_ids is not None and (chat or prompt is not None):
        raise UsageError("--prompt-ids stands for the whole prompt.", "Leave --prompt and --chat out.")
    params = options.settings(
        preset, given, default="neutral", seed=options.draw_seed() if seed is None else seed, order=order
    )
    if search_after and search_after >= max_tokens:
        raise UsageError(f"--search-after {search_after} leaves no token of -n {max_tokens}.", "Ask for more.")
    spec = read_search(searched, params, max_tokens=max_tokens - search_after)
    if spec is None and (search_after or hypothesis):
        raise UsageError("--search-after and --hypothesis are for searches.", "Add --search NAME.")
    if spec is not None:
        refuse_with_search(
            stop=stop, max_seconds=max_seconds, stop_repeat=stop_repeat, stop_below=stop_below
        )  # fmt: skip
        if not search_after:
            refuse_with_search(at=at, force=force, lane=lane, speculate=machine.get("speculate"), past_end=past_end)
    schedule = options.schedule(at or [], params)
    path = files.find_checkpoint(model)
    code = door.run(
        door.Request(
            prompt=options.read_prompt(prompt) if prompt_ids is None else "",
            ids=None if prompt_ids is None else options.id_list("--prompt-ids", prompt_ids),
            params=params,
            model=path,
            max_tokens=max_tokens,
            stops=options.texts("--stop", stop),
            past_end=past_end,
            rules=options.stop_rules(max_seconds, stop_repeat, stop_below),
            bad_words=options.texts("--bad-word", bad_word),
            negative=None if negative is None else options.checked_text("--negative", negative),
            chat=chat,
            system=options.checked_text("--system", system),
            pauses=pause_tokens,
            schedule=schedule,
            forced=options.pairs("--force", force or [], int),
            lanes=options.lanes(lane or []),
            search=spec,
            search_after=search_after,
            hypothesis=hypothesis,
            output=output,
            trace=trace,
            echo=echo,
            raw=raw,
            machine=read_machine(machine),
            quiet=quiet,
            verbose=verbose,
        )
    )
    raise typer.Exit(code)


def refuse_with_search(**given: Any) -> None:
    """UsageError for an option that a search would ignore."""
    for name, value in given.items():
        if value:
            raise UsageError(
                f"--{name.replace('_', '-')} is for replies that are drawn.", "Leave it out with --search."
            )
