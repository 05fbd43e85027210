"""The person's own keys and habits on the running screen."""

from __future__ import annotations

from tinychat.tui.config import Taste
from tinychat.tui.keymap import play_bound, remapped


async def test_a_remapped_key_acts_and_the_old_one_does_not(start) -> None:
    taste = Taste(keymap=remapped({"rerun": "f6", "run": "x", "export": "space"}, play_bound()))
    async with start(taste=taste) as play:
        await play.run_some(5)
        await play.press("x")
        assert "PAUSED" in play.text()
        await play.press("r")
        assert play.player.session.reply_length == 5
        await play.press("f6")
        assert play.player.session.reply_length == 0
        await play.press("question_mark")
        assert "F6" in play.text()


async def test_enter_can_break_the_line(start) -> None:
    async with start(taste=Taste(enter_runs=False), prompt="the cat") as play:
        await play.press("enter", "s", "a", "t")
        assert play.screen.prompt_box.text == "the cat\nsat"
        assert play.player.session.reply_length == 0
        await play.press("ctrl+j")
        assert "RUNNING" in play.text()
        assert play.player.session.prompt == "the cat\nsat"


async def test_tokens_and_marks_start_as_wished(start) -> None:
    async with start(taste=Taste(tokens="rank", marks=True)) as play:
        assert play.screen.stream.mode == "rank"
        assert play.screen.stream.marks
