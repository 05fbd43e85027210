"""Charts of a reply: raw and final drawn into each other, watched tokens beneath, and what records say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tinychat.engine.breaks import Condition, Met
from tinychat.engine.packing import Share, pack_step, share_in, varentropy_in
from tinychat.engine.trace import Candidate
from tinychat.session.tree import DRAWN, Tree
from tinychat.tui import breakpoints
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.timelines import MOST_KNOWN, Records, Surprisal, Timelines, share_of
from tinychat.tui.widgets.entropy import EntropyView
from tinychat.tui.widgets.watch import Watched

PLAIN = Look("ascii", "none")


def drawn(view: EntropyView, width: int, height: int) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def test_what_settings_added_has_a_glyph_of_its_own() -> None:
    view = EntropyView(PLAIN)
    view.show([2.0, 4.0, 1.0], None, [4.0, 2.0, math.nan])
    assert [row[6:9] for row in drawn(view, 20, 5)[:4]] == ["=:", "=:", "##", "###"]


@pytest.mark.parametrize("cursor", [0, 30, 59])
def test_the_parts_of_a_bar_are_named_where_there_is_room(cursor: int) -> None:
    view = EntropyView(PLAIN)
    view.show([2.0] * 60, cursor, [1.0] * 60)
    axis = drawn(view, 70, 5)[-1]
    assert "# final : more raw" in axis
    assert "1..60" in axis
    assert axis[6 + cursor] == "^"


def test_watched_tokens_stand_under_their_columns() -> None:
    shares = [Share(1.0, 0.0), Share(None, None, 0.9), Share(0.001, 1.0), Share(0.34, None)]
    view = EntropyView(PLAIN)
    view.show([1.0, 2.0, 3.0, 4.0], 3, watched=[Watched('" yes"', shares, shares[3])])
    axis, raw, final = drawn(view, 60, 7)[-3:]
    assert axis[14:18] == "---^"
    assert raw[:18] == '" yes"       |#? .'
    assert raw.endswith("raw   34.0%")
    assert final[:18] == "             | ?#?"
    assert final.endswith("final ?")


def test_what_is_known_to_be_tiny_is_not_a_gap() -> None:
    view = EntropyView(PLAIN)
    view.show([1.0], 0, watched=[Watched("x", [Share(None, 0.0, 0.0001)], Share(None, 0.0, 0.0001))])
    assert "?" not in "".join(drawn(view, 60, 7))
    assert "raw   <0.01%" in drawn(view, 60, 7)[-2]


@pytest.mark.parametrize(("height", "rows"), [(4, 1), (5, 2), (9, 6)])
def test_many_watched_tokens_leave_the_chart_its_place(height: int, rows: int) -> None:
    view = EntropyView(PLAIN)
    view.show([1.0] * 9, 2, watched=[Watched(str(i), [Share(0.5, 0.5)] * 9, Share(0.5, 0.5)) for i in range(16)])
    said = drawn(view, 70, height)
    assert len(said) == height
    assert "more watched" in said[-1]
    assert "^" in said[height - rows - 1]


def test_a_narrow_panel_keeps_the_chart_alone() -> None:
    view = EntropyView(PLAIN)
    view.show([1.0], 0, watched=[Watched("x", [Share(0.5, 0.5)], Share(0.5, 0.5))])
    assert not any("raw" in row for row in drawn(view, 40, 9))


def test_records_tell_of_every_token_what_they_know(moon) -> None:
    step = replace(moon.step, odds=replace(moon.odds, kept=9))
    data = pack_step(step)
    assert varentropy_in(data) == 3.0
    assert share_in(data, 1) == share_of(step.odds, 1) or share_in(data, 1).raw == pytest.approx(0.13)
    listed = sum(each.final > 0 for each in step.odds.candidates)
    assert listed == 9
    assert share_in(data, 777) == Share(None, 0.0, pytest.approx(0.003))
    assert share_of(step.odds, 777) == Share(None, 0.0, 0.003)
    wider = pack_step(replace(step, odds=replace(step.odds, kept=10)))
    assert share_in(wider, 777).final is None
    extra = Candidate(token=777, logit=-9.0, raw=1e-6, final=0.0, rank=900, cut_by="top_p")
    watched = replace(step, odds=replace(step.odds, candidates=(*step.odds.candidates, extra)))
    assert share_in(pack_step(watched), 777).raw == pytest.approx(1e-6)


def test_records_are_read_when_they_are_looked_at_and_once(moon) -> None:
    read: list[bytes] = []
    column = Records([b"a", None, b"c", b"d"], 1, lambda data: (read.append(data), data)[1], b"-")
    assert len(column) == 3
    assert column[0:2] == [b"-", b"c"]
    assert column[1] == b"c"
    assert read == [b"c"]


def test_what_records_say_is_kept_of_some_thousand_tokens_and_no_more() -> None:
    packed = [number.to_bytes(4) for number in range(3 * MOST_KNOWN)]
    column = Records(packed, 0, lambda data: int.from_bytes(data), -1)
    assert column[:] == list(range(3 * MOST_KNOWN))
    assert len(column._known) <= MOST_KNOWN
    assert column[5] == 5


def test_lines_follow_the_tree(moon) -> None:
    tree, lines = Tree(), Timelines()
    for position in range(3):
        odds = replace(moon.odds, position=position, varentropy=float(position))
        tree.append(1, kind=DRAWN, step=replace(moon.step, odds=odds))
    assert list(lines.line(tree, 0, "varentropy").raw) == [0.0, 1.0, 2.0]
    surprisal = lines.line(tree, 1, "surprisal")
    assert list(surprisal.raw) == pytest.approx([2.94, 2.94])
    assert list(surprisal.final) == pytest.approx([-math.log2(0.196)] * 2)
    assert f"{Surprisal([1.0])[0]:.2f}" == "0.00"
    assert math.isnan(Surprisal([0.0])[0])
    assert [share.raw for share in lines.shares(tree, 0, 1)] == pytest.approx([0.13] * 3)
    tree.rewind(1)
    tree.append(1, kind=DRAWN, step=replace(moon.step, odds=replace(moon.odds, position=1, varentropy=9.0)))
    assert list(lines.line(tree, 0, "varentropy").raw) == [0.0, 9.0]


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        ("entropy>6", Condition("entropy", 6.0)),
        ("H > 6.5", Condition("entropy", 6.5)),
        ("p<0.01", Condition("prob", 0.01)),
        ("p<1%", Condition("prob", 0.01)),
        ("rank>1", Condition("rank", 1.0)),
        ("surprisal>8", Condition("surprisal", 8.0)),
        ('text "the moon"', Condition("text", text="the moon")),
        ("text moon", Condition("text", text="moon")),
        ("ngram 4", Condition("ngram", 4.0)),
    ],
)
def test_a_breakpoint_is_typed_as_it_is_read(line: str, condition: Condition) -> None:
    assert breakpoints.read(line) == condition
    if condition.kind != "text":
        assert breakpoints.make(condition.kind, breakpoints.value_text(condition)) == condition


@pytest.mark.parametrize(
    ("line", "word"),
    [("moon>3", "moon"), ("p>0.5", "p<"), ("entropy<3", "H>"), ("rank>x", "number"), ("p<200%", "at most 1"),
     ("", "condition"), ('text "moon', "quote"), ("ngram 0", "whole number")],
)  # fmt: skip
def test_a_wrong_breakpoint_says_what_is_wrong(line: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        breakpoints.read(line)


def test_what_was_met_is_told_with_its_value() -> None:
    found = (Met(Condition("entropy", 6.0), 3, 6.41), Met(Condition("prob", 0.01), 3, 0.004))
    assert breakpoints.told(found) == "entropy 6.41 > 6 bit, final p 0.4% < 1%"
