"""`ingest sources`, `ingest pause` and `ingest resume`."""

from __future__ import annotations

import click

from ingest_app.cli.options import speaks_to_service
from ingest_app.cli.output import print_json, print_table
from ingest_app.cli.wording import duration
from ingest_app.client import Client
from ingest_app.client_answers import SourceState
from ingest_app.states import Priority

_COLUMNS = ("SOURCE", "PACE", *Priority, "IN FLIGHT", "WAITS FOR", "LAST ERROR")

_source_argument = click.argument("source", default="default")


@click.command(short_help="List the sources: pace, what waits, and why none goes.")
@speaks_to_service
def sources(*, client: Client, as_json: bool) -> None:
    """List the sources: their pace, the batches that wait, and why none goes."""
    _print(client.sources(), as_json=as_json)


@click.command(short_help="Hold a source from now on.")
@_source_argument
@speaks_to_service
def pause(*, client: Client, source: str, as_json: bool) -> None:
    """Dispatch nothing of SOURCE from now on; calls in flight end by themselves."""
    _print([client.pause(source)], as_json=as_json)


@click.command(short_help="Let a source go on.")
@_source_argument
@speaks_to_service
def resume(*, client: Client, source: str, as_json: bool) -> None:
    """Let SOURCE go on at its next slot, also where its upstream asked for a longer wait."""
    _print([client.resume(source)], as_json=as_json)


def _print(states: list[SourceState], *, as_json: bool) -> None:
    if as_json:
        for state in states:
            print_json(state)
    else:
        print_table(_COLUMNS, [_row(state) for state in states])


def _row(state: SourceState) -> tuple[str, ...]:
    return (
        state["name"],
        _pace(state),
        *(_waiting(state, priority) for priority in Priority),
        str(state["in_flight_count"]),
        state["waits_for"] or "-",
        state["last_error"] or "-",
    )


def _waiting(state: SourceState, priority: Priority) -> str:
    waiting_count = state["waiting"].get(priority, 0)
    about = "about " if waiting_count and state["waiting_is_estimated"] else ""
    return f"{about}{waiting_count:,}"


def _pace(state: SourceState) -> str:
    interval, batch_size = state["interval_seconds"], state["batch_size"]
    if interval is None:
        return "not configured"
    return (
        f"{batch_size} IDs every {duration(interval)}" if interval else f"{batch_size} IDs a call"
    )
