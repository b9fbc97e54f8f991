"""IDs cut into submissions: nothing is lost, each is a body that can be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_app.cli import parts as parts_module
from ingest_app.cli.parts import Lines, Submission, split


def bodies(texts: list[str], most_ids: int) -> list[dict[str, Any]]:
    given_ids = [(text, line) for line, text in enumerate(texts, 1)]
    found = []
    for part in split(given_ids, most_ids=most_ids):
        submission = Submission(part, {"priority": "LOW"})
        once, again = b"".join(submission), b"".join(submission)
        assert once == again
        assert len(submission) == len(once)
        found.append(json.loads(once))
    return found


@given(st.lists(st.integers(0, 99) | st.text(max_size=3)), st.integers(1, 7))
def test_all_ids_are_sent_in_order_and_no_part_is_too_large(
    values: list[int | str], most_ids: int
) -> None:
    found = bodies([json.dumps(value) for value in values], most_ids)
    assert [value for body in found for value in body["ids"]] == values
    assert all(0 < len(body["ids"]) <= most_ids for body in found)
    assert all(body["priority"] == "LOW" for body in found)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(3, [(1, True)], id="they fit exactly"),
        pytest.param(4, [(1, False), (2, False)], id="one more"),
        pytest.param(0, [], id="none"),
    ],
)
def test_part_knows_whether_it_is_the_only_one(count: int, expected: list[Any]) -> None:
    found = split([("1", 1)] * count, most_ids=3)
    assert [(part.number, part.is_only) for part in found] == expected


def test_part_ends_before_the_service_would_refuse_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts_module, "MOST_BYTES", 10)
    found = split([('"abc"', 1)] * 3)
    assert [(part.id_count, part.byte_count) for part in found] == [(1, 6), (1, 6), (1, 6)]


def test_body_tells_how_much_of_it_was_taken() -> None:
    told: list[int] = []
    for part in split([("1", 1)] * 50_000):
        submission = Submission(part, {}, told.append)
        assert [*submission]
        assert (told[0], told[-1]) == (0, len(submission))
        assert told == sorted(told)


@given(st.lists(st.integers(1, 3)))
def test_lines_are_found_again(steps: list[int]) -> None:
    lines, expected, line = Lines(), list[int](), 0
    for position, step in enumerate(steps):
        line += step
        lines.add(position, line)
        expected.append(line)
    assert [lines.of(position) for position in range(len(steps))] == expected
