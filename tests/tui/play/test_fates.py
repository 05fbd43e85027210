"""What became of a selected candidate in every stage: asked once, shown in the pipeline, never while tokens come."""

from __future__ import annotations

from typing import Any

from tinychat.engine.wire import Answer, Ask


def questions(play: Any) -> list[Ask]:
    return [each for each in play.decoder.sent if isinstance(each, Ask) and each.kind == "fate"]


async def tell(play: Any, probs: list[float], ranks: list[int]) -> None:
    seq = play.decoder.sent.index(questions(play)[-1]) + 1
    values = {"stages": ["raw", "temperature", "top_p"], "fates": [[probs, ranks]]}
    play.decoder.frame(answers=(Answer(kind="fate", seq=seq, values=values),
                                Answer(kind="fate", seq=seq, done=True)))  # fmt: skip
    await play.settle()


async def test_a_selected_candidate_is_asked_about_and_followed(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        assert not questions(play)
        await play.press("space", "left", "down", "down")
        asked = questions(play)[-1].values
        step = play.screen.step_here()
        assert asked["tokens"] == [step.odds.candidates[play.screen.selected].token]
        assert asked["ids"] == list(play.player.session.tree.path.ids[: step.position])
        await tell(play, [0.123, 0.0987, 0.0], [3, 4, 0])
        label = play.screen.label_of(asked["tokens"][0])
        pipeline = [row for row in play.text().splitlines() if "temperature" in row and " 9.9" in row]
        assert pipeline
        assert f"{label}: raw 12.3%, cut by top-p" in play.text()
        count = len(questions(play))
        await play.press("up", "down")
        assert len(questions(play)) == count + 1  # the one above is new, this one is remembered
        assert f"{label}: raw 12.3%, cut by top-p" in play.text()


async def test_the_chosen_token_keeps_its_own_row(start: Any) -> None:
    async with start(size=(160, 40)) as play:
        await play.run_some(6)
        await play.press("space", "left")
        token = play.screen.step_here().token
        assert questions(play)[-1].values["tokens"] == [token]
        assert "draw u=0.200" in play.text()
        await tell(play, [0.4, 0.45, 0.5], [7, 6, 5])
        assert "draw u=0.200" in play.text()
        head = next(row for row in play.text().splitlines() if "stage (default)" in row)
        assert "rank" in head


async def test_an_answer_that_failed_is_not_asked_for_again(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "left", "down")
        count, seq = len(questions(play)), play.decoder.sent.index(questions(play)[-1]) + 1
        play.decoder.frame(answers=(Answer(kind="fate", seq=seq, done=True, error=("No.", "Never mind.")),))
        await play.settle()
        await play.settle()
        assert len(questions(play)) == count
