"""What is followed as bars on a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Self

from rich.progress import TaskID

from ingest_app.cli.bars import work_bars
from ingest_app.cli.following import Snapshot
from ingest_app.cli.output import say
from ingest_app.cli.views import ending
from ingest_app.cli.wording import brief_moment, duration
from ingest_app.client_answers import Forecast
from ingest_app.errors import RequestFailed


class BarView(AbstractContextManager["BarView"]):
    """A bar for each ingestion, with its pace and finish beside it; what became of it stays."""

    def __init__(self) -> None:
        self._progress = work_bars()
        self._tasks: dict[str, TaskID] = {}
        self._endings: list[str] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bars as they are, and say what has ended."""
        self._progress.stop()
        for line in self._endings:
            say(line)

    def show(self, snapshot: Snapshot) -> None:
        """Move its bar."""
        entry = snapshot.entry
        said = entry["status"] if snapshot.has_ended else _brief(snapshot.forecast)
        self._progress.update(
            self._task_of(entry["ingestion_id"], entry["batch_count"]),
            completed=snapshot.ended_count,
            outlook=said,
        )
        if snapshot.has_ended:
            self._endings.append(ending(entry))

    def tell_silence(self, failure: RequestFailed) -> None:
        """Say so beside every bar."""
        for task in self._tasks.values():
            self._progress.update(task, outlook=f"{failure} Trying again.")

    def _task_of(self, ingestion_id: str, batch_count: int) -> TaskID:
        if ingestion_id not in self._tasks:
            self._tasks[ingestion_id] = self._progress.add_task(
                ingestion_id, total=batch_count, outlook=""
            )
        return self._tasks[ingestion_id]


def _brief(forecast: Forecast) -> str:
    ends = forecast["finishes_at"]
    if ends is None:
        return forecast["waits_for"] or "no forecast"
    pace, left = forecast["pace_seconds"], duration(forecast["remaining_seconds"] or 0)
    about = "about " if forecast["approximate"] else ""
    every = "" if pace is None else f"one in {duration(pace)}, "
    return f"{every}done {about}{brief_moment(ends, datetime.now().astimezone())}, in {left}"
