"""A real API behind nginx, which refuses every call that comes before its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.datasette import serving_table
from tests.support.killing import kill_service, kill_worker
from tests.support.ledger import Dispatch, Ledger, pid_of
from tests.support.outcomes import attempts, fetched, figures, outcomes, records
from tests.support.promises import verified
from tests.support.referee import Referee, RefereedCall, refereed
from tests.support.service import Service, gunicorn, running, until
from tests.support.switching_off import without
from tests.support.table import KEY, TABLE, languages, write_table

from .conftest import Tell, write_source

pytestmark = pytest.mark.upstream

INTERVAL_SECONDS = 0.5
RATE = "2r/s"
FOUR_WORKERS = gunicorn("--workers", "4", "--preload")
SLOWLY = 800
"""Bytes a second: an answer takes longer than an interval, so that a kill finds it under way."""

ROOM_SECONDS = 120.0
PATH = f"/world/{TABLE}"
ROWS = {"_shape": "objects", "_nocount": 1, "_nofacet": 1}
BATCH_COUNT = 45
UNKNOWN = "no-language"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the table is served without any limit."""
    folder: Path = tmp_path_factory.mktemp("table")
    write_table(folder / "world.db")
    with serving_table(folder / "world.db", folder / "datasette.log") as address:
        yield address


def test_nginx_refuses_no_call_of_four_workers_over_kills_and_a_restart(
    tmp_path: Path, table: str, tell: Tell
) -> None:
    ids = some_ids(3 * BATCH_COUNT)
    with refereed(tmp_path / "nginx", table, rate=RATE, bytes_per_second=SLOWLY) as referee:
        write_batch_source(tmp_path, referee)
        with running(tmp_path, FOUR_WORKERS) as service:
            service.ingest(ids)
            service.wait_for_dispatches(BATCH_COUNT // 4)
            kill_worker(service, pid_of(in_flight(service)[-1]))
            service.wait_for_dispatches(BATCH_COUNT // 2)
            kill_service(service)
        with running(tmp_path, FOUR_WORKERS) as service:
            ledger = service.wait_until_all_ended(room_seconds=ROOM_SECONDS)
            verified(service.database)
        calls = ended_calls(referee)
    tell(**figures(service.database, len(calls)), **pace(calls))
    assert referee.refused() == []
    check_all_fetched(service.database, ids)
    assert unrecorded([call.asked_for(f"{KEY}__in") for call in calls], ledger) == []
    assert {one.outcome for one in ledger.calls()} == {"completed", "lost"}
    assert len({pid_of(one) for one in ledger.dispatches}) > 4
    assert ledger.violations() == []


def test_nginx_refuses_calls_when_the_claim_does_not_record_the_slot(
    tmp_path: Path, table: str
) -> None:
    with refereed(tmp_path / "nginx", table, rate=RATE) as referee:
        write_batch_source(tmp_path, referee)
        with running(tmp_path, without("slot", FOUR_WORKERS)) as service:
            service.ingest(some_ids(12))
            refused = until(referee.refused, "a refusal")
    assert refused[0].status == 429


def test_nginx_refuses_no_call_when_each_id_is_a_call_and_a_batch(
    tmp_path: Path, table: str, tell: Tell
) -> None:
    ids = [*some_ids(15), UNKNOWN]
    with refereed(tmp_path / "nginx", table, rate=RATE) as referee:
        write_source(
            tmp_path,
            url=f"{referee.url}{PATH}/{{id}}.json",
            query={"_shape": "objects"},
            items="rows",
            id_field=KEY,
            interval_seconds=INTERVAL_SECONDS,
            batch_size=1,
        )
        with running(tmp_path, FOUR_WORKERS) as service:
            service.ingest(ids)
            ledger = service.wait_until_all_ended()
            verified(service.database)
        calls = ended_calls(referee)
    tell(**figures(service.database, len(calls)), **pace(calls))
    assert referee.refused() == []
    assert [call.last_segment for call in calls] == ids
    assert [one.outcome for one in records(service.database)] == ["fetched"] * 15 + ["missing"]
    assert fetched(service.database) == [(key, languages()[key]) for key in ids[:-1]]
    assert ledger.dispatched_again() == {}


def test_refusals_without_a_time_delay_the_source_and_cost_no_attempt(
    tmp_path: Path, table: str, tell: Tell
) -> None:
    ids = some_ids(30)
    with refereed(tmp_path / "nginx", table, rate="1r/s") as referee:
        write_batch_source(tmp_path, referee)
        with running(tmp_path, FOUR_WORKERS, max_attempts=1) as service:
            service.ingest(ids)
            service.wait_until_all_ended(room_seconds=ROOM_SECONDS)
            verified(service.database)
        calls = ended_calls(referee)
    tell(**figures(service.database, len(calls)))
    refused_count = len(referee.refused())
    assert refused_count > 0
    assert outcomes(service.database) == {"completed": 10, "deferred": refused_count}
    assert attempts(service.database) == [1] * 10
    check_all_fetched(service.database, ids)


def some_ids(count: int) -> list[str]:
    """Keys from all over the table."""
    keys = sorted(languages())
    return keys[:: len(keys) // count][:count]


def write_batch_source(folder: Path, referee: Referee) -> None:
    """A call for three IDs at a time, at the rate that the referee allows."""
    write_source(
        folder,
        url=f"{referee.url}{PATH}.json?{KEY}__in={{ids}}",
        query=ROWS,
        items="rows",
        id_field=KEY,
        interval_seconds=INTERVAL_SECONDS,
        batch_size=3,
        lease_seconds=2,
    )


def in_flight(service: Service) -> Sequence[Dispatch]:
    """The dispatches under way; waits until there is one."""
    return until(lambda: service.ledger().in_flight(), "a call is under way")


def ended_calls(referee: Referee) -> list[RefereedCall]:
    """All calls, when the last of them has ended; nginx logs them then."""
    until(referee.is_idle, "nginx has logged all calls")
    return referee.calls()


def check_all_fetched(database: Path, ids: Sequence[str]) -> None:
    """Every ID once, in the order of the request, with all columns of its row."""
    assert fetched(database) == [(key, languages()[key]) for key in ids]
    assert len(records(database)) == len(ids)


def unrecorded(calls: Sequence[tuple[object, ...]], ledger: Ledger) -> list[tuple[object, ...]]:
    """Calls that arrived and have no dispatch in the ledger."""
    dispatched = Counter(tuple(ids) for ids in ledger.ids_in_order())
    return list((Counter(calls) - dispatched).elements())


def pace(calls: Sequence[RefereedCall]) -> dict[str, float]:
    """The distances of the calls at nginx, in seconds."""
    gaps = [later.arrived_seconds - earlier.arrived_seconds for earlier, later in pairwise(calls)]
    return {
        "interval": INTERVAL_SECONDS,
        "smallest_gap": round(min(gaps), 3),
        "mean_gap": round(sum(gaps) / len(gaps), 4),
    }
