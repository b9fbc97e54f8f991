"""`ingest prune`."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from ingest_app.cli import wording
from ingest_app.cli.exits import Unusable
from ingest_app.cli.options import json_option
from ingest_app.cli.output import note, print_json, say

_CANNOT_SHRINK = "The file does not shrink; `ingest db compact` makes it, once."


@click.command(short_help="Delete ingestions that ended long ago.")
@click.option(
    "--days",
    type=click.FloatRange(0),
    help="Those that ended so many days ago; 0 for all that have ended."
    "  [default: the setting retention_days]",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@json_option
def prune(*, days: float | None, dry_run: bool, as_json: bool) -> None:
    """Delete what ended long ago from the settings' database, beside a running service or without.

    With it go its batches, records and dispatches; the pace is not disturbed. Exit status: 0 when
    it is done, 2 when it cannot be.
    """
    from ingest_app.cli.pruning import count, sweep_file  # noqa: PLC0415 (clients do without)

    if dry_run:
        counted = count(days)
        if as_json:
            print_json(counted)
        else:
            say(f"{wording.count(counted['ingestion_count'], 'ingestion')} would be deleted.")
        return
    began = time.monotonic()
    swept = sweep_file(days)
    if swept is None:
        raise Unusable("Another process prunes this database now.")
    seconds = time.monotonic() - began
    if as_json:
        told = asdict(swept.pruned)
        del told["was_interrupted"]
        told |= {"page_count": swept.shrunk.page_count, "seconds": round(seconds, 3)}
        print_json(told)
        return
    ingestions = wording.count(swept.pruned.ingestion_count, "ingestion")
    batches = wording.count(swept.pruned.batch_count, "batch")
    say(f"{ingestions} with {batches} deleted in {wording.duration(seconds)}.")
    if not swept.can_shrink:
        note(_CANNOT_SHRINK)
