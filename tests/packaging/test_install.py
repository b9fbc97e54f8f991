"""docs/deployment/install.sh installs the commit that is asked for, and nothing besides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.lacking import need_tool

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ("ingest_app", "migrations", "docs/deployment")
FILES = ("constraints.txt", "pyproject.toml", "setup.cfg", "LICENSE", "README.md", ".gitignore")
LATER = "migrations/versions/0099_later.py"
"""A migration of the newer of the two commits."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Back at the older commit, with what building the newer one left."""
    tree = tmp_path_factory.mktemp("install") / "tree"
    for folder in SOURCE:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, tree / file)
    git(tree, "init")
    commit(tree)
    (tree / LATER).write_text('revision = "0099"\n')
    left = tree / "build" / "lib" / "ingest_app" / LATER
    left.parent.mkdir(parents=True)
    shutil.copy(tree / LATER, left)
    commit(tree)
    git(tree, "checkout", "HEAD~1")
    return tree


def git(tree: Path, *arguments: str) -> None:
    ours = ("-c", "user.name=Test", "-c", "user.email=test@ingest.example")
    subprocess.run([need_tool("git", "git"), "-C", tree, *ours, *arguments, "--quiet"], check=True)


def commit(tree: Path) -> None:
    subprocess.run([need_tool("git", "git"), "-C", tree, "add", "--all"], check=True)
    git(tree, "commit", "--message", "x", "--no-verify")


def test_older_commit_is_installed_without_what_a_newer_one_left(
    checkout: Path, tmp_path: Path
) -> None:
    script = checkout / "docs" / "deployment" / "install.sh"
    environ = {**os.environ, "PIP_NO_DEPS": "1", "TMPDIR": str(tmp_path)}
    command = ["sh", str(script), "HEAD", str(tmp_path / "environment")]
    subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True)
    (package,) = (tmp_path / "environment").glob("lib/*/site-packages/ingest_app")
    assert (package / "migrations" / "versions" / "0001_queue.py").exists()
    assert not (package / LATER).exists()
    assert not list(tmp_path.glob("tmp.*"))


def test_build_in_the_checkout_itself_would_take_it_in(checkout: Path, tmp_path: Path) -> None:
    # The negative control.
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(checkout),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert f"ingest_app/{LATER}" in zipfile.ZipFile(wheel).namelist()
