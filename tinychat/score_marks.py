"""Watermarks that a scored text is searched for: what was asked, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tinychat.engine.knobs import KNOB_BY_NAME
from tinychat.engine.lists import LIST_BY_NAME
from tinychat.errors import UsageError

if TYPE_CHECKING:
    from tinychat.engine.watermarks import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The keys to look with; None and () are not looked with."""

    green_key: int | None = None
    green_share: float = 0.25
    synthid_keys: tuple[int, ...] = ()
    synthid_ngram: int = 5

    def __bool__(self) -> bool:
        return self.green_key is not None or bool(self.synthid_keys)


def read_marks(key: int | None, share: float | None, synthid: str | None, ngram: int | None) -> Marks:
    """The options of the command line, checked as the settings of the same names are; UsageError."""
    if share is not None and key is None:
        raise UsageError("--watermark-share says nothing without a key.", "Add --watermark-key.")
    if ngram is not None and synthid is None:
        raise UsageError("--synthid-ngram says nothing without keys.", "Add --synthid-keys.")
    found: dict[str, Any] = {}
    try:
        if key is not None:
            found["green_key"] = KNOB_BY_NAME["watermark_key"].check(key)
        if share is not None:
            found["green_share"] = KNOB_BY_NAME["watermark_share"].check(share)
        if synthid is not None:
            found["synthid_keys"] = LIST_BY_NAME["synthid_keys"].read([synthid])
        if ngram is not None:
            found["synthid_ngram"] = KNOB_BY_NAME["synthid_ngram"].check(ngram)
    except ValueError as error:
        raise UsageError(f"{error}.", "The text must be searched with the numbers it was marked with.") from error
    return Marks(**found)


def search(marks: Marks, ids: Sequence[int], vocab_size: int) -> dict[str, Found]:
    """What the ids of a text hold of the marks that were asked for. Imports torch."""
    from tinychat.engine.watermarks import find_green, find_synthid

    found = {}
    if marks.green_key is not None:
        found["green_list"] = find_green(ids, vocab_size, share=marks.green_share, key=marks.green_key)
    if marks.synthid_keys:
        found["synthid"] = find_synthid(ids, marks.synthid_keys, ngram=marks.synthid_ngram)
    return found


def record(found: dict[str, Found]) -> dict[str, Any]:
    """For JSON."""
    return {name: asdict(each) | {"p_value": each.p_value} for name, each in found.items()}


def rows(found: dict[str, Found]) -> Iterator[tuple[str, str]]:
    """For people."""
    for name, each in found.items():
        what, unit = ("green", "pairs") if name == "green_list" else ("mean coin", "coins")
        said = f"{what} {each.score:.1%} of {each.tokens:,} {unit}, {each.expected:.0%} by chance"
        yield name.replace("_", " "), f"{said}: z {each.z:.1f}, p {each.p_value:.1g}"
