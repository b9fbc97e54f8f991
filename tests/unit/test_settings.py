"""Environment over file over defaults, and a sentence for every value that will not do."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields

from ingest_app.environment import read_environment, warn_of_unknown_settings
from ingest_app.errors import SettingsError, UnknownSource
from ingest_app.settings import Settings, SourceSettings, load_settings
from ingest_app.sources import options_of
from ingest_app.sources.simulated import SimulatedOptions


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("INGEST_"):
            monkeypatch.delenv(name)


def load(instance: Path, toml: str = "", **given: Any) -> Settings:
    """The settings of an instance whose `ingest.toml` says so."""
    if toml:
        (instance / "ingest.toml").write_text(toml, encoding="utf-8")
    return load_settings(instance, given, options_of=options_of, environ=os.environ)


def load_environment(instance: Path, toml: str = "") -> Settings:
    return load(instance, toml, **read_environment())


def test_defaults_are_those_of_the_original(tmp_path: Path) -> None:
    settings = load(tmp_path)
    sources = dict(settings.sources)
    assert settings == Settings(f"sqlite:///{tmp_path / 'ingest.db'}", sources=sources)
    assert settings.source("default") == SourceSettings(
        name="default",
        kind="simulated",
        interval_seconds=5.0,
        batch_size=3,
        lease_seconds=30.0,
        options={"simulated_latency_seconds": 1.0},
    )


def test_file_comes_before_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "batch_size = 7\nmax_ids = 10\n")
    assert (settings.source("default").batch_size, settings.max_ids) == (7, 10)


def test_environment_comes_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_BATCH_SIZE", "9")
    settings = load_environment(tmp_path, "batch_size = 7\ninterval_seconds = 2\n")
    default = settings.source("default")
    assert (default.batch_size, default.interval_seconds) == (9, 2.0)


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("INGEST_INTERVAL_SECONDS", "0.5", "interval_seconds", 0.5),
        ("INGEST_INTERVAL_SECONDS", "0", "interval_seconds", 0.0),
        ("INGEST_BATCH_SIZE", "50", "batch_size", 50),
        ("INGEST_LEASE_SECONDS", "60", "lease_seconds", 60.0),
        ("INGEST_MAX_IN_FLIGHT", "1", "max_in_flight", 1),
        ("INGEST_MAX_ATTEMPTS", "2", "max_attempts", 2),
        ("INGEST_SIMULATED_LATENCY_SECONDS", "0", "simulated_latency_seconds", 0.0),
    ],
)
def test_environment_sets_what_sources_inherit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    key: str,
    expected: object,
) -> None:
    monkeypatch.setenv(name, value)
    settings = load_environment(tmp_path, "[sources.catalog]\n")
    found = [{**vars(source), **source.options}[key] for source in settings.sources.values()]
    assert found == [expected] * 2


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("INGEST_DATABASE_URL", "sqlite:////data/a.db", "database_url", "sqlite:////data/a.db"),
        ("INGEST_MAX_IDS", "5", "max_ids", 5),
        ("INGEST_MAX_BODY_BYTES", "2048", "max_body_bytes", 2048),
        ("INGEST_DISPATCH", "false", "dispatch", False),
    ],
)
def test_environment_sets_what_the_service_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    key: str,
    expected: object,
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_environment(tmp_path), key) == expected


def test_source_inherits_what_it_does_not_set(tmp_path: Path) -> None:
    toml = "batch_size = 7\nlease_seconds = 60\n[sources.catalog]\nbatch_size = 50\n"
    catalog = load(tmp_path, toml).source("catalog")
    assert (catalog.name, catalog.batch_size, catalog.lease_seconds) == ("catalog", 50, 60.0)


def test_own_value_of_a_source_comes_before_an_inherited_one_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_BATCH_SIZE", "9")
    settings = load_environment(tmp_path, "[sources.catalog]\nbatch_size = 50\n")
    assert (settings.source("catalog").batch_size, settings.source("default").batch_size) == (50, 9)


def test_default_source_is_there_beside_others_and_can_be_set(tmp_path: Path) -> None:
    settings = load(tmp_path, "[sources.default]\nbatch_size = 4\n[sources.catalog]\n")
    assert {name: source.batch_size for name, source in settings.sources.items()} == {
        "default": 4,
        "catalog": 3,
    }


@pytest.mark.parametrize(
    "name",
    [
        "INGEST_SOURCES__catalog__interval_seconds",
        # As every other name in the environment is written; sources have lower-case names anyway.
        "INGEST_SOURCES__CATALOG__INTERVAL_SECONDS",
    ],
)
def test_environment_reaches_into_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "0.5")
    assert load_environment(tmp_path).source("catalog").interval_seconds == 0.5


def test_environment_for_one_key_of_a_source_keeps_the_file_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_SOURCES__catalog__interval_seconds", "0.5")
    toml = "[sources.catalog]\nbatch_size = 50\n[sources.prices]\nbatch_size = 20\n"
    settings = load_environment(tmp_path, toml)
    assert {name: source.batch_size for name, source in settings.sources.items()} == {
        "default": 3,
        "catalog": 50,
        "prices": 20,
    }


BAD_VALUES = [
    pytest.param("interval_seconds", -1, id="time does not go back"),
    pytest.param("interval_seconds", "soon", id="not a number"),
    pytest.param("interval_seconds", float("nan"), id="not a number, literally"),
    pytest.param("interval_seconds", float("inf"), id="never"),
    pytest.param("interval_seconds", 400 * 86_400, id="longer than a year"),
    pytest.param("interval_seconds", True, id="a boolean is not a number of seconds"),
    pytest.param("interval_seconds", None, id="nothing is not zero"),
    pytest.param("batch_size", 0, id="an empty batch has nothing to fetch"),
    pytest.param("batch_size", 1_001, id="more than a batch may hold"),
    pytest.param("batch_size", 2.5, id="half an ID"),
    pytest.param("batch_size", "many", id="not a count"),
    pytest.param("batch_size", True, id="a boolean is not a count"),
    pytest.param("lease_seconds", 0, id="a lease that is over at once"),
    pytest.param("lease_seconds", 86_401, id="longer than a day"),
    pytest.param("max_in_flight", 0, id="nothing could be dispatched"),
    pytest.param("max_in_flight", 65, id="more threads than wanted"),
    pytest.param("max_attempts", 0, id="nothing could be tried"),
    pytest.param("simulated_latency_seconds", -0.1, id="an answer before the question"),
    pytest.param("max_ids", 0, id="nothing could be submitted"),
    pytest.param("max_ids", 1_000_001, id="more than promised"),
    pytest.param("max_body_bytes", 10, id="less than one ingestion"),
    pytest.param("dispatch", "perhaps", id="neither yes nor no"),
    pytest.param("database_url", 5, id="not an address"),
    pytest.param("sources", [], id="not a table"),
    pytest.param("sources", {"catalog": 5}, id="a source is a table"),
    pytest.param("unheard_of", 1, id="no such setting"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_bad_value_is_refused_by_its_name(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        load(tmp_path, "", **{name: value})


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        pytest.param("intervall_seconds = 5", "intervall_seconds", id="a slip of the pen"),
        pytest.param(
            "[sources.catalog]\nbatchsize = 5", r"sources\.catalog\.batchsize", id="in a source"
        ),
        pytest.param(
            "[sources.catalog]\nmax_ids = 5",
            r"\.max_ids: No such setting here; `ingest set",
            id="not a source's own",
        ),
        pytest.param(
            "[sources.catalog]\nbatch_size = 0", r"sources\.catalog\.batch_size", id="bad value"
        ),
        pytest.param('[sources.catalog]\nkind = "ftp"', r"sources\.catalog\.kind", id="no kind"),
        pytest.param("[sources.Catalog]", r"sources\.Catalog", id="upper case in a name"),
        pytest.param('[sources."a b"]', r"sources\.a b", id="a space in a name"),
        pytest.param(f"[sources.{'a' * 64}]", "sources.a{64}", id="a name that is too long"),
    ],
)
def test_bad_file_is_refused_by_the_name_of_its_key(tmp_path: Path, toml: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(tmp_path, toml)


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        pytest.param("INGEST_MAX_IDS", "0", "INGEST_MAX_IDS (max_ids): ", id="of the service"),
        pytest.param("INGEST_Max_Ids", "0", "INGEST_Max_Ids (max_ids): ", id="as it was written"),
        pytest.param(
            "INGEST_SOURCES__CATALOG__BATCH_SIZE",
            "0",
            "INGEST_SOURCES__CATALOG__BATCH_SIZE (sources.catalog.batch_size): ",
            id="one key of a source",
        ),
        pytest.param(
            "INGEST_SOURCES",
            '{"catalog": {"batch_size": 0}}',
            "INGEST_SOURCES (sources.catalog.batch_size): ",
            id="all sources at once",
        ),
    ],
)
def test_bad_value_of_the_environment_is_named_by_its_variable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        load_environment(tmp_path)
    assert str(raised.value).startswith(named)


def test_bad_value_of_the_file_is_named_by_its_key_beside_a_variable_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_SOURCES__CATALOG__INTERVAL_SECONDS", "1")
    with pytest.raises(SettingsError, match=r"^sources\.catalog\.batch_size: "):
        load_environment(tmp_path, "[sources.catalog]\nbatch_size = 0\n")


def test_all_bad_values_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"(?s)batch_size.*max_ids"):
        load(tmp_path, "batch_size = 0\nmax_ids = 0\n")


def test_unknown_name_in_the_environment_is_ignored_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INGEST_PORT", "tcp://10.0.0.1:80")
    with caplog.at_level(logging.WARNING):
        assert load_environment(tmp_path) == load(tmp_path)
        assert caplog.messages == []  # where the log is set up only
        warn_of_unknown_settings()
    assert caplog.messages == ["setting_ignored name=INGEST_PORT"]


def test_address_for_the_command_line_is_no_setting_and_gives_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INGEST_URL", "http://ingest.example")
    with caplog.at_level(logging.WARNING):
        assert load_environment(tmp_path) == load(tmp_path)
        warn_of_unknown_settings()
    assert caplog.messages == []


def test_known_name_in_the_environment_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INGEST_BATCH_SIZE", "5")
    assert read_environment() == {"batch_size": 5}
    assert caplog.records == []


def test_config_names_another_file(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("batch_size = 8")
    settings = load(tmp_path, "batch_size = 7", config=str(elsewhere))
    assert settings.source("default").batch_size == 8


def test_config_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load(tmp_path, config=str(tmp_path / "nowhere.toml"))


def test_config_that_looks_like_a_number_is_still_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Flask reads values of the environment as JSON where it can.
    monkeypatch.setenv("INGEST_CONFIG", "2026")
    with pytest.raises(SettingsError):
        load_environment(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"batch_size = ", id="half a line"),
        pytest.param(b"batch_size = 5\nbatch_size = 6", id="twice the same key"),
        pytest.param(b"# \xff", id="not UTF-8"),
    ],
)
def test_file_that_is_not_toml_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ingest.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"ingest\.toml"):
        load(tmp_path)


def test_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ingest.toml").mkdir()
    with pytest.raises(SettingsError, match=r"ingest\.toml"):
        load(tmp_path)


def test_unknown_source_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    settings = load(tmp_path, "[sources.catalog]\n")
    with pytest.raises(UnknownSource, match="catalog, default"):
        settings.source("nothing")


SECTION = '[sources.catalog]\nkind = "noted"\nurl = "https://catalog.example/"\n'


class Noted(Schema):
    """The options of a kind that only notes what it is given."""

    url = fields.String(required=True)
    headers = fields.Dict()
    simulated_latency_seconds = fields.Float()
    database_url = fields.String()


def load_noted(instance: Path, toml: str, **environ: str) -> SourceSettings:
    (instance / "ingest.toml").write_text(toml)
    kinds = {"simulated": SimulatedOptions, "noted": Noted}
    settings = load_settings(instance, {}, options_of=kinds.__getitem__, environ=environ)
    return settings.source("catalog")


def test_source_has_the_options_of_its_kind(tmp_path: Path) -> None:
    source = load_noted(tmp_path, f"interval_seconds = 2\n{SECTION}batch_size = 50\n")
    assert (source.kind, source.interval_seconds, source.batch_size) == ("noted", 2.0, 50)
    assert source.options == {"url": "https://catalog.example/"}


def test_kind_inherits_what_it_knows_of_the_services_settings(tmp_path: Path) -> None:
    source = load_noted(tmp_path, f"simulated_latency_seconds = 7\n{SECTION}")
    assert source.options["simulated_latency_seconds"] == 7.0


def test_kind_does_not_inherit_what_is_the_services_own(tmp_path: Path) -> None:
    assert "database_url" not in load_noted(tmp_path, SECTION).options


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        pytest.param('[sources.catalog]\nkind = "ftp"\n', "sources.catalog.kind: There is no kind"),
        pytest.param("[sources.catalog]\nkind = 5\n", "sources.catalog.kind: There is no kind '5'"),
        pytest.param("[sources.catalog]\nurl = 'x'\n", "sources.catalog.kind: Set it"),
        pytest.param(
            "[sources.catalog]\nkind = 'simulated'\nurl = 'x'\n", "sources.catalog.url: No such"
        ),
        pytest.param("[sources.catalog]\nsimulated_latency_seconds = -1\n", "sources.catalog.sim"),
    ],
)
def test_bad_section_is_refused_by_its_name(tmp_path: Path, toml: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load(tmp_path, toml)


def test_all_bad_sections_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"sources\.one\.batch_size.*sources\.two\.kind"):
        load(tmp_path, '[sources.one]\nbatch_size = 0\n[sources.two]\nkind = "none"\n')


def test_secret_comes_from_the_environment_and_is_remembered_as_one(tmp_path: Path) -> None:
    toml = (
        f'{SECTION}headers = {{ Authorization = "Bearer ${{TOKEN}}", Accept = ["${{TOKEN}}"] }}\n'
    )
    source = load_noted(tmp_path, toml, TOKEN="tell-nobody")
    assert source.options["headers"] == {
        "Authorization": "Bearer tell-nobody",
        "Accept": ["tell-nobody"],
    }
    assert set(source.secrets) == {"tell-nobody"}
    assert "tell-nobody" not in repr(source)


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}], ids=["not set", "empty"])
def test_secret_that_is_not_there_stops_the_start(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"sources\.catalog\.headers\.X: .* no TOKEN"):
        load_noted(tmp_path, f'{SECTION}headers = {{ X = "${{TOKEN}}" }}\n', **environ)


def test_what_comes_in_place_of_a_secret_is_not_looked_into_again(tmp_path: Path) -> None:
    source = load_noted(tmp_path, f'{SECTION}headers = {{ X = "${{A}}" }}\n', A="${B}", B="b")
    assert source.options["headers"] == {"X": "${B}"}
