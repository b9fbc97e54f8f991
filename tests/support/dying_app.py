"""The service with a worker that dies at one boundary of a commit; see `dying`.

It dies by SIGKILL, in the process and at the instant in question, in a transaction that has written
something. What else it takes to get there is provoked here as well: a call that comes late for its
slot, a source that fails once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import Connection

from ingest_app import create_app
from ingest_app.database import Database
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.queue import packing
from ingest_app.sources.simulated import SimulatedSource
from tests.support.dying import DIE_IN, DIE_WHEN, DIED_FILE, DIES_PACKED

_LATE_SECONDS = 0.1  # more than any margin

_when = os.environ[DIE_WHEN]
_verb = os.environ[DIE_IN]
_died = os.environ[DIED_FILE]
_write = Database.write
_write_together = Database.write_together
_fetch = SimulatedSource.fetch


def _write_of_a_mortal(self: Database) -> AbstractContextManager[Connection]:
    verb = sys._getframe(1).f_code.co_name
    if verb == _verb:
        return _deadly(self)
    if verb == "claim_next_batch" and _verb == "hold_slot":
        return _late(self)
    return _write(self)


def _write_together_of_a_mortal(self: Database, do: Callable[[Connection], Any]) -> Any:
    if sys._getframe(1).f_code.co_name != _verb:
        return _write_together(self, do)

    def do_and_die(connection: Connection) -> Any:
        result = do(connection)
        if _when == "before":
            _die_once()
        return result

    result = _write_together(self, do_and_die)
    if _when == "after":
        _die_once()
    return result


@contextmanager
def _deadly(database: Database) -> Iterator[Connection]:
    with _write(database) as connection:
        before = _change_count(connection)
        yield connection
        has_written = _change_count(connection) > before
        if has_written and _when == "before":
            _die_once()
    if has_written and _when == "after":
        _die_once()


@contextmanager
def _late(database: Database) -> Iterator[Connection]:
    with _write(database) as connection:
        yield connection
    time.sleep(_LATE_SECONDS)


def _change_count(connection: Connection) -> int:
    # A worker's first look, before there is work, only writes the source's row.
    claims = "SELECT count(*) FROM dispatches"
    sql = claims if _verb == "claim_next_batch" else "SELECT total_changes()"
    return int(connection.exec_driver_sql(sql).scalar_one())


def _die_once() -> None:
    if _is_first(_died, f"{os.getpid()} {time.clock_gettime(time.CLOCK_BOOTTIME)}"):
        os.kill(os.getpid(), signal.SIGKILL)


def _fail_once(
    self: SimulatedSource, ids: Sequence[ItemId], start: Callable[[], None]
) -> Sequence[FetchedRecord]:
    if _verb == "retry_batch" and _is_first(f"{_died}.failed", "failed"):
        start()
        raise ConnectionError("the upstream hung up")
    return _fetch(self, ids, start)


def _is_first(path: str, content: str) -> bool:
    try:
        with open(path, "x") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


_pack_size = int(os.environ.get(DIES_PACKED, packing.PACK_SIZE))
mock.patch.object(packing, "PACK_SIZE", _pack_size).start()
mock.patch.object(Database, "write", _write_of_a_mortal).start()
mock.patch.object(Database, "write_together", _write_together_of_a_mortal).start()
mock.patch.object(SimulatedSource, "fetch", _fail_once).start()
app = create_app()
