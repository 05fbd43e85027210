"""`tinychat score`: its options, and the request they make."""

from __future__ import annotations

from typing import Annotated

import typer

from tinychat import files, options
from tinychat.errors import UsageError
from tinychat.machine_options import read_machine
from tinychat.options import Model
from tinychat.score_marks import read_marks


def score(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Texts; - is stdin, which is read if none is named.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="This text, after those of PATH.")] = None,
    model: Model = None,
    context: Annotated[
        int | None, typer.Option("--context", metavar="N", help="Tokens of a window; the model's context if left out.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", metavar="N", help="From window to window; half the context if left out."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=0, max=1000, help="Name the N most surprising tokens.")
    ] = 10,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object, with every token.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON line a token, then the summary.")] = False,
    show: Annotated[
        bool, typer.Option("--show/--no-show", help="The text itself, coloured by surprisal, where it is a terminal.")
    ] = True,
    marks: Annotated[
        bool, typer.Option("--marks", help="The text with a mark under each token, also in a pipe.")
    ] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Write with ASCII characters only.")] = False,
    watermark_key: Annotated[
        int | None, typer.Option("--watermark-key", metavar="N", help="Look for a green-list watermark of this key.")
    ] = None,
    watermark_share: Annotated[
        float | None, typer.Option("--watermark-share", metavar="X", help="Its share of green tokens; else 0.25.")
    ] = None,
    synthid_keys: Annotated[
        str | None, typer.Option("--synthid-keys", metavar="N,N,...", help="Look for SynthID's mark of these keys.")
    ] = None,
    synthid_ngram: Annotated[
        int | None, typer.Option("--synthid-ngram", metavar="N", help="Tokens a coin depends on; 5 if left out.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="NAME", help="float32, bfloat16, float16, int8. Default: the file's."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="CPU threads; all cores if left out.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Speed on stderr.")] = False,
) -> None:
    """Say how surprising a text is to a model.

    Surprisal, rank and entropy of every token, perplexity and bits per byte.

    \b
    tinychat score story.txt
    tinychat score --text "Once upon a time" --json
    cat *.txt | tinychat score --most 20
    tinychat score a.txt b.txt --no-show -m runs/small
    tinychat score reply.txt --watermark-key 15485863

    Each text is a document of its own, scored in the model's own distribution, without settings. One longer than the
    context is scored through windows that overlap: every token once, with at least CONTEXT - STRIDE tokens before it.
    A smaller stride gives more of them and takes longer.
    """
    if json_output and jsonl:
        raise UsageError("--json and --jsonl are two different outputs.", "Choose one of them.")
    from tinychat import score as door

    output: door.Output = "jsonl" if jsonl else "json" if json_output else "people"
    if output != "people" and (marks or ascii_only or not show):
        raise UsageError("--marks, --ascii and --no-show are for people.", "Leave them out with --json and --jsonl.")
    if marks and not show:
        raise UsageError("--marks and --no-show contradict each other.", "Choose one of them.")
    given = {"device": device, "dtype": dtype, "threads": threads}
    machine = read_machine({name: value for name, value in given.items() if value is not None})
    path = files.find_checkpoint(model)
    code = door.run(
        door.Request(
            sources=door.read_sources(paths or [], None if text is None else options.checked_text("--text", text)),
            model=path,
            context=context,
            stride=stride,
            most=most,
            output=output,
            show=show,
            marks=marks,
            ascii=ascii_only,
            machine=machine,
            watermarks=read_marks(watermark_key, watermark_share, synthid_keys, synthid_ngram),
            quiet=quiet,
            verbose=verbose,
        )
    )
    raise typer.Exit(code)
