"""The processes that measure, as the door sees them: start one, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from tinychat.bench.plan import Job
from tinychat.errors import OutOfMemoryError_, TinychatError

_PATIENCE_S = 10.0  # for a process that was told to leave


class Measurer:
    """One worker process; `ready` is its first answer, given when it is warm. Use as a context manager."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._noise = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # till _end
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tinychat.bench.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._noise, text=True, encoding="utf-8",
        )  # fmt: skip
        try:
            self.ready = self.ask(job.to_dict())
        except BaseException:
            self._end()
            raise

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises the error it reports, OutOfMemoryError_ where the system killed it, TinychatError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            error = TinychatError(answer["error"], answer["hint"])
            error.exit_code = answer["exit_code"]
            raise error
        return answer

    def __enter__(self) -> Measurer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:  # whatever it does, nobody wants to know any more
            self._process.kill()
        self._end()

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._noise.close()

    def _died(self) -> TinychatError:
        code = self._process.wait()
        self._noise.seek(0)
        said = [line.strip() for line in self._noise if line.strip()]
        if code == -signal.SIGKILL:
            return OutOfMemoryError_(f"The system killed the process of {self.job.kind}.", "Take a smaller shape.")
        return TinychatError(
            f"The process of {self.job.kind} ended with {code}.", said[-1] if said else "It said nothing."
        )
