"""`ingest submit`: every way to give IDs, what is answered, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.adapters import Said, Scripted

from .conftest import MAX_IDS, Run, one_line, runner_of, stored_ids


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ids.txt").write_text("1\nB7\n\n007\n")
    (tmp_path / "ids.json").write_text('[1, "2",\n 3]')
    (tmp_path / "ids.csv").write_text("name,sku\nLamp,5\nDesk,X9\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        pytest.param("1 B7 007", "", [1, "B7", "007"], id="arguments"),
        pytest.param("-- -5 6", "", [-5, 6], id="arguments that look like options"),
        pytest.param("--text 1 2", "", ["1", "2"], id="as text"),
        pytest.param("-", "1\n2\n", [1, 2], id="standard input"),
        pytest.param("--file -", "[1, 2]", [1, 2], id="an array there"),
        pytest.param("-f {}/ids.txt", "", [1, "B7", "007"], id="a file"),
        pytest.param("-", '1,2\n"4", "a,b"', [1, 2, "4", "a,b"], id="several on a line"),
        pytest.param("1,2", "", ["1,2"], id="an argument with a comma"),
        pytest.param("-f {}/ids.json", "", [1, "2", 3], id="a file with an array"),
        pytest.param("--csv {}/ids.csv --column sku", "", [5, "X9"], id="a column"),
        pytest.param("--csv - --column a", "a\n1\n1\n", [1, 1], id="a column, from there; twice"),
        pytest.param(r"--csv - --column a --delimiter \t", "a\tb\n1\t2\n", [1], id="tabs"),
    ],
)
def test_ids_are_given(
    run: Run, app: Flask, files: Path, arguments: str, given: str, expected: list[Any]
) -> None:
    result = run("submit", *arguments.format(files).split(), input=given)
    assert stored_ids(app, result) == [expected]


def test_standard_output_has_the_id_alone_and_with_json_all_there_is_to_know(run: Run) -> None:
    plain = run("submit", "1", "2", "--priority", "high", "--key", "k")
    assert plain.stderr == "2 IDs at HIGH, key k.\n"
    told = json.loads(run("submit", "1", "2", "-p", "HIGH", "--key", "k", "--json").stdout)
    assert told == {
        "ingestion_id": plain.stdout.strip(),
        "id_count": 2,
        "priority": "HIGH",
        "key": "k",
        "idempotency_key": "k-1",
    }


def test_source_is_named(run: Run) -> None:
    ingestion_id = run("submit", "1", "--source", "catalog").stdout.strip()
    assert json.loads(run("status", ingestion_id, "--json").stdout)["source"] == "catalog"


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        pytest.param("", "", "Give IDs one way", id="no IDs"),
        pytest.param("1 --file x", "", "Give IDs one way", id="two ways"),
        pytest.param("--csv x", "", "--csv and --column go together", id="which column"),
        pytest.param("1 --column x", "", "--csv and --column go together", id="of what"),
        pytest.param("-", "\n \n", "there are no IDs", id="blank lines alone"),
        pytest.param("-", "[]", "there are no IDs", id="an empty array"),
        pytest.param("--dry-run -", "", "there are no IDs", id="nothing, to be looked at"),
        pytest.param("--file /x.none", "", "/x.none: No such file", id="no such file"),
        pytest.param("--file /none/x", "", "There is no folder /none.", id="no such folder"),
        pytest.param("1 --priority SOON", "", "--priority", id="no such priority"),
        pytest.param("1 --key é", "", "visible ASCII", id="no key"),
        pytest.param("1 --url ftp://x", "", "address like", id="no address"),
        pytest.param("1 --delimiter ;;", "", "--delimiter", id="two characters divide nothing"),
        pytest.param("1 --delimiter=", "", "--delimiter", id="nor does none"),
        pytest.param('1 --delimiter "', "", "--delimiter", id="nor a quote"),
        pytest.param("-", "[" * 70_000, "Line 1 of the JSON array", id="endless nesting"),
        pytest.param("-", '1,"2', "Line 1: text in double quotes", id="a quote without an end"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    run: Run, arguments: str, given: str, sentence: str
) -> None:
    assert sentence in one_line(run("submit", *arguments.split(), input=given), 2)


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_bad_ids_are_named_by_their_lines(run: Run, dry_run: list[str]) -> None:
    given = '["ok",\n null,\n "",\n 5.5]'
    line = one_line(run("submit", "-", *dry_run, input=given), 3)
    assert line.startswith("Line 2: null is not allowed: an ID is an integer")
    assert line.endswith("Likewise: line 3, line 4.")


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("arguments", "given", "place"),
    [
        pytest.param(["-"], "x" * 34_000_000, "Line 1", id="longer than a submission"),
        pytest.param(["-"], f"1\n2\n{'x' * 5_000}", "Line 3", id="a line"),
        pytest.param(["-"], f'[1,\n"{"x" * 5_000}"]', "Line 2", id="in an array"),
        pytest.param(["1", "x" * 5_000], "", "Argument 2", id="an argument"),
    ],
)
def test_what_is_far_too_long_for_an_id_is_named_and_not_sent(
    dry_run: list[str], arguments: list[str], given: str, place: str
) -> None:
    line = one_line(runner_of(Scripted())("submit", *dry_run, *arguments, input=given), 2)
    assert line == f"{place}: an ID has at most 255 characters."


def test_longest_id_is_stored_and_one_longer_is_named_by_the_service(run: Run, app: Flask) -> None:
    longest = "\N{GRINNING FACE}" * 255
    assert stored_ids(app, run("submit", "-", input=longest)) == [[longest]]
    line = one_line(run("submit", "-", input=f"{'x' * 256}\n\n{'é' * 256}"), 3)
    assert line.endswith("Likewise: line 3.")


def test_as_text_no_more_is_an_id_than_without(run: Run) -> None:
    line = one_line(run("submit", "-", "--text", input='[1,\nnull,\ntrue,\n{"a": 1}]'), 3)
    assert line.startswith("Line 2: null is not allowed")
    assert line.endswith("Likewise: line 3, line 4.")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        pytest.param([""], "Argument 1", id="the only one"),
        pytest.param(["", 2, 3], "Argument 1", id="the first"),
        pytest.param([1, ""], "Argument 2", id="the last"),
        pytest.param(["--most", 2, 1, 2, 3, ""], "Part 2: Argument 4", id="of another part"),
    ],
)
def test_bad_arguments_are_named_by_their_place(
    run: Run, arguments: list[object], place: str
) -> None:
    result = run("submit", *arguments)
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith(f'ingest: {place}: "" is not allowed')


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["1", "--source", "nope"], "the known ones are: catalog", id="source"),
        pytest.param(range(MAX_IDS + 1), f"Send at most {MAX_IDS} IDs", id="too many"),
    ],
)
def test_refusal_is_one_line_and_status_3(run: Run, arguments: list[Any], sentence: str) -> None:
    assert sentence in one_line(run("submit", *arguments), 3)


def test_dry_run_tells_each_priority_and_stores_nothing(run: Run) -> None:
    run("submit", "1", "2", "3", "--source", "catalog")
    shown = run("submit", "--dry-run", "7", "8", "--source", "catalog")
    assert "2 IDs in 1 batch" in shown.stdout
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[0] for line in lines if line[0] in ("HIGH", "MEDIUM", "LOW")] == [
        "HIGH",
        "MEDIUM",
        "LOW",
    ]
    told = json.loads(run("submit", "--dry-run", "7", "--source", "catalog", "--json").stdout)
    assert told["priorities"]["HIGH"]["delays"]["ingestion_count"] == 1
    assert len(run("list", "--json").stdout.splitlines()) == 1


def test_dry_run_that_nothing_is_known_of_yet_says_so(run: Run) -> None:
    # The default source has no interval here, and made no call that could be measured.
    run("submit", "1", "-p", "LOW")
    shown = run("submit", "--dry-run", "2")
    assert shown.exit_code == 0
    assert "1 other by an unknown time" in shown.stdout


def test_dry_run_of_several_parts_is_that_of_all_their_ids(run: Run) -> None:
    result = run("submit", "--dry-run", "-", "--most", 3, "--json", input="1\n2\n3\n4\n")
    assert json.loads(result.stdout)["id_count"] == 4


def test_fault_of_the_program_is_one_line_too() -> None:
    line = one_line(runner_of(Scripted(KeyError("x")))("submit", "1"), 70)
    assert "KeyError" in line


def test_fault_before_a_command_begins_is_one_line_too() -> None:
    def broken(*_: object) -> None:
        raise RecursionError("x\ny")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest_app.cli.program.describe_errors", broken)
        line = one_line(runner_of(Scripted(Said(404)))("status", "a"), 70)
    assert "RecursionError: x y" in line


def test_position_that_is_no_number_is_told_as_it_came() -> None:
    told = {"detail": "No.", "errors": {"ids": {"²": ["a"], "9" * 5_000: ["b"], "007": ["c"]}}}
    network = Scripted(
        Said(422, json.dumps(told).encode(), {"Content-Type": "application/problem+json"})
    )
    assert one_line(runner_of(network)("submit", "1"), 3) == "ids: a b c"
