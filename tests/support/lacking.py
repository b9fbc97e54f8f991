"""What a test needs from the system; without it the test is skipped, and in CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need_tool(tool: str, package: str) -> str:
    """The path of a program; `package` is the Debian package to install when it is missing."""
    return shutil.which(tool) or lacking(f"{tool}: apt-get install {package}")


def lacking(what: str) -> NoReturn:
    """Skip, or fail with CI=true; `what` says what to install or to allow."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")
