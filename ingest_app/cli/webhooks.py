"""`ingest webhooks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ingest_app.cli.options import json_option
from ingest_app.cli.output import note, print_entry, print_json, print_table, say
from ingest_app.cli.wording import moment

if TYPE_CHECKING:
    from ingest_app.queue.delivery_listing import DeliveryEntry

_COLUMNS = ("DELIVERY", "INGESTION", "ENDED", "STATE", "ATTEMPTS", "AT", "LAST ERROR")


@click.group(
    short_help="List what the webhook was told, send it again.", invoke_without_command=True
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many."
)
@json_option
@click.pass_context
def webhooks(context: click.Context, *, limit: int, as_json: bool) -> None:
    """List what the endpoint of the settings was told or is to be told, newest first."""
    if context.invoked_subcommand is None:
        _list(limit, as_json=as_json)


@webhooks.command()
@click.argument("delivery_ids", metavar="DELIVERY...", type=click.IntRange(1), nargs=-1)
@click.option("--given-up", is_flag=True, help="All that were given up.")
@json_option
def resend(*, delivery_ids: tuple[int, ...], given_up: bool, as_json: bool) -> None:
    """Let a running service send these deliveries at once, with all attempts before them."""
    from ingest_app.application import configured_database  # noqa: PLC0415 (clients do without)
    from ingest_app.clock import SystemClock  # noqa: PLC0415
    from ingest_app.queue import delivery_listing  # noqa: PLC0415

    if bool(delivery_ids) == given_up:
        raise click.UsageError("Name deliveries, or say --given-up.", click.get_current_context())
    with configured_database() as database:
        if given_up:
            sent_count = delivery_listing.resend_given_up(database, clock=SystemClock())
        else:
            sent_count = delivery_listing.resend_deliveries(
                database, delivery_ids, clock=SystemClock()
            )
    if as_json:
        print_json({"resent": sent_count})
    else:
        say(f"To be sent again: {sent_count:,}; what is being sent now is left alone.")


@webhooks.command()
def secret() -> None:
    """Print a new random value for webhook_secret; nothing is changed by it."""
    from ingest_app.webhook_settings import new_secret  # noqa: PLC0415 (clients do without)

    say(new_secret())


def _list(limit: int, *, as_json: bool) -> None:
    from ingest_app.application import configured_database  # noqa: PLC0415 (clients do without)
    from ingest_app.queue.delivery_listing import list_deliveries  # noqa: PLC0415

    with configured_database() as database:
        entries = list_deliveries(database, limit=limit)
    if as_json:
        for entry in entries:
            print_entry(entry)
        return
    print_table(_COLUMNS, [_row(entry) for entry in entries])
    if not entries:
        note("There are none: no ingestion has ended since webhook_url was set.")


def _row(entry: DeliveryEntry) -> tuple[str, ...]:
    at = entry.delivered_at or entry.given_up_at or entry.next_attempt_at
    return (
        str(entry.delivery_id),
        entry.ingestion_id,
        moment(entry.ended_at) or "-",
        entry.state.replace("_", " "),
        str(entry.attempt_count),
        moment(at) or "-",
        entry.last_error or "-",
    )
