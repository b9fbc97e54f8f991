"""The rooms import in one direction; the contracts stand in setup.cfg."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_rooms_import_in_one_direction() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    command = (lint_imports, "--no-cache", "--no-logo")
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
