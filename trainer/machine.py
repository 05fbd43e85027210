"""What training runs on: threads and memory. Nothing here knows training."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from tinychat.engine.runner import usable_cores
from trainer.launch import launched


def choose_threads(wanted: int) -> int:
    """As wished, else OMP_NUM_THREADS, else the physical cores this process may use (affinity, cgroup quota).

    Processes that torchrun started on one machine share its cores.
    """
    environment = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted:
        return wanted
    if environment.isdecimal() and int(environment):
        return int(environment)
    return max(1, usable_cores() // max(1, launched("LOCAL_WORLD_SIZE", 1)))


def memory_bytes() -> int:
    """Resident memory of this process; where the system does not tell, the most it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
