"""The machine as a measurement has to name it, and how much of it is free. No torch: what the system's files say."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from tinychat import __version__

_CPU = Path("/sys/devices/system/cpu")
_GPU_FIELDS = ("name", "temperature.gpu", "clocks.sm", "driver_version")


def facts() -> dict[str, Any]:
    """Processor, memory, versions: plain values, None for what is not known."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(_text(Path("/proc/cpuinfo"))) or platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "governor": _text(_CPU / "cpu0/cpufreq/scaling_governor") or None,
        "smt": {"0": False, "1": True}.get(_text(_CPU / "smt/active")),
        "khz": int(_text(_CPU / "cpu0/cpufreq/scaling_cur_freq") or 0) or None,
        "available_bytes": available_bytes(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "tinychat": __version__,
        "commit": _commit(),
        **{name: _version(name) for name in ("torch", "transformers")},
    }


def cpu_name(cpuinfo: str) -> str:
    """The first processor's name; empty where the file does not say."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), "")


def available_bytes() -> int | None:
    """Memory that a new process may take without swapping; no more than the cgroup has left."""
    free = meminfo_available(_text(Path("/proc/meminfo")))
    limit, used = _text(Path("/sys/fs/cgroup/memory.max")), _text(Path("/sys/fs/cgroup/memory.current"))
    if limit.isdecimal() and used.isdecimal():
        left = int(limit) - int(used)
        return left if free is None else min(free, left)
    return free


def meminfo_available(text: str) -> int | None:
    """MemAvailable of /proc/meminfo, in bytes."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def pinned_cpus(count: int) -> set[int]:
    """`count` of the CPUs this process may use, on cores of their own as far as there are enough."""
    allowed = sorted(os.sched_getaffinity(0))
    seen: set[str] = set()
    first: list[int] = []  # one of every core
    second: list[int] = []  # their siblings
    for cpu in allowed:
        core = _text(_CPU / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        (second if core in seen else first).append(cpu)
        seen.add(core)
    return set((first + second)[:count])


def _gpu() -> dict[str, str] | None:
    query = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return dict(zip(_GPU_FIELDS, map(str.strip, lines[0].split(",")), strict=False)) if lines else None


def _commit() -> str | None:
    """Of the working tree this runs from; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def command_line() -> list[str]:
    """What was typed, so that the figure can be had again."""
    return ["tinychat", *sys.argv[1:]]
