"""`ingest submit --dry-run`: what would become of a submission."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ingest_app.cli.exits import Unusable
from ingest_app.cli.output import note, print_json, print_table, say
from ingest_app.cli.parts import Part, Submission
from ingest_app.cli.refusals import explain
from ingest_app.cli.wording import count, duration, moment
from ingest_app.client import Client
from ingest_app.client_answers import AtPriority, Delays, Preview
from ingest_app.errors import RequestFailed


def preview(
    client: Client, parts: Iterable[Part], named: Mapping[str, str], *, as_json: bool
) -> None:
    """Have the IDs checked, and tell when all of them would be done at each priority."""
    counts, found = [], None
    for part in parts:
        found = _checked(client, part, named)
        counts.append(part.id_count)
    if found is None:
        raise Unusable("there are no IDs in what was given.")
    if len(counts) > 1:
        found = client.preview(json.dumps({"id_count": sum(counts), **named}).encode())
    if as_json:
        print_json(found)
    else:
        _print(found)


def _checked(client: Client, part: Part, named: Mapping[str, str]) -> Preview:
    try:
        return client.preview(Submission(part, named))
    except RequestFailed as failure:
        raise explain(failure, part) from failure


def _print(found: Preview) -> None:
    what = f"{count(found['id_count'], 'ID')} in {count(found['batch_count'], 'batch')}"
    say(f"{what}, from the source {found['source']}. Nothing was submitted.")
    rows = [_row(name, expected) for name, expected in found["priorities"].items()]
    print_table(("PRIORITY", "STARTS", "FINISHES", "IN", "BEFORE IT", "DELAYS"), rows)
    if found["waits_for"]:
        say(f"The source now: {found['waits_for']}")
    for caveat in found["caveats"]:
        note(caveat)


def _row(name: str, expected: AtPriority) -> tuple[str, ...]:
    remaining = expected["remaining_seconds"]
    return (
        name,
        moment(expected["starts_at"]) or "-",
        moment(expected["finishes_at"]) or "-",
        "-" if remaining is None else duration(remaining),
        count(expected["batches_ahead"], "batch"),
        _who_waits_longer(expected["delays"]),
    )


def _who_waits_longer(delays: Delays) -> str:
    if not delays["ingestion_count"]:
        return "none"
    seconds = delays["seconds"]
    longer = "an unknown time" if seconds is None else duration(seconds)
    return f"{count(delays['ingestion_count'], 'other')} by {longer}"
