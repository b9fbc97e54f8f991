"""`ingest submit` on its way: keys, parts, lost answers and Ctrl-C."""

from __future__ import annotations

import errno
import io
import json
import re
import shlex
import signal
from typing import Any

import pytest
import requests
from click.testing import Result
from flask import Flask
from urllib3.exceptions import MaxRetryError, NewConnectionError

from ingest_app.client import Client
from ingest_app.errors import RequestFailed
from tests.support.adapters import LosingAnswers, Said, Scripted
from tests.support.ports import held_port

from .conftest import Run, one_line, runner_of, stored_ids

STORED = Said(200, b'{"ingestion_id": "a"}')
SAFELY = "run the same command with --key 'k', and nothing is stored twice."


def test_more_than_one_submission_takes_is_several_and_repeated_they_are_the_same(
    run: Run, app: Flask
) -> None:
    lines = "\n".join(map(str, range(7)))
    first = run("submit", "-", "--most", 3, "--key", "all", input=lines)
    assert stored_ids(app, first) == [[0, 1, 2], [3, 4, 5], [6]]
    assert run("submit", "-", "--most", 3, "--key", "all", input=lines).stdout == first.stdout


def test_key_that_several_print_is_the_one_that_repeats_them(run: Run) -> None:
    first = run("submit", "--most", 2, 1, 2, 3)
    (key,) = set(re.findall(r"--key '(\w+)'", first.stderr))
    assert f"{key}-1" not in first.stderr
    assert run("submit", "--most", 2, 1, 2, 3, "--key", key).stdout == first.stdout


def test_key_of_each_in_json_repeats_all_of_them(run: Run) -> None:
    first = run("submit", "--most", 2, 1, 2, 3, "--json").stdout
    told = [json.loads(line) for line in first.splitlines()]
    (key,) = {each["key"] for each in told}
    assert [each["idempotency_key"] for each in told] == [f"{key}-1", f"{key}-2"]
    assert run("submit", "--most", 2, 1, 2, 3, "--json", "--key", key).stdout == first


def submit_under_k(run: Run, id_count: int, most: int) -> Result:
    lines = "\n".join(map(str, range(id_count)))
    return run("submit", "-", "--key", "k", "--most", most, input=lines)


@pytest.mark.parametrize(
    ("first", "again", "told"),
    [
        pytest.param((5, 4), (6, 4), "Part 2: ", id="grown in the last part"),
        pytest.param((3, 4), (5, 4), "Part 1: ", id="grown in the only part"),
        pytest.param((4, 4), (4, 2), "Part 1: ", id="cut smaller"),
        pytest.param((4, 2), (4, 4), "", id="cut larger"),
    ],
)
def test_parts_that_differ_from_those_under_the_key_are_refused(
    run: Run, first: tuple[int, int], again: tuple[int, int], told: str
) -> None:
    submit_under_k(run, *first)
    before = run("list", "--json").stdout
    result = submit_under_k(run, *again)
    line = result.stderr.splitlines()[-1]
    assert (result.exit_code, line.startswith(f"ingest: {told}")) == (3, True)
    assert "was sent with another submission" in line
    assert run("list", "--json").stdout == before


def test_what_has_grown_behind_a_full_part_is_stored_under_its_key_alone(
    run: Run, app: Flask
) -> None:
    first = submit_under_k(run, 4, 4)
    again = submit_under_k(run, 5, 4)
    assert stored_ids(app, again) == [[0, 1, 2, 3], [4]]
    assert again.stdout.startswith(first.stdout)
    assert len(run("list", "--json").stdout.splitlines()) == 2


def test_each_run_has_a_key_of_its_own(run: Run) -> None:
    first, second = run("submit", "1"), run("submit", "1")
    assert first.stdout != second.stdout


def test_part_that_is_refused_is_named_and_those_before_it_are_stored(run: Run) -> None:
    result = run("submit", "-", "--most", 2, input='[1,\n2,\n3,\n""]')
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith('ingest: Part 2: Line 4: "" is not allowed')
    assert result.stderr.count("1 submission is stored. To go on, run the same command") == 1
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "given", "line"),
    [
        pytest.param(
            "-", b"1\n2\n3\n" + b"\n" * 16_384 + b"\xff\n", "The input is not UTF-8", id="not UTF-8"
        ),
        pytest.param("-", b'1\n2\n3\n"4\n', "Line 4: text in double quotes", id="no text"),
        pytest.param("-", b"[1, 2, 3, 4", "Line 1 of the JSON array", id="no array"),
        pytest.param("--csv - --column a", b'a\n1\n2\n3\n"4', "Line 5 is not CSV", id="no CSV"),
    ],
)
def test_input_that_is_unusable_after_some_of_it_was_sent_says_how_to_go_on(
    arguments: str, given: bytes, line: str
) -> None:
    command = ["submit", *arguments.split(), "--most", 2, "--key", "k"]
    result = runner_of(Scripted(STORED))(*command, input=given)
    told = result.stderr.splitlines()[-1]
    assert (result.exit_code, told.startswith(f"ingest: {line}")) == (2, True)
    assert told.endswith(f"1 submission is stored. To go on, {SAFELY}")


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


@pytest.mark.parametrize("key", ["k", "it's", "'", "$HOME", '"`\\', "--key", "a;b"])
def test_key_is_told_as_a_shell_takes_it(key: str) -> None:
    network = Scripted(*[requests.ConnectionError()] * 5)
    line = one_line(runner_of(network)("submit", "1", "--key", key), 4)
    words = shlex.split(line.partition("command with ")[2].removesuffix("."))
    assert words[:2] == ["--key", f"{key},"]


def test_without_an_answer_the_message_says_how_to_repeat_it_safely() -> None:
    network = Scripted(*[requests.ConnectionError()] * 5)
    line = one_line(runner_of(network)("submit", "1"), 4)
    key = network.requests[0].headers["Idempotency-Key"].strip('"').removesuffix("-1")
    assert len({request.headers["Idempotency-Key"] for request in network.requests}) == 1
    assert line.startswith("http://service.test cannot be reached")
    assert f"run the same command with --key '{key}'" in line


@pytest.mark.parametrize(
    ("error", "status", "beginning"),
    [
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "output: No space left on device. ",
            id="a full disk",
        ),
        pytest.param(BrokenPipeError(), 141, "", id="a reader that is gone"),
        pytest.param(KeyboardInterrupt(), 130, "interrupted. ", id="Ctrl-C"),
        pytest.param(KeyError("x"), 70, "a fault of this program (KeyError: 'x')", id="a fault"),
    ],
)
def test_id_that_cannot_be_printed_is_told_with_the_key(
    error: BaseException, status: int, beginning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise error

    monkeypatch.setattr("ingest_app.cli.submit.say", broken)
    line = one_line(runner_of(Scripted(STORED))("submit", "1", "--key", "k"), status)
    assert line.startswith(beginning)
    assert line.endswith(f"1 submission is stored. To go on, {SAFELY} The id of the last is a.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_that_ends_a_submission_is_as_ctrl_c(number: int) -> None:
    class Signalling(Scripted):
        def send(self, *args: Any, **more: Any) -> requests.Response:
            signal.raise_signal(number)
            return super().send(*args, **more)

    line = one_line(runner_of(Signalling(STORED))("submit", "1", "--key", "k"), 130)
    assert line == f"interrupted. It may have been stored all the same: {SAFELY}"
    assert signal.getsignal(number) is signal.SIG_DFL


def test_signal_that_is_ignored_stays_so() -> None:
    class Signalling(Scripted):
        def send(self, *args: Any, **more: Any) -> requests.Response:
            signal.raise_signal(signal.SIGHUP)
            return super().send(*args, **more)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert runner_of(Signalling(STORED))("submit", "1").exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Said(200), id="an answer without an id"),
        pytest.param(
            Said(422, b'{"errors": ["a"]}', {"Content-Type": "application/problem+json"}),
            id="a problem of another shape",
        ),
    ],
)
def test_what_answers_a_submission_but_is_not_the_service_is_in_doubt(said: Said) -> None:
    line = one_line(runner_of(Scripted(said))("submit", "1", "--key", "k"), 4)
    assert "is not this service" in line
    assert line.endswith(f"It may have been stored all the same: {SAFELY}")


def refused() -> requests.ConnectionError:
    reason = NewConnectionError(None, "[Errno 111] Connection refused")
    return requests.ConnectionError(MaxRetryError(None, "/ingest", reason))


def test_where_nothing_was_sent_nothing_is_in_doubt() -> None:
    line = one_line(runner_of(Scripted(*[refused()] * 5))("submit", "1", "--key", "k"), 4)
    assert line.endswith("Nothing was sent.")


def test_what_was_sent_once_stays_in_doubt() -> None:
    lost = requests.ConnectionError("the answer was lost")
    turns = [lost, *[refused()] * 4]
    line = one_line(runner_of(Scripted(*turns))("submit", "1", "--key", "k"), 4)
    assert line.endswith(f"It may have been stored all the same: {SAFELY}")


def test_real_refusal_of_a_connection_is_known() -> None:
    holder, port = held_port()
    with holder, pytest.raises(RequestFailed) as found:
        Client(f"http://127.0.0.1:{port}", sleep=lambda _: None).sources()
    assert not found.value.may_have_arrived


class Interrupting(io.RawIOBase):
    """An input that comes line by line, and at whose end Ctrl-C is pressed."""

    def __init__(self, content: str) -> None:
        self._lines = content.encode().splitlines(keepends=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not buffer:
            return 0
        if not self._lines:
            raise KeyboardInterrupt
        line = self._lines.pop(0)
        buffer[: len(line)] = line
        return len(line)


@pytest.mark.parametrize(
    ("turns", "given", "told"),
    [
        pytest.param([], "", "Nothing was sent.", id="before the first"),
        pytest.param(
            [STORED],
            "1\n2\n3\n",
            f"1 submission is stored. To go on, {SAFELY}",
            id="between two",
        ),
        pytest.param(
            [STORED, STORED, KeyboardInterrupt()],
            "1\n2\n3\n4\n5\n6\n7\n",
            f"2 submissions are stored, and the next one may be. To go on, {SAFELY}",
            id="in one of several",
        ),
        pytest.param(
            [KeyboardInterrupt()],
            "1\n2\n3\n",
            f"It may have been stored all the same: {SAFELY}",
            id="in the first",
        ),
    ],
)
def test_interrupted_submission_says_what_is_stored_and_how_to_go_on(
    turns: list[Any], given: str, told: str
) -> None:
    command = ["submit", "-", "--most", 2, "--key", "k"]
    result = runner_of(Scripted(*turns))(*command, input=Interrupting(given))
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        130,
        f"ingest: interrupted. {told}",
    )


def test_what_is_said_of_an_interrupted_submission_is_true(run: Run) -> None:
    command = ["submit", "-", "--most", 2]
    broken = run(*command, input=Interrupting("1\n2\n3\n"))
    (key,) = set(re.findall(r"--key '(\w+)'", broken.stderr))
    again = run(*command, "--key", key, input="1\n2\n3\n")
    assert again.stdout.startswith(broken.stdout)
    assert len(run("list", "--json").stdout.splitlines()) == 2
