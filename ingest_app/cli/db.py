"""`ingest db`."""

from __future__ import annotations

import click

from ingest_app.cli.options import json_option
from ingest_app.cli.output import print_json, say


@click.group(short_help="Create or migrate the database: db upgrade.")
def db() -> None:
    """Look after the database."""


@db.command()
@json_option
def upgrade(*, as_json: bool) -> None:
    """Create the database, or bring it to the schema of this version; `serve` does it, too.

    Exit status: 0 when it is there, 2 when it cannot be done; nothing has changed then.
    """
    from ingest_app.application import upgrade_database  # noqa: PLC0415 (clients do without)

    path, before, after = upgrade_database()
    if as_json:
        print_json({"database": str(path), "before": before, "after": after})
    elif before == after:
        say(f"{path}: schema {after} already.")
    else:
        say(f"{path}: schema {after}, before {before or 'none'}.")
