"""datasette, an API for tables that was not written here, in a subprocess."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.service import kill_group, until

_ADDRESS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@contextmanager
def serving_table(database: Path, log_path: Path) -> Iterator[str]:
    """The address of a datasette that serves this SQLite file, on a port the system chose."""
    program = str(Path(sys.executable).parent / "datasette")
    arguments = ("serve", "--immutable", str(database), "--host", "127.0.0.1", "--port", "0")
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield until(lambda: _address(process, log_path), "datasette serves")
    finally:
        kill_group(process)


def _address(process: subprocess.Popen[str], log_path: Path) -> str | None:
    log = log_path.read_text(errors="replace")
    assert process.poll() is None, log
    found = _ADDRESS.search(log)
    return found.group(1) if found else None
