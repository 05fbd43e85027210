"""Commands are imported when they are asked for, and their plain values read without pydantic: nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from tinychat import cli
from tinychat.quick_options import QuickCommand


@pytest.mark.parametrize("place", cli.Doors.places, ids=lambda place: place.name)
def test_the_list_says_of_a_command_what_its_own_help_begins_with(place: Any) -> None:
    assert cli.command(place.name).get_short_help_str(limit=200) == place.line


def test_one_command_is_imported_for_itself_only() -> None:
    code = (
        "import sys; from tinychat import cli\n"
        "group = cli.typer.main.get_group(cli.app)\n"
        "context = group.make_context('tinychat', ['play'])\n"
        "command = group.resolve_command(context, ['play', 'x'])[1]\n"
        "command.make_context('play', ['x', '-p', 'a', '-n', '3', '--rate', '30', '--seed', '7', '--bad-word', 'w'])\n"
        "heavy = {'pydantic', 'numpy', 'textual', 'torch', 'tinychat.cli_bench', 'tinychat.cli_sample'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def _many(
    text: str = "",
    whole: Annotated[int | None, typer.Option(min=0, max=99)] = None,
    wholes: int = 7,
    number: Annotated[float | None, typer.Option(max=2.5)] = None,
    path: Annotated[Path | None, typer.Option(readable=False)] = None,
    file: Annotated[Path | None, typer.Option(exists=True)] = None,
    texts: Annotated[list[str] | None, typer.Option()] = None,
    flag: bool | None = None,
    off: bool = False,
) -> None:
    """Options of every kind there is here."""


def _read(cls: Any, words: list[str]) -> Any:
    """What a command makes of its words: values, or the words of its error."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command("many", cls=cls)(_many)
    try:
        return typer.main.get_command(alone).make_context("many", list(words)).params
    except typer.TyperException as error:
        return error.format_message()


WORDS = st.one_of(
    st.text(max_size=6).filter(lambda text: not text.startswith("-")),
    st.sampled_from(
        ["0", "-1", "99", "100", "1_0", " 7", "1.0", "1e2", ".5", "2.5", "2.51", "-0.25", "nan", "inf", "٣", "+4",
         "/tmp", "no/such", "9" * 30, "true"]
    ),
)  # fmt: skip
OPTIONS = st.sampled_from(["--text", "--whole", "--wholes", "--number", "--path", "--file", "--texts"])


@given(st.lists(st.tuples(OPTIONS, WORDS), max_size=5), st.lists(st.sampled_from(["--flag", "--no-flag", "--off"])))
def test_the_quick_way_reads_what_typer_reads_and_refuses_what_it_refuses(
    options: list[tuple[str, str]], flags: list[str]
) -> None:
    words = [*(f"{name}={value}" for name, value in options), *flags]
    quick, slow = _read(QuickCommand, words), _read(typer.core.TyperCommand, words)
    assert quick == slow
    if isinstance(quick, dict):
        assert [type(each) for each in quick.values()] == [type(each) for each in slow.values()]
