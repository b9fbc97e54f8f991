"""The settings: environment over `ingest.toml` over defaults, read and validated once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from ingest_app.errors import SettingsError, UnknownSource

DEFAULT_SOURCE = "default"
DEFAULT_KIND = "simulated"
OptionsOf = Callable[[str], type[Schema]]
_PLACE_OF_SECRET = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LONGEST_LEASE_SECONDS = 86_400.0
_LONGEST_SECONDS = 366 * 86_400.0


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
    """

    database_url: str
    max_ids: int = 1_000_000
    max_body_bytes: int = 32 * 1024 * 1024
    dispatch: bool = True
    sources: Mapping[str, SourceSettings] = field(
        default_factory=lambda: {DEFAULT_SOURCE: SourceSettings()}
    )

    def source(self, name: str) -> SourceSettings:
        """The source of this name (UnknownSource)."""
        try:
            return self.sources[name]
        except KeyError:
            raise UnknownSource(name, sorted(self.sources)) from None


def _seconds(minimum: float, maximum: float = _LONGEST_SECONDS) -> fields.Float:
    return fields.Float(validate=validate.Range(minimum, maximum))


def _count(minimum: int, maximum: int) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(minimum, maximum))


class _SourceSchema(Schema):
    """What a source of any kind may set; every key is also a setting of the service."""

    class Meta:
        unknown = RAISE

    interval_seconds = _seconds(0)
    batch_size = _count(1, 1_000)
    lease_seconds = _seconds(0.5, LONGEST_LEASE_SECONDS)
    max_in_flight = _count(1, 64)
    max_attempts = _count(1, 1_000)


class _SettingsSchema(_SourceSchema):
    """The service's own; a source inherits those that it or its kind has."""

    simulated_latency_seconds = fields.Raw()
    database_url = fields.String(required=True)
    max_ids = _count(1, 1_000_000)
    max_body_bytes = _count(1_024, 1_024**3)
    dispatch = fields.Boolean()
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
    path = Path(str(given.get("config", instance_path / "ingest.toml")))
    defaults = {"database_url": f"sqlite:///{instance_path / 'ingest.db'}"}
    from_file = {**defaults, **_from_file(path, must_exist="config" in given)}
    try:
        loaded = _SettingsSchema().load(_over(from_file, given))
        return _build(loaded, _SourceLoader(loaded, options_of, environ))
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise SettingsError(_sentence(messages)) from error


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


def _build(loaded: dict[str, Any], loader: _SourceLoader) -> Settings:
    named = {DEFAULT_SOURCE: {}, **loaded.get("sources", {})}
    sources, errors = {}, {}
    for name, given in named.items():
        try:
            sources[name] = loader.load(name, given)
        except ValidationError as error:
            errors[name] = error.normalized_messages()  # type: ignore[no-untyped-call]
    if errors:
        raise ValidationError({"sources": errors})
    own = {field.name for field in dataclass_fields(Settings)} - {"sources"}
    return Settings(**{key: loaded[key] for key in loaded.keys() & own}, sources=sources)


class _SourceLoader:
    """Makes a source's settings of its section, of what it inherits, and of the environment."""

    def __init__(
        self, inherited: Mapping[str, Any], options_of: OptionsOf, environ: Mapping[str, str]
    ) -> None:
        self._inherited = inherited
        self._options_of = options_of
        self._environ = environ

    def load(self, name: str, given: Mapping[str, Any]) -> SourceSettings:
        secrets: list[str] = []
        given = _filled(given, self._environ, secrets)
        kind = given.get("kind", DEFAULT_KIND)
        try:
            options = self._options_of(kind)(unknown=RAISE)
        except SettingsError as error:
            raise ValidationError({"kind": [str(error)]}) from error
        shared = _SourceSchema()
        return SourceSettings(
            name=name,
            kind=kind,
            **shared.load(self._of(shared, {**self._inherited, **given})),
            options=options.load(
                {
                    **self._of(options, self._inherited),
                    **{
                        key: value
                        for key, value in given.items()
                        if key != "kind" and key not in shared.fields
                    },
                }
            ),
            secrets=tuple(secrets),
        )

    def _of(self, schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values[key] for key in values.keys() & schema.fields.keys()}


def _filled(value: Any, environ: Mapping[str, str], secrets: list[str]) -> Any:
    """The value with every `${NAME}` in it replaced, and what came in its place in `secrets`."""
    if isinstance(value, Mapping):
        return {key: _filled(below, environ, secrets) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled(below, environ, secrets) for below in value]
    if not isinstance(value, str):
        return value

    def look_up(found: re.Match[str]) -> str:
        name = found["name"]
        if not environ.get(name):
            raise ValidationError(f"The environment does not set {name}, which ${{{name}}} needs.")
        secrets.append(environ[name])
        return environ[name]

    return _PLACE_OF_SECRET.sub(look_up, value)


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
