"""What docs/sources.md shows is what works: its examples are taken from the page and run."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ingest_app.errors import SettingsError
from ingest_app.settings import Settings, load_settings
from ingest_app.sources import ENTRY_POINTS, make_source, options_of
from ingest_app.sources.http_options import HttpOptions
from ingest_app.states import RecordOutcome

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def tables() -> list[dict[str, Any]]:
    return [tomllib.loads(block) for block in blocks("toml")]


def settings_of(folder: Path, sources: dict[str, Any]) -> Settings:
    return load_settings(
        folder, {"sources": sources}, options_of=options_of, environ={"CATALOG_TOKEN": "t0ps3cret"}
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's package, installed as pip would do it; its entry points are read by Python."""
    (code,) = blocks("python")
    (project,) = [table["project"] for table in tables() if "project" in table]
    module = project["name"].replace("-", "_")
    (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    about = tmp_path / f"{module}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    offered = project["entry-points"][ENTRY_POINTS].items()
    lines = [f"{name} = {target}" for name, target in offered]
    (about / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINTS}]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    return str(module)


def test_every_http_example_is_accepted(tmp_path: Path) -> None:
    sources = {
        name: given
        for table in tables()
        for name, given in table.get("sources", {}).items()
        if given["kind"] == "http"
    }
    settings = settings_of(tmp_path, sources)
    assert len(sources) == 4
    for name in sources:
        make_source(settings.source(name))


def test_every_option_has_a_row_with_its_default() -> None:
    options = HttpOptions().load({"url": "http://host.example/{id}"})
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    assert rows.keys() >= options.keys()
    for name in ("separator", "items", "id_field", "timeout_seconds", "max_answer_bytes"):
        assert json.loads(rows[name].strip("`")) == options[name]
    assert rows["verify_tls"] == "true"


def test_kind_of_ones_own_is_found_by_its_entry_point_and_fetches(
    tmp_path: Path, package: str
) -> None:
    (archive,) = [
        table["sources"]["archive"] for table in tables() if "archive" in table.get("sources", {})
    ]
    (tmp_path / "7.json").write_text('{"name": "seven"}')
    settings = settings_of(tmp_path, {"archive": {**archive, "folder": str(tmp_path)}})
    started: list[None] = []
    source = make_source(settings.source("archive"))
    records = source.fetch([7, 8, "../7"], lambda: started.append(None))
    assert type(source).__module__ == package
    assert len(started) == 1
    assert [(record.outcome, record.data) for record in records] == [
        (RecordOutcome.FETCHED, {"name": "seven"}),
        (RecordOutcome.MISSING, None),
        (RecordOutcome.ERROR, None),
    ]


@pytest.mark.usefixtures("package")
def test_settings_of_a_kind_of_ones_own_are_checked_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"sources\.archive\.folder"):
        settings_of(tmp_path, {"archive": {"kind": "files"}})


@pytest.mark.usefixtures("package")
def test_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    assert "files" in importlib.metadata.entry_points(group=ENTRY_POINTS).names
    with pytest.raises(SettingsError, match="known ones are: files, http, simulated"):
        settings_of(tmp_path, {"archive": {"kind": "ftp"}})


def test_kind_that_cannot_be_loaded_is_refused_with_the_reason(
    tmp_path: Path, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("import nowhere_to_be_found")
    with pytest.raises(SettingsError, match="nowhere_to_be_found"):
        settings_of(tmp_path, {"archive": {"kind": "files"}})
