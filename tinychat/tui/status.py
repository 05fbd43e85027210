"""The words of the header, the status lines and the explanation of a token, as pieces for a line to show.

Plain functions of the session and the player; nothing here draws.
"""

from __future__ import annotations

from rich.cells import cell_len

from tinychat.engine.knobs import Knob
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.session.session import Session
from tinychat.session.spelling import SETTINGS
from tinychat.text.terminal import clean
from tinychat.tui.lineview import Piece, Row, fit
from tinychat.tui.player import Player
from tinychat.tui.wording import is_on, label_of, short_text, shown_settings

Group = tuple[Piece, ...]

STOPS = {
    "end": "the model ended its text",
    "grammar": "the grammar lets nothing follow",
    "context": "the context is full",
    "overflow": "longer than the model's context: shorten it, or ^n starts anew",
    "limit": "max tokens drawn; Space goes on",
    "no_legal_token": "the settings leave no token",
}


def header(
    name: str,
    player: Player | None,
    *,
    mode: str,
    width: int,
    context: int,
    held: int = 0,
    kept: Piece = ("", "quiet"),
) -> list[Group]:
    """Model, device, seed, context, speed, mode; `held` pictures that a slow line did not get; `kept`: is it saved?

    What a narrow screen has no room for is left out, the least needed first.
    """
    wide = width >= 100
    shown: dict[str, Group] = {"program": (("tinychat", "strong"),)}
    model = clean(name, keep="")
    shown["model"] = ((fit_end(model, 32) if wide else fit_end(model.removesuffix(".safetensors"), 18), "text"),)
    if player is None:
        shown["device"] = (("opening", "dart"),)
    else:
        shown |= _engine_facts(player, wide=wide, context=context)
    if held:
        shown["line"] = (("slow line", "dart"),)
    shown["mode"] = ((mode, "chosen"),)
    if kept[0]:
        shown["kept"] = ((fit_end(clean(kept[0], keep=""), 24 if wide else 16), kept[1]),)
    for least in ("prefill", "program", "device", "pace", "seed", "line", "model", "context"):
        if 1 + sum(sum(cell_len(text) for text, _ in group) + 3 for group in shown.values()) - 3 <= width:
            break
        shown.pop(least, None)
    return list(shown.values())


def _engine_facts(player: Player, *, wide: bool, context: int) -> dict[str, Group]:
    facts, session = player.facts, player.session
    shown: dict[str, Group] = {}
    device = str(facts.get("device", ""))
    shown["device"] = ((clean(f"{device} {facts.get('dtype', '')}" if wide else device, keep=""), "quiet"),)
    if not facts:
        shown["device"] = (("loading the model", "dart"),)
    shown["seed"] = ((f"seed {session.params.seed}", "text"),)
    used = len(session.tree)
    full = "warn" if context and used >= context else "text"
    shown["context"] = ((f"ctx {used}/{context}" + (f" {100 * used // context}%" if wide and context else ""), full),)
    pace = "full speed" if player.rate is None else f"pace {player.rate:g}/s"
    if player.running and player.tokens_per_s:
        pace = f"{player.tokens_per_s:.0f}/s" + (f" of {player.rate:g}" if player.rate and wide else "")
    shown["pace"] = ((pace, "quiet"),)
    if wide and player.prefill_s:
        shown["prefill"] = ((f"prefill {player.prefill_s * 1000:.0f} ms", "quiet"),)
    return shown


def command_row(line: str, width: int) -> Row:
    """The command that draws the reply again; of a long one the beginning, and how to get all of it."""
    if not line:
        return ()
    whole = f" $ {line}"
    if cell_len(whole) <= width:
        return ((whole, "quiet"),)
    tail = " ... y copies all of it"
    return ((fit(whole, max(width - len(tail), 0)), "quiet"), (tail, "faint"))


def fit_end(text: str, cells: int) -> str:
    """The text in at most so many cells; of a long one the end, which tells files apart."""
    while cell_len(text) > cells:
        text = "~" + text[2:]
    return text


def state_words(player: Player | None) -> Piece:
    """What the engine is doing, in a word or two."""
    if player is None:
        return ("OPENING", "dart")
    if player.state == "failed":
        return ("FAILED, Space starts the engine again", "warn")
    if player.recorded:
        return ("REPLAYING", "chosen") if player.running else ("RECORDING", "strong")
    if player.state == "loading":
        return ("LOADING, then runs" if player.running else "LOADING", "dart")
    if player.running:
        return ("RUNNING", "chosen")
    if player.stop == "overflow":
        return ("TOO LONG", "warn")
    if player.stop == "no_legal_token":
        return ("NO TOKEN LEFT", "warn")
    if player.stop == "end" or player.session.ended_before(len(player.session.tree)):
        return ("ENDED", "strong")
    return ("PAUSED" if player.session.reply_length else "READY", "strong")


def reply_facts(session: Session) -> list[Group]:
    """Mean surprisal and perplexity of the reply, and how often a person stepped in."""
    tally = session.tally()
    groups: list[Group] = []
    if tally.tokens:
        mean = tally.bits / tally.tokens
        groups.append(((f"mean {mean:.2f} bit, ppl {2 ** min(mean, 60.0):.1f}", "text"),))
    if tally.forced:
        groups.append(((f"forced {tally.forced}", "forced"),))
    if tally.knob_moves:
        groups.append(((f"knob moves {tally.knob_moves}", "moved"),))
    if tally.guessed:
        # a token guessed right was computed in the pass of one before it
        passes = 1 - tally.accepted / tally.tokens
        groups.append(((f"guessed right {tally.accepted}/{tally.guessed}, {passes:.2f} passes/token", "accepted"),))
    if (count := len(session.tree.listed())) > 1:
        groups.append(((f"branch {session.tree.current}, {count} in all", "text"),))
    return groups


def token_facts(step: Step, params: SamplingParams, *, short: bool, searched: bool = False) -> list[Group]:
    """How one token came out; `searched`: a search found it."""
    surprise = f"{step.surprisal:.1f}bit" if short else f"surprisal {step.surprisal:.1f} bit"
    if step.forced:
        how = "searched" if searched else "forced" if step.final_rank else "forced, the settings had cut it"
        role = "chosen" if searched else "forced"
        return [((how, role),), ((f"raw rank {step.raw_rank}", "text"),), ((surprise, "text"),)]
    odds = step.odds
    rank = (
        f"rank {step.final_rank}/{step.odds.kept}" if short else f"drew rank {step.final_rank} of {step.odds.kept} kept"
    )
    facts: list[Group] = [((rank, "text"),), ((surprise, "text"),)]
    if odds.region is not None or params.temperature_mode != "fixed":
        facts.append(((" ".join([f"T {odds.temperature:.2f}", odds.region or ""]).rstrip(), "text"),))
    if step.drafted is not None:
        facts.append(((f"draft {step.drafted}", "text"),))
    return facts


def knob_words(params: SamplingParams, picked: str, *, cells: int = 36) -> Group:
    """`>T.80 P.88 K-- M-- R1.10`: the main five, the picked one, and what else is on while there is room."""
    pieces: list[Piece] = []
    used = left_out = 0
    for setting in shown_settings(params, picked):
        on = is_on(setting, params)
        if setting.aux and setting.name != picked:
            continue  # it only says how another one works
        speaks = on or setting.aux or setting.name == "temperature"
        text = short_text(setting, params) if speaks else "--"
        mark = ">" if setting.name == picked else ""
        letter = (setting.key if isinstance(setting, Knob) else "") or label_of(setting) + " "
        word = f"{' ' if pieces else ''}{mark}{letter}{text.removeprefix('0') or '0'}"
        used += cell_len(word)
        if used > cells and not mark:
            left_out += 1
        else:
            pieces.append((word, "chosen" if mark else "strong" if on else "quiet"))
    if left_out:
        pieces.append((f" +{left_out}", "quiet"))
    return tuple(pieces)


def moves(before: SamplingParams, after: SamplingParams) -> str:
    """What changed between two tokens: `T 0.80 P 0.90`."""
    words = []
    for name, setting in SETTINGS.items():
        if getattr(before, name) == getattr(after, name):
            continue
        letter = setting.key if isinstance(setting, Knob) else ""
        text = short_text(setting, after) if isinstance(setting, Knob) or is_on(setting, after) else "off"
        words.append(f"{letter or label_of(setting)} {text}")
    if before.order != after.order:
        words.append(f"order {after.order if isinstance(after.order, str) else 'own'}")
    if before.seed != after.seed:
        words.append(f"seed {after.seed}")
    return " ".join(words)
