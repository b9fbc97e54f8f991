"""`ingest keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ingest_app.cli.options import json_option
from ingest_app.cli.output import note, print_entry, print_json, print_table, say
from ingest_app.cli.wording import moment
from ingest_app.states import Role

if TYPE_CHECKING:
    from ingest_app.access.keys import ApiKey

_COLUMNS = ("NAME", "ROLE", "OWNER", "KEY", "WAITING IDS", "REQUESTS/MIN", "CREATED", "REVOKED")
_FIRST = "ingest keys create NAME --role operator"
_MADE = ", which there was not and was made now"


@click.group(short_help="API keys: create, list, revoke.")
def keys() -> None:
    """Say who may use the service, in the database that the settings name.

    The first key closes the service to everybody who has none. What is changed here holds at once,
    also for a service that runs.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="reader looks at its owner's ingestions, submitter hands over IDs too, operator does all.",
)
@click.option("--owner", help="Whose ingestions it is for.  [default: NAME]")
@click.option(
    "--max-waiting-ids",
    type=click.IntRange(1, 2**53),
    help="The most IDs of its owner's ingestions that have not ended.",
)
@click.option("--max-requests-per-minute", type=click.IntRange(1, 1_000_000))
@json_option
def create(
    *,
    name: str,
    role: str,
    owner: str | None,
    max_waiting_ids: int | None,
    max_requests_per_minute: int | None,
    as_json: bool,
) -> None:
    """Create a key called NAME and print it: this once, for nothing can read it again."""
    from ingest_app.access.keys import create_key  # noqa: PLC0415 (clients do without)
    from ingest_app.application import (  # noqa: PLC0415
        configured_database,
        configured_database_path,
    )
    from ingest_app.clock import SystemClock  # noqa: PLC0415

    path = configured_database_path()
    is_new = not path.exists()
    with configured_database(may_make=True) as database:
        token = create_key(
            database,
            name,
            Role(role),
            clock=SystemClock(),
            owner=owner,
            max_waiting_ids=max_waiting_ids,
            max_requests_per_minute=max_requests_per_minute,
        )
    told = {"name": name, "role": role, "owner": owner or name, "key": token.text}
    _tell_once({**told, "database": str(path)}, as_json=as_json)
    # Without the settings of the service it opens nothing, and nobody would know why.
    note(f"It opens the service whose database is {path}{_MADE if is_new else ''}.")


@keys.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all keys, the oldest first, by their beginning."""
    from ingest_app.access.keys import list_keys  # noqa: PLC0415 (clients do without)
    from ingest_app.application import configured_database  # noqa: PLC0415

    with configured_database() as database:
        found = list_keys(database)
    if as_json:
        for key in found:
            print_entry(key)
    elif found:
        print_table(_COLUMNS, [_row(key) for key in found])
    else:
        note(f"There is no key: the service is open. Create one with: {_FIRST}")


@keys.command()
@click.argument("name")
@json_option
def revoke(*, name: str, as_json: bool) -> None:
    """Make the key called NAME worthless, at once and for good; sessions that it began end, too."""
    from ingest_app.access.keys import revoke_key  # noqa: PLC0415 (clients do without)
    from ingest_app.application import configured_database  # noqa: PLC0415
    from ingest_app.clock import SystemClock  # noqa: PLC0415

    with configured_database() as database:
        key = revoke_key(database, name, clock=SystemClock())
    if as_json:
        print_entry(key)
    else:
        say(f"{name} is revoked.")


def _tell_once(told: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    say(told["key"])
    whose = f"role {told['role']}, owner {told['owner']}"
    note(f"{told['name']}: {whose}. Keep the key: it is shown this once.")


def _row(key: ApiKey) -> tuple[str, ...]:
    return (
        key.name,
        key.role,
        key.owner,
        f"ing_{key.prefix}_...",
        _limit(key.max_waiting_ids),
        _limit(key.max_requests_per_minute),
        moment(key.created_at) or "-",
        moment(key.revoked_at) or "-",
    )


def _limit(most: int | None) -> str:
    return "default" if most is None else f"{most:,}"
