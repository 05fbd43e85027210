"""Glances at packed steps by the hundred: the checks and the columns of packing.glance_each.

Records of one line have nearly always the same number of candidates and stages, so what has to be checked lies in a
few blocks, and numpy looks at each once. Who reads a short file does without this, and without numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.packing import FATES, HEAD_BYTES, MOST_BITS, NAMES, NOBODY, VERSION, Glances
from tinychat.engine.trace import REGIONS

_HEAD = np.dtype(
    [
        ("version", "u1"), ("forced", "u1"), ("fate", "u1"), ("lane", "<u2"), ("token", "<u4"), ("raw_rank", "<u4"),
        ("final_rank", "<u4"), ("raw", "<f4"), ("final", "<f4"), ("surprisal", "<f4"), ("u", "<f8"), ("low", "<f8"),
        ("high", "<f8"), ("time_s", "<f8"), ("mu", "<f8"), ("sums", "<f8", 2),
        ("odds_version", "u1"), ("s", "u1"), ("r", "u1"), ("n", "<u2"), ("ranked", "<u2"), ("position", "<u4"),
        ("vocab_size", "<u4"), ("kept", "<u4"), ("entropy", "<f4"), ("varentropy", "<f4"), ("final_entropy", "<f4"),
        ("temperature", "<f8"),
    ]
)  # fmt: skip
assert _HEAD.itemsize == HEAD_BYTES, "what stands first in a record (packing.py)"


def glance_all(records: Sequence[bytes | None], tokens: Sequence[int], vocab_size: int) -> Glances:
    """As packing.glance_each, a twentieth of the work."""
    there = [record for record in records if record is not None]
    if not there:
        none = bytes(4 * len(records))
        return Glances(
            raw_rank=none, final=none, surprisal=none, entropy=none, final_entropy=none,
            fate=none[: len(records)], lane=none[: 2 * len(records)],
        )  # fmt: skip
    heads = _heads(there)
    _check_heads(heads, vocab_size)
    where = np.fromiter((record is not None for record in records), bool, len(records))
    due = np.fromiter(tokens, np.uint32, len(tokens))[where]
    if len(wrong := np.flatnonzero(heads["token"] != due)):
        at = wrong[0]
        raise ValueError(f"a record is about token {heads['token'][at]}, the run has {due[at]} there")
    for n, s, r in set(zip(*(heads[name].tolist() for name in ("n", "s", "r")), strict=True)):
        same = (heads["n"] == n) & (heads["s"] == s) & (heads["r"] == r)
        _check_rows(there if same.all() else list(compress(there, same)), n, s, r, vocab_size)

    def column(values: NDArray[Any], kind: type[np.generic]) -> bytes:
        whole = np.zeros(len(records), kind)
        whole[where] = values
        return whole.tobytes()

    return Glances(
        raw_rank=column(heads["raw_rank"], np.uint32),
        final=column(heads["final"], np.float32),
        surprisal=column(np.minimum(heads["surprisal"], MOST_BITS), np.float32),
        entropy=column(heads["entropy"], np.float32),
        final_entropy=column(heads["final_entropy"], np.float32),
        fate=column(heads["fate"], np.uint8),
        lane=column(heads["lane"], np.uint16),
    )


def _heads(records: list[bytes]) -> NDArray[Any]:
    """What stands first in each; its lengths are true."""
    sizes = np.fromiter(map(len, records), np.int64, len(records))
    if sizes.min() < HEAD_BYTES:
        raise ValueError(f"packed record of {sizes.min()} bytes is cut short")
    heads = np.frombuffer(b"".join([record[:HEAD_BYTES] for record in records]), _HEAD)
    for version in (heads["version"], heads["odds_version"]):
        if len(wrong := version[version != VERSION]):
            raise ValueError(f"packed record has version {wrong[0]}, this program reads version {VERSION}")
    n, s, r, ranked = (heads[name].astype(np.int64) for name in ("n", "s", "r", "ranked"))
    fits = (ranked <= n) & (sizes == HEAD_BYTES + 17 * n + 4 * (n - ranked) + 17 * s + r)
    if not fits.all():
        raise ValueError(f"packed odds of {sizes[~fits][0]} bytes are cut or overlong")
    return heads


def _check_heads(heads: NDArray[Any], vocab_size: int) -> None:
    if heads["token"].max() >= vocab_size:
        raise ValueError(f"packed step names a token beyond the {vocab_size} of the vocabulary")
    for name in ("raw", "final", "u", "low", "high"):
        _check_shares(heads[name])
    if not (np.isfinite(heads["entropy"]) & np.isfinite(heads["final_entropy"])).all():
        raise ValueError("packed step has a probability that is none")
    if np.isnan(heads["surprisal"]).any():
        raise ValueError("packed step has a number that is none")
    if heads["fate"].max() >= len(FATES):
        raise ValueError(f"packed record names an unknown fate {heads['fate'].max()}")


def _check_rows(records: list[bytes], n: int, s: int, r: int, vocab_size: int) -> None:
    """The candidates, stages and regions of records of one layout."""
    last = n + 17 * s + r  # bytes after the ranks, whose number differs
    block = b"".join([record[HEAD_BYTES : HEAD_BYTES + 16 * n] for record in records])
    columns = np.frombuffer(block, "<u4").reshape(len(records), 4, n)
    if n and columns[:, 0].max() >= vocab_size:
        raise ValueError(f"packed step names a token beyond the {vocab_size} of the vocabulary")
    _check_shares(columns[:, 2:].view("<f4"))
    if np.isnan(columns[:, 1].view("<f4")).any():
        raise ValueError("packed step has a number that is none")
    ends = np.frombuffer(b"".join([record[len(record) - last :] for record in records]), np.uint8)
    rows = ends.reshape(len(records), last)
    fates, names = rows[:, :n], rows[:, n + 16 * s : n + 17 * s]
    if ((fates >= len(NAMES)) & (fates != NOBODY)).any() or (names >= len(NAMES)).any():
        raise ValueError("packed record names an unknown stage")
    if r and not {bytes(row) for row in rows[:, last - r :]} <= {name.encode() for name in REGIONS}:
        raise ValueError("packed odds name an unknown region")


def _check_shares(shares: NDArray[Any]) -> None:
    if not ((shares >= 0.0) & (shares <= 1.0001)).all():  # of NaN both are false
        raise ValueError("packed step has a probability that is none")
