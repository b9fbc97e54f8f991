"""`ingest watch`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ingest_app.cli.completion import complete_ingestion_id
from ingest_app.cli.exits import ExitStatus, Interrupted
from ingest_app.cli.following import follow
from ingest_app.cli.options import speaks_to_service
from ingest_app.cli.output import shows_progress
from ingest_app.cli.views import JsonView, LineView, View
from ingest_app.client import Client

_STATUS_OF = {
    "completed": ExitStatus.DONE,
    "cancelled": ExitStatus.CANCELLED,
    "failed": ExitStatus.WORK_FAILED,
}
_WORST_LAST = (ExitStatus.DONE, ExitStatus.CANCELLED, ExitStatus.WORK_FAILED)


@click.command(short_help="Follow ingestions to their end; Ctrl-C leaves the work running.")
@click.argument(
    "ingestion_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ingestion_id
)
@click.option(
    "--every",
    "interval_seconds",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@speaks_to_service
def watch(
    *, client: Client, ingestion_ids: Sequence[str], interval_seconds: float, as_json: bool
) -> int:
    """Follow ingestions to their end; Ctrl-C ends the watching, not the work.

    Exit status: 0 when all are completed, 1 when one has failed, 5 when one was cancelled.
    """
    return watch_all(client, ingestion_ids, as_json=as_json, interval_seconds=interval_seconds)


def watch_all(
    client: Client, ingestion_ids: Sequence[str], *, as_json: bool, interval_seconds: float = 1.0
) -> int:
    """Show how far ingestions are until they have ended, and return the exit status."""
    found = ExitStatus.DONE
    try:
        with _view(ingestion_ids, as_json=as_json) as view:
            for snapshot in follow(
                client,
                ingestion_ids,
                tell_silence=view.tell_silence,
                interval_seconds=interval_seconds,
            ):
                view.show(snapshot)
                ended = _STATUS_OF.get(snapshot.entry["status"], ExitStatus.DONE)
                found = max(found, ended, key=_WORST_LAST.index)
    except KeyboardInterrupt:
        again = f"ingest watch {' '.join(ingestion_ids)}"
        raise Interrupted(
            f"no longer watching; the work goes on. Come back with: {again}"
        ) from None
    return found


def _view(ingestion_ids: Sequence[str], *, as_json: bool) -> View:
    if as_json:
        return JsonView()
    if not shows_progress():
        return LineView()
    from ingest_app.cli.bars import WorkBars  # noqa: PLC0415 (rich is slow to import)

    return WorkBars(ingestion_ids)
