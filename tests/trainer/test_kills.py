"""A run that is killed again and again ends with the bits of one that nobody disturbed. kills.py does it for longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing() -> None:
    command = [sys.executable, str(Path(__file__).parent / "kills.py"), "8"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["lost"] == []
    assert told["kills"] == 8
    assert told["runs"] >= 1
