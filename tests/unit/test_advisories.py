"""The check of locked versions against advisories, on advisories made up for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.advisories import CONSTRAINTS, Hit, find_hits, pins_in


def put(folder: Path, name: str, *events: dict[str, str], **more: object) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    advisory = {"id": "PYSEC-1", "affected": [{"ranges": ranges}], **more}
    (folder / "vulns" / name).mkdir(parents=True)
    (folder / "vulns" / name / "PYSEC-1.yaml").write_text(yaml.safe_dump(advisory))


@pytest.mark.parametrize(
    ("events", "is_hit"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], True),
        ([{"introduced": "0"}, {"fixed": "1.5"}], False),  # the fix is in it
        ([{"introduced": "1.6"}], False),  # it is older
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], True),
        ([{"introduced": "1.0"}, {"last_affected": "1.4"}], False),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.5"}], True),  # it came back
        ([{"introduced": "1.10"}], False),  # not by letters
    ],
)
def test_version_within_what_is_affected_is_found(
    tmp_path: Path, events: list[dict[str, str]], is_hit: bool
) -> None:
    put(tmp_path, "a-b", *events)
    hits = list(find_hits({"a-b": "1.5", "c": "1.5"}, tmp_path))
    assert hits == ([Hit("a-b", "1.5", "PYSEC-1")] if is_hit else [])


def test_advisory_that_was_withdrawn_is_none(tmp_path: Path) -> None:
    put(tmp_path, "a", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")
    assert list(find_hits({"a": "1"}, tmp_path)) == []


def test_pins_are_all_that_is_locked() -> None:
    pins = pins_in(CONSTRAINTS.read_text(encoding="utf-8"))
    assert {"flask", "sqlalchemy", "apscheduler", "gunicorn", "marshmallow"} <= pins.keys()
    assert pins_in("A_b==1.0 ; x\n    # via c==2\nd==3\n") == {"a-b": "1.0", "d": "3"}
