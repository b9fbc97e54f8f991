"""`ingest restore`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ingest_app.cli.exits import Unusable
from ingest_app.cli.findings import as_facts, tell_findings
from ingest_app.cli.options import json_option
from ingest_app.cli.output import note, print_json, say
from ingest_app.cli.wording import duration

_AGAIN = "What was fetched since the backup is not in it, and will be fetched again."
_UNREAD = (
    "Nothing is known of the time since the backup, for the database that was there is damaged:"
    " keys that were revoked since are valid again, and what held the sources is forgotten. Look at"
    " both before the service is started."
)
_NEW = (
    "There was no database here. If one was lost: keys revoked since the backup are valid again,"
    " and sources paused since go on."
)


@click.command(short_help="Put a backup in the database's place.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--yes", is_flag=True, help="Do not ask whether to replace a database.")
@click.option(
    "--despite-findings",
    is_flag=True,
    help="Restore it also where its history speaks against a promise, as `ingest verify` tells.",
)
@json_option
def restore(*, file: Path, yes: bool, despite_findings: bool, as_json: bool) -> None:
    """Verify FILE and put a copy of it in the place of the settings' database.

    The service must be stopped. The database that was there is kept under another name. Exit
    status: 0 when it is done, 2 when it cannot be; the database is as it was then.
    """
    from ingest_app.application import configured_store  # noqa: PLC0415 (clients do without)
    from ingest_app.clock import SystemClock  # noqa: PLC0415
    from ingest_app.maintenance.restoring import restore as restore_file  # noqa: PLC0415

    path, settings = configured_store()
    if path.exists() and not yes:
        _ask(path)
    began = time.monotonic()
    done = restore_file(
        file,
        path,
        settings.source_names,
        clock=SystemClock(),
        despite_findings=despite_findings,
    )
    seconds = time.monotonic() - began
    tell_findings(done.findings)
    if not done.was_read:
        note(_UNREAD if done.kept else _NEW)
    note(_AGAIN)
    if as_json:
        told: dict[str, object] = {"database": str(path), "kept": done.kept and str(done.kept)}
        told |= {"was_read": done.was_read, "findings": as_facts(done.findings)}
        print_json({**told, "seconds": round(seconds, 3)})
    else:
        say(
            f"{path}: restored in {duration(seconds)}."
            + (f" Before: {done.kept}." if done.kept else "")
        )


def _ask(path: Path) -> None:
    if not _is_asked():
        raise Unusable(f"There is a database {path}; --yes replaces it.")
    if not click.confirm(f"Replace {path}? It is kept under another name.", err=True):
        raise click.Abort


def _is_asked() -> bool:
    return sys.stdin.isatty()
