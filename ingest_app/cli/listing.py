"""`ingest list`."""

from __future__ import annotations

from itertools import islice

import click

from ingest_app.cli.options import priority_option, speaks_to_service
from ingest_app.cli.output import note, print_json, print_table
from ingest_app.cli.wording import moment
from ingest_app.client import Client
from ingest_app.client_answers import ListedEntry, ended_count
from ingest_app.states import BatchStatus

_COLUMNS = ("ID", "STATUS", "PRIORITY", "SOURCE", "SUBMITTED", "IDS", "BATCHES ENDED", "FINISHES")


@click.command("list", short_help="List ingestions, newest first, with their forecast.")
@click.option(
    "--status",
    type=click.Choice([state.value for state in BatchStatus]),
    help="Only those in this state.",
)
@priority_option(help="Only those of this priority.")
@click.option("--source", help="Only those of this source.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many."
)
@click.option("--all", "lists_all", is_flag=True, help="All there are.")
@speaks_to_service
def list_ingestions(
    *,
    client: Client,
    status: str | None,
    priority: str | None,
    source: str | None,
    limit: int,
    lists_all: bool,
    as_json: bool,
) -> None:
    """List ingestions, newest first, and when those under way will be done."""
    page = min(limit, 200) if not lists_all else 200
    found = client.ingestions(status=status, priority=priority, source=source, limit=page)
    entries = islice(found, None if lists_all else limit)
    if as_json:
        for entry in entries:
            print_json(entry)
        return
    rows = [_row(entry) for entry in entries]
    print_table(_COLUMNS, rows)
    if not rows and (status or priority or source):
        note("There is none like that; without --status, --priority and --source all are listed.")
    elif not rows:
        note("There are none. Hand something over: ingest submit 1 2 3")
    elif len(rows) == limit and not lists_all:
        note("There may be more: --all, or a larger --limit.")


def _row(entry: ListedEntry) -> tuple[str, ...]:
    forecast = entry["forecast"]
    ends = forecast["finishes_at"] if forecast else entry["last_completed_at"]
    return (
        entry["ingestion_id"],
        entry["status"].replace("_", " "),
        entry["priority"],
        entry["source"],
        str(moment(entry["created_at"])),
        f"{entry['id_count']:,}",
        f"{ended_count(entry):,}/{entry['batch_count']:,}",
        moment(ends) or "-",
    )
