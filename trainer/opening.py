"""How a sitting begins on all its processes: the folder, the checkpoint, the tokens.

The first process settles and writes, the others read what it has written. Nothing here knows models or steps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trainer import checkpoints
from trainer.board import Board
from trainer.config import TrainConfig
from trainer.distributed import Ranks
from trainer.events import Event
from trainer.prepare import Prepared, prepare
from trainer.resume import Beginning, begin
from trainer.run_folder import Log, RunFolder, claim
from trainer.signals import StopFlag


@contextmanager
def begun(
    config: TrainConfig, out: Path, ranks: Ranks, *, resume: bool, fresh: bool
) -> Iterator[tuple[RunFolder, Beginning, Log | None]]:
    """Folder and checkpoint as the first process settles them; it alone holds the lock and writes the log."""
    with ExitStack() as opened:
        folder, beginning, log = RunFolder(out, locked=True), Beginning(), None
        with ranks.together():
            if ranks.first:
                folder = opened.enter_context(claim(out))
                beginning = begin(config, folder, resume=resume, fresh=fresh)
                now = beginning.found.progress if beginning.found else None
                step, done = (
                    (now.step, {"evaluated": now.evaluated_at, "sampled": now.sampled_at}) if now else (None, {})
                )
                board = Board(folder.board, step or 0) if config.run.tensorboard else None
                log = Log(folder.log, keep_until=step, done=done, board=board)
                opened.callback(log.close)
        found = ranks.tell(str(beginning.found.folder) if beginning.found else None)
        same_limits = ranks.tell(beginning.same_limits)
        with ranks.together():
            if not ranks.first:
                beginning = Beginning(
                    found=checkpoints.verified(Path(found)) if found else None, same_limits=same_limits
                )
        yield folder, beginning, log


def prepared_by(
    config: TrainConfig, folder: RunFolder, own: StopFlag, ranks: Ranks
) -> Generator[Event, None, Prepared | None]:
    """The first process makes the tokens, then the others open them."""
    prepared = yield from ranks.led(lambda: prepare(config, folder, own), own)
    if ranks.tell(prepared is None):
        return None
    with ranks.together():
        if not ranks.first:
            prepared = _last(prepare(config, folder, StopFlag()))
    return prepared


def _last(work: Generator[Event, None, Prepared | None]) -> Prepared | None:
    """What a generator hands back."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Prepared | None = end.value
            return found
