"""The proposed units, judged by systemd itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.lacking import need_tool

from .conftest import DEPLOYMENT

pytestmark = pytest.mark.deployment

WORST_EXPOSURE = {"ingest.service": 1.5, "ingest-backup.service": 0.8}
"""Of 10; a unit without any hardening has 9.6."""

UNITS = [*WORST_EXPOSURE, "ingest-backup.timer"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The folder of the units, with programs that exist here."""
    for name in UNITS:
        text = (DEPLOYMENT / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/ingest/bin/ingest ", "/bin/echo "))
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = need_tool("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", UNITS)
def test_unit_has_no_mistake(units: Path, name: str) -> None:
    verified = analyze("verify", units / name)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", WORST_EXPOSURE)
def test_mistake_in_a_unit_is_found(units: Path, name: str) -> None:
    # The negative control.
    unit = units / name
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    assert "strictly" in analyze("verify", unit).stderr


@pytest.mark.parametrize("name", WORST_EXPOSURE)
def test_unit_exposes_little(units: Path, name: str) -> None:
    judged = analyze("security", "--offline=true", units / name)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) <= WORST_EXPOSURE[name]
