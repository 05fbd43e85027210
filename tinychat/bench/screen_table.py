"""The figures of the screen as a person reads them, within 80 columns, with what is over its bar said in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tinychat.bench.quiet import LIMIT
from tinychat.bench.table import WIDTH, number, share, size
from tinychat.text.terminal import one_line


def print_screen(result: Mapping[str, Any]) -> None:
    """On stdout."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(render(result))


def render(result: Mapping[str, Any]) -> RenderableType:
    """A row a case, then what was over its bar, then the machine."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("key to screen, ms", no_wrap=True)
    for name in ("size", "p50", "p95", "max", "CPU", "out/s", "others"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in result["cases"]:
        case, latency = each["case"], each["latency_ms"]
        table.add_row(
            case["name"],
            "x".join(map(str, case["size"])),
            *([number(latency[part]) for part in ("p50", "p95", "max")] if latency else ["-"] * 3),
            "-" if each["cpu_share"] is None else f"{each['cpu_share'] * 100:.0f} %",
            size(each["bytes_per_s"]),
            "-" if each["others_cores"] is None else f"{each['others_cores']:.2f}",
        )
    lines = [line for each in result["cases"] for line in over(each, result["bars"])]
    said = lines or ["Every figure is within its bar."]
    return Group(table, Text(), *(Text(one_line(line)) for line in said), *_foot(result))


def over(each: Mapping[str, Any], bars: Mapping[str, Any]) -> list[str]:
    """What one case took more of than it may. Times may be longer where the machine is slower."""
    case, latency, found = each["case"], each["latency_ms"], []
    name = f"{case['name']}, {'x'.join(map(str, case['size']))}"
    others = each["others_cores"]
    excuse = f"; others kept {others:.1f} cores busy" if others is not None and others > LIMIT else ""
    slower = max(1.0, each["calibration_ms"] / bars["calibration_ms"])
    for part in ("p95", "max"):
        bar = case[f"{part}_ms"]
        if bar is not None and latency is not None and latency[part] > bar * slower:
            found.append(f"over: {name}: {part} {number(latency[part])} ms, bar {number(bar * slower)} ms{excuse}")
    if each["missed"]:
        found.append(f"over: {name}: {each['missed']} of {each['presses']} presses were never seen")
    if case["cpu"] is not None and each["cpu_share"] is not None and each["cpu_share"] > case["cpu"] * slower:
        found.append(f"over: {name}: CPU {share(each['cpu_share'])}, bar {share(case['cpu'] * slower)}{excuse}")
    if each["rss_bytes"] is not None and each["rss_bytes"] > bars["rss_bytes"]:
        found.append(f"over: {name}: memory {size(each['rss_bytes'])}, bar {size(bars['rss_bytes'])}")
    return found


def _foot(result: Mapping[str, Any]) -> list[Text]:
    cases, bars, facts = result["cases"], result["bars"], result["machine"]
    first = min(each["first_frame_s"] for each in cases if not each["case"]["tmux"])
    slower = max(1.0, facts["calibration_ms"] / bars["calibration_ms"])
    verdict = "ok" if first <= bars["first_frame_s"] * slower else f"over {bars['first_frame_s'] * slower:.2f}"
    memory = max((each["rss_bytes"] for each in cases if each["rss_bytes"]), default=0)
    lines = [
        f"first frame {first:.2f} s at best ({verdict}); memory of the screen {size(memory)} at most",
        f"{result['presses']} presses a case; the bars are for a machine whose loop takes"
        f" {bars['calibration_ms']:g} ms, here {facts['calibration_ms']:.1f}",
        f"others: cores that other programs kept busy; above {LIMIT} the figures are theirs too",
        f"{facts['cpu']}, {facts['cpus']} CPUs",
    ]
    return [Text(one_line(line), style="dim") for line in lines]
