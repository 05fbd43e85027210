"""The screen's side of the wire: an engine in a child process, or in a thread, behind one small class.

    worker = start_process()
    worker.send(Open(path, end_ids=(0, 5)));  worker.send(SetContext(ids));  worker.send(Run())
    loop.add_reader(worker.fileno(), lambda: show(worker.read()))

The child is spawned, not forked, in a session of its own: Ctrl-C in the terminal does not reach it, it holds no part of
the terminal, and it ends when its end of the socket pair closes, whatever ended the parent. Nothing is pickled.
Nothing here imports torch: the child does, after its first frame. What only the child needs is imported there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinychat
from tinychat import files
from tinychat.engine.channel import Channel
from tinychat.engine.wire import Ack, Close, Command, Frame, Open, ProtocolError, decode_frame, encode_command

if TYPE_CHECKING:
    from tinychat.engine.decoder import Decoder

LOG_LIMIT = 1 << 20  # bytes; a log above this becomes the old log
SPARE_CORES = 1  # for the screen: an engine that takes all cores makes every key wait


class DecodeWorker:
    """One engine somewhere else. No call blocks but `close`, and no call raises when the engine has died."""

    def __init__(self, channel: Channel, *, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self._channel = channel
        self._process = process
        self._thread: threading.Thread | None = None
        self._seq = 0
        self._last = Frame(seq=0, state="loading")
        self._ended = False
        self.log = log

    @property
    def alive(self) -> bool:
        """False once the engine is known to be gone: `read` has given its last frame."""
        return not self._ended

    @property
    def pid(self) -> int | None:
        """Of the child process; None for a thread."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int:
        """Readable when `read` has something; take it out of the event loop once `alive` is False."""
        return self._channel.fileno()

    def send(self, command: Command) -> int:
        """Queue a command; its number, which Frame.seq reaches once it has been applied."""
        self._seq += 1
        if not self._ended:
            self._channel.send(encode_command(self._seq, command))
        return self._seq

    def read(self) -> list[Frame]:
        """The frames that are there, acknowledged. After the engine's death: one last frame, `failed`, that says so."""
        if self._ended:
            return []
        self._channel.flush()
        frames: list[Frame] = []
        failure: tuple[str, str] | None = None
        try:
            for header, body in self._channel.receive():
                frames.append(decode_frame(header, body))
        except ProtocolError as error:
            failure = (f"The engine sent {error}.", f"This is a mistake of ours. Its log: {self.log}")
        if frames:
            self._last = frames[-1]
            ack = Ack(frames=len(frames), steps=sum(frame.n_steps for frame in frames))
            self._channel.send(encode_command(0, ack))
        if failure is None and self._channel.closed:
            failure = (self._last.error if self._last.state == "failed" else None) or self._obituary()
        if failure is not None:
            self._ended = True
            self._kill()
            frames.append(Frame(seq=self._last.seq, state="failed", length=self._last.length, error=failure))
        return frames

    def close(self) -> None:
        """End the engine and wait for it: some milliseconds, two seconds at the very most."""
        if not self._channel.closed:
            self._channel.send(encode_command(self._seq + 1, Close()))
        self._ended = True
        self._kill()
        self._channel.close()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _kill(self) -> None:
        if self._process is None:
            return
        self._process.terminate()  # it holds nothing that needs saving
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=1)

    def _obituary(self) -> tuple[str, str]:
        hint = f"Open the model again to go on. The engine's log: {self.log}"
        if self._process is None:
            return "The engine's thread has ended.", hint
        try:
            code = self._process.wait(timeout=0.5)  # the socket closes a moment before the process is gone
        except subprocess.TimeoutExpired:
            return "The engine's process closed its line.", hint
        if code == -signal.SIGKILL:
            return "The engine's process was killed; the system may have run out of memory.", hint
        if code < 0:
            return f"The engine's process died of {_signal_name(-code)}.", hint
        return f"The engine's process ended by itself (exit code {code}).", hint


def start_process() -> DecodeWorker:
    """An engine in a child process. It starts with nothing open: send Open."""
    log = _log_path()
    ours, theirs = socket.socketpair()
    environment = os.environ | {"PYTHONPATH": _search_path(), "PYTHONUNBUFFERED": "1"}
    try:
        with log.open("ab") as sink, theirs:
            process = subprocess.Popen(
                # -P: a file called torch.py where the person stands is not torch
                [sys.executable, "-P", "-m", "tinychat.engine.worker", str(theirs.fileno()), str(log)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env=environment,
            )
    except OSError as error:
        ours.close()
        raise files.storage_error(log, error) from error
    return DecodeWorker(Channel(ours), log=log, process=process)


def start_thread(opener: Callable[[Open], Decoder] | None = None) -> DecodeWorker:
    """The same behind the same wire, in a thread of this process. `opener` None opens checkpoints."""
    from tinychat.engine.service import Service

    log = _log_path()
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    service = Service(channel, opener or open_checkpoint, log=log)

    def serve() -> None:
        with contextlib.closing(channel):
            service.serve()

    sys.setswitchinterval(0.001)  # a key would wait behind five milliseconds of engine otherwise
    worker = DecodeWorker(Channel(ours), log=log)
    worker._thread = threading.Thread(target=serve, name="tinychat-engine", daemon=True)
    worker._thread.start()
    return worker


def open_checkpoint(command: Open) -> Any:
    """The engine that a command asks for; imports torch."""
    from tinychat.engine.machine import open_engine

    return open_engine(command.path, command.machine, end_ids=command.end_ids, spare_cores=SPARE_CORES)


def _open_and_freeze(command: Open) -> Any:
    engine = open_checkpoint(command)
    gc.collect()
    gc.freeze()  # torch's hundred thousand objects are not walked between two tokens
    return engine


def _log_path() -> Path:
    log = files.state_folder() / "engine.log"
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_name("engine.old.log"))
    return log


def _search_path() -> str:
    """PYTHONPATH with the folder this very tinychat was imported from in front, unless Python looks there anyway."""
    home = str(Path(tinychat.__file__).resolve().parent.parent)
    if home == sysconfig.get_path("purelib"):
        home = ""  # PYTHONPATH goes before the standard library, and there the installed packages must not go
    return os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main(arguments: list[str]) -> None:
    """The child: the number of its socket and the path of its log."""
    from tinychat.engine.service import Service

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    channel = Channel(socket.socket(fileno=int(arguments[0])))
    Service(channel, _open_and_freeze, log=Path(arguments[1])).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
