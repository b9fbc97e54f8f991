"""What docs/real-upstream.md shows happens: its commands are taken from the page and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.datasette import serving_table
from tests.support.lacking import need_tool
from tests.support.service import ROOM_SECONDS, instance_path, running

pytestmark = pytest.mark.upstream

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "real-upstream.md").read_text()
UPSTREAM = "http://127.0.0.1:8001"
SERVICE = "localhost:8000"
CHANGING = re.compile(r"\b[a-z2-7]{24}\b|\d{4}-\d\d-\d\dT[\d:.]+Z")
"""Ids of ingestions, and times."""


def test_commands_of_the_page_give_what_it_shows(tmp_path: Path) -> None:
    need_tool("curl", "curl")
    (_, table, *_), (settings,) = blocks("sh"), blocks("toml")
    (submit, submitted), (read, records) = map(command_and_output, blocks("console"))
    instance_path(tmp_path).mkdir()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    run(table, tmp_path)
    with serving_table(instance_path(tmp_path) / "world.db", tmp_path / "datasette.txt") as url:
        settings_file = instance_path(tmp_path) / "ingest.toml"
        settings_file.write_text(replaced(settings, UPSTREAM, url))
        with running(tmp_path) as service:
            here = service.url.removeprefix("http://")
            answer = run(replaced(submit, SERVICE, here), tmp_path)
            service.wait_until_all_ended("languages")
            (shown,), (ours,) = CHANGING.findall(submitted), CHANGING.findall(answer)
            told = run(replaced(replaced(read, SERVICE, here), shown, ours), tmp_path)
    assert blurred(answer) == blurred(submitted)
    assert blurred(told) == blurred(records)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def command_and_output(block: str) -> tuple[str, str]:
    command, _, output = block.removeprefix("$ ").partition("\n")
    return command, output


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def run(command: str, folder: Path) -> str:
    """Its output, as text with plain line ends."""
    script = ["bash", "-c", command]
    done = subprocess.run(
        script, cwd=folder, check=True, capture_output=True, text=True, timeout=ROOM_SECONDS
    )
    return done.stdout


def blurred(text: str) -> list[str]:
    return CHANGING.sub("…", text).split()
