"""Plots of runs, ready to be drawn: the page gets numbers and writes them down as SVG (U5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from app.admin.names import words
from app.admin.runs import LOOKS
from app.models.automation import RunStatus

WIDTH, HEIGHT = 640, 160
GAP = 0.2  # of a bar's width
DAYS = 30
# From the ground up: what went well carries what did not.
STACKED = (
    RunStatus.SUCCESS,
    RunStatus.SKIPPED,
    RunStatus.CANCELLED,
    RunStatus.MISSED,
    RunStatus.TIMEOUT,
    RunStatus.FAILED,
)


@dataclass(frozen=True)
class Bar:
    """A rectangle of the plot; `said` is what it stands for."""

    x: float
    y: float
    width: float
    height: float
    look: str
    said: str


@dataclass(frozen=True)
class Plot:
    """Bars in a frame of `width` by `height`, the highest value, and the table with the same."""

    bars: Sequence[Bar]
    most: str
    first: str
    last: str
    legend: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    width: int = WIDTH
    height: int = HEIGHT


def bars_of_days(per_day: Mapping[str, Mapping[str, int]], now: datetime) -> Plot | None:
    """Runs per day (UTC) by status, of the last thirty days; None: there were none."""
    if not per_day:
        return None
    days = [now.date() - timedelta(days=n) for n in reversed(range(DAYS))]
    counts = [per_day.get(day.isoformat(), {}) for day in days]
    most = max((sum(one.values()) for one in counts), default=0) or 1
    there = [status for status in STACKED if any(one.get(status.value) for one in counts)]
    bars = [
        bar
        for place, (day, one) in enumerate(zip(days, counts, strict=True))
        for bar in _stack(place, len(days), day, one, most)
    ]
    rows = [
        (day.isoformat(), *(one.get(status.value, 0) for status in there))
        for day, one in zip(days, counts, strict=True)
        if one
    ]
    legend = [(LOOKS[status], words(status)) for status in there]
    return Plot(bars, str(most), f"{days[0]}", f"{days[-1]}", legend, rows)


def _stack(
    place: int, places: int, day: date, counts: Mapping[str, int], most: int
) -> Sequence[Bar]:
    step, floor, found = WIDTH / places, float(HEIGHT), []
    for status in STACKED:
        count = counts.get(status.value, 0)
        if count:
            tall = HEIGHT * count / most
            floor -= tall
            said = f"{day}: {count} {words(status)}"
            found.append(_bar(place, step, floor, tall, LOOKS[status], said))
    return found


def bars_of_lengths(runs: Sequence[Any]) -> Plot | None:
    """How long runs took, the oldest left; None: none has ended."""
    return _bars_of(runs, [run.duration_ms for run in runs])


def bars_of_lateness(runs: Sequence[Any]) -> Plot | None:
    """How long after they were due runs began, the oldest left; None: none has ended."""
    return _bars_of(runs, [_late_ms(run) for run in runs])


def _late_ms(run: Any) -> int:
    if run.started_at is None or run.due_at is None:
        return 0
    return max(round((run.started_at - run.due_at).total_seconds() * 1000), 0)


def _bars_of(runs: Sequence[Any], lengths: Sequence[int]) -> Plot | None:
    """A bar per run, as tall as its length in milliseconds."""
    if not runs:
        return None
    longest = max(lengths) or 1
    step = WIDTH / max(len(runs), 10)
    bars, rows = [], []
    for place, (run, ms) in enumerate(zip(runs, lengths, strict=True)):
        tall = max(HEIGHT * ms / longest, 2)
        said = f"{run.finished_at:%Y-%m-%d %H:%M}: {length(ms)}, {words(run.status)}"
        bars.append(_bar(place, step, HEIGHT - tall, tall, LOOKS[run.status], said))
        rows.append((run.finished_at, words(run.status), length(ms)))
    there = dict.fromkeys(run.status for run in runs)
    first, last = (f"{run.finished_at:%Y-%m-%d %H:%M}" for run in (runs[0], runs[-1]))
    legend = [(LOOKS[status], words(status)) for status in there]
    return Plot(bars, length(longest), first, last, legend, rows)


def _bar(place: int, step: float, y: float, tall: float, look: str, said: str) -> Bar:
    return Bar(
        round((place + GAP / 2) * step, 1),
        round(y, 1),
        round(step * (1 - GAP), 1),
        round(tall, 1),
        look,
        said,
    )


def length(ms: int) -> str:
    """`38 ms`, `2.5 s`, `12.0 min`."""
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.1f} min"
