"""`tinychat bench`: its options, and the request they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinychat import files, options
from tinychat.errors import UsageError
from tinychat.failures import Asked
from tinychat.options import Order, Preset, with_settings


@with_settings
def bench(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="[WHAT]", help="decode, or train: the speed of training.")] = "decode",
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="PATH", readable=False, help="A checkpoint or a run folder.")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", metavar="NAMES", help="Random weights: 15m, 110m, 1b, 8b, 15m-128k, 110m-128k."),
    ] = None,
    lanes: Annotated[str, typer.Option("--lanes", metavar="N,N,...", help="Texts decoded side by side.")] = "1",
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="NAME", help="float32, bfloat16 or int8.")] = "float32",
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="NAME", help="auto, native (C++, CPU), compiled (CUDA) or eager."),
    ] = None,
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
        str | None,
        typer.Option(
            "--peer", metavar="NAMES", help="hf (transformers' generate), llama.cpp, or both; on the same weights."
        ),
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
    given: dict[str, str | list[str]],
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="At most 3 rounds of 32 tokens: a first look.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", readable=False, help="Of `bench train`: what to train.")
    ] = None,
    screen: Annotated[
        bool, typer.Option("--screen", help="Measure the playground instead: from a key to the screen that shows it.")
    ] = False,
) -> None:
    """Measure decoding speed beside the physical floor.

    \b
    tinychat bench --shape 15m,110m
    tinychat bench --shape 110m --threads 2 --peer hf,llama.cpp
    tinychat bench -m runs/small --dtype int8 --kl own --json
    tinychat bench --screen
    tinychat bench train --config assets/small.toml

    Without settings it decodes greedily. The shipped model is measured if neither model nor shape is given.
    """
    training = options.one_of("WHAT", what, ("decode", "train")) == "train"
    if training or screen:
        context.ensure_object(Asked).schema = "tinychat.bench.train/1" if training else "tinychat.bench-screen/1"
    if training:
        from tinychat.bench.training_door import run as run_training

        raise typer.Exit(run_training(config, as_json=json_output, quick=quick))
    if config is not None:
        raise UsageError("--config belongs to training.", "Say so:  tinychat bench train --config FILE")
    if screen:
        from tinychat.bench.screen import PRESSES, QUICK_PRESSES
        from tinychat.bench.screen import run as run_screen

        if shape is not None:
            raise UsageError("--screen needs a model that can speak, not a shape.", "Choose one of them.")
        presses = QUICK_PRESSES if quick else PRESSES
        raise typer.Exit(run_screen(files.find_checkpoint(model), presses=presses, as_json=json_output))
    from tinychat.bench import door
    from tinychat.bench.plan import PEERS, Request
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
        step=None if step is None else options.one_of("--step", step, ("auto", "native", "compiled", "eager")),
        threads=threads,
        prompt=prompt_length,
        tokens=tokens,
        rounds=rounds,
        observe=options.one_of("--observe", observe, ("off", "top20", "full")),
        peers=() if peer is None else tuple(options.one_of("--peer", name, tuple(PEERS)) for name in peer.split(",")),
        kl=kl,
        json=json_output,
        quick=quick,
    )
    raise typer.Exit(door.run(request))
