"""Whether and from where a run goes on, and what a person must know before it does.

Nothing here knows torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinychat import files
from tinychat.errors import CorpusError, UsageError
from trainer import board, checkpoints
from trainer.checkpoints import Found, Surroundings
from trainer.config import TrainConfig
from trainer.config_file import differences, dumps, load
from trainer.prepare import check_sources
from trainer.run_folder import RunFolder

FIXED_TABLES = ("data", "tokenizer", "model", "lora")  # another one of these is another run
FREE_TABLES = ("eval", "sample", "save", "run")  # no training number depends on them
# told by Surroundings, or of no weight
ELSEWHERE = ("train.threads", "train.device", "train.micro_rows", "train.optimizer", "train.shard")
LIMITS = ("train.steps", "train.epochs", "train.tokens", "train.minutes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where a sitting starts: a checkpoint, or None for the first step."""

    found: Found | None = None
    told: list[str] = field(default_factory=list)
    same_limits: bool = True  # the schedule's length is what it was


def look_first(config: TrainConfig, path: Path, *, resume: bool, fresh: bool) -> None:
    """Refuse what cannot work before anything is written, and above all before --fresh removes an older run.

    Raises UsageError when a run is there and neither `resume` nor `fresh` is, or when there is none to resume;
    CorpusError when a new run's text is not there, FileFormatError for its tokenizer.
    """
    board.check(config)
    folder = RunFolder(path, locked=False)
    if resume:
        if not folder.config.exists():
            raise UsageError(f"There is no run in {path} to go on with.", "Start one: leave --resume out.")
        return
    if folder.holds_checkpoint and not fresh:
        raise UsageError(
            f"{path} holds a run already.",
            "Go on with it:  --resume    Start over:  --fresh    Leave it alone:  --out another/folder",
        )
    check_sources(config)


def begin(config: TrainConfig, folder: RunFolder, *, resume: bool, fresh: bool) -> Beginning:
    """Settle what this sitting starts from, and write its config into the folder.

    Raises what look_first() does, and UsageError when the run's text, vocabulary or network was another.
    """
    look_first(config, folder.path, resume=resume, fresh=fresh)
    if fresh:
        folder.clear()
    told = [] if folder.locked else ["this file system knows no locks: keep other runs out of this folder yourself"]
    if folder.path.is_dir():
        folder.sweep()
        checkpoints.sweep(folder.checkpoints)
    found, broken = checkpoints.newest(folder.checkpoints) if resume else (None, [])
    told += broken
    same_limits = True
    if resume:
        if found is None:
            told.append("there is no whole checkpoint: the run starts at its beginning")
        changes = differences(load(folder.config, look=False), config)
        _refuse_other_run(changes, folder)
        told += _inexact(config, [f"{key} was {old}, is {new}" for key, old, new in changes if _matters(key, config)])
        same_limits = not any(key in LIMITS for key, _, _ in changes)
    files.write_atomic(folder.config, dumps(config).encode())
    return Beginning(found=found, told=told, same_limits=same_limits)


def check_surroundings(config: TrainConfig, found: Found, now: Surroundings) -> list[str]:
    """Why the result will not be bit-exact, to be told. CorpusError when text or vocabulary are others."""
    before = found.surroundings
    if before.base != now.base:
        raise CorpusError(
            f"The checkpoint of train.from is another than when the run began: digest {before.base[:16]},"
            f" now {now.base[:16]}.",
            "Put the old one back: adapters fit no other. Or start over with --fresh.",
        )
    for what in ("tokenizer", "data"):
        was, is_ = getattr(before, what), getattr(now, what)
        if was != is_:
            raise CorpusError(
                f"The {what} of this run has changed since its checkpoint: digest {was[:16]}, now {is_[:16]}.",
                "Put the old files back into the run folder, or start over with --fresh.",
            )
    return _inexact(config, before.differences(now))


def _inexact(config: TrainConfig, reasons: list[str]) -> list[str]:
    if reasons and config.run.exact_resume:
        raise UsageError(
            f"The run would not go on bit-exact: {'; '.join(reasons)}.",
            "Restore that, or set run.exact_resume = false.",
        )
    return [f"not bit-exact: {reason}" for reason in reasons]


def _refuse_other_run(changes: list[tuple[str, str, str]], folder: RunFolder) -> None:
    others = [f"{key} was {old}, is {new}" for key, old, new in changes if key.split(".")[0] in FIXED_TABLES]
    if others:
        raise UsageError(
            f"{folder.path} holds another run: {'; '.join(others)}.", "Name another folder with --out, or use --fresh."
        )


def _matters(key: str, config: TrainConfig) -> bool:
    if key.split(".")[0] in FREE_TABLES or key in ELSEWHERE:
        return False
    others = (config.train.steps, config.train.epochs, config.train.tokens)
    # beside another limit the minutes only say when to stop
    return key != "train.minutes" or all(limit is None for limit in others)
