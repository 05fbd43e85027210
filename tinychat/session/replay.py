"""The exact command that draws the same tokens again, in a shell, without the screen.

Positions count the tokens of the reply from 0, as `tinychat sample --at` and `--force` do.
"""

from __future__ import annotations

import shlex

from tinychat.engine.knobs import KNOBS
from tinychat.engine.params import SamplingParams
from tinychat.session.session import Session
from tinychat.text.chat import Message, render


def command(session: Session) -> str:
    """`tinychat sample ...` for the reply there is; for an empty reply, for the next one."""
    words = ["tinychat", "sample"]
    if session.model:
        words += ["-m", str(session.model)]
    words += _prompt(session)
    base, changes = session.reply_settings()
    words += ["--seed", str(base.seed), "-n", str(session.reply_length or session.max_tokens)]
    words += settings_flags(base)
    before = base
    for index, params in changes:
        words += ["--at", f"{index}:{','.join(changed_settings(before, params))}"]
        before = params
    for index, token in session.forced():
        words += ["--force", f"{index}={token}"]
    return shlex.join(words)


def settings_flags(params: SamplingParams) -> list[str]:
    """Every setting that is not neutral, as flags; the seed is not among them."""
    words = []
    for knob in KNOBS:
        value = getattr(params, knob.name)
        if value != knob.neutral:
            words += [knob.flag, repr(value)]  # repr: knob.text rounds for the eye
    if params.penalty_scope != "all":
        words += ["--penalty-scope", params.penalty_scope]
    for token, bias in params.bias:
        words += ["--logit-bias", f"{token}={bias!r}"]
    if params.order != "default":
        words += ["--order", _order(params)]
    return words


def changed_settings(before: SamplingParams, after: SamplingParams) -> list[str]:
    """What `--at` has to say: name=value of all that changed."""
    words = []
    for knob in KNOBS:
        if getattr(before, knob.name) != getattr(after, knob.name):
            words.append(f"{knob.name}={getattr(after, knob.name)!r}")
    if before.penalty_scope != after.penalty_scope:
        words.append(f"penalty_scope={after.penalty_scope}")
    if before.seed != after.seed:
        words.append(f"seed={after.seed}")
    if before.bias != after.bias:
        words.append("logit_bias=" + ",".join(f"{token}={bias!r}" for token, bias in after.bias))
    if before.order != after.order:
        words.append(f"order={_order(after)}")
    return words


def _order(params: SamplingParams) -> str:
    return params.order if isinstance(params.order, str) else ",".join(params.stages)


def _prompt(session: Session) -> list[str]:
    """The prompt as text where that gives these very ids, else as ids: a cut or a second turn has no text form."""
    given = list(session.tree.path.ids[: session.reply_start])
    if session.mode == "chat":
        turns = [Message("system", session.system)] if session.system else []
        if not given or given == render([*turns, Message("user", session.prompt)], session.tokenizer, reply=True).ids:
            system = ["--system", session.system] if session.system else []
            return ["--chat", *system, "-p", session.prompt]
    elif not given or given == session.tokenizer.encode_document(session.prompt):
        return ["-p", session.prompt]
    return ["--prompt-ids", ",".join(str(token) for token in given)]
