"""`ingest backup`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ingest_app.cli.exits import ExitStatus
from ingest_app.cli.findings import as_facts, tell_findings
from ingest_app.cli.options import json_option
from ingest_app.cli.output import note, print_json, say
from ingest_app.cli.wording import duration, size


@click.command(short_help="Copy the database while the service works on it.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--no-verify", is_flag=True, help="Leave it to the restore to verify it.")
@json_option
def backup(*, file: Path, force: bool, no_verify: bool, as_json: bool) -> int:
    """Write a consistent copy of the settings' database to FILE, in use or not.

    All that was acknowledged before is in it. FILE is whole or not there, and only its owner may
    read it. Exit status: 0 when it is there, 1 when it is there but would not be restored without
    --despite-findings, 2 when it cannot be written.
    """
    from ingest_app.application import configured_store  # noqa: PLC0415 (clients do without)
    from ingest_app.maintenance.backing_up import back_up  # noqa: PLC0415
    from ingest_app.maintenance.proving import find_in_backup  # noqa: PLC0415

    path, _ = configured_store()
    began = time.monotonic()
    byte_count = back_up(path, file, may_replace=force)
    seconds = time.monotonic() - began
    if not as_json:
        say(f"{file}: {size(byte_count)} in {duration(seconds)}, checked.")
    findings = None if no_verify else find_in_backup(file)
    if as_json:
        told: dict[str, object] = {"database": str(path), "file": str(file), "bytes": byte_count}
        told_findings = None if findings is None else as_facts(findings)
        print_json({**told, "seconds": round(seconds, 3), "findings": told_findings})
    elif findings:
        tell_findings(findings)
        note("A restore of it will need --despite-findings.")
    return ExitStatus.WORK_FAILED if findings else ExitStatus.DONE
