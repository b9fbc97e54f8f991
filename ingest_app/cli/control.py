"""`ingest cancel` and `ingest retry`."""

from __future__ import annotations

import click

from ingest_app.cli.options import ingestion_argument, speaks_to_service
from ingest_app.cli.output import note, print_json
from ingest_app.cli.status import print_entry
from ingest_app.client import Client
from ingest_app.client_answers import Entry


@click.command(short_help="Cancel the batches that wait.")
@ingestion_argument
@speaks_to_service
def cancel(*, client: Client, ingestion_id: str, as_json: bool) -> None:
    """Cancel the batches of an ingestion that wait.

    Those in flight end by themselves; what was fetched is kept.
    """
    before = client.ingestion(ingestion_id)
    _print(client.cancel(ingestion_id), as_json=as_json)
    if not before["counts"]["yet_to_start"]:
        note("None of its batches waited.")


@click.command(short_help="Let failed batches wait again.")
@ingestion_argument
@click.option("--all", "all_ids", is_flag=True, help="All IDs of the failed batches.")
@speaks_to_service
def retry(*, client: Client, ingestion_id: str, all_ids: bool, as_json: bool) -> None:
    """Let the failed batches of an ingestion wait again: their IDs that failed, or all.

    Batches that were cancelled stay so.
    """
    before = client.ingestion(ingestion_id)
    _print(client.retry(ingestion_id, all_ids=all_ids), as_json=as_json)
    if not before["counts"]["failed"]:
        note("None of its batches had failed.")


def _print(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        print_json(entry)
    else:
        print_entry(entry)
