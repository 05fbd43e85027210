"""Every action of the play screen, declared once: bindings, help, palette and the help line read this table.

Single letters act only in INSPECT; in EDIT they are typed. Nothing here knows widgets.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinychat.engine.knobs import KNOBS


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do. `name` is the method `action_<name>` of the screen; `keys` in Textual's names."""

    name: str
    keys: str
    title: str
    tip: str
    group: str
    shown: str  # the keys as a person reads them
    always: bool = False  # also while the prompt is edited
    short: str = ""  # for the help line; "" keeps it out


ACTIONS: tuple[Action, ...] = (
    Action("run", "space", "Run or pause", "Draw tokens until an end, or stop after the token in hand.",
           "run", "Space", short="run"),
    Action("run_anywhere", "f5", "Run or pause, also while editing", "As Space, without leaving the prompt.",
           "run", "F5", always=True),
    Action("step_once", "full_stop", "One token", "Draw one token.", "run", ".", short="step"),
    Action("step_ten", "greater_than_sign", "Ten tokens", "Draw ten tokens.", "run", ">"),
    Action("stop", "escape", "Stop, keep the text", "Stop; what was drawn stays, in the context and in the tree.",
           "run", "Esc"),
    Action("regenerate", "ctrl+r", "Regenerate with a new seed",
           "Another reply at the cursor, by another seed; the old one stays.", "run", "^r", always=True, short="again"),
    Action("rerun", "r", "Run again, same seed", "The reply again on the same draws: only the knobs make a difference.",
           "run", "r"),
    Action("slower", "left_curly_bracket", "Slower", "Fewer tokens a second.", "run", "{"),
    Action("faster", "right_curly_bracket", "Faster", "More tokens a second, up to as fast as it goes.", "run", "}"),
    Action("left", "left,h", "Token cursor left", "The token before.", "move", "<- h", short="token"),
    Action("right", "right,l", "Token cursor right", "The token after.", "move", "-> l"),
    Action("home", "home,g", "First token", "The first token of the stream.", "move", "Home g"),
    Action("end", "end,G", "Last token, follow", "The end: the odds of the next token, and the text is followed.",
           "move", "End G"),
    Action("page_up", "pageup", "Token cursor up", "Ten lines up in the stream.", "move", "PgUp"),
    Action("page_down", "pagedown", "Token cursor down", "Ten lines down in the stream.", "move", "PgDn"),
    Action("candidate_up", "up,k", "Candidate above", "A likelier candidate; in other panels (Tab) a knob, or scroll.",
           "choose", "Up k", short="cand"),
    Action("candidate_down", "down,j", "Candidate below", "Choose a less likely candidate.", "choose", "Down j"),
    Action("take", "enter", "Take the candidate", "Put it at the cursor as a new branch; the old tail stays.",
           "choose", "Enter", short="take"),
    Action("rewind", "backspace", "Rewind to the cursor", "Cut before the cursor's token; the old tail stays a branch.",
           "choose", "Bksp", short="rewind"),
    Action("undo", "u", "Undo", "Back to the branch before the last move.", "choose", "u", short="undo"),
    Action("redo", "U,ctrl+y", "Redo", "Forth again.", "choose", "U"),
    Action("previous_branch", "left_square_bracket", "Previous version",
           "Another text from the nearest fork at or before the cursor, as you last left it.", "choose", "["),
    Action("next_branch", "right_square_bracket", "Next version", "The same, the other way round.", "choose", "]",
           short="version"),
    Action("tree", "t", "Branches", "The list of all branches: Up and Down walk, Enter goes there, u comes back. "
           "ppl: exp of the mean raw surprisal, in nats, of the tokens drawn on that branch. :label names one.",
           "choose", "t", short="tree"),
    Action("fold", "z", "Fold branches", "In the list: fold or unfold what grew from a branch.", "choose", "z"),
    Action("hide", "H", "Hide a branch", "In the list: leave it out, with all that grew from it. Nothing is deleted.",
           "choose", "H"),
    Action("vocabulary", "slash", "Whole vocabulary", "Every token at the cursor, to find and take any; its fate.",
           "choose", "/", short="find"),
    Action("search", "b", "Search", "Beams, CoT and other searches from the cursor on, drawn as they grow.",
           "choose", "b", short="search"),
    Action("nudge_down", "minus", "Knob down", "A step less of the picked knob, from the next token on.", "knobs", "-"),
    Action("nudge_up", "equals_sign", "Knob up", "A step more of the knob, from the next token on.", "knobs", "=",
           short="knob"),
    Action("coarse_down", "underscore", "Knob down, coarse", "A large step less.", "knobs", "_"),
    Action("coarse_up", "plus", "Knob up, coarse", "A large step more.", "knobs", "+"),
    Action("neutral", "0", "Knob off", "The neutral value of the picked knob.", "knobs", "0"),
    Action("settings", "a", "All settings", "Find any setting by name, to turn or to type.", "knobs", "a", short="all"),
    Action("what_if", "w", "What-if becomes a branch", "A knob turned while it stands still says where the text would "
           "differ, on the same draws; w goes on from there.", "choose", "w", short="what-if"),
    Action("compare", "v", "Lanes side by side", "The text and another from the cursor on, on the same draws: other "
           "settings, or :model PATH.", "choose", "v"),
    Action("fan", "N", "Fan of continuations", "Eight, each on other draws, from the cursor's token on; :fan 16.",
           "choose", "N"),
    Action("order", "o", "Order of the stages", "default, hf, llama.cpp, vllm, and round again.", "knobs", "o",
           short="order"),
    Action("presets", "ctrl+k", "Presets", "Set all knobs at once.", "knobs", "^k"),
    Action("edit", "i", "Edit the prompt", "Type into the prompt; Esc comes back, Enter runs.", "screen", "i",
           short="edit"),
    Action("chart", "d", "Chart over time", "Entropy, surprisal, varentropy of the reply; also :chart NAME.", "move",
           "d", short="chart"),
    Action("explain", "E", "Why this token", "The choice in plain words, with the draw; E again goes back.", "move",
           "E", short="why"),
    Action("score", "p", "Score a text", "Any text: surprisal and rank of every token, totals; go on from any place.",
           "move", "p", short="score"),
    Action("watch", "W", "Watch a token", "Follow the candidate's probability over time, or no more; :watch TEXT.",
           "move", "W", short="watch"),
    Action("breaks", "B", "Breakpoints", "Stop behind a token that meets a condition; :break entropy>6.", "run", "B",
           short="break"),
    Action("revise", "e", "Revise the text at the cursor",
           "The reply, a message or the prompt, in the prompt box. What stands before the first change stays as it "
           "was drawn; the rest is a new branch.", "screen", "e",
           short="revise"),
    Action("editor", "ctrl+g", "Your editor", "The text of the prompt box in $VISUAL or $EDITOR.", "screen", "^g",
           always=True),
    Action("given", "s", "What the model is given", "Every token of the context with its border and its id, and "
           "warnings: special tokens, spaces at the end, too long a text.", "screen", "s"),
    Action("colour", "c", "Colour of the tokens",
           "surprisal, probability, entropy, rank, source, speculation, off.", "screen", "c",
           short="colour"),
    Action("marks", "n", "Marks under the tokens", "The same, without colour.", "screen", "n"),
    Action("mode", "m", "Chat or completion", "What the prompt is: a message, or a text to continue.", "screen", "m",
           short="chat"),
    Action("new", "ctrl+n", "Start anew", "An empty context; what there was stays in the tree.", "screen", "^n",
           always=True),
    Action("next_panel", "tab", "Next panel", "The panel that Up and Down act on; on a small screen the lower one.",
           "screen", "Tab", always=True, short="panel"),
    Action("previous_panel", "shift+tab", "Previous panel", "The panel before.", "screen", "Shift+Tab", always=True),
    Action("copy_command", "y", "Copy the command", "The exact tinychat sample command that draws this reply again.",
           "screen", "y", short="copy"),
    Action("copy_text", "Y", "Copy the text", "The text of the reply.", "screen", "Y"),
    Action("save", "ctrl+s", "Name the session", "It is saved by itself; under a name it is kept for good.", "screen",
           "^s", always=True),
    Action("open", "ctrl+o", "Sessions", "All saved sessions: find one by its text, go on with it, or delete it.",
           "screen", "^o", always=True, short="sessions"),
    Action("export", "x", "Export", "The text on the screen as txt, md, html, json, jsonl; or the whole session.",
           "screen", "x", short="export"),
    Action("command_line", "colon", "Command line", ":t 0.9  :seed 7  :max 200  :preset story  :system ...",
           "screen", ":"),
    Action("newest", "f", "Load the newest checkpoint", "Of a run that is training: its weights under the same text. A "
           "checkpoint that lands is told.", "screen", "f"),
    Action("help", "question_mark,f1", "Help", "All keys.", "screen", "? F1", always=True, short="help"),
    Action("palette", "ctrl+p", "All actions", "Find an action by name.", "screen", "^p", always=True),
    Action("lessons", "f4", "Lessons", "Short lessons on how tokens are chosen; tinychat learn lists them too.",
           "screen", "F4", always=True),
    Action("lesson_hint", "f2", "Hint", "In a lesson: how its task is done; again for the text.", "screen", "F2",
           always=True),
    Action("lesson_next", "f3", "Next step", "In a lesson: go on, done or not.", "screen", "F3", always=True),
    Action("interrupt", "ctrl+c", "Stop; twice when idle leaves", "Stop and keep the text, or leave.", "screen", "^c",
           always=True),
    Action("suspend", "ctrl+z", "Suspend", "Back to the shell; fg returns.", "screen", "^z", always=True),
    Action("leave", "ctrl+q", "Leave", "End the program.", "screen", "^q", always=True, short="quit"),
)  # fmt: skip

ACTION_BY_NAME = {action.name: action for action in ACTIONS}
PICKED_KNOBS = tuple(knob for knob in KNOBS if knob.key)
GROUPS = {
    "run": "Running",
    "move": "Looking",
    "choose": "Choosing",
    "knobs": "Settings, for the very next token",
    "screen": "Screen",
}


def edit_keys(*, enter_runs: bool = True) -> tuple[tuple[str, str], ...]:
    """What the keys of the prompt do while it is edited; Enter and ^j can have changed places."""
    run, newline = ("Enter", "^j") if enter_runs else ("^j", "Enter")
    return (
        (run, "run"),
        (newline, "new line (a paste never runs)"),
        ("Up Down", "earlier prompts, at the first and last line"),
        ("F5", "run or pause"),
        ("Esc", "leave to INSPECT"),
        ("^d", "leave the program, when the prompt is empty"),
    )


def shown(keys: str, *, ascii_only: bool = False) -> str:
    """The keys with the signs of this screen."""
    return (
        keys
        if ascii_only
        else keys.replace("<-", "←").replace("->", "→").replace("Up k", "↑ k").replace("Down j", "↓ j")
    )
