"""A worker's name tells whether its process still runs; in doubt it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ingest_app.worker import is_dead, worker_name

SAY_MY_NAME = """
import sys
from ingest_app.worker import worker_name
print(worker_name(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def another() -> Iterator[subprocess.Popen[str]]:
    """A process that runs until its input ends, and says its name first."""
    command = (sys.executable, "-c", SAY_MY_NAME)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def test_own_process_runs() -> None:
    assert not is_dead(worker_name())


def test_name_says_host_and_process() -> None:
    host, _, process = worker_name().rpartition(":")
    assert host
    assert re.match(rf"{os.getpid()}\b", process)


def test_name_of_a_process_stays_the_same() -> None:
    assert worker_name() == worker_name()


def test_process_that_runs_is_not_dead_and_dead_when_it_has_ended(
    another: subprocess.Popen[str],
) -> None:
    name = name_of(another)
    assert not is_dead(name)
    another.kill()
    another.wait()
    assert is_dead(name)


def test_process_that_no_one_has_waited_for_is_dead(another: subprocess.Popen[str]) -> None:
    name = name_of(another)
    another.kill()
    os.waitid(os.P_PID, another.pid, os.WEXITED | os.WNOWAIT)  # ended, and still a zombie
    assert is_dead(name)


def test_other_process_with_the_same_number_does_not_stand_for_it() -> None:
    start = int(re.search(r"/(\d+)@", worker_name()).group(1))
    assert is_dead(worker_name().replace(f"/{start}@", f"/{start - 1}@"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="no name"),
        pytest.param("host:1", id="a system that does not tell"),
        pytest.param("host:0/5@1", id="no process: a group of them"),
        pytest.param("host:-1/5@1", id="no process: all of them"),
        pytest.param("host:99999999999999999999/5@1", id="no process number"),
        pytest.param("host:4000000/5@1", id="another container, where it may run"),
        pytest.param("somebody", id="written by hand"),
    ],
)
def test_in_doubt_a_worker_runs(name: str) -> None:
    assert not is_dead(name)


def test_number_that_does_not_fit_is_no_process_number() -> None:
    own_namespace = worker_name().rpartition("@")[2]
    assert not is_dead(f"host:9999999999/5@{own_namespace}")


def test_number_that_no_process_can_have_is_of_no_running_one() -> None:
    own_namespace = worker_name().rpartition("@")[2]
    assert is_dead(f"host:4194305/5@{own_namespace}")  # above the largest pid_max of Linux
