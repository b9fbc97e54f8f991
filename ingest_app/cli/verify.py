"""`ingest verify`."""

from __future__ import annotations

from pathlib import Path

import click

from ingest_app.cli.options import json_option


@click.command(short_help="Prove or refute the promises from the database.")
@click.argument(
    "database", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False
)
@click.option("--live", is_flag=True, help="A service runs on it: judge leases by the clock.")
@json_option
def verify(*, database: Path | None, live: bool, as_json: bool) -> int:
    """Prove or refute the promises from DATABASE, in use or a copy; the settings' by default.

    Exit status: 0 when everything holds, 1 when something does not, 2 when it cannot be read.
    """
    from ingest_app.cli.verify_report import report_on  # noqa: PLC0415 (clients do without)

    return report_on(database, is_live=live, as_json=as_json)
