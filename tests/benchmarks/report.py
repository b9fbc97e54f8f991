"""The results: a table for people, JSON for programs, and what they were taken with."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from ingest_app import sqlite
from tests.benchmarks.rounds import Spread

OURS_DURABLE = "all of it, on disk before the answer (synchronous=FULL)"
PIPE_WIDTH = 210

_PACKAGES = (
    "gunicorn", "flask", "sqlalchemy", "apscheduler", "fastapi", "uvicorn", "huey", "litequeue",
)  # fmt: skip
_HEADINGS = (
    "", "measure", "unit", "ours, keeps all", "against", "theirs", "ratio", "aim", "met",
)  # fmt: skip
_VERDICTS = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


@dataclass(frozen=True)
class Peer:
    """What ours is compared with.

    keeps: in a few words, what of its work outlives a crash or a power failure; `durable` tells
        how.
    """

    name: str
    keeps: str
    durable: str


@dataclass(frozen=True)
class Aim:
    """A bound for one figure of a row.

    none_below: what not even the lowest may be under; the others are for the middle.
    """

    of: Literal["ours", "ratio"]
    at_least: float | None = None
    at_most: float | None = None
    none_below: float | None = None

    def __str__(self) -> str:
        ends = ((">=", self.at_least), ("<=", self.at_most), ("none <", self.none_below))
        bounds = ", ".join(f"{sign} {bound:g}" for sign, bound in ends if bound is not None)
        return f"{self.of} {bounds}"

    def is_met_by(self, figure: Spread) -> bool:
        """Whether the figure is within the bounds, themselves included."""
        return (
            (self.at_least is None or figure.middle >= self.at_least)
            and (self.at_most is None or figure.middle <= self.at_most)
            and (self.none_below is None or figure.lowest >= self.none_below)
        )


@dataclass(frozen=True)
class Row:
    """One measure.

    how: settings and circumstances, a sentence.
    ours: the median over the rounds and the range, or what `name` says.
    ratio: how many times better ours is, or as `name` says; None when nothing is compared.
    """

    measure: str
    name: str
    unit: str
    how: str
    ours: Spread
    peer: Peer | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    aim: Aim | None = None
    durable: str = OURS_DURABLE

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is met; None when there is none."""
        if self.aim is None:
            return None
        figure = self.ours if self.aim.of == "ours" else self.ratio
        return figure is not None and self.aim.is_met_by(figure)


MakeRow = Callable[..., Row]
"""`Row` with some of its fields given."""


def versions() -> Mapping[str, object]:
    """Of all that takes part."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite.engine_options()["module"].sqlite_version,
        "sqlite of the peers": sqlite3.sqlite_version,
        **{package: version(package) for package in _PACKAGES},
    }


def as_json(rows: Sequence[Row], header: Mapping[str, object]) -> Mapping[str, Any]:
    """Everything, for programs."""
    return {
        "header": header,
        "rows": [
            {**asdict(row), "aim": row.aim and str(row.aim), "is_met": row.is_met} for row in rows
        ],
    }


def show(rows: Sequence[Row], header: Mapping[str, object]) -> None:
    """Print everything, for people."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    say = partial(console.print, highlight=False, markup=False)
    say(", ".join(f"{name} {value}" for name, value in header.items()))
    console.print(_table(rows))
    for measure, how in dict.fromkeys((row.measure, row.how) for row in rows):
        say(f"{measure}: {how}")
    for durable in dict.fromkeys(row.durable for row in rows):
        say(f"Durable, ours: {durable}")
    for peer in dict.fromkeys(row.peer for row in rows if row.peer):
        say(f"Durable, {peer.name}: {peer.durable}")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(caption="median (lowest - highest)", caption_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(
            row.measure,
            row.name,
            row.unit,
            _shown(row.ours),
            f"{row.peer.name}, keeps {row.peer.keeps}" if row.peer else "",
            _shown(row.theirs),
            _shown(row.ratio),
            str(row.aim or ""),
            _VERDICTS[row.is_met],
        )
    return table


def _shown(figure: Spread | None) -> str:
    if figure is None:
        return ""
    if figure.lowest == figure.highest:
        return _number(figure.middle)
    return f"{_number(figure.middle)} ({_number(figure.lowest)} - {_number(figure.highest)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
