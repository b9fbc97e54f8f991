"""kill -9 at random times, of one worker or of everything, while clients submit."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.killing import (
    Clients,
    Kill,
    called_again,
    called_again_without_reason,
    calls_of,
    kill_service,
    kill_worker,
    not_completed,
    recovery_seconds,
    report_on,
    running_workers,
    violations,
    wait_until_all_ended,
)
from tests.support.ledger import Ledger
from tests.support.service import Service, gunicorn, running

INTERVAL_SECONDS = 0.05
SETTINGS = {
    "interval_seconds": INTERVAL_SECONDS,
    "simulated_latency_seconds": 0.1,
    "lease_seconds": 2,
    "max_attempts": 1000,  # a batch may be hit again and again
}
THREE_WORKERS = gunicorn("--workers", "3", "--preload")
KILLS_A_START = 25
"""Every so many kills it is the whole service."""

LONGEST_PAUSE_SECONDS = 0.6


@dataclass(frozen=True)
class History:
    """What was done, and what the service made of it."""

    seed: int
    kills: list[Kill]
    clients: Clients
    ledger: Ledger
    database: Path
    seconds: float


@pytest.mark.faults
def test_nothing_acknowledged_is_lost_and_the_pace_holds_over_a_few_kills(
    tmp_path: Path, seed: int
) -> None:
    _check(_kill_again_and_again(tmp_path, 15, seed))


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_and_the_pace_holds_over_many_kills(
    tmp_path: Path, seed: int, kill_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    history = _kill_again_and_again(tmp_path, kill_count, seed)
    with capsys.disabled():
        print("", *_figures(history), sep="\n")
    _check(history)


def _kill_again_and_again(folder: Path, kill_count: int, seed: int) -> History:
    rng, kills, started = random.Random(seed), list[Kill](), time.monotonic()
    with Clients(seed) as clients:
        for start_kill_count in _starts(kill_count):
            with running(folder, THREE_WORKERS, **SETTINGS) as service:
                clients.aim_at(service)
                kills += _kills_of_one_start(service, start_kill_count, rng)
        with running(folder, THREE_WORKERS, **SETTINGS) as service:
            clients.stop()
            ledger = wait_until_all_ended(service)
    assert len(kills) == kill_count
    seconds = time.monotonic() - started
    return History(seed, kills, clients, ledger, service.database, seconds)


def _starts(kill_count: int) -> Iterator[int]:
    """How many kills each start of the service sees, the last one of them its own."""
    # The first one early, so that also a short run has two.
    first = min(kill_count, KILLS_A_START // 2)
    yield first
    for done in range(first, kill_count, KILLS_A_START):
        yield min(KILLS_A_START, kill_count - done)


def _kills_of_one_start(service: Service, kill_count: int, rng: random.Random) -> Iterator[Kill]:
    for left in range(kill_count, 0, -1):
        time.sleep(rng.uniform(0, LONGEST_PAUSE_SECONDS))
        victim = rng.choice(running_workers(service))
        yield kill_worker(service, victim) if left > 1 else kill_service(service)


def _check(history: History) -> None:
    acknowledged, ledger = history.clients.acknowledged, history.ledger
    assert len(acknowledged) >= len(history.kills), "too little was going on"
    assert not_completed(ledger, acknowledged) == []
    assert set(history.clients.answers) == {200}
    assert report_on(history.database).findings == ()
    assert violations(ledger) == []
    assert called_again_without_reason(ledger, history.kills) == []
    assert called_again(ledger), "no kill hit anything"


def _figures(history: History) -> Iterator[str]:
    ledger, kills, clients = history.ledger, history.kills, history.clients
    lost = not_completed(ledger, clients.acknowledged)
    report = report_on(history.database)
    (pace,) = report.sources
    gaps = calls_of(ledger).gaps()
    by_worker = [recovery_seconds(ledger, kill) for kill in kills if not kill.is_whole]
    by_service = [recovery_seconds(ledger, kill) for kill in kills if kill.is_whole]
    again = called_again(ledger)
    yield f"seed {history.seed}"
    yield f"kills {len(kills)}, of these of the whole service {len(by_service)}"
    yield f"acknowledged {len(clients.acknowledged)}, lost {len(lost)}"
    yield f"answers {clients.answers}, without an answer {len(clients.unanswered)}"
    yield f"findings of verify {len(report.findings)}"
    yield f"calls {pace.call_count}"
    yield (
        f"interval {INTERVAL_SECONDS} s, smallest gap {min(gap.seconds for gap in gaps):.6f} s,"
        f" mean gap while work waited {pace.mean_gap_seconds:.4f} s"
    )
    yield (
        f"batches called again {len({one.batch_id for one in again})} ({len(again)} times),"
        f" without a reason {len(called_again_without_reason(ledger, kills))}"
    )
    yield (
        f"slowest recovery after a worker's death {_slowest(by_worker):.2f} s, after the"
        f" service's {_slowest(by_service):.2f} s, its restart included"
    )
    yield f"seconds {history.seconds:.0f}"


def _slowest(recoveries: list[float | None]) -> float:
    return max((one for one in recoveries if one is not None), default=0.0)
