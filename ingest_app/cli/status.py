"""`ingest status` and `ingest forecast`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ingest_app.cli.following import ENDED_STATES
from ingest_app.cli.options import ingestion_argument, speaks_to_service
from ingest_app.cli.output import note, print_facts, print_json, say
from ingest_app.cli.wording import count, duration, moment, states
from ingest_app.client import Client
from ingest_app.client_answers import Entry, Forecast


@click.command()
@ingestion_argument
@speaks_to_service
def status(*, client: Client, ingestion_id: str, as_json: bool) -> None:
    """Tell how far an ingestion is, and when it will be done."""
    entry, outlook = client.ingestion(ingestion_id), client.forecast(ingestion_id)
    if as_json:
        print_json({**entry, "forecast": outlook})
    else:
        print_entry(entry, _prospects(outlook))


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
    print_facts({"waiting": f"{waiting} of others", **_prospects(found)})
    for caveat in found["caveats"]:
        note(caveat)


def print_entry(entry: Entry, prospects: Mapping[str, str | None] | None = None) -> None:
    """How far an ingestion is, and what is known of its end."""
    say(f"{entry['ingestion_id']}  {_in_words(entry['status'])}")
    print_facts(
        {
            "submitted": f"{moment(entry['created_at'])}, {entry['priority']},"
            f" source {entry['source']}",
            "IDs": f"{entry['id_count']:,} in {count(entry['batch_count'], 'batch')}",
            "batches": states(entry["counts"]),
            "cancelled": moment(entry["cancelled_at"]),
            **(prospects or {}),
        }
    )


def _prospects(found: Forecast) -> dict[str, str | None]:
    ends = moment(found["finishes_at"])
    if found["status"] in ENDED_STATES:
        return {"ended": ends}
    about = "about " if found["approximate"] else ""
    pace = found["pace_seconds"]
    return {
        "next batch": moment(found["next_starts_at"]),
        "finishes": ends and f"{about}{ends}",
        "takes": _takes(found),
        "pace": None if pace is None else f"a batch every {duration(pace)}",
        "waits for": found["waits_for"],
    }


def _takes(found: Forecast) -> str | None:
    remaining = found["remaining_seconds"]
    if remaining is None:
        return None
    return duration(remaining) + ("" if found["finishes_at"] else " once it goes on")


def _in_words(state: str) -> str:
    return state.replace("_", " ")
