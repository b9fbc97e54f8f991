"""What moves on a terminal: bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

__all__ = ["TaskID", "download_bar", "upload_bar", "work_bars"]


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
        task = progress.add_task(what, total=None)
        yield lambda byte_count: progress.advance(task, byte_count)


def work_bars() -> Progress:
    """A bar for each ingestion, to be used as a context; `outlook` is a field of each."""
    return _bars(
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        _on_one_line("{task.fields[outlook]}"),
        expand=True,
    )


def _on_one_line(text: str) -> TextColumn:
    column = Column(no_wrap=True, overflow="ellipsis")
    return TextColumn(text, markup=False, table_column=column)


def _bars(*columns: object, expand: bool = False) -> Progress:
    described = _on_one_line("{task.description}")
    return Progress(described, *columns, console=Console(stderr=True), expand=expand)  # type: ignore[arg-type]
