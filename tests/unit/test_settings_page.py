"""docs/settings.md says of every setting what the code says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest_app import gunicorn_defaults
from ingest_app.cli import main
from ingest_app.client import DEFAULT_URL
from ingest_app.environment import ClientsSchema
from ingest_app.setting_messages import variable_of
from ingest_app.setting_reference import Setting, reference
from ingest_app.settings import SETTING_NAMES
from ingest_app.source_sections import SourceSchema
from ingest_app.sources import kind_names, options_of

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ANEW = "run: .venv/bin/ingest settings --markdown > docs/settings.md"


def settings_of_page() -> list[Setting]:
    return [one for section in reference() for one in section.settings]


def printed(*options: str) -> str:
    return CliRunner().invoke(main, ["settings", *options]).stdout


def test_page_is_what_the_code_makes_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == printed("--markdown"), ANEW


def test_every_setting_has_a_sentence() -> None:
    silent = [one.key or one.variable for one in settings_of_page() if not one.says.endswith(".")]
    assert silent == [], "give its field a sentence, as `says` or as the first argument"


def test_every_name_that_the_service_or_its_client_knows_is_there_once() -> None:
    named = [one.variable for one in settings_of_page() if one.variable]
    known = {variable_of(name) for name in {*SETTING_NAMES, *ClientsSchema().fields}}
    assert sorted(named) == sorted(known | {"WEB_CONCURRENCY"})


def test_every_key_of_a_section_is_there_once() -> None:
    of_kinds = {f"{name} {key}" for name in kind_names() for key in options_of(name)().fields}
    shared = {f"source {key}" for key in (*SourceSchema().fields, "kind")}
    titles = {"Every source": "source"} | {f"Sources of kind {kind}": kind for kind in kind_names()}
    told = [
        f"{titles[section.title]} {one.key}"
        for section in reference()
        if section.title in titles
        for one in section.settings
    ]
    assert sorted(told) == sorted(of_kinds | shared)


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        pytest.param("INGEST_URL", DEFAULT_URL, id="the client's"),
        pytest.param("INGEST_BIND", gunicorn_defaults.bind, id="gunicorn's"),
        pytest.param("WEB_CONCURRENCY", str(gunicorn_defaults.workers), id="its workers"),
        pytest.param("INGEST_INTERVAL_SECONDS", "5", id="a source's"),
        pytest.param("INGEST_DISPATCH", "true", id="a flag"),
        pytest.param("INGEST_RETENTION_DAYS", "none", id="off"),
        pytest.param("INGEST_SIMULATED_LATENCY_SECONDS", "1", id="a kind's own"),
    ],
)
def test_default_is_the_one_in_force(variable: str, default: str) -> None:
    (found,) = [one for one in settings_of_page() if one.variable == variable]
    assert found.default == default


def test_range_is_the_one_that_is_checked() -> None:
    (found,) = [one for one in settings_of_page() if one.key == "lease_seconds"]
    assert found.takes == "number, 0.5 to 86400"


@pytest.mark.parametrize("columns", ["80", "200"])
def test_terminal_shows_every_name_whole(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = printed().split()
    names = {name for one in settings_of_page() for name in (one.key, one.variable) if name}
    assert names - set(shown) == set()
    assert max(map(len, printed().splitlines())) <= int(columns)


def test_no_value_of_a_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_WEBHOOK_URL", "https://a.example/")
    monkeypatch.setenv("INGEST_WEBHOOK_SECRET", "tell-nobody")
    assert "tell-nobody" not in printed() + printed("--markdown")
    refused = CliRunner().invoke(main, ["settings", "--check"])
    assert "webhook_secret" in refused.stderr
    assert "tell-nobody" not in refused.output  # both of its streams
