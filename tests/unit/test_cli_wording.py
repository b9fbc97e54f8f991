"""Durations, times and counts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest_app.cli.output import print_table, say
from ingest_app.cli.refusals import describe_errors
from ingest_app.cli.wording import brief_moment, count, duration, moment, size, states

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        pytest.param(0.05, "0.05 s", id="half of what it would be rounded to"),
        (0.0523, "0.052 s"),
        pytest.param(0.0004, "0 s", id="no exponent"),
        (0.25, "0.25 s"),
        pytest.param(0.98, "1.0 s", id="what would be 0.98 s is a second"),
        (3.24, "3.2 s"),
        pytest.param(59.96, "1 min", id="what would be 60.0 s is a minute"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        pytest.param(3599.7, "1 h", id="rounded before it is divided"),
        (15_130, "4 h 12 min"),
        (86_400, "1 d"),
        (335_000, "3 d 21 h"),
    ],
)
def test_duration_has_the_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moment_is_that_of_this_machine() -> None:
    assert moment(None) is None
    shown = moment("2026-03-01T12:00:00.000001Z")
    assert shown == f"{NOW.astimezone():%Y-%m-%d %H:%M:%S %Z}" == moment(NOW)


def test_moment_of_today_needs_no_date() -> None:
    assert brief_moment("2026-03-01T16:38:00.5Z", NOW) == "16:38:00"
    assert brief_moment("2026-03-02T16:38:00.5Z", NOW) == "Mon 02 Mar 16:38"


def test_counts_agree_with_their_nouns() -> None:
    assert [count(number, "batch") for number in (0, 1, 3_334)] == [
        "0 batches",
        "1 batch",
        "3,334 batches",
    ]
    assert [size(number) for number in (1, 1_500, 93_400_000)] == ["1 byte", "1.5 kB", "93.4 MB"]
    assert states({"yet_to_start": 1_200, "triggered": 0, "failed": 1}) == (
        "1,200 yet to start, 1 failed"
    )


def test_table_is_aligned_and_without_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("ID", "STATUS"), [("a", "failed"), ("long", "ok")])
    assert capsys.readouterr().out == "ID    STATUS\na     failed\nlong  ok\n"


def test_what_an_upstream_said_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("\x1b[2Jgone\x9b1m\x07")
    assert capsys.readouterr().out == "?[2Jgone?1m?\n"


def test_errors_of_a_problem_are_one_sentence_after_the_other() -> None:
    told = {"priority": ["Must be one of: HIGH."], "ids": {"0": ["No."], "more": ["5 more."]}}
    assert describe_errors(told) == "priority: Must be one of: HIGH. ids: No. 5 more."
