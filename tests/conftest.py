"""What every test shares: one thread for torch, and folders of its own for everything a program may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# before torch is imported anywhere: two cores and several workers make more threads slower, and one thread is exact
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test starts writes into the person's home."""
    home: Path = tmp_path_factory.mktemp("home")
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
