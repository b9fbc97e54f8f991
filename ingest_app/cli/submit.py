"""`ingest submit`."""

from __future__ import annotations

import re
import secrets
from contextlib import closing

import click

from ingest_app.cli.exits import Unusable
from ingest_app.cli.id_input import IdInput, takes_ids
from ingest_app.cli.options import priority_option, speaks_to_service
from ingest_app.cli.output import note, print_json, say
from ingest_app.cli.parts import MOST_IDS, split
from ingest_app.cli.previewing import preview
from ingest_app.cli.sending import Sender, Sent
from ingest_app.cli.watch import watch_all
from ingest_app.cli.wording import count
from ingest_app.client import Client

_KEY = re.compile(r"[!-~]{1,240}")  # the service takes 255, of which "-1" and so on need some


def _check_key(_: click.Context, __: click.Parameter, key: str | None) -> str | None:
    if key is not None and not _KEY.fullmatch(key):
        raise click.BadParameter("1 to 240 visible ASCII characters, without spaces.")
    return key


@click.command(short_help="Hand over IDs, from arguments, a file, a CSV column or a pipe.")
@takes_ids
@priority_option(default="MEDIUM", show_default=True)
@click.option(
    "--source", "-s", metavar="NAME", help="The upstream to fetch from, if not `default`."
)
@click.option("--key", callback=_check_key, help="Sent again under this key, it is stored once.")
@click.option(
    "--most",
    "most_ids",
    type=click.IntRange(1, MOST_IDS),
    default=MOST_IDS,
    help="IDs in one submission; more become several, which one --key repeats together.",
)
@click.option("--dry-run", is_flag=True, help="Submit nothing; say when it would be done.")
@click.option("--watch", is_flag=True, help="Follow it to its end, as `ingest watch` does.")
@speaks_to_service
def submit(
    *,
    client: Client,
    given: IdInput,
    most_ids: int,
    priority: str,
    source: str | None,
    key: str | None,
    dry_run: bool,
    watch: bool,
    as_json: bool,
) -> int | None:
    """Hand over IDs: as arguments, from a file, from a CSV column, or from standard input (-).

    In a file, line breaks and commas divide IDs. An ID of digits, without zeros before it and of at
    most 64 bits, is an integer; others are strings, and so is one in double quotes, as JSON writes
    it: "4", "a,b". An argument is one ID, commas and quotes and all.

    Prints the id of each ingestion. Repeating the command with the --key it names is safe.
    """
    named = {} if source is None else {"source": source}
    with (
        given.opened() as ids,
        closing(split(ids, most_ids=most_ids, noun=given.noun)) as parts,
    ):
        if dry_run:
            preview(client, parts, named, as_json=as_json)
            return None
        sender = Sender(client, {"priority": priority, **named}, key or secrets.token_hex(8))
        tell = _print_json_of if as_json else _print
        submitted = sender.send_all(parts, lambda sent: tell(sender, sent))
    if not submitted:
        raise Unusable("there are no IDs in what was given.")
    return watch_all(client, submitted, as_json=as_json) if watch else None


def _print_json_of(sender: Sender, sent: Sent) -> None:
    print_json(
        {
            "ingestion_id": sent.ingestion_id,
            "id_count": sent.part.id_count,
            **sender.members,
            "key": sender.key,
            "idempotency_key": sent.key,
        }
    )


def _print(sender: Sender, sent: Sent) -> None:
    say(sent.ingestion_id)
    which = f"key {sender.key}" if sent.part.is_only else f"part {sent.part.number}"
    note(f"{count(sent.part.id_count, 'ID')} at {sender.members['priority']}, {which}.")
