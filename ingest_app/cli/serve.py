"""`ingest serve`."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import click

from ingest_app.processes import worker_count


@click.command(short_help="Run the service.", context_settings={"ignore_unknown_options": True})
@click.option("--bind", metavar="ADDRESS", help="[default: INGEST_BIND, or 127.0.0.1:8000]")
@click.option(
    "--workers", type=click.IntRange(1), help="[default: WEB_CONCURRENCY, or 2]  Processes."
)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN OPTION]...")
def serve(*, bind: str | None, workers: int | None, more: Sequence[str]) -> None:
    """Run the service in gunicorn until Ctrl-C or SIGTERM; calls in flight finish first.

    What follows goes to gunicorn and comes before our defaults, as in: ingest serve --threads 16
    """
    worker_count()  # gunicorn itself would end in a traceback, also with --workers
    command = command_for(bind, workers, more)
    # In our place, so that signals and the exit status are gunicorn's own.
    os.execv(command[0], command)


def command_for(bind: str | None, workers: int | None, more: Sequence[str]) -> list[str]:
    """The command that runs gunicorn with our defaults, in a checkout as from a wheel."""
    script = Path(sysconfig.get_path("scripts"), "gunicorn")
    gunicorn = [str(script)] if script.exists() else ["-m", "gunicorn"]
    wished = [
        *(["--bind", bind] if bind else []),
        *(["--workers", str(workers)] if workers else []),
    ]
    defaults = ["-c", "python:ingest_app.gunicorn_defaults"]
    return [sys.executable, *gunicorn, *defaults, *wished, *more, "ingest_app:create_app()"]
