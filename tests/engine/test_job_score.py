"""Scores beside a run: the numbers of the door, chunk by chunk; and the odds at a place of the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workers import MODEL, PROMPT, WARM, Room, a_model, expected

from tinychat.engine.jobs import score as job
from tinychat.engine.packing import unpack_odds
from tinychat.engine.score import score
from tinychat.engine.totals import COLUMNS, Score
from tinychat.engine.wire import Answer, Ask, Run

TEXT = [(7 * at * at + 3 * at + 1) % 64 for at in range(150)]


def ask(room: Room, kind: str, values: dict[str, Any], **options: Any) -> list[Answer]:
    client = room.ready(**options)
    seq = client.send(Ask(kind, values))
    client.wait(lambda frame: any(a.seq == seq and a.done for a in frame.answers))
    return [answer for frame in client.frames for answer in frame.answers]


def columns(answer: Answer) -> dict[str, Any]:
    size = len(answer.blob) // sum(np.dtype(kind).itemsize for _, kind in COLUMNS)
    found, start = {}, 0
    for name, kind in COLUMNS:
        found[name] = np.frombuffer(answer.blob, kind, size, start)
        start += found[name].nbytes
    return found


@pytest.mark.parametrize("context", [64, 2000])
def test_the_numbers_are_those_of_the_door(room: Room, context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "FED", 64)  # several chunks
    model = a_model(context=context)
    wanted = [token for chunk in score(model, TEXT) for token in chunk]
    *parts, last = ask(room, "score", {"ids": TEXT}, model=model)
    assert last.done
    assert last.error is None
    assert len(parts) == (4 if context == 64 else 1)
    told = [columns(part) for part in parts]
    assert [part.values["first"] for part in parts] == [
        1 + sum(len(t["rank"]) for t in told[:i]) for i in range(len(told))
    ]
    assert np.concatenate([t["rank"] for t in told]).tolist() == [token.rank for token in wanted]
    assert np.concatenate([t["seen"] for t in told]).tolist() == [token.seen for token in wanted]
    assert np.concatenate([t["surprisal"] for t in told]) == pytest.approx([t.surprisal for t in wanted], abs=1e-5)
    total = sum((Score(**part.values["sums"]) for part in parts), Score())
    assert total.tokens == len(TEXT) - 1
    assert total.bits == pytest.approx(sum(token.surprisal for token in wanted), abs=1e-3)
    assert total.top_1 == sum(token.rank == 1 for token in wanted)


@pytest.mark.parametrize("ids", [[5], [5, 64], []])
def test_what_is_no_text_is_an_error(room: Room, ids: list[int]) -> None:
    answers = ask(room, "score", {"ids": ids})
    assert answers[-1].error is not None


def test_a_run_draws_the_same_beside_a_score(room: Room) -> None:
    client = room.ready()
    client.send(Ask("score", {"ids": TEXT * 10}))
    client.do(Run(limit=20))
    assert client.tokens == expected(20)


def test_the_odds_at_a_place_have_the_probability_of_its_score(room: Room) -> None:
    chunk = next(iter(score(MODEL, TEXT)))
    at = 77
    answers = ask(room, "odds", {"ids": TEXT[:at], "token": TEXT[at]})
    odds = unpack_odds(next(answer.blob for answer in answers if answer.blob))
    mine = next(each for each in odds.candidates if each.token == TEXT[at])
    assert mine.raw == pytest.approx(chunk.at(at - 1).prob, rel=1e-4)
    assert mine.rank == chunk.at(at - 1).rank
    assert odds.temperature == WARM.temperature
    assert odds.position == at != len(PROMPT)
