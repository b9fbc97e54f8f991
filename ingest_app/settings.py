"""The settings: environment over `ingest.toml` over defaults, read and validated once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from ingest_app.errors import SettingsError, UnknownSource
from ingest_app.setting_fields import choice, count, described, flag, number, text
from ingest_app.setting_messages import sentence
from ingest_app.source_sections import (
    DEFAULT_KIND,
    OptionsOf,
    SectionReader,
    SourceSchema,
)
from ingest_app.webhook_settings import read_webhook

DEFAULT_SOURCE = "default"
LOG_FORMATS = ("plain", "json")
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class SourceSettings:
    """One upstream and its pace; what it does not set it inherits from the service.

    options: what its kind alone knows, loaded by the kind's schema.
    secrets: the values it took from the environment, which may not be shown anywhere.
    """

    name: str = DEFAULT_SOURCE
    kind: str = DEFAULT_KIND
    interval_seconds: float = 5.0
    batch_size: int = 3
    lease_seconds: float = 30.0
    max_in_flight: int = 4
    max_attempts: int = 5
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Settings:
    """How one service is set up; `SettingsSchema` says what each means, None is for none."""

    database_url: str
    max_ids: int = 1_000_000
    max_body_bytes: int = 32 * 1024 * 1024
    dispatch: bool = True
    allow_anonymous: bool = False
    public_metrics: bool = False
    trusted_proxy_count: int = 0
    session_hours: float = 12.0
    max_waiting_ids: int | None = None
    max_requests_per_minute: int | None = None
    log_format: str = "plain"
    log_requests: bool = False
    retention_days: float | None = None
    webhook_url: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    sources: Mapping[str, SourceSettings] = field(
        default_factory=lambda: {DEFAULT_SOURCE: SourceSettings()}
    )

    def source(self, name: str) -> SourceSettings:
        """The source of this name (UnknownSource)."""
        try:
            return self.sources[name]
        except KeyError:
            raise UnknownSource(name, sorted(self.sources)) from None


class SettingsSchema(SourceSchema):
    """The service's own; a source inherits those that it or its kind has."""

    simulated_latency_seconds = fields.Raw()  # the kind describes and checks it
    database_url = text(
        "The database file; a relative one is in the instance folder.",
        default="sqlite:///ingest.db",
        required=True,
    )
    max_ids = count(1, 1_000_000, says="IDs in one submission.")
    max_body_bytes = count(1_024, 1_024**3, says="Size of one request.")
    dispatch = flag("False for a process that accepts and answers while another one dispatches.")
    allow_anonymous = flag(
        "While no API key has been created, answer others than this machine, too."
    )
    public_metrics = flag("Hand out `/metrics` to those who have no key.")
    trusted_proxy_count = count(
        0, 10, says="How many proxies in front set X-Forwarded-For, -Proto, -Host and -Prefix."
    )
    session_hours = number(
        0.01, 24 * 366, says="How long somebody who signed in on the page stays so."
    )
    max_waiting_ids = count(
        1,
        2**53,
        says="IDs of its owner's ingestions that have not ended, of an API key that has no limit of"
        " its own.",
    )
    max_requests_per_minute = count(
        1, 1_000_000, says="Requests of an API key that has no limit of its own."
    )
    log_format = choice(*LOG_FORMATS, says="How the log is written; json: one object a line.")
    log_requests = flag("Log every request that was answered, as an event.")
    retention_days = number(
        0.001, 36_600, says="Ended ingestions are deleted after so many days; none keeps them."
    )
    webhook_url = text("Who is told when an ingestion ends.")
    webhook_secret = text(
        "What these calls are signed with, as Standard Webhooks has it; while it is exchanged, the"
        " new one and the old one with a space between."
    )
    sources = fields.Dict(
        fields.String(validate=validate.Regexp(_SOURCE_NAME.pattern + r"\Z")),
        fields.Dict(),
        metadata=described("What the sources set for themselves, each in a table of its name."),
    )


class PlacesSchema(Schema):
    """Settings that are needed before the others: where those are, and gunicorn's."""

    instance_path = text("Folder of the database and of `ingest.toml`.", default="instance/")
    config = text("The settings file.", default="ingest.toml in the instance folder")
    bind = text("The address where gunicorn listens.", default="127.0.0.1:8000")


PLACES = frozenset(PlacesSchema().fields)
"""Settings that only the environment has."""

SETTING_NAMES = PLACES | SettingsSchema().fields.keys()


def instance_path_of(given: Mapping[str, Any]) -> str | None:
    """The folder of database and `ingest.toml`, absolute; None to leave the choice to Flask."""
    path = given.get("instance_path")
    return None if path in (None, "") else str(Path(str(path)).absolute())


@dataclass(frozen=True)
class StoreSettings:
    """What concerns the database alone, for who needs neither sources nor their secrets."""

    database_url: str
    retention_days: float | None
    source_names: frozenset[str]


def load_store_settings(
    instance_path: Path, given: Mapping[str, Any], *, environ: Mapping[str, str]
) -> StoreSettings:
    """Merge and check these settings, and no others (SettingsError names the bad one)."""
    merged = _merged(instance_path, given)
    sources = merged.get("sources")
    names = {DEFAULT_SOURCE, *(sources if isinstance(sources, Mapping) else ())}
    own = ("database_url", "retention_days")
    try:
        loaded = SettingsSchema(only=own).load({key: merged[key] for key in own if key in merged})
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise SettingsError(sentence(messages, given=given, environ=environ)) from error
    return StoreSettings(loaded["database_url"], loaded.get("retention_days"), frozenset(names))


def log_format_of(instance_path: Path, given: Mapping[str, Any]) -> str:
    """The log's form alone, unchecked, for who logs before the settings are read."""
    return str(_merged(instance_path, given).get("log_format", LOG_FORMATS[0]))


def load_settings(
    instance_path: Path,
    given: Mapping[str, Any],
    *,
    options_of: OptionsOf,
    environ: Mapping[str, str],
) -> Settings:
    """Merge and check all settings (SettingsError names the bad one).

    given: settings by name, from the environment or a caller; they come before the file's.
    options_of: the schema of what a kind of source may set, by the kind's name.
    environ: where `${NAME}` in what a source or the webhook sets is looked up.
    """
    try:
        loaded = SettingsSchema().load(_merged(instance_path, given))
        webhook = read_webhook(loaded, environ)
        reader = SectionReader(loaded, options_of=options_of, environ=environ)
        return _build({**loaded, "webhook_url": None, "webhook_secret": None, **webhook}, reader)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise SettingsError(sentence(messages, given=given, environ=environ)) from error


def _merged(instance_path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(str(given.get("config", instance_path / "ingest.toml")))
    defaults = {"database_url": f"sqlite:///{instance_path / 'ingest.db'}"}
    return _over({**defaults, **_from_file(path, must_exist="config" in given)}, given)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key in above.keys() - PLACES:
        both = isinstance(above[key], Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _over(below[key], above[key]) if both else above[key]
    return merged


def _from_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise SettingsError(f"There is no settings file {path}.") from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from error


def _build(loaded: dict[str, Any], reader: SectionReader) -> Settings:
    named = {DEFAULT_SOURCE: {}, **loaded.get("sources", {})}
    sources, errors = {}, {}
    for name, given in named.items():
        try:
            sources[name] = SourceSettings(name=name, **reader.read(given))
        except ValidationError as error:
            errors[name] = error.normalized_messages()  # type: ignore[no-untyped-call]
    if errors:
        raise ValidationError({"sources": errors})
    own = {field.name for field in dataclass_fields(Settings)} - {"sources"}
    return Settings(**{key: loaded[key] for key in loaded.keys() & own}, sources=sources)
