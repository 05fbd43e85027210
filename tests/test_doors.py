"""The doors as a whole: help is quick and light, every error has its code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def _tinychat(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tinychat", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


COMMANDS = [
    [], ["sample"], ["play"], ["presets"], ["train"], ["info"], ["corpus"], ["bench"], ["verify"], ["sessions"],
    ["transcript"], ["keys"], ["paths"], ["learn"], ["data"], ["data", "build"], ["data", "inspect"],
    ["runs"],
]  # fmt: skip


def test_help_loads_neither_torch_nor_textual() -> None:
    loaded = _python(
        "import sys, contextlib, io\n"
        "from tinychat.__main__ import main\n"
        f"for command in {COMMANDS!r}:\n"
        "    sys.argv = ['tinychat', *command, '--help']\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        main()\n"
        "    assert 'tinychat' in out.getvalue(), command\n"
        "    heavy = [name for name in ('torch', 'textual', 'tokenizers', 'trainer') if name in sys.modules]\n"
        "    assert not heavy, (command, heavy)\n"
        "print('none')\n"
    )
    assert loaded == "none\n"


def test_what_a_screen_or_a_check_needs_never_loads_torch() -> None:
    modules = [
        "tinychat.text.tokenizer", "tinychat.text.stream", "tinychat.text.chat", "tinychat.model.checkpoint",
        "tinychat.engine.params", "tinychat.engine.draw", "tinychat.engine.packing", "tinychat.engine.worker",
        "tinychat.session.session", "tinychat.session.saved", "tinychat.session.export", "tinychat.tui.app",
        "tinychat.tui.screen", "trainer.config", "trainer.toy",
    ]  # fmt: skip
    loaded = _python(
        "import sys, importlib\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module(module)\n"
        "    assert 'torch' not in sys.modules, module\n"
        "print('none')\n"
    )
    assert loaded == "none\n"


def test_version_is_said() -> None:
    from tinychat import __version__

    assert _tinychat("--version").stdout == f"tinychat {__version__}\n"


def test_play_without_a_terminal_says_what_it_needs() -> None:
    ended = _tinychat("play")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "The playground needs a terminal for its keys and its screen.",
        "For pipes and scripts:  tinychat sample",
    ]


def test_info_says_shape_parameters_bytes_and_digests(tinychat, checkpoint: Path) -> None:
    facts = tinychat("info", checkpoint, "--json").json
    assert facts["model"]["layers"] == 2
    assert facts["parameters"] == sum(facts["parameters_by_part"].values())
    assert facts["weight_bytes"]["fp32"] == 4 * facts["parameters"]
    assert facts["kv_bytes_per_token"]["fp32"] == 2 * 2 * 32 * 4
    assert len(facts["digest"]) == len(facts["tokenizer"]["digest"]) == 64
    assert facts["step"] == 7
    table = tinychat("info", checkpoint)
    assert "2 layers, width 32" in table.text
    assert facts["digest"] in table.text


@pytest.mark.parametrize(
    ("command", "closed"),
    [
        *((["--help"], each) for each in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")),
        (["info", "CHECKPOINT"], ">&-"),
        (["info", "CHECKPOINT"], "<&- >&- 2>&-"),
        (["sample", "-m", "CHECKPOINT", "-n", "2"], "<&- >&- 2>&-"),
    ],
)
def test_a_closed_stream_is_no_error(closed: str, command: list[str], checkpoint: Path) -> None:
    words = [str(checkpoint) if word == "CHECKPOINT" else word for word in command]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "tinychat", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0
    assert "Error" not in ended.stdout + ended.stderr


def test_an_error_with_stderr_closed_leaves_stdout_clean() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "tinychat", "info", "/nowhere"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (3, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_eighty_columns_and_breaks_off_no_sentence(tinychat, command: list[str]) -> None:
    lines = tinychat(*command, "--help").text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("...") for line in lines[lines.index("") :])  # after the usage


def test_info_refuses_a_changed_byte(checkpoint: Path, tmp_path: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    data[-5] ^= 1
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(data)
    ended = _tinychat("info", str(changed))
    assert ended.returncode == 3
    assert str(changed) in ended.stderr
    assert "Traceback" not in ended.stderr


def _kaput(**environment: str) -> str:
    """The second line of a tinychat that has a mistake of its own."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['tinychat', 'sample', '-p', 'x']\n"
            "from tinychat import options, __main__\n"
            "def broken(*args, **kwargs): raise RuntimeError('kaput')\n"
            "options.settings = broken\n"
            "__main__.main()",
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert ended.returncode == 1
    first, second = ended.stderr.splitlines()
    assert first == "Internal error: RuntimeError: kaput"
    return second


def test_an_internal_error_leaves_its_traceback_in_a_file() -> None:
    assert "kaput" in Path(_kaput().rsplit(" ", 1)[1]).read_text()


def test_an_internal_error_is_two_lines_even_where_no_file_can_be_left() -> None:
    assert "TINYCHAT_TRACEBACK=1" in _kaput(XDG_STATE_HOME="/dev/null")
