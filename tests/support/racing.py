"""Many workers at one database file: threads of this process, or processes of their own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingest_app.clock import SystemClock
from ingest_app.migrating import migrate
from ingest_app.queue import claim as claiming
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.refusing import Wait
from ingest_app.settings import SourceSettings
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.queues import Queue, opened

CREW_SECONDS = 60.0


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """What `work` returns in each of so many threads that start together."""
    barrier = threading.Barrier(count)

    def start_together(_number: int) -> Any:
        barrier.wait(TIMEOUT_SECONDS)
        return work()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start_together, range(count)))


class Crew:
    """Processes that were spawned once, since their imports take seconds, and start together."""

    def __init__(self, count: int) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._count = count
        barrier = spawning.Barrier(count)
        self._pool = ProcessPoolExecutor(count, spawning, _join_crew, (barrier,))
        self.run(os.getpid)  # so that all are there, and this process's threads for them too

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `work(*arguments)` returns in each of the processes; its error if one raises."""
        futures = [self._pool.submit(_start_together, work, arguments) for _ in range(self._count)]
        return [future.result(CREW_SECONDS) for future in futures]

    def leave(self) -> None:
        self._pool.shutdown()


def _join_crew(barrier: Barrier) -> None:
    globals()["_crew_barrier"] = barrier


def _start_together(work: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    globals()["_crew_barrier"].wait(CREW_SECONDS)
    return work(*arguments)


def claim_all(queue: Queue) -> Sequence[Claim]:
    """Claim until the queue is empty, on a clock that is moved to every opening."""
    claims = []
    while True:
        answer = queue.ask()
        if isinstance(answer, Claim):
            claims.append(answer)
        elif answer.reason is Wait.EMPTY:
            return claims
        else:
            queue.clock.move(answer.wait_seconds)


def claim_all_in_real_time(path: Path, source: SourceSettings) -> None:
    """Claim until the queue is empty, at the pace of the real clock."""
    clock = SystemClock()
    with opened(path) as database:
        while True:
            answer = claim_next_batch(database, source, worker="process", clock=clock)
            if isinstance(answer, Claim):
                continue
            if answer.reason is Wait.EMPTY:
                return
            time.sleep(answer.wait_seconds)  # the pace, as a dispatcher keeps it


def claim_all_without_the_slot(path: Path, source: SourceSettings) -> None:
    """The same with the slot switched off."""
    with patch.object(claiming, "_spend_slot", lambda *_: None):
        claim_all_in_real_time(path, source)


def migrate_and_tell(path: Path) -> int:
    """Migrate, and say how many migrations this process has run."""
    ran: list[logging.LogRecord] = []

    class Listen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("Running upgrade"):
                ran.append(record)

    alembic_log, listen = logging.getLogger("alembic.runtime.migration"), Listen()
    alembic_log.setLevel(logging.INFO)
    alembic_log.addHandler(listen)
    try:
        with opened(path) as database:
            migrate(database)
    finally:
        alembic_log.removeHandler(listen)
    return len(ran)
