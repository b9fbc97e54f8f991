"""The command line: `ingest …`; what each command needs is imported when it is called."""

from __future__ import annotations

import click

from ingest_app.cli.exits import EXIT_TABLE
from ingest_app.cli.program import Program

__all__ = ["main"]


@click.group(cls=Program, epilog=EXIT_TABLE)
@click.version_option(package_name="ingest-app")
def main() -> None:
    """Hand over lists of IDs, follow them, and take what was fetched.

    Commands speak to the service at INGEST_URL, by default http://127.0.0.1:8000; those of the
    operator work where the service runs. With --json they answer programs.
    """
