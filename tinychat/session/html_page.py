"""A session's path as one HTML page that needs nothing else: tokens coloured by surprisal, their odds on hover.

Nothing is loaded, and nothing in a text can act: every text passes the terminal filter and is escaped, the data is JSON
without angle brackets that the script puts on the page as text alone, and the page's own policy allows this one script
and this one style sheet by their digests. Marks are not by colour alone. Light and dark follow the reader.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import shlex
from collections.abc import Iterator
from importlib import resources
from typing import Any

from tinychat import __version__
from tinychat.engine.trace import Step
from tinychat.session.recall import Recording
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.session.spelling import settings_flags
from tinychat.session.transcript import pieces
from tinychat.session.tree import FORCED, PROMPT
from tinychat.text.terminal import CleanStream, one_line

LEVELS = (1.0, 3.0, 6.0)  # bits; the classes s0 to s3 between them


def html_page(recording: Recording, *, candidates: int) -> Iterator[str]:
    """The page, in pieces; `candidates` of every token are on it."""
    session, summary = recording.session, recording.summary
    folder = resources.files("tinychat.session")
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    title = _safe(summary.words or "tinychat")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n<style>{style}</style>\n</head>\n'
        f"<body>\n<header><h1>{title}</h1>\n"
    )
    tally = session.tally()
    mean = f", {tally.bits / tally.tokens:.2f} bits a token" if tally.tokens else ""
    model = summary.source.path.rsplit("/", 1)[-1] or str(session.model) or "the shipped model"
    about = (
        f"{model}, step {summary.source.step}, {summary.source.digest[:12] or 'digest not known'} · "
        f"{tally.tokens} tokens{mean} · {summary.saved} · tinychat {__version__}"
    )
    yield f"<p>{_safe(about)}</p>\n<p><code>{_safe(command(session))}</code></p>\n"
    if recording.dropped:
        yield f"<p><strong>{_safe(recording.dropped)}</strong></p>\n"
    yield (
        '<p class="legend">Surprisal of the raw distribution: <span class="t s0">below 1 bit</span> '
        '<span class="t s1">1 to 3</span> <span class="t s2">3 to 6</span> <span class="t s3">6 and more</span> '
        '<span class="t forced">chosen by a person</span> <span class="t moved">settings changed here</span>. '
        "Point at a token, or walk with the arrow keys.</p>\n</header>\n"
        '<main id="text" tabindex="0">'
    )
    yield from _spans(session)
    yield '</main>\n<aside id="odds" aria-live="polite"></aside>\n<script type="application/json" id="data">'
    yield from _data(session, candidates)
    yield f"</script>\n<script>{script}</script>\n</body>\n</html>\n"


def _spans(session: Session) -> Iterator[str]:
    path, stream = session.tree.path, CleanStream()
    for at, piece in enumerate(pieces(session)):
        text = html.escape(stream.push(piece))
        if path.kinds[at] == PROMPT:
            if text:
                yield f'<span class="given">{text}</span>'
            continue
        kinds = ["t", f"s{sum(path.surprisal[at] >= level for level in LEVELS)}"]
        kinds += ["forced"] * (path.kinds[at] == FORCED) + ["moved"] * session.moved(at)
        if not text:  # the first bytes of a character that a later token completes
            kinds, text = [*kinds, "part"], html.escape(session.tokenizer.label(path.ids[at]))
        hint = f"{path.surprisal[at]:.2f} bits, raw rank {path.rank[at]}, final {path.prob[at]:.1%}"
        yield f'<span class="{" ".join(kinds)}" data-at="{at}" title="{hint}">{text}</span>'


def _data(session: Session, candidates: int) -> Iterator[str]:
    """{"labels": {id: label}, "settings": [words], "tokens": {position: odds}}, with short keys and short numbers."""
    tree, first = session.tree, True
    labels = set(tree.path.ids)
    yield '{"tokens":{'
    for at in range(len(tree)):
        step = tree.step(at)
        if step is None:
            continue
        shown = [c for c in step.odds.candidates[:candidates] if c.token != step.token]
        labels.update(c.token for c in shown)
        yield ("" if first else ",") + f'"{at}":' + _json(_odds(step, candidates, tree.path.setting[at]))
        first = False
    yield '},"settings":'
    yield _json([one_line(shlex.join(settings_flags(params))) or "neutral" for params in session.settings])
    yield ',"seeds":' + _json([str(params.seed) for params in session.settings])
    yield ',"labels":' + _json({str(token): session.tokenizer.label(token) for token in sorted(labels)}) + "}"


def _odds(step: Step, candidates: int, setting: int) -> dict[str, Any]:
    odds = step.odds
    return {
        "id": step.token,
        "raw": [_short(step.raw), step.raw_rank],
        "final": [_short(step.final), step.final_rank],
        "bits": _short(min(step.surprisal, 999.0)),
        "entropy": [_short(odds.entropy), _short(odds.final_entropy)],
        "kept": [odds.kept, odds.vocab_size],
        "draw": None if step.forced else [_short(step.u), _short(step.low), _short(step.high)],
        "set": setting,
        "rows": [
            [c.token, c.rank, _short(c.raw), _short(c.final), c.cut_by or ""] for c in odds.candidates[:candidates]
        ],
        "stages": [
            [s.name, s.kept, _short(s.mass), _short(s.entropy), None if s.chosen is None else _short(s.chosen)]
            for s in odds.stages
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _json(value: object) -> str:
    """JSON that no HTML parser reads as anything else."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\x7f", "\\u007f")


def _safe(text: str) -> str:
    return html.escape(one_line(text))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
