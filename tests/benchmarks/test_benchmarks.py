"""That the benchmarks work: tiny sizes, no figure is judged but those that are promises."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.needed import missing
from tests.benchmarks.report import Row, as_json, show
from tests.benchmarks.rounds import Plan
from tests.support.lacking import lacking

pytestmark = pytest.mark.benchmark

Results = tuple[list[Row], Mapping[str, object]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All measures, once."""
    lacks = missing()
    if lacks:
        lacking(lacks)
    from tests.benchmarks.suite import MEASURES, run  # noqa: PLC0415

    plan = Plan(tmp_path_factory.mktemp("benchmarks"), rounds=1, is_quick=True)
    rows, header = run(list(MEASURES), plan, tell=print)
    assert {row.measure for row in rows} == set(MEASURES)
    return list(rows), header


def test_every_measure_gives_figures(results: Results) -> None:
    figures = [
        figure
        for row in results[0]
        for figure in (row.ours, row.theirs, row.ratio)
        if figure is not None
    ]
    assert all(
        math.isfinite(value)
        for figure in figures
        for value in (figure.lowest, figure.middle, figure.highest)
    )


def test_no_request_fails_on_either_side(results: Results) -> None:
    failed = [row for row in results[0] if row.name.endswith("failed")]
    assert failed
    assert all(row.ours.highest == row.theirs.highest == 0 for row in failed)


def test_no_call_comes_before_its_interval_is_over(results: Results) -> None:
    """A promise, not a speed."""
    paced = [row for row in results[0] if row.aim and row.aim.none_below is not None]
    # Three intervals, one worker and four, idle and saturated; beside nothing, backup and prune.
    assert len(paced) == 12 + 3
    assert [row.name for row in paced if row.ours.lowest < row.aim.none_below] == []


def test_results_can_be_read_by_people_and_programs(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(*results)
    assert "POST /ingest" in capsys.readouterr().out
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(as_json(*results)))
    read: Any = json.loads(path.read_text())
    assert len(read["rows"]) == len(results[0])
