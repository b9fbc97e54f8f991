"""The command line: `ingest …`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ingest_app.clock import SystemClock
from ingest_app.database import open_for_reading
from ingest_app.errors import IngestError
from ingest_app.verifying import Report, verify

_FAILED = 1
_UNUSABLE = 2


@click.group()
@click.version_option(package_name="ingest-app")
def main() -> None:
    """A durable front door to a rate-limited API."""


@main.command("verify")
@click.argument(
    "database",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default="instance/ingest.db",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify_command(database: Path, *, as_json: bool) -> None:
    """Prove or refute the promises from DATABASE, live or a copy.

    Exit status: 0 when everything holds, 1 when something does not, 2 when the file cannot be read.
    """
    try:
        report = verify(open_for_reading(database), clock=SystemClock())
    except IngestError as error:
        click.echo(f"ingest verify: {error}", err=True)
        sys.exit(_UNUSABLE)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print_report(report)
    sys.exit(0 if report.holds else _FAILED)


def _print_report(report: Report) -> None:
    console = Console(highlight=False)
    console.print(_pace_table(report))
    for finding in report.findings:
        console.print(f"{finding.promise}: {finding.what} ({finding.where})", markup=False)
    console.print("Every promise holds." if report.holds else f"{len(report.findings)} violations.")


def _pace_table(report: Report) -> Table:
    table = Table(title="Pace, in seconds")
    columns = (
        "source",
        "calls",
        "interval",
        "smallest gap",
        "mean gap",
        "slots wasted",
        "called again",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "source" else "right")
    for figures in report.sources:
        again = ", ".join(f"{count} {why}" for why, count in figures.dispatched_again.items())
        table.add_row(
            figures.source,
            str(figures.call_count),
            _seconds(figures.interval_seconds),
            _seconds(figures.smallest_gap_seconds),
            _seconds(figures.mean_gap_seconds),
            str(figures.wasted_slot_count),
            again or "none",
        )
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
