"""Compile the C++ step with whatever compiler is here, once, and keep what comes out.

    python -m tinychat.engine.native_build float float

A library is one file in the cache folder, `step-KEY-DIGEST.so`: the key covers the sources, the flags, the compiler and
this machine's processor, the digest the file itself, so nothing stale, foreign or damaged is ever loaded. Nothing here
imports torch: it runs beside an engine that already decodes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinychat import files
from tinychat.errors import TinychatError

SOURCES = Path(__file__).parent / "cpp"
FLAGS = ("-std=c++17", "-O3", "-fopenmp-simd", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
TARGETS = (("-march=native",), ("-mcpu=native",), ())  # the first that the compiler knows
BUILD_S = 300.0  # a compiler that takes longer is stuck
RETRY_S = 600.0  # a failed build is not tried again before


class BuildFailed(TinychatError):
    """There is no library, and why."""


def compiler() -> list[str]:
    """$CXX, c++, g++ or clang++, with its arguments. Raises BuildFailed."""
    for named in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        command = shlex.split(named)
        if command and shutil.which(command[0]):
            return command
    raise BuildFailed("no C++ compiler")


def find(weight: str, cached: str) -> Path | None:
    """The library for these types, if it has been built here and is what was built. Raises BuildFailed."""
    key = _key(weight, cached)
    folder = _folder()
    for path in folder.glob(f"step-{key}-*.so"):
        with contextlib.suppress(OSError):
            if _digest(path.read_bytes()) == path.stem.rpartition("-")[2]:
                return path
            path.unlink()
    failure = folder / f"step-{key}.txt"
    with contextlib.suppress(OSError):
        if time.time() - failure.stat().st_mtime < RETRY_S:
            raise BuildFailed(failure.read_text(encoding="utf-8", errors="replace").strip() or "the build failed")
    return None


def build(weight: str, cached: str) -> Path | None:
    """Compile, keep and return the library; None when another process is at it. Raises BuildFailed, and notes why."""
    key, command, folder = _key(weight, cached), compiler(), _folder()
    with (folder / f"step-{key}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        failure = folder / f"step-{key}.txt"
        failure.unlink(missing_ok=True)
        done = find(weight, cached)
        if done is not None:
            return done
        try:
            content = _compile(command, weight, cached)
        except BuildFailed as error:
            files.write_atomic(failure, error.what.encode())
            raise
        path = folder / f"step-{key}-{_digest(content)}.so"
        files.write_atomic(path, content)
        return path


def start(weight: str, cached: str) -> None:
    """Build in a process of its own, politely; it outlives this one, so that a short run is not in vain."""
    polite = ["nice", "-n", "10"] if shutil.which("nice") else []
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
    subprocess.Popen(
        [*polite, sys.executable, "-P", "-m", "tinychat.engine.native_build", weight, cached],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def _compile(command: list[str], weight: str, cached: str) -> bytes:
    trouble = ""
    with tempfile.TemporaryDirectory(prefix=files.TEMP_PREFIX) as folder:
        target = Path(folder) / "step.so"
        for native in TARGETS:
            types = (f"-DWEIGHT={weight}", f"-DCACHED={cached}")
            line = [*command, *FLAGS, *native, *types, "-shared", "-pthread", str(SOURCES / "step.cpp"), "-o", target]
            try:
                done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_S, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise BuildFailed(f"{command[0]} did not run: {error}") from error
            if done.returncode == 0:
                return target.read_bytes()
            lines = done.stderr.decode(errors="replace").splitlines()
            trouble = next((line for line in lines if "error" in line), lines[-1] if lines else "")
    raise BuildFailed(f"{command[0]} failed: {trouble.strip()[:200] or f'exit code {done.returncode}'}")


def _key(weight: str, cached: str) -> str:
    """What the library depends on, without running the compiler."""
    command = compiler()
    parts = [weight, cached, *command, *FLAGS, platform.system(), platform.machine()]
    program = Path(shutil.which(command[0]) or command[0]).resolve()
    with contextlib.suppress(OSError):  # another version is another file
        status = program.stat()
        parts += [str(program), str(status.st_size), str(status.st_mtime_ns)]
    with contextlib.suppress(OSError):  # a home folder may be shared by different machines
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        parts += [line for line in cpuinfo if line.startswith(("model", "flags", "Features", "CPU part"))]
    parts += [path.name + "\n" + path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _folder() -> Path:
    try:
        return files.cache_folder()
    except TinychatError as error:
        raise BuildFailed(f"no place for the built step: {error.what}") from error


if __name__ == "__main__":
    with contextlib.suppress(TinychatError):  # the reason is in the folder, for whoever waits
        build(sys.argv[1], sys.argv[2])
