"""Reading a session file (record.py): whole or refused, and a cut one up to the cut, saying so.

Three kinds of wrong. A file that ends before its last line was cut: what its whole lines hold is given, and
`Recording.dropped` says what is missing; it is never silent. A file that contradicts itself or its digest is damaged,
and one that is of another kind or a newer schema is foreign: both are refused with file and line. A file comes from
anywhere: nothing in it is run, and it takes no more memory than a fixed multiple of its size.

A file may have grown by sections (growing.py): each is read when its last line is there and fits. What a killed writer
left of one more is passed over, and that is said, too; nothing is missing then that had been saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tinychat.engine import packing
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.errors import FileFormatError
from tinychat.session.growing import SEAL, GrowingFile, last_header
from tinychat.session.record import READS, SCHEMA, Source
from tinychat.session.session import Mode, Session
from tinychat.session.token_lines import inflate, read_run
from tinychat.session.tools import read_tools
from tinychat.session.tree import Branch, Tree
from tinychat.session.values import Wrong, is_whole, params_of, read_line, text_of, utf8, whole_of, wholes_of
from tinychat.text.terminal import one_line
from tinychat.text.tokenizer import Tokenizer
from tinychat.text.tokenizer_file import MAX_CHARS

HINT = "A session is saved by tinychat play; see:  tinychat sessions"
MAX_LINE = 1 << 26  # bytes
MAX_FIRST = 1 << 16
MAX_TOKENS = 5_000_000
MOST_GROWTH = 20  # times the size of the file that records may take; honest ones take twice
_KIND, _VERSION = SCHEMA.split("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the first line says: enough for a list."""

    path: Path
    saved: str  # ISO 8601, UTC
    name: str
    mode: Mode
    tokens: int  # in all branches
    branches: int
    words: str
    source: Source
    open: bool = False  # a screen had it open when this was written: cut off, unless one still has


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


def glimpse(path: Path) -> Summary:
    """What a session file says of itself as it was saved last. FileFormatError for what is none."""
    for _, line, whole in _lines(path):
        first = _first(path, line, whole)
        if (later := last_header(path, MAX_FIRST)) is not None:
            with contextlib.suppress(FileFormatError):
                return _first(path, later, whole=True)
        return first
    raise _refused(path, 1, "the file is empty")


def load(path: Path, *, steps: bool = True) -> Recording:
    """The session of a file, as it was saved; of a cut file what is left of it. FileFormatError for anything else.

    Without `steps` the records of the choices are left out, for who wants the text only.
    """
    reader = _Reader(path, steps=steps)
    number, whole = 1, False
    try:
        for number, line, whole in _lines(path):
            try:
                reader.size += len(line)
                reader.take(number, line)
            except (Wrong, ValueError, RecursionError) as error:
                if not whole:
                    reader.cut(line)  # the cut goes through this line: what it held is missing
                    break
                raise _refused(path, reader.line or number, str(error)) from None
        recording = reader.finish()
        if whole and not recording.dropped and steps and reader.schema == SCHEMA:
            recording.file = reader.file(number)
        return recording
    except Wrong as error:
        raise _refused(path, number, str(error)) from None


class _Reader:
    """The lines of one file, in order."""

    def __init__(self, path: Path, *, steps: bool = True) -> None:
        self.path = path
        self.wants_steps = steps
        self.digest = hashlib.sha256()
        self.summary: Summary | None = None
        self.tokenizer: Tokenizer | None = None
        self.state: dict[str, Any] | None = None
        self.settings: list[SamplingParams] = []
        self.listed: list[Any] = []  # the same as they stand in the file
        self.places: list[tuple[int | None, int, int]] = []
        self.branches: list[Branch] = []
        self.ended = False  # a last line was there, and what is read so far fits it
        self.later: list[bytes] = []  # of a section whose last line has not come
        self.wrong = ""  # with that line
        self.line = 0  # the one in hand, where it is not the last that came
        self.has_steps = True
        self.taken = self.unpacked = 0  # bytes
        self.schema: object = None
        self.size = self.waste = 0  # bytes of all lines, and of those of later sections that hold no tokens
        self.sections = 1

    def take(self, number: int, line: bytes) -> None:
        if self.ended:
            self._take_later(number, line)
            return
        if self.summary is None:
            self.summary = _first(self.path, line, whole=True)
            first = read_line(line)
            self.has_steps, self.schema = first.get("packing") == packing.VERSION, first.get("schema")
        else:
            record = read_line(line)
            if self.tokenizer is None:
                self._take_tokenizer(record)
            elif self.state is None:
                self._take_state(record)
            elif "sha256" in record:
                self._take_end(number, record)
            else:
                self._pass_full()
                self._take_run(record, self.branches[-1])
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
        self.summary = _first(self.path, section[0], whole=True)
        if (read_line(section[0]).get("packing") == packing.VERSION) != self.has_steps:
            raise Wrong("its records are packed in another way than those before")
        self.line += 1
        self._take_state(read_line(section[1]))
        for line in section[2:-1]:
            self.line += 1
            self.taken += len(line)
            record = read_line(line)
            branch = record.get("branch")
            if type(branch) is not int or not 0 <= branch < len(self.branches):
                raise Wrong("a run of tokens is of no branch")
            self._take_run(record, self.branches[branch])
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
        _annotate(self.branches, state.get("notes", {}))
        try:
            tree = Tree.restored(
                self.branches, current=current if self.ended else min(current, kept - 1), undo=undo, redo=redo
            )
        except ValueError as error:
            raise Wrong(str(error)) from None
        session = self._session(tree)
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
        rows = record.get("tree")
        if not isinstance(rows, list) or not rows:
            raise Wrong("there is no tree")
        places: list[tuple[int | None, int, int]] = []
        for row in rows:
            if not (isinstance(row, list) and len(row) == 3 and all(is_whole(each) for each in row[1:])):
                raise Wrong("a branch is not [parent, fork, length]")
            parent, fork, length = row
            if parent is not None and not is_whole(parent):
                raise Wrong("a branch has a parent that is no number")
            places.append((parent, fork, length))
        if sum(length for _, _, length in places) > MAX_TOKENS:
            raise Wrong(f"the tree has more than {MAX_TOKENS} tokens")
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

    def _take_run(self, record: dict[str, Any], branch: Branch) -> None:
        assert self.tokenizer is not None
        if record.get("branch") != branch.number or record.get("start") != len(branch.own):
            raise Wrong(f"a run of tokens is missing: token {len(branch.own)} of branch {branch.number} was due")
        self.unpacked += read_run(
            record, branch.own, vocab_size=self.tokenizer.vocab_size, n_settings=len(self.settings),
            steps=self.has_steps and self.wants_steps,
        )  # fmt: skip
        if len(branch.own) > self.places[branch.number][2]:
            raise Wrong(f"branch {branch.number} has more tokens than it says")
        if self.unpacked > MOST_GROWTH * (self.taken + MAX_LINE // 32):
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

    def _session(self, tree: Tree) -> Session:
        assert self.tokenizer is not None
        assert self.state is not None
        assert self.summary is not None
        state = self.state
        session = Session(
            self.tokenizer,
            params=params_of(state.get("params"), "params"),
            model=text_of(state, "model"),
            machine=self.summary.source.machine,
            chat=self.summary.mode == "chat",
            max_tokens=whole_of(state, "max_tokens"),
            fixed_seed=state.get("fixed_seed") is True,
            pauses=whole_of(state, "pause_tokens") if "pause_tokens" in state else 0,
        )
        session.prompt, session.system = text_of(state, "prompt"), text_of(state, "system")
        for params in self.settings:
            session.setting(params)
        session.tree = tree
        if "tools" in state:
            try:
                session.tools = read_tools(state["tools"], vocab_size=self.tokenizer.vocab_size)
            except ValueError as error:
                raise Wrong(str(error)) from None
        return session


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes and whether it ends as a line, of every line of a regular file; never waits on a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _refused(path, 0, "not a regular file")
            number = 0
            while line := file.readline(MAX_LINE + 1 if number else MAX_FIRST):
                number += 1
                if len(line) > MAX_LINE:
                    raise _refused(path, number, f"longer than {MAX_LINE} bytes")
                yield number, line, line.endswith(b"\n")
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise _refused(path, 0, f"cannot be read ({reason})") from None


def _first(path: Path, line: bytes, whole: bool) -> Summary:
    try:
        record = read_line(line)
    except (Wrong, RecursionError):
        if not whole and line.startswith(b'{"schema":"' + _KIND.encode()):
            raise _refused(path, 1, "the file is cut before its first token: nothing of it can be shown") from None
        raise _refused(path, 1, "this is no session of tinychat") from None
    schema = record.get("schema")
    if schema not in READS:
        if isinstance(schema, str) and schema.startswith(_KIND + "/"):
            said = f"it was saved by a newer tinychat ({one_line(schema)[:40]}); this one reads {SCHEMA}"
            raise FileFormatError(f"{one_line(str(path))}: line 1: {said}.", "Update tinychat.")
        raise _refused(path, 1, "this is no session of tinychat")
    try:
        model = record.get("model")
        if not isinstance(model, dict):
            raise Wrong("there is no model")
        mode = record.get("mode")
        if mode not in ("completion", "chat"):
            raise Wrong("mode must be completion or chat")
        return Summary(
            path=path, saved=text_of(record, "saved"), name=text_of(record, "name"), mode=mode,
            tokens=whole_of(record, "tokens"), branches=whole_of(record, "branches"), words=text_of(record, "words"),
            source=Source(
                path=text_of(model, "path"), digest=text_of(model, "digest"), step=whole_of(model, "step"),
                context=whole_of(model, "context"), machine=read_machine(record.get("machine")),
            ),
            open=record.get("open") is True,
        )  # fmt: skip
    except (Wrong, ValueError) as error:
        raise _refused(path, 1, str(error)) from None


def read_machine(record: object) -> Machine:
    """The inverse of Machine.to_dict, for a file from anywhere; ValueError says what is wrong."""
    if record is None:
        return Machine()
    if not isinstance(record, dict):
        raise ValueError("machine must be an object")
    known = {field.name for field in fields(Machine)}
    for name, value in record.items():
        kinds: tuple[type, ...] = {"threads": (int,), "speculation": (dict,)}.get(name, (str,))
        if name not in known or not (value is None or type(value) in kinds):
            raise ValueError(f"machine has no such {one_line(str(name))[:40]}")
    if record.get("device") is None:
        record = {name: value for name, value in record.items() if name != "device"}
    return Machine(**record)


def _annotate(branches: list[Branch], notes: object) -> None:
    """Labels and the like, onto their branches; those of branches that were cut off are left out."""
    if not isinstance(notes, dict):
        raise Wrong("notes must be an object")
    for branch in branches:
        if (known := notes.get(str(branch.number))) is None:
            continue
        if not isinstance(known, dict):
            raise Wrong(f"the notes on branch {branch.number} must be an object")
        branch.label, branch.stop = (text_of(known, key) if key in known else "" for key in ("label", "stop"))
        branch.hidden = known.get("hidden") is True


def _refused(path: Path, line: int, reason: str) -> FileFormatError:
    where = f"{one_line(str(path))}: line {line}" if line else one_line(str(path))
    return FileFormatError(f"{where}: {one_line(reason)[:300]}.", HINT)
