"""What the person has done: prompt or chat, the settings and where they changed, and the tree of tokens.

Plain Python. It turns wishes (this text, this token, from here again) into the ids an engine should hold, and
keeps what came back. Nothing here knows a screen, a process or a tensor.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tinychat.engine.machine import Machine
from tinychat.engine.packing import FATES
from tinychat.engine.params import SEED_LIMIT, SamplingParams
from tinychat.engine.trace import FRESH, SamplerState, Step
from tinychat.session.found import Found
from tinychat.session.tools import Tools
from tinychat.session.tree import DRAWN, FORCED, PROMPT, SEARCHED, Tree
from tinychat.session.turns import Turn, turn_at, turns_of
from tinychat.text.chat import MOST_PAUSES, PAUSE, Message, render
from tinychat.text.tokenizer import Tokenizer

Mode = Literal["completion", "chat"]


def fresh_seed() -> int:
    """A seed short enough to read aloud; any seed below 2**64 can be typed."""
    return secrets.randbelow(1_000_000)


@dataclass(frozen=True, slots=True)
class Context:
    """The ids an engine should hold, of which the first `prompt_len` were given, and its samplers' state after them."""

    ids: list[int]
    prompt_len: int
    state: SamplerState


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over a reply."""

    tokens: int = 0
    bits: float = 0.0  # surprisal
    forced: int = 0
    knob_moves: int = 0
    guessed: int = 0  # tokens that had been guessed ahead, right or wrong
    accepted: int = 0  # guessed right: they cost no pass of their own


class Session:
    """One sitting with one model."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        params: SamplingParams,
        model: Path | str = "",
        machine: Machine | None = None,
        chat: bool = False,
        max_tokens: int = 256,
        fixed_seed: bool = False,
        pauses: int = 0,
    ) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.machine = machine or Machine()
        self.mode: Mode = "chat" if chat and tokenizer.has_chat else "completion"
        self.params = params
        self.max_tokens = max_tokens
        self.fixed_seed = fixed_seed  # asked for by a person: kept until another is asked for
        self.prompt = ""  # the completion prompt, or the last message of the person
        self.system = ""
        # pause tokens before each reply of a chat; a file may say anything
        self.pauses = min(pauses, MOST_PAUSES) if PAUSE in tokenizer.specials else 0
        self.tree = Tree()
        self.settings: list[SamplingParams] = []
        self.tools = Tools()
        self.found: list[Found] = []  # what searches found and was taken into the tree
        self._setting_of: dict[SamplingParams, int] = {}
        self._tally = Tally()
        self._tally_key = (-1, -1)

    # what there is

    @property
    def reply_start(self) -> int:
        return self.tree.reply_start

    @property
    def reply_length(self) -> int:
        return len(self.tree) - self.reply_start

    def context(self) -> Context:
        last = self.tree.step(len(self.tree) - 1) if self.reply_length else None
        return Context(list(self.tree.path.ids), self.reply_start, FRESH if last is None else last.state)

    def is_open_chat(self) -> bool:
        """Whether the path is a conversation in the role format."""
        specials = self.tokenizer.specials
        return "<|assistant|>" in specials and specials["<|assistant|>"] in self.tree.path.ids

    def setting(self, params: SamplingParams) -> int:
        """The number under which the tree keeps these settings."""
        number = self._setting_of.get(params)
        if number is None:
            number = self._setting_of[params] = len(self.settings)
            self.settings.append(params)
        return number

    def reply_settings(self) -> tuple[SamplingParams, list[tuple[int, SamplingParams]]]:
        """The settings of the reply's first token, and every later change as (token of the reply from 0, settings)."""
        start, numbers = self.reply_start, self.tree.path.setting
        if start == len(self.tree):
            return self.params, []
        changes = [(position - start, self.settings[numbers[position]]) for position in self.turned(start + 1)]
        return self.settings[numbers[start]], changes

    def moved(self, position: int) -> bool:
        """Whether the settings differ from those of the token before."""
        path = self.tree.path
        if position == 0 or path.kinds[position] == PROMPT or path.kinds[position - 1] == PROMPT:
            return False
        if (path.kinds[position] == SEARCHED) != (path.kinds[position - 1] == SEARCHED):
            return False  # a search scores in its own way; nobody turned a knob
        return path.setting[position] != path.setting[position - 1]

    def forced(self) -> list[tuple[int, int]]:
        """(token of the reply from 0, id) of all that was not drawn: a person chose it, or a search found it."""
        start, path = self.reply_start, self.tree.path
        if not (path.kinds.count(FORCED, start) or path.kinds.count(SEARCHED, start)):
            return []  # looked at first: there may be many thousand
        return [(i - start, path.ids[i]) for i in range(start, len(path)) if path.kinds[i] in (FORCED, SEARCHED)]

    def lanes(self) -> list[tuple[int, int]]:
        """(token of the reply from 0, lane) wherever the darts become those of another lane; lane 0 is where it starts.

        A lane is of a fan's making: everything else throws the darts of lane 0.
        """
        start, path = self.reply_start, self.tree.path
        found, lane, lanes = [], 0, path.lane[start:]
        if not any(lanes):
            return []
        for position, now in enumerate(lanes):
            if now != lane and path.kinds[start + position] == DRAWN and path.packed.has(start + position):
                lane = now
                found.append((position, lane))
        return found

    def tally(self) -> Tally:
        """Sums over the reply. Only what came since the last call is added: a screen asks thirty times a second."""
        start, path, key = self.reply_start, self.tree.path, (self.tree.moves, self.reply_start)
        if key != self._tally_key or self._tally.tokens > len(path) - start:
            self._tally_key, self._tally = key, Tally()
        tally, done = self._tally, start + self._tally.tokens
        if done < len(path):
            right, wrong = (path.fate.count(FATES.index(fate), done) for fate in ("accepted", "rejected"))
            self._tally = Tally(
                tokens=len(path) - start,
                bits=tally.bits + sum(path.surprisal[done:]),
                forced=tally.forced + path.kinds.count(FORCED, done),
                knob_moves=tally.knob_moves + sum(map(self.moved, self.turned(done))),
                guessed=tally.guessed + right + wrong,
                accepted=tally.accepted + right,
            )
        return self._tally

    def turned(self, start: int, stop: int | None = None) -> list[int]:
        """The positions from `start` on that have another setting than the one before: few of many thousand."""
        start = max(start, 1)
        numbers = self.tree.path.setting[start - 1 : stop]
        if not numbers or numbers.count(numbers[0]) == len(numbers):
            return []
        pairs = enumerate(itertools.pairwise(numbers), start)
        return [position for position, (before, now) in pairs if now != before]

    def turns(self) -> list[Turn]:
        """The turns of the conversation on the path; none where it is no chat."""
        return turns_of(self.tree.path, self.tokenizer)

    def reply_at(self, position: int) -> range:
        """The reply around a token of the path: of a token that was given, the next one; at the end the last."""
        kinds = self.tree.path.kinds
        places = [at for kind in (DRAWN, FORCED, SEARCHED) if (at := kinds.find(kind, position)) >= 0]
        start = min(places, default=len(kinds))
        if start == len(kinds):
            return range(self.reply_start, len(kinds))
        end = kinds.find(PROMPT, start)
        return range(kinds.rfind(PROMPT, 0, start) + 1, len(kinds) if end < 0 else end)

    def given_for(self, text: str) -> list[int]:
        """The ids a reply to this prompt or message would be drawn from; earlier turns as they were drawn."""
        if self.mode == "completion":
            return self.tokenizer.encode_document(text)
        message = Message("user", text)
        if not self.is_open_chat():
            return render([*self._system_turn(), message], self.tokenizer, reply=True, pauses=self.pauses).ids
        have, end = list(self.tree.path.ids), self.tokenizer.specials["<|end|>"]
        # a reply that was stopped or cut is closed; a render begins with the document start, which is there already
        closed = [] if have[-1] == end else [end]
        return [*have, *closed, *render([message], self.tokenizer, reply=True, pauses=self.pauses).ids[1:]]

    # what a person does

    def complete(self, text: str) -> None:
        """The path becomes this prompt, with no reply yet."""
        self.prompt = text
        ids = self.tokenizer.encode_document(text)
        self._reseed(same=self._has_prompt(ids))
        self.tree.give(ids)

    def say(self, text: str) -> None:
        """Add a message of the person, and open the reply to it. The ids of earlier turns stay as they were drawn."""
        ids = self.given_for(text)
        self.prompt = text
        if not self.is_open_chat():
            self.tree.give(ids)
            return
        start = len(self.tree)
        self.tree.part()  # to take a message back is an undo
        for token in ids[start:]:
            self.tree.append(token, kind=PROMPT)

    def ended_before(self, position: int) -> bool:
        """Whether the last reply's token before a position is an end: what follows it is another text."""
        return position > self.reply_start and self.tree.path.ids[position - 1] in self.tokenizer.end_ids

    def say_instead(self, turn: Turn, text: str) -> None:
        """Another message in place of this turn of the person, on a new branch; the reply to it is open."""
        self.tree.rewind(turn.start)
        self.say(text)

    def set_system(self, text: str) -> bool:
        """The system message from here on. A conversation goes on under it, on a new branch; True if there is one.

        Its turns are the same ids, but none of them was drawn from this context: they are given, without records.
        """
        self.system = text
        turns, path, ends = self.turns(), self.tree.path, self.tokenizer.end_ids
        if not turns:
            return False
        rest = list(path.ids[turns[0].end if turns[0].role == "system" else turns[0].start :])
        while turns[-1].role == "assistant" and rest and rest[-1] in ends:
            rest.pop()  # left open, as a reply that was stopped: it can go on, and the next message closes it
        head = render(self._system_turn(), self.tokenizer, reply=False).ids if text else [self.tokenizer.end_of_text]
        self.tree.give([*head, *rest])
        return True

    def clear(self) -> None:
        """Start again from nothing; what there was stays in the tree."""
        self.tree.rewind(0)

    def rewind(self, length: int) -> bool:
        """Go on from the first `length` tokens. False when that would cut nothing."""
        return self.tree.rewind(length)

    def again(self, position: int | None = None, *, new_seed: bool) -> bool:
        """Back to the start of the reply that `position` belongs to (None: the last one). False if there is none.

        In a chat that is the assistant's turn there, or the answer to the message there.
        """
        start = self.reply_start if position is None else self.reply_at(position).start
        if turns := self.turns():
            here = turn_at(turns, len(self.tree) if position is None else position)
            later = [t for t in turns if t.role == "assistant" and (here is None or t.start >= here.start)]
            if not later:
                return False
            start = later[0].body
        if new_seed:
            self.params = self.params.with_(seed=fresh_seed())
        self.tree.rewind(start)
        return True

    def set_seed(self, seed: int) -> None:
        """A seed a person asked for stays. ValueError when it is out of range."""
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed}")
        self.params = self.params.with_(seed=seed)
        self.fixed_seed = True

    def chosen(self, step: Step, params: SamplingParams) -> bool:
        """Keep a step of the engine. False when it belongs to a path we have left."""
        if step.position != len(self.tree):
            return False
        self.tree.append(step.token, kind=FORCED if step.forced else DRAWN, step=step, setting=self.setting(params))
        return True

    def adopt(self, found: Found, steps: Sequence[Step]) -> None:
        """Put what a search found into the tree, as a branch from where it started; its records are kept."""
        self.tree.rewind(found.start)
        self.setting(found.params)  # so that a file can name them
        number = self.setting(found.used)
        for step in steps:
            self.tree.append(step.token, kind=SEARCHED, step=step, setting=number)
        self.found.append(replace(found, branch=self.tree.current))

    def _has_prompt(self, ids: list[int]) -> bool:
        return self.reply_length > 0 and list(self.tree.path.ids[: self.reply_start]) == ids

    def _reseed(self, *, same: bool) -> None:
        # running the same prompt again should give another text, unless a person asked for this seed
        if same and not self.fixed_seed:
            self.params = self.params.with_(seed=fresh_seed())

    def _system_turn(self) -> list[Message]:
        return [Message("system", self.system)] if self.system else []
