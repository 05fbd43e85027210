"""The door of `tinychat corpus`: write the toy language, measure it, mark text and models by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinychat import files
from tinychat.errors import UsageError
from tinychat.text.terminal import clean, one_line
from trainer import corpus, toy
from trainer.document import Document
from trainer.toy_check import Verdict, well_formed

_CHAT_STARTS = ("system: ", "user: ")  # as _text_lines writes them


def write(*, seed: int, count: int, out: Path | None, jsonl: bool) -> None:
    """The documents to stdout, or durably to a file whose ending says the form."""
    if out is not None and out.suffix not in (".txt", ".jsonl"):
        raise UsageError(f"{out}: the ending says neither text nor JSON lines.", "Name it .txt or .jsonl.")
    lines = _json_lines if jsonl or (out is not None and out.suffix == ".jsonl") else _text_lines
    chunks = (line.encode() for line in lines(toy.documents(seed, count)))
    if out is not None:
        files.write_atomic(out, chunks)
        print(f"{count} documents in {one_line(str(out))}", file=sys.stderr)
        return
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def print_entropy(*, seed: int, count: int) -> None:
    """The language's own entropy: what no model can beat by much."""
    print(f"{'':8} {'documents':>9} {'bits a document':>16} {'bits a byte':>12}")
    for name, entropy in toy.measure_entropy(seed, count).items():
        print(f"{name:8} {entropy.documents:>9} {entropy.bits_per_document:>16.2f} {entropy.bits_per_byte:>12.4f}")


def print_check(path: Path) -> None:
    """How much of a text is well-formed, and what is not."""
    texts = [document.text for document in corpus.documents([str(path)]) if document.text]
    stories = [text for text in texts if not text.startswith(_CHAT_STARTS)]
    verdicts = [well_formed(text) for text in stories]
    print(_summary(verdicts))
    if len(stories) < len(texts):
        print(f"  {len(texts) - len(stories)} chats are passed over: only stories have a grammar to be read by")
    for label, stretches in (
        ("not of the language", [text for verdict in verdicts for text in verdict.bad]),
        ("at odds with what was told", [text for verdict in verdicts for text in verdict.contradictions]),
    ):
        for stretch in stretches[:10]:
            print(f"  {label}: {one_line(stretch.strip())}")
        if len(stretches) > 10:
            print(f"  ... and {len(stretches) - 10} more")


def print_judgement(checkpoint: Path, *, seed: int, count: int) -> None:
    """Marks for a model: stories it makes up and questions it answers, none of them taken from its training text."""
    from trainer.judge import judge  # here: importing torch takes seconds

    for name, verdicts, example in judge(checkpoint, seed=seed, count=count):
        print(f"{name:24} {verdicts if isinstance(verdicts, str) else _summary(verdicts)}", flush=True)
        if example:
            print("    " + clean(example).replace("\n", "\n    "))


def _summary(verdicts: Iterable[Verdict]) -> str:
    given = list(verdicts)
    sentences = sum(verdict.sentences for verdict in given)
    if not sentences:
        return "no sentences"
    good = sum(verdict.good for verdict in given) / sentences
    consistent = sum(verdict.consistent for verdict in given) / sentences
    count = f"{sentences} sentence{'s' * (sentences != 1)}"
    return f"{count}: {good:.1%} well-formed, {consistent:.1%} also true to the story so far"


def _text_lines(documents: Iterable[Document]) -> Iterator[str]:
    """Documents as a text file that `corpus.documents` reads back as the same number of documents."""
    first = True
    for document in documents:
        if not first:
            yield f"\n{corpus.SEPARATOR}\n"
        first = False
        if document.messages is None:
            yield f"{document.text}"
        else:
            yield "\n".join(f"{message.role}: {message.text}" for message in document.messages)
    yield "\n"


def _json_lines(documents: Iterable[Document]) -> Iterator[str]:
    for document in documents:
        record: dict[str, Any]
        if document.messages is None:
            record = {"text": document.text}
        else:
            record = {"messages": [{"role": message.role, "content": message.text} for message in document.messages]}
        yield json.dumps(record) + "\n"
