"""What all commands that speak to the service have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from ingest_app.cli.completion import complete_ingestion_id
from ingest_app.cli.connecting import KEY_VARIABLE, client_of
from ingest_app.client import DEFAULT_URL
from ingest_app.client_connection import UnusableKey
from ingest_app.states import Priority

Command = Callable[..., int | None]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="For programs: JSON on standard output, nothing else."
)


def priority_option(**more: Any) -> Callable[[Command], Command]:
    """Give a command --priority; `more` as click has it."""
    return click.option(
        "--priority",
        "-p",
        type=click.Choice([priority.value for priority in Priority], case_sensitive=False),
        metavar="HIGH|MEDIUM|LOW",
        **more,
    )


ingestion_argument = click.argument(
    "ingestion_id", metavar="ID", shell_complete=complete_ingestion_id
)


def speaks_to_service(command: Command) -> Command:
    """Give a command --url and --json, and call it with `client` and `as_json`.

    The key that it may need is in the environment alone: the arguments of a process can be seen.
    """

    @click.option(
        "--url",
        envvar="INGEST_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        help="Address of the service.",
    )
    @json_option
    @click.pass_context
    @functools.wraps(command)
    def run(context: click.Context, /, *, url: str, **given: Any) -> int | None:
        try:
            client = client_of(context, url)
        except ValueError as error:
            hint = KEY_VARIABLE if isinstance(error, UnusableKey) else "--url or INGEST_URL"
            raise click.BadParameter(str(error), context, param_hint=hint) from error
        return command(client=client, **given)

    return run
