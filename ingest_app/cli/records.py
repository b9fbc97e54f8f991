"""`ingest records`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

from ingest_app.cli.options import ingestion_argument, speaks_to_service
from ingest_app.cli.output import note, print_json, say, shows_progress
from ingest_app.cli.wording import count, size
from ingest_app.client import Client
from ingest_app.client_answers import Entry


@click.command(short_help="Write what was fetched, to a file or standard output.")
@ingestion_argument
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file, in place of - .")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), help="[default: ndjson]")
@click.option("--outcome", type=click.Choice(["fetched", "missing", "error"]), help="Only these.")
@speaks_to_service
def records(
    *,
    client: Client,
    ingestion_id: str,
    output: Path | None,
    form: str | None,
    outcome: str | None,
    as_json: bool,
) -> None:
    """Write what was fetched for an ingestion, in the order of the request.

    A file is there only when it is whole. While the ingestion runs, it is what has come so far.
    """
    to_file = output is not None and str(output) != "-"
    if as_json and form == "csv" and not to_file:
        raise click.UsageError("--json writes NDJSON to standard output, not CSV.")
    entry = client.ingestion(ingestion_id)
    chunks = client.records(ingestion_id, format=form or "ndjson", outcome=outcome)
    if output is None or not to_file:
        _copy(chunks, sys.stdout.buffer)
    else:
        _report(output, _to_file(chunks, output), as_json=as_json)
    _note_what_lacks(entry)


def _to_file(chunks: Iterator[bytes], path: Path) -> int:
    if path.exists() and not path.is_file():  # a pipe, say, or /dev/null: nothing to rename
        with path.open("wb") as file:
            return _copy(chunks, file)
    with _whole(path) as file, _progress(path) as tell:
        return _copy(chunks, file, tell)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when all is written and on disk, and else leaves no trace.

    Of a symbolic link it is the file behind it that is written.
    """
    path = Path(os.path.realpath(path))
    # Named after the command: with something added, the file's own name may be too long.
    partial = path.with_name(f".ingest-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise


def _copy(
    chunks: Iterator[bytes], file: BinaryIO, tell: Callable[[int], None] = lambda _: None
) -> int:
    byte_count = 0
    for chunk in chunks:
        file.write(chunk)
        byte_count += len(chunk)
        tell(len(chunk))
    file.flush()
    return byte_count


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    if not shows_progress():
        yield lambda _: None
        return
    from ingest_app.cli.bars import download_bar  # noqa: PLC0415 (rich is slow to import)

    with download_bar(path.name) as tell:
        yield tell


def _report(path: Path, byte_count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "byte_count": byte_count})
    else:
        say(f"{path}: {size(byte_count)}.")


def _note_what_lacks(entry: Entry) -> None:
    counts = entry["counts"]
    going_count = counts.get("yet_to_start", 0) + counts.get("triggered", 0)
    if going_count:
        note(f"{count(going_count, 'batch')} had not ended: read again from the start later.")
