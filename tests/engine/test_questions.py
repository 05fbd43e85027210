"""Questions beside the run: answered between tokens, one of a kind, errors told, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from workers import MODEL, PROMPT, WARM, Room, expected

from tinychat.engine import questions
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.wire import Answer, Ask, Drop, Finish, Frame, Open, Run, SetContext
from tinychat.errors import UsageError


class Jobs:
    """Scripted jobs, and what became of them."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def find(self, kind: str) -> questions.Job:
        jobs = {"count": self.count, "forever": self.forever, "refuse": self.refuse, "records": self.records}
        return jobs[kind]

    def count(self, desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
        for n in range(values["to"]):
            yield Reply({"n": n, "seed": desk.params.seed}, blob=bytes([n]))

    def forever(self, desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
        try:
            while not desk.patience.is_over:
                yield Reply(dict(values))
        finally:
            self.ended.append(str(values.get("name")))

    def refuse(self, desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
        yield Reply({"first": True})
        raise UsageError("No such thing.", "Ask another.")

    def records(self, desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
        twin = desk.engine.twin(lanes=1)
        twin.set_context(desk.engine.tokens())
        yield Reply(steps=tuple(twin.step(desk.params) for _ in range(3)))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    jobs = Jobs()
    monkeypatch.setattr(questions, "find_job", jobs.find)
    return jobs


def answers(frames: list[Frame], kind: str) -> list[Answer]:
    return [answer for frame in frames for answer in frame.answers if answer.kind == kind]


def is_done(kind: str, seq: int) -> Any:
    return lambda frame: any(a.kind == kind and a.seq == seq and a.done for a in frame.answers)


def test_answers_come_in_order_and_end(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    seq = client.send(Ask("count", {"to": 5}))
    client.wait(is_done("count", seq))
    told = answers(client.frames, "count")
    assert [a.values.get("n") for a in told] == [0, 1, 2, 3, 4, None]
    assert [a.blob for a in told[:-1]] == [bytes([n]) for n in range(5)]
    assert told[0].values["seed"] == WARM.seed
    assert [a.done for a in told] == [False] * 5 + [True]
    assert told[-1].error is None


def test_records_come_whole_and_the_lane_of_the_run_stays(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    seq = client.send(Ask("records"))
    client.wait(is_done("records", seq))
    steps = answers(client.frames, "records")[0].steps
    assert [step.token for step in steps] == expected(3)
    client.frames.clear()
    client.do(Run(limit=3))
    assert client.tokens == expected(3)
    assert client.steps[0].odds == steps[0].odds


def test_a_run_goes_on_beside_a_question(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    client.send(Ask("forever", {"name": "it"}))
    client.do(Run(limit=40))
    assert client.tokens == expected(40)
    assert answers(client.frames, "forever")
    client.do(Drop("forever"))
    assert jobs.ended == ["it"]


def test_a_question_that_is_to_finish_comes_to_its_own_end(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    seq = client.send(Ask("forever", {"name": "it"}))
    client.wait(lambda frame: bool(frame.answers))
    client.send(Finish("forever"))
    client.wait(is_done("forever", seq))
    assert answers(client.frames, "forever")[-1].error is None
    client.do(Finish("forever"))  # nothing is open any more
    again = client.send(Ask("forever", {"name": "again"}))
    client.wait(lambda frame: any(answer.seq == again for answer in frame.answers))
    assert jobs.ended == ["it"]


def test_a_newer_question_of_a_kind_ends_the_older(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    client.send(Ask("forever", {"name": "old"}))
    client.wait(lambda frame: bool(frame.answers))
    seq = client.send(Ask("forever", {"name": "new"}))
    client.wait(lambda frame: any(a.seq == seq for a in frame.answers))
    assert jobs.ended == ["old"]
    client.frames.clear()
    client.wait(lambda frame: bool(frame.answers))
    assert {a.values["name"] for a in answers(client.frames, "forever")} == {"new"}


def test_what_goes_wrong_is_the_answer_and_ends_nothing_else(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    seq = client.send(Ask("refuse"))
    frame = client.wait(is_done("refuse", seq))
    assert answers(client.frames, "refuse")[-1].error == ("No such thing.", "Ask another.")
    assert frame.error is None
    assert frame.state == "paused"


def test_without_a_model_there_is_an_answer_too(room: Room, jobs: Jobs) -> None:
    client = room.client()
    seq = client.send(Ask("count", {"to": 1}))
    client.wait(is_done("count", seq))
    error = answers(client.frames, "count")[-1].error
    assert error is not None
    assert error[0] == "No model is open."


def test_another_model_ends_the_questions_of_the_old(room: Room, jobs: Jobs) -> None:
    client = room.ready()
    seq = client.send(Ask("forever", {"name": "it"}))
    client.wait(lambda frame: bool(frame.answers))
    client.send(Open("tiny", end_ids=()), SetContext(PROMPT))
    client.wait(is_done("forever", seq))
    assert jobs.ended == ["it"]
    assert answers(client.frames, "forever")[-1].error == ("The model was closed.", "Ask again.")


def test_an_unknown_kind_is_refused(room: Room) -> None:
    client = room.ready(model=MODEL)
    seq = client.send(Ask("nonsense"))
    client.wait(is_done("nonsense", seq))
    error = answers(client.frames, "nonsense")[-1].error
    assert error is not None
    assert "no question 'nonsense'" in error[0]
