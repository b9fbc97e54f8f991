"""What ingest-backup.service runs, without systemd."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEPLOYMENT

pytestmark = pytest.mark.deployment

INGEST = Path(sys.executable).with_name("ingest")
OLD = [f"ingest-2020-01-0{day}T031500Z.db" for day in range(1, 10)]


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """The folder of the backups, with old ones, what a killed one left, and one made by hand."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in (*OLD, f".{OLD[0]}.partial", "by-hand.db"):
        (folder / name).touch()
    return folder


def commands(unit: str) -> list[list[str]]:
    """What it executes, in order, with our program in the place of the installed one."""
    lines = re.findall(r"(?m)^Exec\w+=(.*)$", unit)
    return [
        shlex.split(
            line.replace("$$", "$")
            .replace("%%", "%")
            .replace("/opt/ingest/bin/ingest", str(INGEST))
        )
        for line in lines
    ]


def start(folder: Path) -> bool:
    """As systemd does: one after the other until one fails. True when none did."""
    unit = (DEPLOYMENT / "ingest-backup.service").read_text()
    environ = dict(re.findall(r"(?m)^Environment=(KEEP_COUNT)=(\d+)$", unit))
    environ |= {"INGEST_INSTANCE_PATH": str(folder.parent), "PATH": "/usr/bin:/bin"}
    return all(
        subprocess.run(one, cwd=folder, env=environ, check=False).returncode == 0
        for one in commands(unit)
    )


def in_it(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_seven_newest_stay_and_what_is_not_its_own(backups: Path) -> None:
    make = (INGEST, "keys", "create", "one", "--role", "reader")
    environ = {"INGEST_INSTANCE_PATH": str(backups.parent)}
    subprocess.run(make, env=environ, check=True, capture_output=True)
    assert start(backups)
    (new,) = in_it(backups) - {*OLD, "by-hand.db"}
    assert re.fullmatch(r"ingest-2\d{3}-\d\d-\d\dT\d{6}Z\.db", new)
    assert in_it(backups) == {*OLD[-6:], new, "by-hand.db"}


def test_backup_that_fails_takes_no_old_one_away(backups: Path) -> None:
    assert not start(backups)  # there is no database
    assert in_it(backups) == {*OLD, "by-hand.db"}
