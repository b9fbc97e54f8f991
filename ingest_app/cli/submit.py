"""`ingest submit`."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import BinaryIO

import click

from ingest_app.cli.exits import Unusable
from ingest_app.cli.ids import Given, from_arguments, from_csv, from_file
from ingest_app.cli.options import speaks_to_service
from ingest_app.cli.output import note, print_json, say
from ingest_app.cli.parts import MOST_IDS, Part, split
from ingest_app.cli.previewing import preview
from ingest_app.cli.sending import Sender
from ingest_app.cli.watch import watch_all
from ingest_app.cli.wording import count
from ingest_app.client import Client

_KEY = re.compile(r"[!-~]{1,240}")  # the service takes 255, of which "-1" and so on need some


def _check_key(_: click.Context, __: click.Parameter, key: str | None) -> str | None:
    if key is not None and not _KEY.fullmatch(key):
        raise click.BadParameter("1 to 240 visible ASCII characters, without spaces.")
    return key


@click.command(short_help="Hand over IDs, from arguments, a file, a CSV column or a pipe.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--file", "-f", metavar="FILE", help="One ID a line, or a JSON array; - as below.")
@click.option("--csv", metavar="FILE", help="CSV with a header, together with --column.")
@click.option("--column", metavar="NAME", help="The column that has the IDs.")
@click.option("--delimiter", default=",", show_default=True, help="What divides the columns.")
@click.option("--text", "as_text", is_flag=True, help="Every ID is a string, of digits too.")
@click.option(
    "--priority",
    "-p",
    type=click.Choice(["HIGH", "MEDIUM", "LOW"], case_sensitive=False),
    metavar="HIGH|MEDIUM|LOW",
    default="MEDIUM",
    show_default=True,
)
@click.option(
    "--source", "-s", metavar="NAME", help="The upstream to fetch from, if not `default`."
)
@click.option("--key", callback=_check_key, help="Sent again under this key, it is stored once.")
@click.option(
    "--most",
    "most_ids",
    type=click.IntRange(1, MOST_IDS),
    default=MOST_IDS,
    help="IDs in one submission; more become several, with keys KEY-1, KEY-2 ...",
)
@click.option("--dry-run", is_flag=True, help="Submit nothing; say when it would be done.")
@click.option("--watch", is_flag=True, help="Follow it to its end, as `ingest watch` does.")
@speaks_to_service
def submit(
    *,
    client: Client,
    ids: Sequence[str],
    file: str | None,
    csv: str | None,
    column: str | None,
    delimiter: str,
    as_text: bool,
    most_ids: int,
    priority: str,
    source: str | None,
    key: str | None,
    dry_run: bool,
    watch: bool,
    as_json: bool,
) -> int | None:
    """Hand over IDs: as arguments, from a file, from a CSV column, or from standard input (-).

    An ID of digits, without zeros before it and of at most 64 bits, is an integer; others are
    strings. Prints the id of the ingestion. Repeating the command with the --key it names is safe.
    """
    named = {} if source is None else {"source": source}
    with (
        _given(ids, file, csv, column=column, delimiter=delimiter, as_text=as_text) as given,
        closing(split(given, most_ids=most_ids)) as parts,
    ):
        if dry_run:
            preview(client, parts, named, as_json=as_json)
            return None
        sender = Sender(client, {"priority": priority, **named}, key or secrets.token_hex(8))
        submitted = [_submit(sender, part, as_json=as_json) for part in parts]
    if not submitted:
        raise Unusable("there are no IDs in what was given.")
    return watch_all(client, submitted, as_json=as_json) if watch else None


@contextmanager
def _given(
    ids: Sequence[str],
    file: str | None,
    csv: str | None,
    *,
    column: str | None,
    delimiter: str,
    as_text: bool,
) -> Iterator[Iterator[Given]]:
    _check_one_way(ids, file, csv, column)
    if ids and ids != ("-",):
        yield from_arguments(ids, as_text=as_text)
    else:
        with _opened(file or csv or "-") as opened:
            yield (
                from_file(opened, as_text=as_text)
                if csv is None
                else from_csv(opened, column=column or "", delimiter=delimiter, as_text=as_text)
            )


def _check_one_way(
    ids: Sequence[str], file: str | None, csv: str | None, column: str | None
) -> None:
    if sum(map(bool, (ids, file, csv))) != 1:
        raise click.UsageError("Give IDs one way: as arguments, with --file, with --csv, or -.")
    if (csv is None) != (column is None):
        raise click.UsageError("--csv and --column go together.")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


def _submit(sender: Sender, part: Part, *, as_json: bool) -> str:
    ingestion_id, key = sender.send(part), sender.key_of(part)
    if as_json:
        print_json(
            {
                "ingestion_id": ingestion_id,
                "id_count": part.id_count,
                **sender.members,
                "key": key,
            }
        )
    else:
        say(ingestion_id)
        note(f"{count(part.id_count, 'ID')} at {sender.members['priority']}, key {key}.")
    return ingestion_id
