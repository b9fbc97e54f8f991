"""as_ingest passes on what systemd says of the unit; systemd itself is played."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEPLOYMENT

pytestmark = pytest.mark.deployment

SHOWN = {
    "LoadState": "loaded",
    "User": "ingest",
    "Group": "ingest",
    "WorkingDirectory": "/var/lib/ingest",
    "UMask": "0027",
    "StateDirectory": "ingest",
    "StateDirectoryMode": "0750",
    "Environment": 'INGEST_CONFIG=/etc/ingest/ingest.toml "LATER=by drop-in"',
    "EnvironmentFiles": "/etc/a.env (ignore_errors=yes)\n/etc/b b.env (ignore_errors=no)",
}

SYSTEMCTL = """#!{python}
import sys
(name,) = [one.removeprefix("--property=") for one in sys.argv if one.startswith("--property=")]
print({shown!r}[name])
"""

SYSTEMD_RUN = """#!{python}
import json, sys
print(json.dumps(sys.argv[1:]))
"""


def as_ingest(
    folder: Path, *words: str, shown: dict[str, str] = SHOWN
) -> subprocess.CompletedProcess[str]:
    for name, text in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN}.items():
        (folder / name).write_text(text.format(python=sys.executable, shown=shown))
        (folder / name).chmod(0o755)
    environ = {"PATH": f"{folder}:/usr/bin:/bin"}
    command = [str(DEPLOYMENT / "as_ingest"), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_command_has_all_that_the_unit_has(tmp_path: Path) -> None:
    given = json.loads(as_ingest(tmp_path, "ingest", "backup", "a b").stdout)
    properties = [one.removeprefix("--property=") for one in given if one.startswith("--property")]
    assert properties[-2:] == ["EnvironmentFile=-/etc/a.env", "EnvironmentFile=/etc/b b.env"]
    assert {f"{name}={SHOWN[name]}" for name in list(SHOWN)[1:-1]} == set(properties[:-2])
    assert given[-3:] == ["ingest", "backup", "a b"]
    assert given[-5] == "/usr/bin/env"
    assert given[-4].startswith("PATH=/opt/ingest/bin:")


def test_dollars_are_passed_through_systemd(tmp_path: Path) -> None:
    given = json.loads(as_ingest(tmp_path, "echo", "${SECRET}$").stdout)
    assert given[-1] == "$${SECRET}$$"


def test_without_the_unit_nothing_is_run_as_root(tmp_path: Path) -> None:
    refused = as_ingest(tmp_path, "ingest", shown={**SHOWN, "LoadState": "not-found"})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "ingest.service" in refused.stderr
