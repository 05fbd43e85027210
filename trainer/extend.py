"""How a run becomes longer than it was meant to be: `tinychat train --extend 500 RUN`.

The rate is a function of the step and of the number of steps, so the schedule is laid anew over the whole run, old
steps and new: from here on the rate is what the longer run would have had. After a decay it rises again; a schedule
that holds (wsd, constant) goes on without a jump when it is extended before its decay. Nothing here knows torch.
"""

from __future__ import annotations

import re
from pathlib import Path

from tinychat.errors import UsageError
from trainer import checkpoints
from trainer.config_file import load
from trainer.run_folder import RunFolder

HOW = "Say how much:  --extend 500 (steps)  or  --extend 10m (minutes)"


def longer(path: Path, amount: str) -> list[str]:
    """Overrides for the config of the run in `path`: that many more steps after its end, or minutes from where it is.

    The end of a run that ended early, by eval.patience or train.minutes, is where it stands; patience does not end it
    again. `amount` is 500, 500steps, 10m or 10minutes. Raises UsageError for another, or
    when there is no checkpoint.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(steps?|s|minutes?|mins?|m)?\s*", amount)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"--extend {amount!r} is no number of steps or minutes.", HOW)
    minutes = (found[2] or "").startswith("m")
    if not minutes and "." in found[1]:
        raise UsageError(f"--extend {amount!r}: steps are whole.", HOW)
    newest, _ = checkpoints.newest(RunFolder(path, locked=False).checkpoints)
    if newest is None:
        raise UsageError(
            f"{path}: there is no checkpoint to extend.", f"Start it first:  tinychat train --resume {path}"
        )
    now, config = newest.progress, load(path / "config.toml", look=False)
    early = 0 < config.eval.patience <= now.worse
    late = config.train.minutes is not None and now.elapsed_s >= config.train.minutes * 60
    if minutes:
        wanted = {"minutes": f"{now.elapsed_s / 60 + float(found[1]):.6g}"}
    else:
        # where it was to end, unless it has ended before
        end = now.step if early or late else max(now.step, min(now.steps, config.train.steps or now.steps))
        wanted = {"steps": str(end + int(found[1]))}
    # what ended the run before would end it again
    told = [f"train.{limit}={wanted.get(limit, '')}" for limit in ("steps", "epochs", "tokens", "minutes")]
    return [*told, "eval.patience=0"] if early else told
