"""The list of branches as text, and how little of a large one is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinychat.tui.branchrows import BranchRow
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.widgets.tree import TreeView

ROW = BranchRow(
    number=0, depth=0, rails=(), last=True, goes_on=False, below=0, label="", begins='"Once upon"', tokens=41,
    perplexity=9.4, settings="T 0.80 P 0.88", end="", here=False, on_path=True,
)  # fmt: skip


class Many:
    """Rows that count how often they are asked for."""

    def __init__(self, *rows: BranchRow, count: int = 0) -> None:
        self.list = rows
        self.count = count or len(rows)
        self.asked: list[int] = []

    @property
    def total(self) -> int:
        return self.count

    def __len__(self) -> int:
        return self.count

    def row(self, index: int) -> BranchRow:
        self.asked.append(index)
        return self.list[index] if self.list else replace(ROW, number=index, depth=1, last=index == self.count - 1)


SOME = Many(
    ROW,
    replace(ROW, number=1, depth=1, last=False, begins="@7 ␣window", tokens=33, perplexity=7.72, settings="",
            end="ended", on_path=False),
    replace(ROW, number=2, depth=1, begins="@13 ␣red", tokens=29, perplexity=6.8, settings="T 1.20", here=True,
            label="warm", end="max tokens"),
    replace(ROW, number=3, depth=2, rails=(False,), begins="@37 ␣purred", tokens=1, perplexity=None, settings="",
            below=4, on_path=False),
)  # fmt: skip


def texts(view: TreeView, width: int = 78, height: int = 8) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def test_a_row_says_where_a_branch_parts_how_it_went_and_why_it_ended() -> None:
    view = TreeView(Look("ascii", "none"))
    view.show(SOME, here=2)
    head, *rows = texts(view)
    assert "(4)" in head
    assert [row[:24].rstrip() for row in rows] == [
        ' 0 "Once upon"', " |- 1 @7 ␣window", ">`- *2 warm @13 ␣red", "    `- 3 @37 ␣purred +4"
    ]  # fmt: skip
    assert rows[0].split()[-6:] == ["41", "9.4", "T", "0.80", "P", "0.88"]
    assert rows[2].endswith("29     6.8  T 1.20         here, max tokens")
    assert rows[3].split()[-2:] == ["1", "-"], "no token was drawn: there is no perplexity"


@pytest.mark.parametrize("width", [12, 30, 46, 78, 120])
def test_rows_fit_any_width_and_the_name_is_the_last_to_be_cut(width: int) -> None:
    view = TreeView()
    view.show(SOME, here=2)
    for row in view.rows(width, 8):
        assert len(row_text(row, width)) == width
    if width > 30:
        assert "warm" in "".join(texts(view, width))


def test_only_what_is_seen_is_made() -> None:
    many = Many(count=5000)
    view = TreeView()
    view.show(many, here=4000)
    shown = texts(view, 78, 12)
    assert len(set(many.asked)) <= 12
    assert any("*" in line or ">" in line for line in shown)
    assert 4000 in many.asked


def test_walking_stops_at_the_ends_and_keeps_what_is_chosen_in_sight() -> None:
    many = Many(count=50)
    view = TreeView()
    view.show(many, here=0)
    texts(view)
    assert view.walk(-1) == 0
    for _ in range(60):
        number = view.walk(1)
    assert number == 49
    assert any(line.startswith(">└ 49") for line in texts(view))
    view.forget()
    assert view.selected is None
