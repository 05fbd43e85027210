"""What a person can do on the play screen, key by key, on a scripted decoder."""

from __future__ import annotations

import pytest
from textual import events

from tinychat.engine.wire import Ask, Force, Run, SetContext, SetParams, SetRate
from tinychat.session.replay import command
from tinychat.tui.help import HelpScreen
from tinychat.tui.tokentext import StreamToken

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
async def test_enter_runs_the_prompt_and_space_pauses_and_goes_on(start, size) -> None:
    async with start(size=size) as play:
        await play.press("i")
        assert "EDIT" in play.text()
        await play.press("enter")
        assert "INSPECT" in play.text()
        assert "RUNNING" in play.text()
        await play.draw(5)
        session = play.player.session
        assert session.reply_length == 5
        assert play.screen.stream.count == len(session.tree)
        await play.press("space")
        assert "PAUSED" in play.text()
        assert session.reply_length == 5
        await play.press("space")
        await play.draw(3)
        assert session.reply_length == 8


@pytest.mark.parametrize("size", SIZES)
async def test_every_panel_can_be_seen(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some()
        await play.press("space")
        seen = play.text()
        for _ in range(4):
            await play.press("tab")
            seen += play.text()
        for words in ("1 Prompt", "2 Stream", "raw%", "raw logits", "temperature", "top-p"):
            assert words in seen


async def test_a_click_on_the_name_of_a_panel_shows_it(start) -> None:
    async with start(size=(80, 24)) as play:
        await play.run_some(3)
        await play.press("space")
        for word, title in (("knobs", "5 Knobs"), ("tree", "6 Branches"), ("[tree]", "6 Branches"), ("cand", "3 ")):
            row, line = next((y, text) for y, text in enumerate(play.text().splitlines()) if " pipe " in text)
            await play.pilot.click(offset=(line.index(word), row))
            await play.settle()
            assert title in play.text()
            assert f"[{word.strip('[]')}]" in play.text()
        before = play.text()
        await play.pilot.click(offset=(line.index("pipe") - 1, row))  # between two of them
        await play.settle()
        assert play.text() == before


async def test_a_click_on_a_key_of_the_last_line_presses_it(start) -> None:
    async with start(size=(120, 36)) as play:
        line = play.text().splitlines()[-1]
        assert "Enter run" in line
        await play.pilot.click(offset=(line.index("Enter"), 35))
        await play.settle()
        assert play.player.running  # the prompt was run
        for word, running in (("Space", False), ("run", True)):
            line = play.text().splitlines()[-1]
            await play.pilot.click(offset=(line.index(word), 35))
            await play.settle()
            assert play.player.running == running
        await play.pilot.click(offset=(line.index("help"), 35))
        await play.settle()
        assert isinstance(play.app.screen, HelpScreen)


async def test_one_step_and_ten(start) -> None:
    async with start(prompt="", chat=True, editing=False) as play:
        await play.press("full_stop")
        assert "type a message first" in play.text()
    async with start() as play:
        await play.run_some()
        await play.press("space", "ctrl+n", "full_stop")  # the prompt stands there still
        assert "i, then Enter runs the prompt" in play.text()
    async with start() as play:
        await play.press("enter", "space")
        have = play.player.session.reply_length
        await play.press("full_stop")
        assert play.player.session.reply_length == have + 1
        await play.press("greater_than_sign")
        assert play.player.session.reply_length == have + 11


async def test_a_knob_acts_on_the_very_next_token_and_is_written_down(start) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("T", "equals_sign", "equals_sign")
        assert play.player.session.params.temperature == pytest.approx(1.1)
        await play.draw(2)
        session = play.player.session
        at = session.reply_start + 4
        assert [i for i in range(len(session.tree)) if session.moved(i)] == [at]
        assert session.tree.step(at).odds.temperature == pytest.approx(1.1)
        assert "T 1.10" in play.screen.stream.token(at).moved
        assert "--at 4:temperature=1.1" in command(session)
        assert "knob moves 1" in play.text()


async def test_a_knob_turned_while_paused_asks_for_new_odds_at_once(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "P", "minus")
        sent = [each for each in play.decoder.sent if not isinstance(each, Ask)][-1]
        assert isinstance(sent, SetParams)
        assert play.player.odds is not None
        assert sent.params.top_p == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("keys", "name", "value"),
    [
        (("T", "full_stop", "7", "enter"), "temperature", 0.7),
        (("K", "4", "0", "enter"), "top_k", 40),
        (("K", "equals_sign"), "top_k", 40),
        (("R", "plus"), "repetition_penalty", 1.2),
        (("T", "minus", "0"), "temperature", 1.0),
        (("colon", *"t 0.25", "enter"), "temperature", 0.25),
        (("F", "equals_sign"), "frequency_penalty", 0.05),
        (("L", "minus"), "typical_p", 0.99),
    ],
)
async def test_ways_to_set_a_knob(start, keys, name, value) -> None:
    async with start(editing=False) as play:
        await play.press(*["space" if key == " " else "full_stop" if key == "." else key for key in keys])
        assert getattr(play.player.session.params, name) == pytest.approx(value)


async def test_a_number_takes_a_candidate_and_the_old_tail_stays(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "left", "left", "left")
        session = play.player.session
        old = list(session.tree.path.ids)
        position = play.screen.position
        wanted = session.tree.step(position).odds.candidates[2].token
        await play.press("3")
        assert list(session.tree.path.ids) == [*old[:position], wanted]
        assert session.tree.path.kinds[position] == 2
        assert play.screen.stream.token(position).kind == "forced"
        await play.press("u")
        assert list(session.tree.path.ids) == old
        await play.press("right_square_bracket")
        assert list(session.tree.path.ids) == [*old[:position], wanted]
        assert f"--force {position - session.reply_start}={wanted}" in command(session)


async def test_taking_what_was_drawn_only_moves_on(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "left", "left")
        position, branches = play.screen.position, len(play.player.session.tree.branches)
        await play.press("enter")
        assert play.screen.position == position + 1
        assert len(play.player.session.tree.branches) == branches


async def test_enter_takes_the_chosen_candidate_at_the_end(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "end", "down", "enter")
        assert isinstance(play.decoder.sent[-1], Force)
        session = play.player.session
        assert session.tree.path.ids[-1] == session.tree.step(len(session.tree) - 1).odds.candidates[1].token


async def test_backspace_goes_on_from_the_cursor_and_nothing_is_lost(start) -> None:
    async with start() as play:
        await play.run_some()
        session = play.player.session
        await play.press("space", "left", "left", "left", "left")
        old, position = list(session.tree.path.ids), play.screen.position
        await play.press("backspace")
        assert list(session.tree.path.ids) == old[:position]
        assert play.decoder.ids == old[:position]
        assert play.screen.stream.count == position
        await play.press("space")
        await play.draw(2)
        assert len(session.tree) == position + 2
        await play.press("space", "left_square_bracket")
        assert list(session.tree.path.ids) == old


async def test_the_prompt_cannot_be_rewound(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "home", "backspace")
        assert "that is prompt" in play.text()


async def test_frames_of_a_path_that_was_left_are_dropped(start) -> None:
    async with start() as play:
        await play.run_some()
        session = play.player.session
        stale = play.decoder.chosen(9)
        play.decoder.frame(steps=(stale,))
        frames = play.decoder.read()
        session.rewind(session.reply_start + 2)
        play.player.sync()
        play.player.receive(frames)
        assert session.reply_length == 2


async def test_regenerate_draws_a_new_seed_and_rerun_keeps_it(start) -> None:
    async with start() as play:
        await play.run_some()
        session = play.player.session
        first = list(session.tree.path.ids)
        await play.press("r")
        await play.draw(12)
        assert session.params.seed == 7
        assert list(session.tree.path.ids) == first
        await play.press("ctrl+r")
        await play.draw(12)
        assert session.params.seed != 7
        assert list(session.tree.path.ids) != first
        assert str(session.params.seed) in play.text()


async def test_esc_stops_and_says_that_the_text_is_kept(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("escape")
        assert "the text is kept" in play.text()
        assert play.player.session.reply_length == 12


async def test_ctrl_c_stops_first_then_tells_how_to_leave_then_leaves(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("ctrl+c")
        assert not play.player.running
        await play.press("ctrl+c")
        assert "ctrl+c again leaves" in play.text()
        assert play.app.is_running
        await play.pilot.press("ctrl+c")
        await play.pilot.pause()
    assert play.app.return_code == 0


async def test_a_paste_never_runs(start) -> None:
    async with start(prompt="") as play:
        assert play.screen.editing
        play.screen.prompt_box.post_message(events.Paste("one\r\ntwo\x1b[31m\n"))
        await play.settle()
        assert play.screen.prompt_box.text.startswith("one\ntwo")
        assert not any(isinstance(command, Run) for command in play.decoder.sent)
        await play.press("ctrl+j", "x")
        assert not any(isinstance(command, Run) for command in play.decoder.sent)
        assert play.screen.prompt_box.text.endswith("\nx")


async def test_letters_are_typed_while_editing(start) -> None:
    async with start(prompt="") as play:
        await play.press(*"Tic", "space", *"mru")
        assert play.screen.prompt_box.text == "Tic mru"
        assert play.player.session.mode == "completion"


async def test_up_brings_earlier_prompts(start) -> None:
    async with start(prompt="") as play:
        await play.press(*"one", "enter")
        await play.press("i", "end", "2", "enter")
        await play.press("i", "up")
        assert play.screen.prompt_box.text == "one2"
        await play.press("home", "up")
        assert play.screen.prompt_box.text == "one"


async def test_a_chat_has_turns_and_ends_with_its_end_token(start, tokenizer) -> None:
    end = tokenizer.specials["<|end|>"]
    async with start(prompt="", chat=True, answers=[40, 41, end, 42, end]) as play:
        await play.press(*"hi", "enter")
        assert play.screen.editing
        await play.draw(10)
        assert play.player.stop == "end"
        assert "ENDED" in play.text()
        await play.press(*"ho", "enter")
        await play.draw(10)
        session = play.player.session
        assert "you  hi" in play.text()
        assert "you  ho" in play.text()
        names = {number: name for name, number in tokenizer.specials.items()}
        roles = [names[token] for token in session.tree.path.ids if token in names]
        turn = ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
        assert roles == ["<|endoftext|>", *turn, *turn]
        contexts = [c for c in play.decoder.sent if isinstance(c, SetContext)]
        assert contexts[-1].prompt_len == len(contexts[-1].ids)


async def test_m_switches_between_chat_and_completion(start) -> None:
    async with start(editing=False) as play:
        await play.press("m")
        assert play.player.session.mode == "chat"
        assert "your message" in play.text()


async def test_the_pace_can_be_changed_while_it_runs(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("right_curly_bracket")
        assert play.decoder.sent[-1] == SetRate(60)
        await play.press("colon", *"rate", "space", "0", "enter")
        assert play.decoder.sent[-1] == SetRate(None)


async def test_the_order_goes_round(start) -> None:
    async with start(editing=False) as play:
        for name in ("hf", "llama.cpp", "vllm", "default"):
            await play.press("o")
            assert play.player.session.params.order == name
            assert name in play.text()


async def test_a_wrong_command_is_explained(start) -> None:
    async with start(editing=False) as play:
        await play.press("colon", *"temprature", "space", "1", "enter")
        assert "did you mean temperature?" in play.text()
        await play.press("colon", *"t", "space", *"-1", "enter")
        assert "between 0 and 100" in play.text()


async def test_copying_the_command_also_writes_a_file(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "y")
        assert play.app.clipboard == command(play.player.session)
        assert "command.txt" in play.text()
        await play.press("Y")
        assert "text.txt" in play.text()
        await play.press("ctrl+s")
        assert "saved" in play.text()


async def test_the_colour_mode_and_the_marks_change(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("c")
        assert "c probability" in play.text()
        await play.press("n")
        assert "+ marks" in play.text()


async def test_half_a_character_waits_for_the_rest(start, tokenizer) -> None:
    answers = tokenizer.encode("é€")
    async with start(answers=answers) as play:
        await play.press("enter")
        await play.draw(1)
        assert play.screen.stream.token(play.screen.stream.count - 1).text == ""
        await play.draw(len(answers))
        assert "é€" in play.text()


async def test_the_stream_view_agrees_with_the_tree(start) -> None:
    async with start() as play:
        await play.run_some(20)
        stream, path = play.screen.stream, play.player.session.tree.path
        tokens = [stream.token(i) for i in range(stream.count)]
        assert all(isinstance(token, StreamToken) for token in tokens)
        assert [t.kind for t in tokens] == [("prompt", "drawn", "forced")[k] for k in path.kinds]


async def test_an_arrow_paints_once(start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space")
        painted: list[int] = []
        paint = play.screen.paint

        def counted() -> None:
            painted.append(play.screen.position)
            paint()

        monkeypatch.setattr(play.screen, "paint", counted)
        await play.pilot.press("left")
        await play.pilot.pause()
        end = len(play.player.session.tree)
        assert painted == [end - 1]
        await play.pilot.click("#stream-view", offset=(0, 0))
        await play.pilot.pause()
        assert len(painted) == 2, "by the mouse too"
