"""Give the disk back what was deleted, in steps so short that dispatching does not notice.

Source: https://sqlite.org/pragma.html#pragma_incremental_vacuum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.prepared import run_to_end
from ingest_app.queue.pruning import pause_seconds_after

SPARE_PAGES = 1_000
"""Free pages that stay in the file (4 MB): what comes next needs room, too."""

PAGES_A_STEP = 50
_INCREMENTAL = 2


@dataclass
class Shrunk:
    """By how much the file shrinks; its size follows when SQLite has copied its log (WAL)."""

    page_count: int = 0
    longest_lock_seconds: float = 0.0


def can_shrink(database: Database) -> bool:
    """False of a file that was made before it could; `ingest db compact` makes it able to."""
    with database.read() as connection:
        return _value(connection, "auto_vacuum") == _INCREMENTAL


def shrink(database: Database, *, clock: Clock, wait: Callable[[float], bool]) -> Shrunk:
    """Cut free pages off the end of a file that `can_shrink`, all but `SPARE_PAGES`.

    wait: waits for so many seconds; True when there is no time for more.
    """
    done = Shrunk()
    while _free_pages(database) >= SPARE_PAGES + PAGES_A_STEP:
        with database.write() as connection:
            began = clock.read()
            run_to_end(connection, f"PRAGMA incremental_vacuum({PAGES_A_STEP})")
        held_seconds = max(0.0, clock.read().seconds_since(began))
        done.page_count += PAGES_A_STEP
        done.longest_lock_seconds = max(done.longest_lock_seconds, held_seconds)
        if wait(pause_seconds_after(held_seconds)):
            break
    return done


def _free_pages(database: Database) -> int:
    with database.read() as connection:
        return _value(connection, "freelist_count")


def _value(connection: Connection, pragma: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())
