"""How long an upstream wants to be left alone, in the many ways in which they say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from ingest_app.sources.deferrals import LONGEST_SECONDS, Deferral, deferral_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


def http_date(seconds: float) -> str:
    """The date so many seconds from now as headers have it."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def deferral(status: int, **headers: object) -> Deferral | None:
    """The pause of an answer with these headers; `_` stands for `-`."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return deferral_of(status, CaseInsensitiveDict(named), NOW)


RETRY_AFTER = [
    pytest.param("120", 120.0, id="seconds"),
    pytest.param("0", 0.0, id="at once"),
    pytest.param(" 5 ", 5.0, id="blanks around it"),
    pytest.param("1.5", 1.5, id="a fraction, which some send"),
    pytest.param("31622400", LONGEST_SECONDS, id="366 days, the most anybody means"),
    pytest.param("31622401", None, id="more than that is no delay"),
    pytest.param("9" * 400, None, id="more than a float holds"),
    pytest.param("-5", None, id="time does not go back"),
    pytest.param("soon", None, id="not a number"),
    pytest.param("", None, id="nothing"),
    pytest.param("\uff15", None, id="a digit, but not of ASCII"),
    pytest.param("nan", None, id="a float for Python only"),
    pytest.param(http_date(90), 90.0, id="a date"),
    pytest.param(http_date(-90), 0.0, id="a date that has passed"),
    pytest.param("Sunday, 01-Mar-26 12:01:30 GMT", 90.0, id="the date of RFC 850"),
    pytest.param("Sun Mar  1 12:01:30 2026", 90.0, id="the date of asctime"),
    pytest.param("Sun, 01 Mar 2026 13:01:30 +0100", 90.0, id="a date in another zone"),
    pytest.param("Sun, 01 Mar 2099 12:00:00 GMT", None, id="a date beyond all patience"),
    pytest.param("Sun, 01 Mar 1970 12:00:00 GMT", None, id="a date from the beginning of time"),
    pytest.param("Sun, 99 Mar 2026 12:00:00 GMT", None, id="a day no month has"),
    pytest.param("Sun, 01 Mar 99999999999 12:00:00 GMT", None, id="a year no calendar has"),
]


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER)
def test_retry_after_of_a_429(value: str, seconds: float | None) -> None:
    assert deferral(429, Retry_After=value) == Deferral(seconds)


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER)
def test_a_503_asks_for_a_pause_only_with_a_retry_after(value: str, seconds: float | None) -> None:
    assert deferral(503, Retry_After=value) == (None if seconds is None else Deferral(seconds))


@pytest.mark.parametrize("clock_error_seconds", [-86_400, 86_400])
def test_a_date_is_read_against_the_answers_own_date(clock_error_seconds: int) -> None:
    headers = {
        "Date": http_date(clock_error_seconds),
        "Retry-After": http_date(clock_error_seconds + 90),
    }
    assert deferral_of(429, headers, NOW) == Deferral(90.0)


def test_a_date_header_that_is_none_is_not_used() -> None:
    assert deferral(429, Date="today", Retry_After=http_date(90)) == Deferral(90.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"RateLimit": '"default";r=0;t=30'}, 30.0, id="draft 11"),
        pytest.param({"RateLimit": "default;r=0;t=30"}, 30.0, id="draft 8, a token"),
        pytest.param({"RateLimit": '"a, b;r=1";r=0;t=30'}, 30.0, id="a name that looks like more"),
        pytest.param({"RateLimit": '"m";r=0;t=30, "d";r=0;t=90'}, 90.0, id="the longest counts"),
        pytest.param({"RateLimit": '"m";r=5;t=90, "d";r=0;t=30'}, 30.0, id="only what is used up"),
        pytest.param({"RateLimit": '"default";r=0'}, None, id="it does not say until when"),
        pytest.param({"RateLimit": "limit=9, remaining=0, reset=30"}, 30.0, id="draft 6"),
        pytest.param({"RateLimit_Remaining": 0, "RateLimit_Reset": 30}, 30.0, id="draft 3"),
        pytest.param({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 30}, 30.0, id="delay"),
        pytest.param(
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": EPOCH + 30}, 30.0, id="epoch"
        ),
        pytest.param(
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": (EPOCH + 30) * 1000},
            30.0,
            id="epoch in milliseconds",
        ),
        pytest.param(
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": EPOCH - 30}, 0.0, id="it has passed"
        ),
        pytest.param(
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 10**9}, None, id="long ago: garbage"
        ),
        pytest.param(
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": "soon"}, None, id="not a number"
        ),
        pytest.param({"X_RateLimit_Remaining": "0, 10;w=60"}, None, id="several in one"),
        pytest.param(
            {"RateLimit": '"a";r=0;t=30', "X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 90},
            30.0,
            id="the standard comes before the customary",
        ),
        pytest.param({"Retry_After": 5, "RateLimit": '"a";r=0;t=30'}, 5.0, id="Retry-After wins"),
        pytest.param(
            {"Retry_After": "soon", "RateLimit": '"a";r=0;t=30'}, 30.0, id="unless it is garbage"
        ),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_nothing_remains(status: int, headers: dict[str, object], seconds: float | None) -> None:
    assert deferral(status, **headers) == Deferral(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="it says nothing"),
        pytest.param({"RateLimit": '"default";r=5;t=30'}, id="something remains"),
        pytest.param({"X_RateLimit_Remaining": 5, "X_RateLimit_Reset": 30}, id="something remains"),
        pytest.param({"RateLimit": '";;=,,r='}, id="garbage"),
        pytest.param({"RateLimit": '"default";r="0"'}, id="a string is no number"),
    ],
)
def test_without_that_a_503_is_a_failure_and_a_429_a_pause(headers: dict[str, object]) -> None:
    assert (deferral(503, **headers), deferral(429, **headers)) == (None, Deferral(None))


def test_a_429_with_a_reset_alone_means_it() -> None:
    assert deferral(429, X_RateLimit_Reset=30) == Deferral(30.0)


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
def test_other_answers_ask_for_no_pause(status: int) -> None:
    assert deferral(status, Retry_After=5, RateLimit='"a";r=0;t=30') is None


NAMES = st.sampled_from(
    ["Date", "Retry-After", "RateLimit", "RateLimit-Remaining", "X-RateLimit-Reset"]
)


@settings(derandomize=True, database=None, deadline=None)
@given(st.dictionaries(NAMES, st.text() | st.from_regex(r'"?a"?;r=\d+;t=-?\d+') | st.just("0")))
def test_whatever_the_headers_say_a_pause_is_none_or_at_most_366_days(
    headers: dict[str, str],
) -> None:
    found = deferral_of(429, headers, NOW)
    assert found
    assert found.seconds is None or 0 <= found.seconds <= LONGEST_SECONDS
