"""A verdict in words, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinychat.text.terminal import one_line
from tinychat.verify.check import Verdict

SCHEMA = "tinychat.verify/1"
_TOP = 5  # candidates shown


def report(verdict: Verdict) -> Iterator[str]:
    """The verdict for a person, a line at a time."""
    first = verdict.difference
    if first is None:
        forced = f", {verdict.forced} of them forced" if verdict.forced else ""
        yield f"identical: {verdict.tokens} tokens{forced}; {_agreement(verdict)}"
        if not verdict.is_exact:
            yield "only rounding differs" + ("" if verdict.causes else ": sums run in another order")
        if 0 < verdict.compared < verdict.tokens:
            yield f"of {verdict.tokens - verdict.compared} of them the file has no numbers"
        for cause in verdict.causes:
            yield f"  known: {cause}"
        return
    where = f" of reply {first.reply}" if first.reply else ""
    before = f"; the {verdict.tokens} before it are identical" if verdict.tokens else ""
    yield f"diverged at token {first.index}{where}, counted from 0{before}"
    for said, record in (("then", first.was), ("now", first.now)):
        if record is None:
            yield f"  {said:<5}nothing could be drawn"
            continue
        yield f"  {said:<5}{record.get('id')} {one_line(str(record.get('token')))}{_odds(record)}"
        for each in _top(record):
            raw, final = _share(each.get("raw_prob")), _share(each.get("final_prob"))
            cut = f"  cut by {one_line(str(each['cut_by']))}" if each.get("cut_by") else ""
            label = one_line(str(each.get("token")))
            yield f"       {each.get('rank')!s:>5}  {label:<16} raw {raw}  final {final}{cut}"
    if not _top(first.was):
        yield "  the file has no candidates of then; --trace 5 writes them"
    if first.what != "token":
        yield f"  first difference: {first.what}"
    for reason in first.reasons:
        yield f"  reason: {reason}"
    if not first.reasons:
        yield "  reason: none is known: settings, prompt or tokens were changed in the file, or the program was"


def _agreement(verdict: Verdict) -> str:
    """How near the numbers of identical tokens are."""
    if not verdict.compared:
        return "the file has no numbers of them"
    if verdict.is_exact:
        return "every number to the last bit"
    words = ["every probability to the last bit"]
    if verdict.largest:
        words = [f"probabilities within {verdict.largest:.1e}"]
    if verdict.other:
        words.append(f"logits and bits within {verdict.other:.1e}")
    if verdict.unlike:
        words.append(f"near ties change ranks or counts of {verdict.unlike}")
    return ", ".join(words)


def _odds(record: Mapping[str, Any]) -> str:
    parts = [f"{name} {_share(record.get(key))}" for name, key in (("raw", "raw_prob"), ("final", "final_prob"))]
    place = record.get("slice")
    if isinstance(record.get("u"), float) and isinstance(place, list) and len(place) == 2:
        parts.append(f"u {record['u']:.6f} in [{_share(place[0])}, {_share(place[1])})")
    return "  " + "  ".join(parts) if record.get("raw_prob") is not None else ""


def _share(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, int | float) else "?"


def _top(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = record.get("candidates", [])
    return found[:_TOP]


def verdict_record(verdict: Verdict, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict as plain values for JSON."""
    first = verdict.difference
    return {
        "schema": SCHEMA,
        "identical": first is None,
        "exact": first is None and verdict.compared > 0 and verdict.is_exact,
        "tokens": verdict.tokens,
        "forced": verdict.forced,
        "compared": verdict.compared,
        "largest_difference": verdict.largest,
        "largest_other_difference": verdict.other,
        "causes": list(verdict.causes),
        "diverged": None
        if first is None
        else {
            "reply": first.reply,
            "token": first.index,
            "what": first.what,
            "then": _plain(first.was),
            "now": None if first.now is None else _plain(first.now),
            "reasons": list(first.reasons),
        },
        "model": {"path": facts["path"], "digest": facts["digest"], "step": facts["step"]},
        "engine": {name: facts[name] for name in ("device", "dtype", "threads", "forward")},
        "notes": verdict.notes,
    }


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("candidates", "stages", "run")} | {
        "candidates": [dict(each) for each in _top(record)]
    }
