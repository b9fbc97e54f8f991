"""`ingest backup`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ingest_app.cli.options import json_option
from ingest_app.cli.output import print_json, say
from ingest_app.cli.wording import duration, size


@click.command(short_help="Copy the database while the service works on it.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
def backup(*, file: Path, force: bool, as_json: bool) -> None:
    """Write a consistent copy of the settings' database to FILE, in use or not.

    All that was acknowledged before is in it. FILE is whole or not there, and only its owner may
    read it. Exit status: 0 when it is there, 2 when it cannot be written.
    """
    from ingest_app.application import configured_store  # noqa: PLC0415 (clients do without)
    from ingest_app.maintenance.backing_up import back_up  # noqa: PLC0415

    path, _ = configured_store()
    began = time.monotonic()
    byte_count = back_up(path, file, may_replace=force)
    seconds = time.monotonic() - began
    if as_json:
        told = {"database": str(path), "file": str(file)}
        print_json({**told, "bytes": byte_count, "seconds": round(seconds, 3)})
    else:
        say(f"{file}: {size(byte_count)} in {duration(seconds)}, checked.")
