"""Reading a session file (record.py): whole or refused, and a cut one up to the cut, saying so.

Three kinds of wrong. A file that ends before its last line was cut: what its whole lines hold is given, and
`Recording.dropped` says what is missing; it is never silent. A file that contradicts itself or its digest is damaged,
and one that is of another kind or a newer schema is foreign: both are refused with file and line. A file comes from
anywhere: nothing in it is run, and it takes no more memory than a fixed multiple of its size. The records of a long one
stay where they are, and are checked when they are looked at (unpacking.py).

A file may have grown by sections (growing.py): each is read when its last line is there and fits. What a killed writer
left of one more is passed over, and that is said, too; nothing is missing then that had been saved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinychat.engine import packing
from tinychat.engine.params import SamplingParams
from tinychat.session.first_line import Summary, lines_of, opened, refused, summary_of
from tinychat.session.growing import SEAL, GrowingFile
from tinychat.session.record import SCHEMA, Source
from tinychat.session.session import Session
from tinychat.session.state_line import Hung, annotate, places_of, session_of
from tinychat.session.token_lines import inflate, read_line_of_tokens, read_run
from tinychat.session.tree import Branch, Tree
from tinychat.session.unpacking import Place, Unpacking, add_bare
from tinychat.session.values import Wrong, params_of, read_line, text_of, utf8, whole_of, wholes_of
from tinychat.text.tokenizer import Tokenizer
from tinychat.text.tokenizer_file import MAX_CHARS

SLACK = 1 << 21  # bytes that any file may unpack to MOST_GROWTH times
MOST_GROWTH = 20  # times the size of the file that records may take; honest ones take twice


@dataclass(slots=True, kw_only=True)
class Recording:
    """A session out of a file. `dropped` is empty, or says in words what the file no longer had.

    `unfinished`: that is no more than a save which was under way. `file` is there where saves can go on in the file.
    """

    session: Session
    summary: Summary
    cursor: int | None = None
    draft: str = ""  # what stood in the prompt box
    dropped: str = ""
    unfinished: bool = False
    file: GrowingFile | None = None

    @property
    def source(self) -> Source:
        return self.summary.source


def load(path: Path, *, steps: bool = True) -> Recording:
    """The session of a file, as it was saved; of a cut file what is left of it. FileFormatError for anything else.

    Without `steps` the records of the choices are left out, for who wants the text only.
    """
    with opened(path) as file:
        reader = _Reader(path, Unpacking(file.fileno()), steps=steps)
        number, whole = 1, False
        try:
            for number, line, whole in lines_of(path, file):
                try:
                    reader.size += len(line)
                    reader.take(number, line, whole=whole)
                except (Wrong, ValueError, RecursionError) as error:
                    if not whole:
                        reader.cut(line)  # the cut goes through this line: what it held is missing
                        break
                    raise refused(path, reader.line or number, str(error)) from None
            recording = reader.finish()
            if whole and not recording.dropped and steps and reader.schema == SCHEMA:
                recording.file = reader.file(number)
            return recording
        except Wrong as error:
            raise refused(path, number, str(error)) from None


class _Reader:
    """The lines of one file, in order."""

    def __init__(self, path: Path, runs: Unpacking, *, steps: bool = True) -> None:
        self.path = path
        self.runs = runs
        self.wants_steps = steps
        self.digest = hashlib.sha256()
        self.summary: Summary | None = None
        self.tokenizer: Tokenizer | None = None
        self.state: dict[str, Any] | None = None
        self.settings: list[SamplingParams] = []
        self.listed: list[Any] = []  # the same as they stand in the file
        self.places: list[Hung] = []
        self.branches: list[Branch] = []
        self.ended = False  # a last line was there, and what is read so far fits it
        self.later: list[bytes] = []  # of a section whose last line has not come
        self.wrong = ""  # with that line
        self.line = 0  # the one in hand, where it is not the last that came
        self.has_steps = True
        self.taken = 0  # bytes
        self.schema: object = None
        self.size = self.waste = 0  # bytes of all lines, and of those of later sections that hold no tokens
        self.sections = 1

    def take(self, number: int, line: bytes, *, whole: bool) -> None:
        if self.ended:
            self._take_later(number, line)
            return
        if self.summary is None:
            self.summary = summary_of(self.path, line, whole=True)
            first = read_line(line)
            self.has_steps, self.schema = first.get("packing") == packing.VERSION, first.get("schema")
        else:
            record = read_line_of_tokens(line)
            if self.tokenizer is None:
                self._take_tokenizer(record)
            elif self.state is None:
                self._take_state(record)
            elif "sha256" in record:
                self._take_end(number, record)
            else:
                self._pass_full()
                self._take_run(record, self.branches[-1], Place(self.size - len(line), len(line)), whole=whole)
        self.digest.update(line)
        self.taken += len(line)

    def cut(self, line: bytes) -> None:
        """The last line, of which a part is missing; `finish` says so."""
        if self.ended:
            self.later.append(line)

    def _take_later(self, number: int, line: bytes) -> None:
        """A line of a section that was added. Its tokens count when all of it is there."""
        if not self.later and "schema" not in read_line(line):
            raise Wrong("there is more after the last line")
        if self.wrong:
            raise Wrong(self.wrong)  # had it been the last, it would have been cut off
        self.later.append(line)
        if not line.startswith(SEAL):
            return
        digest = self.digest.copy()
        for each in self.later[:-1]:
            digest.update(each)
        record = read_line(line)
        if record.get("lines") != number - 1 or record.get("sha256") != digest.hexdigest():
            self.wrong = "the digest does not fit: the lines above were changed"
            return
        digest.update(line)
        self.digest = digest
        self._take_section(number)

    def _take_section(self, number: int) -> None:
        section, self.later = self.later, []
        if len(section) < 3:
            raise Wrong("there is no state")
        self.sections += 1
        self.waste += sum(map(len, (*section[:2], section[-1])))
        self.line = number - len(section) + 1
        self.summary = summary_of(self.path, section[0], whole=True)
        if (read_line(section[0]).get("packing") == packing.VERSION) != self.has_steps:
            raise Wrong("its records are packed in another way than those before")
        self.line += 1
        self._take_state(read_line(section[1]))
        start = self.size - sum(map(len, section[2:]))
        for line in section[2:-1]:
            self.line += 1
            self.taken += len(line)
            record = read_line_of_tokens(line)
            branch = record.get("branch")
            if type(branch) is not int or not 0 <= branch < len(self.branches):
                raise Wrong("a run of tokens is of no branch")
            self._take_run(record, self.branches[branch], Place(start, len(line)))
            start += len(line)
        self.line = number
        if any(len(branch.own) < length for branch, (*_, length) in zip(self.branches, self.places, strict=True)):
            raise Wrong("tokens are missing before the last line")
        self.line = 0

    def file(self, lines: int) -> GrowingFile:
        """What was read, to go on with."""
        return GrowingFile.read(
            self.path, size=self.size, lines=lines, digest=self.digest, waste=self.waste, sections=self.sections,
            lengths={branch.number: len(branch.own) for branch in self.branches},
        )  # fmt: skip

    def finish(self) -> Recording:
        if self.summary is None or self.tokenizer is None or self.state is None:
            raise Wrong("the file is cut before its first token: nothing of it can be shown")
        lost = "" if self.ended else self._cut()
        if unfinished := bool(self.later):
            lost = f"The last save was cut off: this is how it stood at {self.summary.saved}."
        if not self.has_steps:
            unfinished = False
            lost = f"{lost} The records of the choices were packed by another version and are left out.".strip()
        state = self.state
        kept = len(self.branches)
        undo, redo = ([at for at in wholes_of(state, name) if at < kept or self.ended] for name in ("undo", "redo"))
        current = whole_of(state, "current")
        annotate(self.branches, state.get("notes", {}))
        try:
            tree = Tree.restored(
                self.branches, current=current if self.ended else min(current, kept - 1), undo=undo, redo=redo
            )
        except ValueError as error:
            raise Wrong(str(error)) from None
        session = session_of(state, self.summary, self.tokenizer, self.settings, tree, whole=self.ended)
        cursor = None if state.get("cursor") is None else min(whole_of(state, "cursor"), len(tree))
        draft = text_of(state, "draft") if "draft" in state else ""
        return Recording(
            session=session, summary=self.summary, cursor=cursor, draft=draft, dropped=lost, unfinished=unfinished
        )

    def _take_tokenizer(self, record: dict[str, Any]) -> None:
        text = inflate(record.get("tokenizer"), min(whole_of(record, "bytes"), 2 * MAX_CHARS))
        tokenizer = Tokenizer.from_json(utf8(text), origin=f"{self.path}: line 2: tokenizer")
        if tokenizer.digest != record.get("digest"):
            raise Wrong("the tokenizer is not the one its digest names")
        self.tokenizer = tokenizer

    def _take_state(self, record: dict[str, Any]) -> None:
        places = places_of(record)
        listed = record.get("settings")
        if not isinstance(listed, list):
            raise Wrong("there are no settings")
        self._take_settings(listed)
        self.state, self.places = record, places
        if not self.ended:
            self.branches.append(Branch(0, places[0][0], places[0][1]))
            return
        for branch, (parent, fork, _) in zip(self.branches, places, strict=False):
            branch.parent, branch.fork = parent, fork  # one without a token may have been moved
        for number in range(len(self.branches), len(places)):
            parent, fork, _ = places[number]
            self.branches.append(Branch(number, parent, fork, self.branches[0].own.fresh()))
        if len(places) < len(self.branches):
            raise Wrong("the tree has fewer branches than before")

    def _take_settings(self, listed: list[Any]) -> None:
        """Settings are only ever added: what a section repeats is not read again."""
        known = len(self.listed) if listed[: len(self.listed)] == self.listed else 0
        self.settings[known:] = [params_of(each, f"settings {n}") for n, each in enumerate(listed[known:], known)]
        if known < len(listed) and len(set(self.settings)) != len(self.settings):
            raise Wrong("two of the settings are the same")
        self.listed = listed

    def _take_run(self, record: dict[str, Any], branch: Branch, place: Place, *, whole: bool = True) -> None:
        assert self.tokenizer is not None
        if record.get("branch") != branch.number or record.get("start") != len(branch.own):
            raise Wrong(f"a run of tokens is missing: token {len(branch.own)} of branch {branch.number} was due")
        size = self.tokenizer.vocab_size
        run = read_run(record, vocab_size=size, n_settings=len(self.settings))
        if len(branch.own) + len(run.ids) > self.places[branch.number][2]:
            raise Wrong(f"branch {branch.number} has more tokens than it says")
        if "steps" in record and self.has_steps and self.wants_steps:
            self.runs.add(branch.own, run, record, place, vocab_size=size, whole=whole)
        else:
            add_bare(branch.own, run)
        if self.runs.unpacked > MOST_GROWTH * (self.taken + SLACK):
            raise Wrong(f"it unpacks to more than {MOST_GROWTH} times its size")

    def _take_end(self, number: int, record: dict[str, Any]) -> None:
        self._pass_full()
        if len(self.branches) < len(self.places) or len(self.branches[-1].own) < self.places[-1][2]:
            raise Wrong("tokens are missing before the last line")
        if record.get("lines") != number - 1 or record.get("sha256") != self.digest.hexdigest():
            raise Wrong("the digest does not fit: the lines above were changed")
        self.ended = True

    def _pass_full(self) -> None:
        """Open the next branches, as long as the last one has all its tokens."""
        while len(self.branches) < len(self.places):
            number = len(self.branches)
            if len(self.branches[-1].own) < self.places[number - 1][2]:
                return
            parent, fork, length = self.places[number]
            self.branches.append(Branch(number, parent, fork, self.branches[0].own.fresh()))
            if length:
                return

    def _cut(self) -> str:
        """What a file without its last line has lost."""
        assert self.summary is not None
        have, due = sum(len(branch.own) for branch in self.branches), sum(length for _, _, length in self.places)
        if have == due:
            while len(self.branches) < len(self.places):  # the last ones have no token of their own
                self._pass_full()
            return "The file is cut: its last line is missing. All tokens are there."
        return f"The file is cut: {due - have} of {due} tokens are missing, the later ones."
