"""A worker dies immediately before or after each commit that claiming and settling make."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.dying import death_of, dying
from tests.support.killing import (
    Kill,
    called_again_without_reason,
    findings_on,
    kill_worker,
    not_completed,
    violations,
    wait_until_all_ended,
)
from tests.support.ledger import Dispatch, Ledger, pid_of
from tests.support.service import Service, gunicorn, running, until

SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 0.4, "lease_seconds": 2}
TWO_WORKERS = gunicorn("--workers", "2", "--preload", "--graceful-timeout", "3")
SUBMISSIONS = ([1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [11])


def nothing_more(_service: Service) -> list[Kill]:
    """Ordinary work comes to this commit."""
    return []


def a_stop(service: Service) -> list[Kill]:
    """A worker is told to stop and cannot wait for its call."""
    worker = pid_of(_first_in_flight(service))
    psutil.Process(worker).send_signal(signal.SIGTERM)
    return []


def a_death(service: Service) -> list[Kill]:
    """A worker dies, and it is another one that is about to take its batch back."""
    return [kill_worker(service, pid_of(_first_in_flight(service)))]


def _first_in_flight(service: Service) -> Dispatch:
    return until(lambda: service.ledger().in_flight(), "a batch is in flight")[0]


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("verb", "provoke", "more_settings", "pack_size"),
    [
        ("submit_ingestion", nothing_more, {}, None),
        ("submit_ingestion", nothing_more, {}, 1),
        # An interval that is longer than it takes others to notice the death and claim again.
        ("claim_next_batch", nothing_more, {"interval_seconds": 0.8}, None),
        ("claim_next_batch", nothing_more, {"interval_seconds": 0.8}, 1),
        ("hold_slot", nothing_more, {"interval_seconds": 0.8}, None),
        ("complete_batch", nothing_more, {}, None),
        ("retry_batch", nothing_more, {}, None),
        # A call that is longer than from one heartbeat to the next.
        ("renew_leases", nothing_more, {"simulated_latency_seconds": 1.5}, None),
        # A call for which the graceful time is too short, also when the stop comes late.
        ("release_batch", a_stop, {"simulated_latency_seconds": 6}, None),
        # A call that is still under way when its worker is killed.
        ("recover_expired_leases", a_death, {"simulated_latency_seconds": 4}, None),
    ],
)
def test_death_at_a_commit_loses_nothing_and_keeps_the_pace(
    tmp_path: Path,
    when: str,
    verb: str,
    provoke: Callable[[Service], list[Kill]],
    more_settings: dict[str, float],
    pack_size: int | None,
) -> None:
    died = tmp_path / "died"
    command = dying(TWO_WORKERS, when, verb, died, pack_size=pack_size)
    with running(tmp_path, command, **{**SETTINGS, **more_settings}) as service:
        acknowledged, unanswered = _submit_all(service)
        kills = provoke(service)
        kills.append(until(lambda: death_of(died), "a worker died where it should"))
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
    assert not_completed(ledger, acknowledged) == []
    _check_whole_or_absent(ledger, acknowledged, unanswered)
    if verb == "submit_ingestion":
        assert len(unanswered) == 1
        assert (unanswered[0] in _by_ingestion(ledger).values()) == (when == "after")
    assert findings == ()
    assert violations(ledger) == []
    again = called_again_without_reason(ledger, kills)
    assert [one for one in again if one.outcome != _planned_outcome(verb)] == []


def _planned_outcome(verb: str) -> str | None:
    """What may end a call that is to be repeated, besides the death of its worker."""
    return {"retry_batch": "retried", "release_batch": "released"}.get(verb)


def _submit_all(service: Service) -> tuple[dict[str, list[object]], list[list[object]]]:
    """The acknowledged submissions by their ids, and those whose worker died before its answer."""
    acknowledged, unanswered = dict[str, list[object]](), list[list[object]]()
    for numbers in SUBMISSIONS:
        ids = list[object](numbers)
        try:
            acknowledged[service.ingest(ids)] = ids
        except requests.RequestException:  # also in the middle of an answer
            unanswered.append(ids)
    return acknowledged, unanswered


def _check_whole_or_absent(
    ledger: Ledger, acknowledged: dict[str, list[object]], unanswered: list[list[object]]
) -> None:
    stored = _by_ingestion(ledger)
    others = [ids for ingestion_id, ids in stored.items() if ingestion_id not in acknowledged]
    assert [ids for ids in others if ids not in unanswered] == []
    assert not_completed(ledger, stored) == []


def _by_ingestion(ledger: Ledger) -> dict[str, list[object]]:
    """The IDs of every ingestion that is stored."""
    found: dict[str, list[object]] = {}
    for batch in ledger.batches:  # their ids follow their positions
        found.setdefault(batch.ingestion_id, []).extend(batch.ids)
    return found
