"""The dashboard as lines of text for any size: where what is known of a run stands on the screen.

Narrow screens stack curve, figures and sample; wide ones put figures beside curve and sample. What does not fit
goes in a fixed order, figures last. Pure: View and size in, lines out. Nothing here writes to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tinychat.text.terminal import clean, one_line
from trainer import figures
from trainer.events import Progress, Sampled, TrainStep
from trainer.history import Point
from trainer.plot import plot
from trainer.strips import probe_line, probe_lines, rate_strip, series_strip
from trainer.view import View

WIDE = 100  # columns from which figures stand beside the curve
SIDE = 38  # columns of the figures there
TALL_SAMPLE = 8  # most lines of a sample on a narrow screen
STOP_HELP = "Ctrl-C saves and stops"
KEY_HELP = "space pause  s save  t sample  - lower the rate  + raise it  tab curve  q stop"
KEY_HELP_SHORT = "space pause  s save  t sample  -+ rate  tab curve  q stop"


def frame(view: View, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """Exactly `height` lines, none wider than `width` columns."""
    head = _header(view, width)
    foot = _footer(view, width)
    if view.started is None:
        body = _waiting(view, width, ascii_only)
    elif width >= WIDE:
        body = _wide(view, width, height - len(head) - len(foot), ascii_only)
    else:
        body = _narrow(view, width, height - len(head) - len(foot), ascii_only)
    room = max(0, height - len(head) - len(foot))
    lines = [*head, *body[:room], *[Text()] * (room - len(body)), *foot]
    lines = [_fitted(line, width) for line in lines[:height]]
    return [_plain(line) for line in lines] if ascii_only else lines


def _plain(line: Text) -> Text:
    """Our own signs as ASCII."""
    return Text(line.plain.replace("·", "-"), style=line.style, spans=line.spans)


def _header(view: View, width: int) -> list[Text]:
    run = view.started
    title = Text("tinychat train", style="bold")
    if run is None:
        return [title, Text()]
    title.append(f"  {one_line(run.name)}", "bold cyan")
    facts = f"{figures.count(run.parameters)} parameters"
    if width >= 60:
        facts += f" · {run.device}, {run.threads} thread{'s' * (run.threads != 1)}"
    title.append(" " * max(2, width - cell_len(title.plain) - cell_len(facts)))
    title.append(facts)
    parts = [
        run.shape,
        f"vocabulary {run.vocab_size}",
        f"context {run.context}",
        f"{figures.count(run.tokens_per_step)} tokens a step",
        f"{figures.count(run.train_tokens)} tokens of text",
        one_line(str(run.out)),
    ]
    while len(parts) > 1 and cell_len(" · ".join(parts)) > width:
        parts.pop()
    return [title, Text(" · ".join(parts), style="dim")]


def _footer(view: View, width: int) -> list[Text]:
    lines = [Text(f"! {one_line(message)}", style="bold magenta") for message in view.warnings[-2:]]
    if view.progress is not None and view.started is not None and view.progress.what:
        note = _progress_text(view.progress)
    elif view.saved is not None and view.step is not None:
        behind = view.step.step - view.saved.step
        note = f"saved at step {view.saved.step}" + (f", {behind} steps ago" if behind else "")
        path = f" · {one_line(str(view.saved.path))}"
        note += path if width >= cell_len(note + path) + len(STOP_HELP) + 2 else ""
    else:
        note = "not saved yet" if view.started is not None else ""
    line = Text(note, style="dim")
    if view.note:
        line = Text(f"> {view.note}", style="bold")
    elif view.paused:
        line = Text("PAUSED: space goes on", style="bold reverse")
    if width >= cell_len(line.plain) + len(STOP_HELP) + 2:
        line.append(" " * (width - cell_len(line.plain) - len(STOP_HELP)))
        line.append(STOP_HELP, "dim not bold not reverse")
    if view.keys and view.started is not None:
        lines.append(Text(KEY_HELP if width >= len(KEY_HELP) else KEY_HELP_SHORT, style="dim"))
    return [*lines, line]


def _waiting(view: View, width: int, ascii_only: bool) -> list[Text]:
    done = view.progress
    if done is None:
        return [Text(view.waiting)]
    lines = [Text(_progress_text(done))]
    if done.total:
        lines.append(_bar(done.done / done.total, min(width, 60), ascii_only))
    return lines


def _progress_text(progress: Progress) -> str:
    if not progress.done:
        return f"{progress.what} ..."
    if progress.unit == "bytes":
        of = f" of {figures.size(progress.total)}" if progress.total else ""
        return f"{progress.what}: {figures.size(progress.done)}{of}"
    of = f" of {progress.total}" if progress.total else ""
    return f"{progress.what}: {progress.done}{of} {progress.unit}"


def _wide(view: View, width: int, height: int, ascii_only: bool) -> list[Text]:
    left = width - SIDE - 2
    top = [_progress_line(view, width, ascii_only), Text()]
    rows = height - len(top)
    # beside the curve it would have to wait for what the figures leave, which is nothing on most screens
    below = _sample(view, left, min(12, max(3, rows // 4))) if rows >= 12 else []
    curve = [_legend(view, left, ascii_only), *_curve(view, left, rows - 1 - len(below), ascii_only), *below]
    side = _column(_figures(view, long=True))
    if rows - len(side) >= 4:
        side += [Text(), *_strips(view, SIDE, ascii_only)]
    if rows - len(side) >= 4 and view.curve.probes:
        side += [Text(), *probe_lines(view.curve.probes, SIDE, rows - len(side) - 1, ascii_only=ascii_only)]
    lines = []
    for row in range(rows):
        line = _fitted(curve[row] if row < len(curve) else Text(), left)
        line = line.copy()
        line.append(" " * (left - cell_len(line.plain) + 2))
        if row < len(side):
            line.append_text(_fitted(side[row], SIDE))
        lines.append(line)
    return [*top, *lines]


def _narrow(view: View, width: int, height: int, ascii_only: bool) -> list[Text]:
    figures_ = _rows(_figures(view, long=False), width)
    fixed = 1 + len(figures_)  # the bar and the figures
    left = height - fixed
    probe = [probe_line(view.curve.probes, width, ascii_only=ascii_only)] if view.curve.probes and left >= 10 else []
    left -= len(probe)
    sample = _sample(view, width, min(TALL_SAMPLE, max(3, left // 3))) if left >= 9 else []
    rows = left - len(sample) - 1
    curve = [_legend(view, width, ascii_only), *_curve(view, width, rows, ascii_only)] if rows >= 5 else []
    if not curve and left >= 3:
        sample = _sample(view, width, left)
    return [*curve, _progress_line(view, width, ascii_only), *figures_, *probe, *sample]


def _strips(view: View, width: int, ascii_only: bool) -> list[Text]:
    """Rate with what is planned, gradient norm and speed over the run."""
    curve = view.curve
    return [
        rate_strip("rate", curve.rate.points, view.planned, width, ascii_only=ascii_only),
        series_strip("gradient", curve.gradient.points, width, ascii_only=ascii_only),
        series_strip("tok/s", curve.speed.points, width, ascii_only=ascii_only),
    ]


def _curve(view: View, width: int, height: int, ascii_only: bool) -> list[Text]:
    curve, now = view.curve, view.step.step if view.step else 0
    drawn: dict[str, tuple[list[Point], list[Point]]] = {
        "loss": (curve.train, curve.valid),
        "learning rate": (curve.rate.points, [point for point in view.planned if point[0] > now]),
        "gradient norm": (curve.gradient.points, []),
        "tokens per second": (curve.speed.points, []),
    }
    lines, circles = drawn[view.shown]
    return plot(lines, circles, width=width, height=height, ascii_only=ascii_only)


def _legend(view: View, width: int, ascii_only: bool) -> Text:
    line_sign, circle = ("'", "o") if ascii_only else ("⠒", "●")
    if view.shown != "loss":
        line = Text(f"{line_sign} {view.shown}", "cyan")
        if view.shown == "learning rate":
            line.append(f"  {circle} planned", "bold magenta")
        return line
    line = Text("loss  ").append(f"{line_sign} train", "cyan")
    if width >= 40:
        line.append(" (smoothed)", "dim")
    return line.append("  ").append(f"{circle} held out", "bold magenta")


def _progress_line(view: View, width: int, ascii_only: bool) -> Text:
    run, step = view.started, view.step
    done = step.step if step else (run.step if run else 0)
    total = max(1, run.steps if run else 1)
    times = ""
    if step is not None:
        times = f"{figures.duration(step.eta_s)} to go"
        if width >= 60:
            times = f"{figures.duration(step.elapsed_s)}, {times}"
    head, share = f"step {done}/{total} ", f" {done / total:4.0%} "
    room = width - len(head) - len(share) - len(times)
    line = Text(head, style="bold")
    if room >= 8:
        line.append_text(_bar(done / total, room, ascii_only))
    line.append(share)
    line.append(times, "none")
    return line


def _bar(share: float, width: int, ascii_only: bool) -> Text:
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    filled = round(min(1.0, max(0.0, share)) * width)
    bar = Text(full * filled, style="green")
    bar.append(empty * (width - filled), "dim")
    return bar


def _figures(view: View, *, long: bool) -> list[tuple[str, str, str]]:
    """(label, value, style), most important first; `long` labels are for a column of their own."""
    step, valid, best = view.step, view.evaluated, view.best
    if step is None:
        return []
    found = [
        ("loss", figures.loss(step.loss), "bold"),
        ("smoothed" if long else "smooth", figures.loss(step.smooth_loss), "cyan"),
        ("held out", figures.loss(valid.loss if valid else None), "bold magenta"),
    ]
    if best is not None and best is not valid:
        found.append(("best", f"{figures.loss(best.loss)} at {best.step}", ""))
    found += [
        ("bits per byte" if long else "bits/B", figures.loss(step.bits_per_byte), ""),
        ("... held out" if long else "held b/B", figures.loss(valid.bits_per_byte if valid else None), ""),
        ("learning rate" if long else "rate", f"{step.lr:.2e}{_scale(view.scale)}", ""),
        ("gradient norm" if long else "gradient", f"{step.grad_norm:.3f}", ""),
        ("tokens per second" if long else "tok/s", figures.count(step.tokens_per_s), "bold"),
        *_compute(view, step, long=long),
        ("tokens seen" if long else "tokens", figures.count(step.tokens), ""),
        ("epoch", f"{step.epoch:.2f}", ""),
        ("memory", figures.size(step.memory_bytes), ""),
    ]
    return found


def _scale(scale: float) -> str:
    return "" if scale == 1 else f" x 1/{round(1 / scale)}"


def _compute(view: View, step: TrainStep, *, long: bool) -> list[tuple[str, str, str]]:
    """Operations a second, and their share of what the machine can do."""
    run = view.started
    if run is None or not run.flops_per_token:
        return []
    flops = step.tokens_per_s * run.flops_per_token
    share = f"{flops / run.matrix_flops:.0%}" if run.matrix_flops else ""
    if not long:
        return [("compute", share or figures.flops(flops), "")]
    rows = [("compute", figures.flops(flops), "")]
    return [*rows, ("... of its peak", f"{share} of {figures.flops(run.matrix_flops)}", "")] if share else rows


def _column(found: Sequence[tuple[str, str, str]]) -> list[Text]:
    return [Text.assemble((f"{label:<17} ", "dim"), (value, style or "none")) for label, value, style in found]


def _rows(found: Sequence[tuple[str, str, str]], width: int) -> list[Text]:
    """Figures in aligned cells, as many in a row as fit."""
    if not found:
        return []
    widths = max(cell_len(label) + cell_len(value) for label, value, _ in found) + 3
    across = max(1, min(4, width // widths))
    cell = width // across
    lines = []
    for start in range(0, len(found), across):
        line = Text()
        for label, value, style in found[start : start + across]:
            line.append(f"{label} ", "dim").append(value, style or "none")
            line.append(" " * (cell - cell_len(label) - 1 - cell_len(value)))
        lines.append(line)
    return lines


def _sample(view: View, width: int, height: int) -> list[Text]:
    """The last sample: a heading, then its text, cut at `height` lines."""
    said = view.sampled
    if said is None or height < 2:
        return []
    heading = Text(f"sample at step {said.step}, temperature {said.temperature:g}", style="dim")
    lines = [heading, *_wrapped(_said(said), width)[: height - 1]]
    before = view.earlier.get(said.prompt)
    if before is not None and height - len(lines) >= 2:
        lines.append(Text(f"before, at step {before.step}", style="dim"))
        lines += _wrapped(_said(before), width)[: height - len(lines)]
    return lines


def _said(sampled: Sampled) -> Text:
    body = Text(clean(sampled.prompt, keep=""), style="bold")
    # as Text, never as markup: brackets in what a model says mean nothing here
    return body.append(clean(sampled.text, keep="\n").replace("\n\n", "\n"), "not bold")


def _wrapped(text: Text, width: int) -> list[Text]:
    """Lines of at most `width` columns, broken at spaces where there are any."""
    lines: list[Text] = []
    for part in text.split("\n"):
        while cell_len(part.plain) > width:
            cut = _cut_place(part.plain, width)
            lines.append(part[:cut])
            part = part[cut:]
            if part.plain.startswith(" "):
                part = part[1:]
        lines.append(part)
    return lines


def _cut_place(plain: str, width: int) -> int:
    fits = len(plain)
    used = 0
    for place, letter in enumerate(plain):
        used += cell_len(letter)
        if used > width:
            fits = place
            break
    space = plain.rfind(" ", 0, fits + 1)
    return space if space > width // 2 else max(1, fits)


def _fitted(line: Text, width: int) -> Text:
    """The line, cut to `width` columns."""
    if cell_len(line.plain) <= width:
        return line
    kept = line.copy()
    kept.truncate(max(0, width), overflow="crop")
    return kept


def plain_lines(lines: Iterable[Text], width: int) -> list[str]:
    """The frame without styles, each line padded to `width` columns."""
    return [set_cell_size(line.plain, width) for line in lines]
