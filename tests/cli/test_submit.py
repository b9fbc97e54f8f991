"""`ingest submit`: every way to give IDs, keys, parts, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result
from flask import Flask

from tests.support.adapters import LosingAnswers, Said, Scripted

from .conftest import MAX_IDS, Run, runner_of


def one_line(result: Result, status: int) -> str:
    """The only line on standard error, of a command that ended so and printed nothing."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("ingest: ")
    return line.removeprefix("ingest: ")


def stored_ids(app: Flask, result: Result) -> list[list[Any]]:
    """The IDs of each ingestion whose id was printed."""
    assert result.exit_code == 0, result.output
    client = app.test_client()
    found = [client.get(f"/status/{line}").json for line in result.stdout.splitlines()]
    return [[item for batch in each["batches"] for item in batch["ids"]] for each in found]


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
        pytest.param("-f {}/ids.json", "", [1, "2", 3], id="a file with an array"),
        pytest.param("--csv {}/ids.csv --column sku", "", [5, "X9"], id="a column"),
        pytest.param("--csv - --column a", "a\n1\n1\n", [1, 1], id="a column, from there; twice"),
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
    }


def test_source_is_named(run: Run) -> None:
    ingestion_id = run("submit", "1", "--source", "catalog").stdout.strip()
    assert json.loads(run("status", ingestion_id, "--json").stdout)["source"] == "catalog"


def test_more_than_one_submission_takes_is_several_and_repeated_they_are_the_same(
    run: Run, app: Flask
) -> None:
    lines = "\n".join(map(str, range(7)))
    first = run("submit", "-", "--most", 3, "--key", "all", input=lines)
    assert stored_ids(app, first) == [[0, 1, 2], [3, 4, 5], [6]]
    assert [line.rpartition(" ")[2] for line in first.stderr.splitlines()] == [
        "all-1.",
        "all-2.",
        "all-3.",
    ]
    assert run("submit", "-", "--most", 3, "--key", "all", input=lines).stdout == first.stdout


def test_each_run_has_a_key_of_its_own(run: Run) -> None:
    first, second = run("submit", "1"), run("submit", "1")
    assert first.stdout != second.stdout


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
        pytest.param("--file /none/x", "", "/none/x: No such file", id="no such file"),
        pytest.param("1 --priority SOON", "", "--priority", id="no such priority"),
        pytest.param("1 --key é", "", "visible ASCII", id="no key"),
        pytest.param("1 --url ftp://x", "", "address like", id="no address"),
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


def test_bad_arguments_are_named_by_their_place(run: Run) -> None:
    assert one_line(run("submit", "1", ""), 3).startswith('Argument 2: "" is not allowed')


def test_part_that_is_refused_is_named_and_those_before_it_are_stored(run: Run) -> None:
    result = run("submit", "-", "--most", 2, input='[1,\n2,\n3,\n""]')
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith('ingest: Part 2: Line 4: "" is not allowed')
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["1", "--source", "nope"], "the known ones are: catalog", id="source"),
        pytest.param(range(MAX_IDS + 1), f"Send at most {MAX_IDS} IDs", id="too many"),
    ],
)
def test_refusal_is_one_line_and_status_3(run: Run, arguments: list[Any], sentence: str) -> None:
    assert sentence in one_line(run("submit", *arguments), 3)


def test_key_of_another_submission_is_refused(run: Run) -> None:
    run("submit", "1", "--key", "k")
    assert "was sent with another submission" in one_line(run("submit", "2", "--key", "k"), 3)


def test_submission_whose_answer_was_lost_is_stored_once(run: Run, app: Flask) -> None:
    result = runner_of(LosingAnswers(app, 2))("submit", 1, 2)
    assert result.exit_code == 0
    (only,) = run("list", "--json").stdout.splitlines()
    assert json.loads(only)["ingestion_id"] == result.stdout.strip()


def test_what_the_message_says_of_a_lost_submission_is_true(run: Run, app: Flask) -> None:
    lost = runner_of(LosingAnswers(app, 5))("submit", 1, 2)
    key = re.search(r"--key '(\w+)'", lost.stderr)
    again = run("submit", 1, 2, "--key", key[1])
    (only,) = run("list", "--json").stdout.splitlines()
    assert json.loads(only)["ingestion_id"] == again.stdout.strip()


def test_without_an_answer_the_message_says_how_to_repeat_it_safely() -> None:
    network = Scripted(*[requests.ConnectionError()] * 5)
    line = one_line(runner_of(network)("submit", "1"), 4)
    key = network.requests[0].headers["Idempotency-Key"].strip('"')
    assert len({request.headers["Idempotency-Key"] for request in network.requests}) == 1
    assert line.startswith("http://service.test cannot be reached")
    assert f"run the same command with --key '{key}'" in line


def test_interrupted_submission_says_so_too() -> None:
    network = Scripted(KeyboardInterrupt())
    assert "--key 'k'" in one_line(runner_of(network)("submit", "1", "--key", "k"), 130)


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


def test_dry_run_of_several_parts_is_that_of_all_their_ids(run: Run) -> None:
    result = run("submit", "--dry-run", "-", "--most", 3, "--json", input="1\n2\n3\n4\n")
    assert json.loads(result.stdout)["id_count"] == 4


def test_fault_of_the_program_is_one_line_too() -> None:
    line = one_line(runner_of(Scripted(Said(200, b'{"else": 1}')))("submit", "1"), 70)
    assert "KeyError" in line
