"""Documents of parquet files, through pyarrow, which is an extra: only who has such files needs it.

One column is read, a few hundred rows at a time. Nothing here knows what a row means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinychat.errors import CorpusError, UsageError
from trainer.document import Document

ROWS = 512

Row = Callable[[object, str | None, str, str], Document]


def documents(path: Path, field: str | None, row: Row) -> Iterator[Document]:
    """Every row of one column (`field`, else "text", else "messages") as `row` makes a document of it.

    Raises UsageError without pyarrow, CorpusError for a file or column that is not what it should be.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise UsageError(
            f"{path}: reading parquet needs pyarrow, which is not installed.",
            "Install it:  pip install 'tinychat[parquet]'   or turn the file into .jsonl.",
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            column = _column(path, field, list(file.schema_arrow.names))
            number = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=[column]):
                rows: list[dict[str, Any]] = batch.to_pylist()
                for found in rows:
                    number += 1
                    document = row(found, column, f"{path}:{number}", f"{path}: row {number}")
                    if document.messages or (document.text or "").strip():
                        yield document
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CorpusError(f"{path}: not a parquet file that can be read ({reason}).", "Check the file.") from error


def _column(path: Path, field: str | None, names: list[str]) -> str:
    wanted = [field] if field is not None else ["text", "messages"]
    for name in wanted:
        if name in names:
            return name
    raise CorpusError(
        f"{path}: no column {' or '.join(wanted)}; it has: {', '.join(names[:8])}.",
        "Name the one with the text: data.field, or --field.",
    )
