"""The proposed unit, judged by systemd itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.lacking import need_tool

from .conftest import DEPLOYMENT

pytestmark = pytest.mark.deployment

WORST_EXPOSURE = 1.5
"""Of 10; a unit without any hardening has 9.6."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with programs that exist here."""
    text = (DEPLOYMENT / "ingest.service").read_text()
    path = tmp_path / "ingest.service"
    path.write_text(text.replace("/opt/ingest/bin/ingest ", "/bin/echo "))
    return path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = need_tool("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_unit_has_no_mistake(unit: Path) -> None:
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_mistake_in_a_unit_is_found(unit: Path) -> None:
    # The negative control.
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    assert "strictly" in analyze("verify", unit).stderr


def test_unit_exposes_little(unit: Path) -> None:
    judged = analyze("security", "--offline=true", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) <= WORST_EXPOSURE
