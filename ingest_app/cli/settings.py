"""`ingest settings`."""

from __future__ import annotations

import click


@click.command(short_help="List every setting, or check those of the service.")
@click.option("--check", is_flag=True, help="Only say whether the service could start with them.")
@click.option("--markdown", is_flag=True, help="As docs/settings.md has it.")
def settings(*, check: bool, markdown: bool) -> None:
    """List every setting with what it takes and its default; no values are shown.

    With --check: exit status 0 when the service could start with what file and environment set
    now, 2 when it could not.
    """
    from ingest_app.cli import settings_report  # noqa: PLC0415 (clients do without)

    if check:
        settings_report.check()
    elif markdown:
        settings_report.print_markdown()
    else:
        settings_report.print_tables()
