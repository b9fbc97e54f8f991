"""The job that Huey does; its consumer imports `huey` from here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from huey import SqliteHuey

FILE = "BENCHMARK_HUEY_FILE"
"""The environment variable that tells the consumer its file."""


def huey_on(path: Path | str, *, fsync: bool) -> Any:
    """Huey on this file; with `fsync` every commit reaches the disk."""
    return SqliteHuey("benchmark", filename=str(path), fsync=fsync)


def nothing() -> None:
    """Do nothing."""


def enqueue(path: Path, count: int) -> None:
    """Let so many jobs wait in the file."""
    # Not what is measured, so it may be quick.
    job = huey_on(path, fsync=False).task()(nothing)
    for _ in range(count):
        job()


if FILE in os.environ:
    huey = huey_on(os.environ[FILE], fsync=True)
    huey.task()(nothing)
