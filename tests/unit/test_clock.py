"""Two clocks in one reading: which of them decides."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

import pytest

from ingest_app import clock
from ingest_app.clock import Moment, SystemClock
from tests.support.clocks import START

AT = START.at


def test_later_moves_both_clocks_and_keeps_the_boot() -> None:
    assert START.later(2.5) == Moment(AT + timedelta(seconds=2.5), 1002.5, "first-boot")


def test_later_without_a_boot_clock_moves_the_wall_clock() -> None:
    assert Moment(AT).later(2.5) == Moment(AT + timedelta(seconds=2.5))


@pytest.mark.parametrize(
    ("earlier", "now", "seconds"),
    [
        pytest.param(
            Moment(AT, 10.0, "a"),
            Moment(AT + timedelta(hours=1), 13.0, "a"),
            3.0,
            id="same boot: the step of the wall clock does not count",
        ),
        pytest.param(
            Moment(AT, 10.0, "a"),
            Moment(AT - timedelta(hours=1), 13.0, "a"),
            3.0,
            id="same boot: nor does one back",
        ),
        pytest.param(
            Moment(AT, 5_000.0, "a"),
            Moment(AT + timedelta(seconds=7), 3.0, "b"),
            7.0,
            id="other boot: its seconds count from elsewhere, the wall decides",
        ),
        pytest.param(
            Moment(AT, 10.0, "a"),
            Moment(AT + timedelta(seconds=7)),
            7.0,
            id="read without a boot clock",
        ),
        pytest.param(
            Moment(AT),
            Moment(AT + timedelta(seconds=7), 13.0, "a"),
            7.0,
            id="recorded without a boot clock",
        ),
        pytest.param(
            Moment(AT, 10.0),
            Moment(AT + timedelta(seconds=7), 13.0),
            7.0,
            id="no boot ids: two unknown boots are not the same one",
        ),
        pytest.param(
            Moment(AT, 13.0, "a"),
            Moment(AT, 10.0, "a"),
            -3.0,
            id="what is still to come is negative",
        ),
    ],
)
def test_seconds_since_goes_by_the_boot_clock_if_both_share_a_boot(
    earlier: Moment, now: Moment, seconds: float
) -> None:
    assert now.seconds_since(earlier) == seconds


def test_boot_seconds_since_is_none_for_another_boot() -> None:
    assert Moment(AT, 20.0, "b").boot_seconds_since(Moment(AT, 10.0, "a")) is None


def test_system_clock_reads_aware_utc() -> None:
    assert SystemClock().read().at.tzinfo is UTC


def test_system_clock_shares_one_boot_and_does_not_go_back() -> None:
    system = SystemClock()
    first, second = system.read(), system.read()
    assert first.boot_id is not None
    assert second.boot_seconds_since(first) >= 0


def test_system_that_does_not_tell_its_boot_has_no_boot_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID_FILE", tmp_path / "missing")
    assert clock._boot_id.__wrapped__() is None


def test_system_without_a_boot_id_has_wall_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_boot_id", lambda: None)
    moment = SystemClock().read()
    assert (moment.boot_seconds, moment.boot_id) == (None, None)
