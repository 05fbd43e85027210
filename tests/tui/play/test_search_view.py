"""The search view: drawn as it grows, walked by keys, taken into the tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinychat.engine.search_events import to_plain
from tinychat.engine.search_tree import Answer as Said
from tinychat.engine.search_tree import Done, SearchEvent, Tree
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer, Ask, Drop, Finish
from tinychat.session.tree import SEARCHED
from tinychat.tui.palette import Look
from tinychat.tui.views.search import SearchView


def said(text: str, weight: float, *nodes: int) -> Said:
    return Said(text=text, weight=weight, nodes=nodes)


class Searched:
    """A search of two hypotheses and one that was given up, told in parts."""

    def __init__(self, play: Any) -> None:
        self.play = play
        self.tree = Tree()

    @property
    def question(self) -> Ask:
        return [each for each in self.play.decoder.sent if isinstance(each, Ask) and each.kind == "search"][-1]

    def step(self, token: int, place: int) -> Step:
        odds = replace(self.play.decoder.odds(token), position=place)
        return Step(
            odds=odds, token=token, lane=0, forced=True, raw=0.4, final=0.4, raw_rank=1, final_rank=1, surprisal=1.3,
            u=0.2, low=0.0, high=0.4, time_s=0.0,
        )  # fmt: skip

    def grow(self, parent: int, token: int, score: float) -> SearchEvent:
        place = len(self.question.values["ids"]) + len(self.tree.path(parent))
        return self.tree.grow(parent, self.step(token, place), score=score, logprob=score)

    async def tell(self, *events: SearchEvent, done: bool = False, **more: Any) -> None:
        values, steps = to_plain(events)
        seq = self.play.decoder.sent.index(self.question) + 1
        answers = [Answer(kind="search", seq=seq, values=values, steps=steps)]
        if done:
            answers.append(Answer(kind="search", seq=seq, done=True, **more))
        self.play.decoder.frame(answers=tuple(answers))
        await self.play.settle()

    async def whole(self, **more: Any) -> Done:
        """40 41 (best), 40 42, and 43 that is given up; nodes 1 to 4."""
        first = [self.grow(0, 40, -1.0), self.grow(0, 43, -3.0)]
        second = [self.grow(1, 41, -1.5), self.grow(1, 42, -2.5), self.tree.prune(2)]
        ends = [self.tree.finish(3, "end"), self.tree.finish(4, "length")]
        done = self.tree.done("complete", calls=5, passes=3, **more)
        await self.tell(*first)
        await self.tell(*second, *ends, done, done=True)
        return done


def view_of(play: Any) -> SearchView:
    view = play.app.screen
    assert isinstance(view, SearchView)
    return view


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_it_grows_is_walked_and_taken(start: Any, size: tuple[int, int]) -> None:
    async with start(size=size, look=Look("ascii", "none")) as play:
        await play.run_some(5)
        await play.press("space", "b", "tab", "tab", "tab", "minus", "space")
        assert not play.player.running
        search = Searched(play)
        path = list(play.player.session.tree.path.ids)
        assert search.question.values["ids"] == path
        assert search.question.values["prompt_len"] == play.player.session.reply_start
        await search.whole()
        lines = [row for row in play.text().splitlines() if " -1.50 " in row or " -2.50 " in row or " -3.00 " in row]
        marks = [row.strip("|# ")[0] for row in lines]
        assert marks == ["*", "=", "x"]
        assert "`-@2" in lines[1]
        assert "DONE" in play.text()
        view = view_of(play)
        assert view.selected == 3
        await play.press("down")
        assert view.selected == 4
        await play.press("left")
        assert view.selected == 1
        await play.press("b", "down", "enter")
        tree = play.player.session.tree
        assert list(tree.path.ids) == [*path, 40, 42]
        assert tree.path.kinds[-1] == SEARCHED
        found = play.player.session.found[-1]
        assert (found.rank, found.complete, found.start) == (2, True, len(path))
        assert "found by beam" in play.text()


async def test_stopping_keeps_what_is_there(start: Any) -> None:
    async with start() as play:
        await play.run_some(3)
        await play.press("space", "b", "space")
        search = Searched(play)
        await search.tell(search.grow(0, 40, -1.0), search.grow(0, 43, -3.0))
        await play.press("escape")
        assert isinstance(play.decoder.sent[-1], Finish)
        assert "STOPPED  beam: 2 cut off, 0 complete, 0 given up" in play.text()
        assert "Enter take" in play.text()
        await play.press("enter")
        assert play.player.session.tree.path.ids[-1] == 40
        assert not play.player.session.found[-1].complete
        assert Drop("search") in play.decoder.sent


async def test_stopped_paths_are_still_asked_for_their_answers(start: Any) -> None:
    async with start() as play:
        await play.run_some(3)
        await play.press("space", "b", "M", "M", "space")
        search = Searched(play)
        await search.tell(search.grow(0, 40, -1.0), search.grow(0, 43, -3.0))
        await play.press("space")
        assert play.decoder.sent[-1] == Finish("search")
        ends = [search.tree.finish(1, "interrupted"), search.tree.finish(2, "interrupted")]
        done = search.tree.done("interrupted", calls=2, passes=1, best=2, answers=(said("nine", 1.0, 2),))
        await search.tell(*ends, done, done=True)
        assert "STOPPED  majority: 2 cut off, 0 complete, 0 given up" in play.text()
        assert "answer nine" in play.text()
        assert view_of(play).selected == 2
        await play.press("enter")
        assert play.player.session.tree.path.ids[-1] == 43
        assert not play.player.session.found[-1].complete  # another search would not be stopped there


async def test_behind_the_end_of_a_text_it_says_so(start: Any) -> None:
    async with start() as play:
        await play.run_some(3)
        session = play.player.session
        await play.press("space", "b")
        assert "Space searches after the text" in play.text()
        await play.press("escape")
        play.player.take(len(session.tree), session.tokenizer.end_ids[0])
        await play.settle()
        await play.press("b")
        assert "the text has ended here" in play.text()


async def test_answers_are_a_table_with_weights(start: Any) -> None:
    async with start() as play:
        await play.run_some(3)
        await play.press("space", "b", "M", "M", "space")
        assert view_of(play).options.method == "majority"
        await Searched(play).whole(best=4, answers=(said("nine", 2.0, 3, 4), said("ten", 1.0, 2)))
        assert "answer nine" in play.text()
        assert "weight 2.00 (67%), 2 paths" in play.text()
        assert view_of(play).selected == 4


async def test_contradictions_and_errors_are_told(start: Any) -> None:
    async with start() as play:
        await play.run_some(3)
        await play.press("space", "T", "0", *"0", "b", "M", "M")
        play.player.session.params = play.player.session.params.with_(temperature=0.0)
        await play.press("space")
        assert "they are all the same" in play.text()
        await play.press("m", "m", "colon", *"width many", "enter")
        assert "width needs a whole number" in play.text()
        await play.press("colon", *"widht9", "enter")
        assert "no option 'widht9'" in play.text()
        await play.press("colon", *"width 9", "enter", "space")
        search = Searched(play)
        assert search.question.values["spec"]["width"] == 9
        await search.tell(done=True, error=("The context is full.", "Go back."))
        assert "The context is full. Go back." in play.text()
        assert "beam: not possible" in play.text()
        await play.press("colon", *"constrained", "enter", "space")
        assert "no phrases yet" in play.text()
        assert view_of(play).options.picked == "phrases"
        await play.press("escape")
        assert play.app.screen is play.screen


async def test_a_token_in_the_middle_is_searched_anew(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "left", "left", "b", "space")
        search = Searched(play)
        tree = play.player.session.tree
        assert search.question.values["ids"] == list(tree.path.ids[: len(tree) - 2])
        await search.whole()
        await play.press("x")
        assert " -3.00 " not in play.text()
        await play.press("enter")
        assert len(tree.written()) == 2
        assert tree.path.ids[-1] == 41
