"""The report of `ingest verify`; apart, because what it needs takes a second to import."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ingest_app import configured_database_path
from ingest_app.cli.exits import ExitStatus
from ingest_app.clock import SystemClock
from ingest_app.database import open_for_reading
from ingest_app.verifying import PaceFigures, Report, verify

_LISTED_COUNT = 20


def report_on(database: Path | None, *, is_live: bool, as_json: bool) -> int:
    """Print what speaks for and against the promises, and return the exit status."""
    path = database or configured_database_path()
    report = verify(open_for_reading(path), clock=SystemClock() if is_live else None)
    if as_json:
        click.echo(json.dumps({"database": str(path), **report.as_dict()}))
    else:
        _print_report(path, report)
    return ExitStatus.DONE if report.holds else ExitStatus.WORK_FAILED


def _print_report(path: Path, report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{path}:", markup=False)
    console.print(_pace_table(report))
    for finding in report.findings[:_LISTED_COUNT]:
        console.print(f"{finding.promise}: {finding.what} ({finding.where})", markup=False)
    left_out_count = len(report.findings) - _LISTED_COUNT
    if left_out_count > 0:
        console.print(f"... and {left_out_count} more; --json lists all.")
    console.print(_verdict(report))


def _verdict(report: Report) -> str:
    if report.holds:
        return "Nothing in it speaks against promises 1, 2, 4 or 6 to 9."
    return f"{len(report.findings)} of its rows speak against a promise."


def _pace_table(report: Report) -> Table:
    table = Table()
    table.add_column("source")
    for figures in report.sources:
        table.add_column(figures.source, justify="right")
    columns = [_pace_column(figures) for figures in report.sources]
    for row in columns[0] if columns else ():
        table.add_row(row, *(column[row] for column in columns))
    return table


def _pace_column(figures: PaceFigures) -> dict[str, str]:
    again = (f"{count} {why}" for why, count in figures.dispatched_again.items())
    return {
        "calls": str(figures.call_count),
        "interval, seconds": _seconds(figures.interval_seconds),
        "smallest gap, seconds": _seconds(figures.smallest_gap_seconds),
        "mean gap while work waited": _seconds(figures.mean_gap_seconds),
        "unused slots while work waited": str(figures.wasted_slot_count),
        "gaps that cannot be judged": str(figures.unproven_gap_count),
        "dispatched again": ", ".join(again) or "none",
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
