"""What moves on a terminal: bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from ingest_app.cli.following import Snapshot
from ingest_app.cli.forecasting import beside_a_bar
from ingest_app.cli.output import harmless, say
from ingest_app.cli.views import ending
from ingest_app.errors import RequestFailed


@contextmanager
def upload_bar(what: str, byte_count: int) -> Iterator[Callable[[int], None]]:
    """A bar for what is sent; it is told how many bytes have been, and may begin anew."""
    with _bars(BarColumn(), TaskProgressColumn(), DownloadColumn()) as progress:
        task = progress.add_task(f"Sending {what}", total=byte_count)

        def tell(sent_count: int) -> None:
            is_sent = sent_count >= byte_count
            progress.update(
                task,
                completed=sent_count,
                description=f"Storing {what}" if is_sent else f"Sending {what}",
            )

        yield tell


@contextmanager
def download_bar(what: str) -> Iterator[Callable[[int], None]]:
    """How much has come, of what has no known length; it is told how many bytes came just now."""
    with _bars(BarColumn(), DownloadColumn(), TransferSpeedColumn()) as progress:
        task = progress.add_task(_in_a_row(what), total=None)
        yield lambda byte_count: progress.advance(task, byte_count)


class WorkBars(AbstractContextManager["WorkBars"]):
    """A bar for each ingestion, with its pace and finish beside it; what became of it stays."""

    def __init__(self, ingestion_ids: Sequence[str]) -> None:
        """Show nothing yet: a bar is there when there is something to say of its ingestion."""
        self._ingestion_ids = tuple(dict.fromkeys(ingestion_ids))
        self._progress = _bars(
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[ended]}"),
            _on_one_line("{task.fields[remark]}"),
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._endings: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bars as they are, and say what has ended."""
        self._progress.stop()
        for line in self._endings.values():
            say(line)

    def show(self, snapshot: Snapshot) -> None:
        """Move its bar."""
        entry = snapshot.entry
        name, ended_count, batch_count = (
            entry["ingestion_id"],
            snapshot.ended_count,
            entry["batch_count"],
        )
        self._progress.update(
            self._task_of(name),
            completed=ended_count,
            total=batch_count,
            ended=f"{ended_count:,}/{batch_count:,}",
            remark=_in_a_row(
                entry["status"] if snapshot.has_ended else beside_a_bar(snapshot.forecast)
            ),
        )
        if snapshot.has_ended:
            self._endings[name] = ending(entry)

    def tell_silence(self, failure: RequestFailed) -> None:
        """Say so beside every bar, also of those of which nothing is known yet."""
        remark = _in_a_row(f"Trying again: {failure}")
        for name in self._ingestion_ids:
            if name not in self._endings:
                self._progress.update(self._task_of(name), remark=remark)

    def _task_of(self, ingestion_id: str) -> TaskID:
        if ingestion_id not in self._tasks:
            self._tasks[ingestion_id] = self._progress.add_task(
                _in_a_row(ingestion_id), total=None, ended="", remark=""
            )
        return self._tasks[ingestion_id]


def _in_a_row(text: str) -> str:
    return " ".join(harmless(text).split())


def _on_one_line(text: str) -> TextColumn:
    column = Column(no_wrap=True, overflow="ellipsis")
    return TextColumn(text, markup=False, table_column=column)


def _bars(*columns: object, expand: bool = False) -> Progress:
    described = _on_one_line("{task.description}")
    return Progress(described, *columns, console=Console(stderr=True), expand=expand)  # type: ignore[arg-type]
