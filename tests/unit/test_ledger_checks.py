"""The checks that the end-to-end tests rely on go red, each for its own violation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.ledger import Batch, Dispatch, Ledger, pid_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
INTERVAL_SECONDS = 5.0
MARGIN_SECONDS = 0.025


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def dispatch(id_: int, batch_id: int, seconds: float, **more: Any) -> Dispatch:
    """A dispatch that was claimed and called at this time, and completed a second later."""
    given: dict[str, Any] = {
        "attempt": 1,
        "worker": "host:7",
        "dispatched_at": at(seconds),
        "boot_seconds": 1000 + seconds,
        "boot_id": "this-boot",
        "slot_opened_at": at(seconds),
        "interval_seconds": INTERVAL_SECONDS,
        "margin_seconds": MARGIN_SECONDS,
        "finished_at": at(seconds + 1),
        "outcome": "completed",
    }
    return Dispatch(id_, batch_id, **{**given, **more})


def batch(id_: int, triggered: float | None, **more: Any) -> Batch:
    """A batch accepted at noon; completed with its records when it was triggered."""
    ids = (id_ * 10, "a")
    given: dict[str, Any] = {
        "status": "yet_to_start" if triggered is None else "completed",
        "priority_rank": 1,
        "created_at": at(0),
        "triggered_at": None if triggered is None else at(triggered),
        "fetched": () if triggered is None else ids,
    }
    return Batch(id_, "ingestion", id_, ids, **{**given, **more})


GOOD = Ledger(
    (dispatch(1, 1, 1), dispatch(2, 2, 6.1), dispatch(3, 3, 11.2)),
    (batch(1, 1), batch(2, 6.1), batch(3, 11.2), batch(4, None)),
)


def with_dispatch(number: int, **more: Any) -> Ledger:
    """The good ledger with one dispatch changed, by its id."""
    changed = [replace(one, **more) if one.id == number else one for one in GOOD.dispatches]
    return replace(GOOD, dispatches=tuple(changed))


def with_batch(number: int, **more: Any) -> Ledger:
    """The good ledger with one batch changed, by its id."""
    changed = [replace(one, **more) if one.id == number else one for one in GOOD.batches]
    return replace(GOOD, batches=tuple(changed))


def test_good_ledger_has_no_violation() -> None:
    assert GOOD.violations() == []
    assert [round(gap.seconds, 3) for gap in GOOD.gaps()] == [5.1, 5.1]
    assert GOOD.dispatched_again() == {}


@pytest.mark.parametrize(
    "ledger",
    [
        # 4.999 s after the first one
        with_dispatch(2, boot_seconds=1005.999, dispatched_at=at(5.999)),
        # the wall clock was set, the boot clock tells
        with_dispatch(2, boot_seconds=1005.999),
        # another boot: only the wall clock can tell
        with_dispatch(2, boot_id="that-boot", boot_seconds=3.0, dispatched_at=at(5.9)),
        # recorded in the other order
        with_dispatch(2, boot_seconds=1000.5),
        # the third one has the interval of a slower setting
        with_dispatch(3, interval_seconds=6.0),
    ],
    ids=["early", "wall-set", "other-boot", "swapped", "slower-setting"],
)
def test_gap_under_the_interval_is_a_violation(ledger: Ledger) -> None:
    assert [text for text in ledger.violations() if "is short" in text]


def test_gap_over_a_step_of_the_wall_clock_is_none() -> None:
    ledger = with_dispatch(2, dispatched_at=at(-3600), finished_at=at(-3599))
    assert not any(gap.is_short for gap in ledger.gaps())


@pytest.mark.parametrize("outcome", [None, "lost"])
def test_unrecorded_call_counts_as_made_at_the_end_of_its_margin(outcome: str | None) -> None:
    early = {"boot_seconds": 1006.02, "dispatched_at": at(6.02)}
    assert not any(gap.is_short for gap in with_dispatch(2, **early).gaps())
    first = replace(GOOD.dispatches[0], outcome=outcome)
    ledger = replace(with_dispatch(2, **early), dispatches=(first, dispatch(2, 2, 6.02)))
    assert [gap.is_short for gap in ledger.gaps()] == [True]


def test_sources_have_gaps_of_their_own() -> None:
    ledger = with_dispatch(2, source="other", boot_seconds=1001.0)
    assert not any(gap.is_short for gap in ledger.gaps())
    assert [one.id for one in ledger.of_source("other").dispatches] == [2]


@pytest.mark.parametrize(
    "turn",
    [{"priority_rank": 0, "created_at": at(0.999)}, {"created_at": at(-1)}],
    ids=["more-urgent", "older"],
)
def test_batch_that_was_passed_over_is_a_violation(turn: dict[str, Any]) -> None:
    expected = [f"dispatch {n} of batch {n} passed over batch 4" for n in (1, 2, 3)]
    assert with_batch(4, **turn).order_violations() == expected
    assert set(expected) <= set(with_batch(4, **turn).violations())


def test_tie_is_broken_by_the_id() -> None:
    swapped = Ledger((dispatch(1, 2, 1), dispatch(2, 1, 6.1)), (batch(1, 6.1), batch(2, 1)))
    assert swapped.order_violations() == ["dispatch 1 of batch 2 passed over batch 1"]


@pytest.mark.parametrize(
    "more",
    [
        {"priority_rank": 0, "created_at": at(12)},  # came after the last claim
        {"priority_rank": 0, "source": "other"},
        {"priority_rank": 0, "status": "cancelled"},
        {"priority_rank": 2, "created_at": at(-1)},  # less urgent
    ],
    ids=["later", "other-source", "cancelled", "less-urgent"],
)
def test_batch_whose_turn_had_not_come_was_not_passed_over(more: dict[str, Any]) -> None:
    assert with_batch(4, **more).order_violations() == []


@pytest.mark.parametrize(
    ("outcome", "is_violation"),
    [("released", True), ("lost", True), ("retried", False), (None, False), ("failed", False)],
)
def test_batch_that_came_back_to_its_place_may_not_be_passed_over(
    outcome: str | None, is_violation: bool
) -> None:
    ledger = with_dispatch(1, outcome=outcome, finished_at=at(2) if outcome else None)
    assert bool(ledger.order_violations()) == is_violation


def test_batch_that_comes_back_after_a_claim_was_not_passed_over_by_it() -> None:
    ledger = with_dispatch(1, outcome="lost", finished_at=at(30))
    assert ledger.order_violations() == []


def test_batch_completed_twice_is_a_violation() -> None:
    ledger = with_dispatch(2, batch_id=1, attempt=2)
    assert "batch 1 was completed 2 times" in ledger.violations()


@pytest.mark.parametrize("finished_at", [None, at(7)])
def test_dispatch_beside_an_open_one_of_the_same_batch_is_a_violation(
    finished_at: datetime | None,
) -> None:
    outcome = "lost" if finished_at else None
    first = replace(GOOD.dispatches[0], outcome=outcome, finished_at=finished_at)
    ledger = Ledger((first, dispatch(2, 1, 6.1)), (batch(1, 6.1),))
    assert "dispatch 2 of batch 1 began while 1 was open" in ledger.violations()


def test_again_tells_why() -> None:
    lost = replace(GOOD.dispatches[0], outcome="lost", finished_at=at(5))
    ledger = Ledger((lost, dispatch(2, 1, 6.1)), (batch(1, 6.1),))
    assert ledger.dispatched_again() == {1: ("lost",)}
    assert ledger.violations() == []


@pytest.mark.parametrize(
    ("ledger", "batch_id"),
    [
        (with_batch(4, fetched=(40, "a")), 4),  # records without a completed batch
        (with_batch(2, fetched=()), 2),
        (with_batch(2, fetched=(20,)), 2),
        (with_batch(2, fetched=("a", 20)), 2),
        (with_batch(2, fetched=(20, "a", "a")), 2),
        (with_batch(4, status="completed", fetched=(40, "a")), 4),  # by no dispatch
        (with_batch(2, status="failed", fetched=()), 2),  # though its dispatch completed
        (with_dispatch(2, outcome="lost"), 2),
    ],
    ids=["too-soon", "none", "missing", "order", "doubled", "undispatched", "failed", "lost"],
)
def test_wrong_records_are_a_violation(ledger: Ledger, batch_id: int) -> None:
    found = [text for text in ledger.violations() if text.startswith(f"batch {batch_id}")]
    assert found


def test_batch_handed_back_without_a_call_was_not_called_twice_and_leaves_no_gap() -> None:
    uncalled = {"dispatched_at": None, "boot_seconds": None, "boot_id": None, "outcome": "released"}
    ledger = Ledger(
        (
            dispatch(1, 1, 1),
            dispatch(2, 2, 6.1, finished_at=at(6.2), **uncalled),
            dispatch(3, 2, 6.3, attempt=1),
        ),
        (batch(1, 1), batch(2, 6.3)),
    )
    assert ledger.violations() == []
    assert [(gap.earlier, gap.later) for gap in ledger.gaps()] == [(1, 3)]
    assert ledger.dispatched_again() == {}
    assert ledger.ids_in_order() == [[10, "a"], [20, "a"]]


def test_not_ended_lists_what_waits_or_is_under_way() -> None:
    ledger = with_batch(3, status="triggered", fetched=())
    assert [one.id for one in ledger.not_ended()] == [3, 4]
    assert [one.id for one in ledger.in_state("triggered")] == [3]


@pytest.mark.parametrize("worker", ["host:7", "host:7/1234@5"])
def test_process_of_a_worker_is_the_number_after_the_host(worker: str) -> None:
    assert pid_of(dispatch(1, 1, 1, worker=worker)) == 7
