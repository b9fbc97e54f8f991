"""`ingest db`."""

from __future__ import annotations

import click

from ingest_app.cli.options import json_option
from ingest_app.cli.output import print_json, say
from ingest_app.cli.wording import size


@click.group(short_help="Look after the database file: db upgrade, db compact.")
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


@db.command()
@json_option
def compact(*, as_json: bool) -> None:
    """Make the database file as small as it can be, and able to shrink from then on.

    The service must be stopped, and there must be room for a second file. Exit status: 0 when it is
    done, 2 when it cannot be; nothing has changed then.
    """
    from ingest_app.application import configured_store  # noqa: PLC0415 (clients do without)
    from ingest_app.maintenance.compacting import compact as compact_file  # noqa: PLC0415

    path, _ = configured_store()
    before, after = compact_file(path)
    if as_json:
        print_json({"database": str(path), "bytes_before": before, "bytes_after": after})
    else:
        say(f"{path}: {size(after)}, before {size(before)}.")
