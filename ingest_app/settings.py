"""The settings: environment over `ingest.toml` over defaults, read and validated once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields, validate

from ingest_app.errors import SettingsError, UnknownSource
from ingest_app.source_sections import (
    DEFAULT_KIND,
    OptionsOf,
    SectionReader,
    SourceSchema,
    count,
)

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
    """How one service is set up.

    dispatch: False for a process that only accepts and answers while another one dispatches.
    allow_anonymous: while no API key has been created, answer others than this machine, too.
    public_metrics: hand out `/metrics` to those who have no key.
    trusted_proxy_count: how many proxies in front set X-Forwarded-For, -Proto, -Host and -Prefix.
    session_hours: how long somebody who signed in on the page stays so.
    max_waiting_ids, max_requests_per_minute: of an API key that has no limit of its own; None for
        no limit.
    log_format: "plain", or "json" for one JSON object a line.
    log_requests: log every request that was answered, as an event.
    retention_days: ended ingestions are deleted after so many days; None to keep them.
    webhook_url: who is told when an ingestion ends; None for nobody.
    webhook_secret: what these calls are signed with, as https://www.standardwebhooks.com has it.
    """

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


class _SettingsSchema(SourceSchema):
    """The service's own; a source inherits those that it or its kind has."""

    simulated_latency_seconds = fields.Raw()
    database_url = fields.String(required=True)
    max_ids = count(1, 1_000_000)
    max_body_bytes = count(1_024, 1_024**3)
    dispatch = fields.Boolean()
    allow_anonymous = fields.Boolean()
    public_metrics = fields.Boolean()
    trusted_proxy_count = count(0, 10)
    session_hours = fields.Float(validate=validate.Range(0.01, 24 * 366))
    max_waiting_ids = count(1, 2**53)
    max_requests_per_minute = count(1, 1_000_000)
    log_format = fields.String(validate=validate.OneOf(LOG_FORMATS))
    log_requests = fields.Boolean()
    retention_days = fields.Float(validate=validate.Range(0.001, 36_600))
    webhook_url = fields.String()
    webhook_secret = fields.String()
    sources = fields.Dict(
        fields.String(validate=validate.Regexp(_SOURCE_NAME.pattern + r"\Z")), fields.Dict()
    )


PLACES = frozenset({"instance_path", "config", "bind"})
"""Settings that are needed before the others: where those are, and gunicorn's."""

SETTING_NAMES = PLACES | _SettingsSchema().fields.keys()


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


def load_store_settings(instance_path: Path, given: Mapping[str, Any]) -> StoreSettings:
    """Merge and check these settings, and no others (SettingsError names the bad one)."""
    merged = _merged(instance_path, given)
    sources = merged.get("sources")
    names = {DEFAULT_SOURCE, *(sources if isinstance(sources, Mapping) else ())}
    own = ("database_url", "retention_days")
    try:
        loaded = _SettingsSchema(only=own).load({key: merged[key] for key in own if key in merged})
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise SettingsError(_sentence(messages)) from error
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
    environ: where `${NAME}` in what a source sets is looked up.
    """
    try:
        loaded = _SettingsSchema().load(_merged(instance_path, given))
        return _build(loaded, SectionReader(loaded, options_of=options_of, environ=environ))
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise SettingsError(_sentence(messages)) from error


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


def _sentence(messages: Mapping[Any, Any]) -> str:
    return " ".join(f"{key}: {message}" for key, message in _flat(messages))


def _flat(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            # marshmallow puts the two halves of a mapping's item under "key" and "value".
            yield from _flat(
                value, path if key in ("key", "value") and path else f"{path}.{key}".strip(".")
            )
    else:
        for message in messages:
            yield path, message
