"""The doors: options in, one call out. Whatever is slow is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tinychat import __version__, files, options
from tinychat.errors import TinychatError, UsageError
from tinychat.options import (
    BadWord,
    Checkpoint,
    Device,
    MaxTokens,
    Model,
    Negative,
    Order,
    Preset,
    Seed,
    SettingsCommand,
    with_settings,
)
from tinychat.search_options import read_search, with_search

Given = dict[str, str | list[str]]  # setting -> words of the command line

app = typer.Typer(
    add_completion=False,
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


@app.command(cls=SettingsCommand)
@with_settings
@with_search
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
    bad_word: BadWord = None,
    negative: Negative = None,
    chat: Annotated[bool, typer.Option("--chat", help="The prompt is a user's message; the reply is printed.")] = False,
    system: Annotated[str, typer.Option("-s", "--system", metavar="TEXT", help="The system message of a chat.")] = "",
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
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON line a token, as it is drawn.")] = False,
    trace: Annotated[
        int,
        typer.Option("--trace", metavar="N", min=0, max=64, help="JSON: the stages and N candidates of every token."),
    ] = 0,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before the completion.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Exact bytes, unfiltered; not on a terminal.")] = False,
    device: Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, max=1024, help="CPU threads; chosen by size if left out."),
    ] = None,
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

    try:
        if prompt_ids is not None and (chat or prompt is not None):
            raise UsageError("--prompt-ids stands for the whole prompt.", "Leave --prompt and --chat out.")
        params = options.settings(
            preset, given, default="neutral", seed=door.draw_seed() if seed is None else seed, order=order
        )
        spec = read_search(searched, params, max_tokens=max_tokens)
        if spec is not None and (at or force or stop):
            raise UsageError(
                "--at, --force and --stop are for replies that are drawn.", "Leave them out with --search."
            )
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
                rules=options.stop_rules(max_seconds, stop_repeat, stop_below),
                bad_words=options.texts("--bad-word", bad_word),
                negative=None if negative is None else options.checked_text("--negative", negative),
                chat=chat,
                system=options.checked_text("--system", system),
                schedule=schedule,
                forced=options.pairs("--force", force or [], int),
                search=spec,
                output=output,
                trace=trace,
                echo=echo,
                raw=raw,
                device=device,
                threads=threads,
                quiet=quiet,
                verbose=verbose,
            )
        )
    except TinychatError as error:
        if output == "text":
            raise
        from tinychat.sample_output import error_json

        print(error_json(error))
        raise typer.Exit(error.exit_code) from error
    raise typer.Exit(code)


@app.command(cls=SettingsCommand)
@with_settings
def play(
    checkpoint: Checkpoint = None,
    prompt: Annotated[
        str, typer.Option("-p", "--prompt", metavar="TEXT", help="What the prompt box starts with.")
    ] = "",
    chat: Annotated[bool, typer.Option("--chat", help="Open in chat mode.")] = False,
    max_tokens: MaxTokens = 256,
    seed: Seed = None,
    preset: Preset = None,
    order: Order = None,
    *,
    given: Given,
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", min=0, help="Tokens a second to show; 0 is as fast as it can.")
    ] = 30.0,
    device: Device = "auto",
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour; NO_COLOR does the same.")] = False,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal.")] = False,
    bandwidth: Annotated[
        int | None,
        typer.Option("--bandwidth", metavar="KB", min=1, help="Output limit in kB/s; 100 over SSH if left out."),
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the engine in a thread instead of a child process.")
    ] = False,
) -> None:
    """Chat or complete, and steer how every token is chosen.

    \b
    tinychat play
    tinychat play runs/small --prompt "Once upon a time"
    tinychat play ckpt.safetensors --chat

    Press ? inside for the keys, ctrl+q to leave.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The playground needs a terminal for its keys and its screen.", "For pipes and scripts:  tinychat sample"
        )
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            "The playground cannot draw on this terminal (TERM is dumb or unset).", "Set TERM, or use tinychat sample."
        )
    if no_color:
        os.environ["NO_COLOR"] = "1"
    from tinychat.sample import draw_seed

    params = options.settings(preset, given, default="story", seed=draw_seed() if seed is None else seed, order=order)
    path = files.find_checkpoint(checkpoint)
    from tinychat.tui.app import run_play

    raise typer.Exit(
        run_play(
            path,
            prompt=options.checked_text("--prompt", prompt),
            chat=chat,
            params=params,
            max_tokens=max_tokens,
            device=device,
            ascii_only=ascii_only,
            no_mouse=no_mouse,
            in_process=in_process,
            rate=rate,
            bandwidth=bandwidth,
            fixed_seed=seed is not None,
        )
    )


@app.command()
def train(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="TOML", help="What to train, on what, for how long.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder; runs/<config name> if left out."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the folder stopped.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: what the folder holds of an older run goes.")
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.lr=1e-3.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Log lines instead of the live display.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
) -> None:
    """Train a model from text, live.

    \b
    tinychat train --config assets/small.toml
    tinychat train --config my.toml --set train.lr=1e-3 --out runs/hot
    tinychat train --config my.toml --resume

    Ctrl-C saves and says how to go on.
    """
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other.", "Choose one of them.")
    from trainer.door import run_train

    code = run_train(
        config, out=out, resume=resume, fresh=fresh, overrides=set_ or [], plain=plain, ascii_only=ascii_only
    )
    raise typer.Exit(code)


@app.command()
def info(
    checkpoint: Checkpoint = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say what a checkpoint is, every byte verified.

    Shape, parameters by part, bytes, KV cache, tokenizer, training, digests.
    """
    from tinychat.info import describe, print_table
    from tinychat.model import checkpoint as checkpoints

    facts, _ = checkpoints.read(files.find_checkpoint(checkpoint))
    if json_output:
        import json

        print(json.dumps(describe(facts)))
    else:
        print_table(describe(facts))


@app.command(cls=SettingsCommand)
@with_settings
def bench(
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="PATH", readable=False, help="A checkpoint or a run folder.")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", metavar="NAMES", help="Random weights: 15m, 110m, 1b, 8b, 15m-128k, 110m-128k."),
    ] = None,
    lanes: Annotated[str, typer.Option("--lanes", metavar="N,N,...", help="Texts decoded side by side.")] = "1",
    device: Device = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="NAME", help="float32, bfloat16 or int8.")] = "float32",
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, max=1024, help="CPU threads; chosen by size if left out."),
    ] = None,
    prompt_length: Annotated[int, typer.Option("--prompt-length", metavar="N", min=1, help="Ids to read first.")] = 32,
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", min=2, help="Tokens to decode after them.")] = 128,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Generations that count.")] = 7,
    observe: Annotated[
        str, typer.Option("--observe", metavar="NAME", help="Candidates recorded a step: off, top20 or full (64).")
    ] = "full",
    peer: Annotated[
        str | None, typer.Option("--peer", metavar="NAME", help="hf: transformers' generate, on the same weights.")
    ] = None,
    kl: Annotated[
        str | None,
        typer.Option(
            "--kl", metavar="FILE", help="Also the type's perplexity and KL on a text; own: the model writes."
        ),
    ] = None,
    preset: Preset = None,
    order: Order = None,
    *,
    given: Given,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="At most 3 rounds of 32 tokens: a first look.")] = False,
) -> None:
    """Measure decoding speed beside the physical floor.

    \b
    tinychat bench --shape 15m,110m
    tinychat bench --shape 110m --threads 2 --peer hf
    tinychat bench -m runs/small --dtype int8 --kl own --json

    Without settings it decodes greedily. The shipped model is measured if neither model nor shape is given.
    """
    from tinychat.bench import door as bench_door
    from tinychat.bench.plan import Request
    from tinychat.bench.shapes import lane_counts, shape_names

    if model is not None and shape is not None:
        raise UsageError("--model and --shape are two different subjects.", "Choose one of them.")
    request = Request(
        params=options.settings(preset, given, default="greedy", seed=0, order=order),
        model=files.find_checkpoint(model) if shape is None else None,
        shapes=() if shape is None else shape_names(shape),
        lanes=lane_counts(lanes),
        device=device,
        dtype=options.one_of("--dtype", dtype, ("float32", "bfloat16", "int8")),
        threads=threads,
        prompt=prompt_length,
        tokens=tokens,
        rounds=rounds,
        observe=options.one_of("--observe", observe, ("off", "top20", "full")),
        peers=() if peer is None else (options.one_of("--peer", peer, ("hf",)),),
        kl=kl,
        json=json_output,
        quick=quick,
    )
    raise typer.Exit(bench_door.run(request))


@app.command()
def corpus(
    documents: Annotated[int, typer.Option("--documents", "-n", metavar="N", min=1, help="How many documents.")] = 20,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same text.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="A .txt or .jsonl file instead of stdout.")
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a document, chats as messages.")] = False,
    entropy: Annotated[bool, typer.Option("--entropy", help="Measure the language's own entropy instead.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Say how much of a text is well-formed; - is stdin.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option("--judge", metavar="MODEL", help="Sample stories and answers from a checkpoint and mark them."),
    ] = None,
) -> None:
    """Write, measure or mark the toy language.

    Stories and chats of a small world, with a grammar that can be checked.

    \b
    tinychat corpus --seed 1 --documents 3
    tinychat corpus --documents 20000 --out toy.jsonl
    tinychat corpus --entropy
    tinychat corpus --judge runs/small
    """
    if sum((entropy, check is not None, judge is not None)) > 1:
        raise UsageError("--entropy, --check and --judge are three different questions.", "Ask one at a time.")
    from trainer import toy_door

    if entropy:
        toy_door.print_entropy(seed=seed, count=documents)
    elif check is not None:
        toy_door.print_check(check)
    elif judge is not None:
        toy_door.print_judgement(files.find_checkpoint(judge), seed=seed, count=documents)
    else:
        toy_door.write(seed=seed, count=documents, out=out, jsonl=jsonl)
