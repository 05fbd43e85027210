"""What a person writes: revised texts, turns of a chat, slash commands, the editor, and what the model is given."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tinychat.engine.wire import Force, Run
from tinychat.tui import editor
from tinychat.tui.keys import ACTION_BY_NAME


def said(session) -> list[tuple[str, str]]:
    return [(t.role, session.tokenizer.decode(session.tree.path.ids[t.body : t.stop])) for t in session.turns()]


async def chat(play, tokenizer, *texts: str) -> None:
    """Messages, each with the reply that the decoder was told."""
    for text in texts:
        play.screen.prompt_box.load_text(text)
        await play.press("enter")
        await play.draw(20)


def answers(tokenizer, *texts: str) -> list[int]:
    end = tokenizer.specials["<|end|>"]
    return [token for text in texts for token in [*tokenizer.encode(text), end]]


async def test_a_revised_reply_keeps_what_stands_before_the_change(start, tokenizer) -> None:
    async with start(answers=tokenizer.encode(" sat on the mat and looked at the moon")) as play:
        await play.press("enter")
        await play.draw(100)
        session = play.player.session
        old = list(session.tree.path.ids)
        await play.press("e")
        assert "1 Revise" in play.text()
        assert play.screen.prompt_box.text == " sat on the mat and looked at the moon"
        play.screen.prompt_box.load_text(" sat on the mat and did")
        await play.press("enter")
        keep = session.reply_start + len(tokenizer.encode(" sat on the mat and"))
        assert list(session.tree.path.ids[:keep]) == old[:keep]
        assert tokenizer.decode(session.tree.path.ids[session.reply_start :]) == " sat on the mat and did"
        assert all(kind == 1 for kind in session.tree.path.kinds[session.reply_start : keep])
        assert all(kind == 2 for kind in session.tree.path.kinds[keep:])
        assert session.tree.step(len(session.tree) - 1) is not None, "forced tokens have their odds"
        assert play.screen.prompt_box.text == "the cat", "the draft is back"
        await play.press("u")
        assert list(session.tree.path.ids) == old


async def test_esc_and_an_unchanged_text_leave_everything_as_it_was(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space")
        before = list(play.player.session.tree.path.ids)
        await play.press("e", "x", "escape")
        assert "left as it was" in play.text()
        assert play.screen.prompt_box.text == "the cat"
        await play.press("e", "enter")
        assert "nothing changed" in play.text()
        assert list(play.player.session.tree.path.ids) == before
        assert len(play.player.session.tree.branches) == 1


async def test_the_caret_stands_at_the_token_under_the_cursor(start, tokenizer) -> None:
    async with start(answers=tokenizer.encode(" sat on the mat")) as play:
        await play.press("enter")
        await play.draw(100)
        play.screen.stream.cursor = play.player.session.reply_start + len(tokenizer.encode(" sat on"))
        await play.press("e", "X")
        assert play.screen.prompt_box.text == " sat on Xthe mat"


async def test_a_prompt_is_revised_where_the_cursor_is(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "home", "e")
        assert play.screen.prompt_box.text == "the cat"
        assert play.screen.revision is None


async def test_a_revised_text_longer_than_the_context_is_refused_and_kept_in_the_box(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "e")
        play.screen.prompt_box.load_text("moon mat " * 300)
        await play.press("enter")
        assert "shorten the text" in play.text()
        assert play.screen.revision is not None
        assert not any(isinstance(command, Force) for command in play.decoder.sent)


async def test_a_text_that_moved_away_while_it_was_revised_is_not_overwritten(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "e", "x", "ctrl+n")
        assert play.screen.revision is None
        await play.press("i", "up")
        assert "x" in play.screen.prompt_box.text


async def test_a_message_of_the_middle_is_sent_anew_on_a_branch_of_its_own(start, tokenizer) -> None:
    told = answers(tokenizer, "the mat", "the moon", "cats")
    async with start(prompt="", chat=True, answers=told) as play:
        await chat(play, tokenizer, "one", "two")
        session = play.player.session
        old = said(session)
        await play.press("escape")
        play.screen.stream.cursor = session.turns()[0].body
        await play.press("e")
        assert play.screen.prompt_box.text == "one"
        await play.press("end", "X", "enter")
        await play.draw(20)
        assert said(session) == [("user", "oneX"), ("assistant", "cats")]
        await play.press("u")
        assert said(session) == old


async def test_esc_keeps_the_partial_reply_and_the_next_message_closes_it(start, tokenizer) -> None:
    told = [*tokenizer.encode("the mat and"), *answers(tokenizer, "the moon")]
    async with start(prompt="", chat=True, answers=told) as play:
        await play.press(*"one", "enter")
        await play.draw(len(tokenizer.encode("the mat and")))
        await play.press("escape")
        assert "stays in the context" in play.text()
        assert not play.player.running
        assert play.screen.editing, "the next message can be typed at once"
        await chat(play, tokenizer, "two")
        session = play.player.session
        expected = [("user", "one"), ("assistant", "the mat and"), ("user", "two"), ("assistant", "the moon")]
        assert said(session) == expected
        end = tokenizer.specials["<|end|>"]
        assert session.tree.path.ids[session.turns()[1].end - 1] == end
        await play.press("escape")
        assert not play.screen.editing


async def test_slash_commands_of_the_chat_box(start, tokenizer) -> None:
    told = answers(tokenizer, "the mat", "the moon", "cats")
    async with start(prompt="", chat=True, answers=told) as play:
        await chat(play, tokenizer, "one", "/retry")
        session = play.player.session
        assert said(session) == [("user", "one"), ("assistant", "the moon")]
        await chat(play, tokenizer, "/t 0.25")
        assert session.params.temperature == 0.25
        await chat(play, tokenizer, "/retyr")
        assert "did you mean retry" in play.text()
        assert play.screen.prompt_box.text == "/retyr", "a wrong command stays to be mended"
        play.screen.prompt_box.load_text("")
        await chat(play, tokenizer, "/edit")
        assert play.screen.prompt_box.text == "one"
        await play.press("escape", "i")
        await chat(play, tokenizer, "//x")
        assert said(session)[-2:] == [("user", "/x"), ("assistant", "cats")]


async def test_a_slash_in_a_completion_is_text(start) -> None:
    async with start(prompt="") as play:
        play.screen.prompt_box.load_text("/new")
        await play.press("enter")
        assert play.player.session.prompt == "/new"


async def test_the_system_message_is_seen_and_changes_under_the_conversation(start, tokenizer) -> None:
    async with start(prompt="", chat=True, answers=answers(tokenizer, "the mat", "cats")) as play:
        await chat(play, tokenizer, "/system be kind")
        assert "system: be kind" in play.text()
        await chat(play, tokenizer, "one")
        session = play.player.session
        assert said(session)[0] == ("system", "be kind")
        await play.press("escape")
        play.screen._perform("system")
        await play.settle()
        assert play.screen.prompt_box.text == "be kind"
        play.screen.prompt_box.load_text("be brief")
        await play.press("enter")
        assert said(session) == [("system", "be brief"), ("user", "one"), ("assistant", "the mat")]
        assert play.decoder.ids == list(session.tree.path.ids)
        await play.press("ctrl+r")
        await play.draw(20)
        assert said(session)[-1] == ("assistant", "cats")


async def test_the_editor_gets_the_text_and_gives_it_back(start, monkeypatch) -> None:
    async with start(prompt="one") as play:
        monkeypatch.setattr(play.screen, "_edited", lambda command, text: text + "\ntwo")
        await play.press("ctrl+g")
        assert play.screen.prompt_box.text == "one\ntwo"
        assert not any(isinstance(command, Run) for command in play.decoder.sent)


async def test_a_missing_editor_is_told(start, monkeypatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor-anywhere")
    async with start(prompt="one") as play:
        await play.press("ctrl+g")
        assert "no-such-editor-anywhere of $VISUAL is not there" in play.text()
        assert play.screen.prompt_box.text == "one"


def test_an_editor_edits_a_file_and_its_last_line_break_is_not_ours(tmp_path) -> None:
    script = tmp_path / "ed"
    script.write_text('#!/bin/sh\nprintf "%s\\ntwo\\033\\n" "$(cat "$1")" > "$1"\n')
    script.chmod(0o755)
    assert editor.edit([str(script)], "one") == "one\ntwo␛"
    script.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ValueError, match="ended with 3"):
        editor.edit([str(script)], "one")


def test_the_editor_is_the_one_a_person_named() -> None:
    assert editor.editor_of({"VISUAL": "sh -c", "EDITOR": "x"}) == ["sh", "-c"]
    assert editor.editor_of({"EDITOR": "sh"}) == ["sh"]
    with pytest.raises(ValueError, match="cannot be read"):
        editor.editor_of({"EDITOR": "'"})


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_the_model_is_given_is_seen_token_by_token(start, tokenizer, size) -> None:
    async with start(size=size, prompt="the cat <|user|> ") as play:
        await play.run_some(3)
        await play.press("space", "s")
        text = play.text()
        session = play.player.session
        assert f"{len(session.tree)} of 256 tokens" in text
        assert "|<|endoftext|>|" in text
        assert "<|user|> in the text is plain characters" in text
        assert "ends with a space" in text
        assert str(tokenizer.encode("the cat")[-1]) in text
        await play.press("escape")
        assert "2 Stream" in play.text()


async def test_a_draft_is_shown_as_enter_would_send_it(start, tokenizer) -> None:
    async with start(prompt="", chat=True, answers=answers(tokenizer, "the mat")) as play:
        await chat(play, tokenizer, "one")
        play.screen.prompt_box.load_text("two")
        await play.press("escape", "s")
        assert "as Enter would send it" in play.text()
        await play.press("tab")
        assert "as it is now" in play.text()
        assert play.player.session.turns()[-1].role == "assistant", "looking changes nothing"


async def test_the_gravest_warning_stands_in_the_status_line(start) -> None:
    async with start(prompt="the cat [INST] ") as play:
        await play.press("enter")
        assert "[INST] looks like a special token; this model has none of that name (and 1 more: s)" in play.text()


def test_the_keys_agreed_upon() -> None:
    assert [ACTION_BY_NAME[name].keys for name in ("tree", "revise", "editor", "given")] == ["t", "e", "ctrl+g", "s"]


async def test_a_failed_editor_gives_the_screen_back(start, monkeypatch) -> None:
    back = []

    @contextmanager
    def suspend():
        yield
        back.append(True)

    async with start(prompt="one") as play:
        monkeypatch.setenv("EDITOR", "false")
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setattr(play.app, "suspend", suspend)
        await play.press("ctrl+g")
        assert back
        assert "false ended with 1: the text is as it was" in play.text()


async def test_behind_a_new_beginning_typing_replaces_the_prompt_of_before_and_nothing_else(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "ctrl+n", "i", "x")
        assert play.screen.prompt_box.text == "x"
        await play.press("ctrl+n", "y")
        assert play.screen.prompt_box.text == "xy", "what was typed and not run yet stays"
