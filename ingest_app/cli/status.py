"""`ingest status` and `ingest forecast`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ingest_app.cli.forecasting import as_facts
from ingest_app.cli.options import ingestion_argument, speaks_to_service
from ingest_app.cli.output import note, print_facts, print_json, say
from ingest_app.cli.wording import count, moment, states
from ingest_app.client import Client
from ingest_app.client_answers import Entry


@click.command()
@ingestion_argument
@speaks_to_service
def status(*, client: Client, ingestion_id: str, as_json: bool) -> None:
    """Tell how far an ingestion is, and when it will be done."""
    entry, found = client.ingestion(ingestion_id), client.forecast(ingestion_id)
    if as_json:
        print_json({**entry, "forecast": found})
    else:
        print_entry(entry, as_facts(found))


@click.command()
@ingestion_argument
@speaks_to_service
def forecast(*, client: Client, ingestion_id: str, as_json: bool) -> None:
    """Tell when an ingestion goes on and ends, and what is before it."""
    found = client.forecast(ingestion_id)
    if as_json:
        print_json(found)
        return
    say(f"{found['ingestion_id']}  {_in_words(found['status'])}")
    waiting = f"{count(found['waiting_count'], 'batch')} of it, after {found['batches_ahead']:,}"
    print_facts({"waiting": f"{waiting} of others", **as_facts(found)})
    for caveat in found["caveats"]:
        note(caveat)


def print_entry(entry: Entry, more: Mapping[str, str | None] | None = None) -> None:
    """How far an ingestion is, and what is known of its end."""
    say(f"{entry['ingestion_id']}  {_in_words(entry['status'])}")
    print_facts(
        {
            "submitted": f"{moment(entry['created_at'])}, {entry['priority']},"
            f" source {entry['source']}",
            "IDs": f"{entry['id_count']:,} in {count(entry['batch_count'], 'batch')}",
            "batches": states(entry["counts"]),
            "cancelled": moment(entry["cancelled_at"]),
            **(more or {}),
        }
    )


def _in_words(state: str) -> str:
    return state.replace("_", " ")
