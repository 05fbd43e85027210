"""`tinychat` and `python -m tinychat`: every ending has its exit code, and every error is said as it was asked for."""

from __future__ import annotations

import io
import os
import sys

import typer

from tinychat import failures, files
from tinychat.cli import app
from tinychat.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    OutOfMemoryError_,
    StorageError,
    TinychatError,
    UsageError,
)
from tinychat.failures import Asked
from tinychat.familiar import here

EXIT_PIPE = 141  # 128 + SIGPIPE: the reader has gone


def main() -> None:
    """The entry point: every ending has its exit code, and an error is two lines on stderr."""
    # before numpy loads, and for every child: its small products would wake, and wait for, a thread on every core
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = Asked()
    code = _run(asked)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_PIPE
    except OSError as error:
        asked.json = False
        code = failures.say(StorageError(f"stdout: {error.strerror}.", "Free some space, or write elsewhere."), asked)
    if code == EXIT_PIPE:
        # the interpreter would try to flush again at exit, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _open_closed_streams() -> None:
    """What the caller closed (`>&-`) goes nowhere; left closed, the next file to be opened would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # open as long as the process


def _run(asked: Asked) -> int:
    stdout = sys.stdout
    try:
        result = app(standalone_mode=False, obj=asked)
        return result if isinstance(result, int) else EXIT_OK
    except TinychatError as error:
        return failures.say(error, asked)
    except SystemExit as ended:
        # typer turns a broken pipe into exit 1, and is to be known by the stream it puts in place of stdout
        return EXIT_PIPE if sys.stdout is not stdout else ended.code if isinstance(ended.code, int) else 1
    except typer.TyperException as error:
        return failures.say(UsageError(error.format_message(), _elsewhere(error)), asked)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_PIPE
    except OSError as error:
        what = f"{error.filename or 'stdout'}: {error.strerror or error}."
        return failures.say(StorageError(what, "Check the disk and the path."), asked)
    except MemoryError:
        return failures.say(_out_of_memory(), asked)
    except Exception as error:
        return failures.say(_internal(error), asked)


def _elsewhere(error: typer.TyperException) -> str:
    """A hint for who knows another program; empty where the command's own help is the best there is."""
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    known = {name for option in context.command.params for name in option.opts}
    if words := here(getattr(error, "option_name", ""), known):
        return f"Here that is:  {words}"
    if {"-p", "--max-tokens"} <= known and "unexpected extra argument" in error.format_message():
        return 'A prompt is an option:  -p "Once upon a time"'
    return ""


def _out_of_memory() -> TinychatError:
    return OutOfMemoryError_("There is not enough memory for this.", "Use a smaller model or a shorter context.")


def _internal(error: Exception) -> TinychatError:
    """Our own mistake: the traceback goes to a file, the person gets its name."""
    import traceback

    if os.environ.get("TINYCHAT_TRACEBACK"):
        traceback.print_exception(error)
    try:
        log = files.state_folder() / "error.log"
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        details = f"the details are in {log}"
    except (OSError, StorageError):
        details = "to see the details, set TINYCHAT_TRACEBACK=1"
    return TinychatError(
        f"Internal error: {type(error).__name__}: {error}", f"This is a mistake in tinychat; {details}"
    )


if __name__ == "__main__":
    main()
