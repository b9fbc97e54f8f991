"""Kill the service while clients submit, and judge what came of all that was acknowledged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Self

import psutil
import requests

from ingest_app.clock import Clock, SystemClock
from ingest_app.database import open_for_reading
from ingest_app.verifying import Finding, Report, verify
from tests.support.freezing import stands_still
from tests.support.ledger import Batch, Dispatch, Ledger, pid_of
from tests.support.service import ROOM_SECONDS, Service, until

_BACKLOG_COUNT = 30
"""So many waiting batches keep the service busy; more would only lengthen the end."""

_NOTICE_SECONDS = 1.0
"""So long after the signal a process may still make a call, and so much later be noted as lost."""

_PRIORITIES = ("HIGH", "MEDIUM", "LOW")


class Clients:
    """Threads that submit small ingestions until they are stopped, whatever the service does.

    acknowledged: the IDs of every ingestion that was answered with 200, by its id.
    unanswered: the IDs of submissions whose connection broke; no one knows whether they count.
    """

    def __init__(self, seed: object, *, thread_count: int = 2) -> None:
        self.acknowledged: dict[str, list[object]] = {}
        self.unanswered: list[list[object]] = []
        self.answers: dict[int, int] = {}
        self._service: Service | None = None
        self._numbers = count()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._submit_until_stopped, args=(f"{seed}-{number}",))
            for number in range(thread_count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def aim_at(self, service: Service) -> None:
        """From now on submit to this start of the service, which is ready."""
        assert service.url
        self._service = service

    def stop(self) -> None:
        """Submit nothing more; when this returns, all answers are in."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(3 * ROOM_SECONDS)
            assert not thread.is_alive()

    def _submit_until_stopped(self, seed: str) -> None:
        rng = random.Random(seed)
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Connection"] = "close"
            while not self._stopping.wait(rng.uniform(0, 0.1)):
                service = self._service
                if service and waiting_count(service.database) < _BACKLOG_COUNT:
                    ids: list[object] = [next(self._numbers) for _ in range(rng.randint(1, 7))]
                    self._submit(session, service.url, ids, rng.choice(_PRIORITIES))

    def _submit(
        self, session: requests.Session, url: str, ids: list[object], priority: str
    ) -> None:
        body = {"ids": ids, "priority": priority}
        try:
            answer = session.post(f"{url}/ingest", json=body, timeout=ROOM_SECONDS)
            told = answer.json()
        except requests.RequestException:
            self.unanswered.append(ids)
            return
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        if answer.status_code == 200:
            self.acknowledged[told["ingestion_id"]] = ids


@dataclass(frozen=True)
class Kill:
    """Processes that were killed together.

    at: not after the signal. boot_seconds: the same on the boot clock.
    is_whole: True when it was the whole service, which had to be started again.
    """

    at: datetime
    boot_seconds: float
    pids: frozenset[int]
    is_whole: bool = False


def kill_worker(service: Service, pid: int) -> Kill:
    """Kill one worker; the arbiter replaces it."""
    kill = _kill_now({pid})
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_running(pid), "the killed worker is gone")
    assert service.process.poll() is None
    return kill


def kill_service(service: Service) -> Kill:
    """Kill all processes at once."""
    # A worker that is started between the look and the kill would not be known.
    service.send_signal(signal.SIGSTOP)
    until(lambda: stands_still(service.process.pid), "no worker is started any more")
    kill = replace(_kill_now(service.worker_pids()), is_whole=True)
    service.kill()
    return kill


def running_workers(service: Service) -> list[int]:
    """The workers that live, in the order of their process ids; waits until there is one."""
    look = lambda: sorted(filter(is_running, service.worker_pids()))  # noqa: E731
    return until(look, "a worker runs")


def is_running(pid: int) -> bool:
    """False of a process that is gone or only waits to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill_now(pids: set[int]) -> Kill:
    # Without a zone, as the tables keep it.
    return Kill(
        datetime.now(UTC).replace(tzinfo=None),
        time.clock_gettime(time.CLOCK_BOOTTIME),
        frozenset(pids),
    )


def waiting_count(database: Path) -> int:
    """How many batches wait."""
    return _count(database, "status = 'yet_to_start'")


def unended_count(database: Path) -> int:
    """How many batches wait or are under way."""
    return _count(database, "status IN ('yet_to_start', 'triggered')")


def _count(database: Path, condition: str) -> int:
    uri = f"{database.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=ROOM_SECONDS)) as connection:
        found = connection.execute(f"SELECT count(*) FROM batches WHERE {condition}").fetchone()
    return int(found[0])


def wait_until_all_ended(service: Service, *, room_seconds: float = 3 * ROOM_SECONDS) -> Ledger:
    """The ledger when every batch has ended; quick also where there are thousands."""
    look = lambda: not unended_count(service.database)  # noqa: E731
    until(look, "every batch ended", room_seconds=room_seconds)
    return service.ledger()


def report_on(database: Path, clock: Clock | None = None) -> Report:
    """What `verify` says of a database file, which may be in use."""
    opened = open_for_reading(database)
    try:
        return verify(opened, clock=clock or SystemClock())
    finally:
        opened.engine.dispose()


def findings_on(database: Path, clock: Clock | None = None) -> Sequence[Finding]:
    """What speaks against a promise in a database file."""
    return report_on(database, clock).findings


def calls_of(ledger: Ledger) -> Ledger:
    """The ledger without the claims that were handed back before any call was made."""
    calls = tuple(one for one in ledger.dispatches if one.boot_seconds is not None)
    return Ledger(calls, ledger.batches)


def not_completed(ledger: Ledger, acknowledged: dict[str, list[object]]) -> list[str]:
    """The acknowledged ingestions that are not there, not completed or have other records.

    acknowledged: their IDs by the ingestion's id.
    """
    batches: dict[str, list[Batch]] = {}
    for batch in sorted(ledger.batches, key=lambda one: one.position):
        batches.setdefault(batch.ingestion_id, []).append(batch)
    return [
        ingestion_id
        for ingestion_id, ids in acknowledged.items()
        if [item for batch in batches.get(ingestion_id, ()) for item in batch.fetched] != ids
        or {batch.status for batch in batches[ingestion_id]} != {"completed"}
    ]


def called_again(ledger: Ledger) -> list[Dispatch]:
    """The calls whose batch was called once more after them."""
    last = {one.batch_id: one.id for one in calls_of(ledger).dispatches}
    return [one for one in calls_of(ledger).dispatches if one.id != last[one.batch_id]]


def called_again_without_reason(ledger: Ledger, kills: Sequence[Kill]) -> list[Dispatch]:
    """The calls that were repeated though their worker was not killed in the middle of them."""
    return [
        one
        for one in called_again(ledger)
        if one.outcome != "lost" or not any(_hit(kill, one) for kill in kills)
    ]


def _hit(kill: Kill, call: Dispatch) -> bool:
    # Not by its process id alone: in a thousand kills they come round again.
    # And a transaction has one time, from its start: a death may be noticed a little after it.
    room = timedelta(seconds=_NOTICE_SECONDS)
    begun_at, ended_at = call.dispatched_at - room, call.finished_at + room
    return pid_of(call) in kill.pids and begun_at <= kill.at <= ended_at


def violations(ledger: Ledger) -> list[str]:
    """What may never be, by the tables alone; without the order, whose check takes long."""
    calls = calls_of(ledger)
    return [
        *(f"{gap} is short" for gap in calls.gaps() if gap.is_short),
        *calls.doubled(),
        *calls.without_right_records(),
    ]


def recovery_seconds(ledger: Ledger, kill: Kill) -> float | None:
    """From the kill until there was another call and all that it had lost waited again.

    None when no call came after it.
    """
    calls = calls_of(ledger).dispatches
    later = (one.boot_seconds for one in calls if one.boot_seconds > kill.boot_seconds)
    next_call = min(later, default=None)
    if next_call is None:
        return None
    taken_back = [
        (one.finished_at - kill.at).total_seconds()
        for one in calls
        if one.outcome == "lost" and pid_of(one) in kill.pids
    ]
    return max(next_call - kill.boot_seconds, *taken_back, 0.0)
