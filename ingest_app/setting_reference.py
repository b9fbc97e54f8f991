"""Every setting there is, read off the fields that check them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from marshmallow import fields, missing, validate
from marshmallow.fields import Field

from ingest_app.environment import ClientsSchema
from ingest_app.setting_messages import variable_of
from ingest_app.settings import (
    SETTING_NAMES,
    PlacesSchema,
    Settings,
    SettingsSchema,
    SourceSettings,
)
from ingest_app.source_sections import DEFAULT_KIND, SourceSchema
from ingest_app.sources import kind_names, options_of

_TYPES = {
    fields.Boolean: "true or false",
    fields.Integer: "whole number",
    fields.Float: "number",
    fields.String: "text",
    fields.Dict: "table",
}


@dataclass(frozen=True)
class Setting:
    """One setting.

    key: its name in `ingest.toml`; None when the file cannot set it.
    variable: its name in the environment; None when only the way through its source leads there.
    takes, default, says: what it may be, what it is without, and what it is for, in words.
    """

    key: str | None
    variable: str | None
    takes: str
    default: str
    says: str


@dataclass(frozen=True)
class Section:
    """Settings that are set at the same place; `where` says in a sentence which."""

    title: str
    where: str
    settings: tuple[Setting, ...]


def reference(kinds: Collection[str] | None = None) -> tuple[Section, ...]:
    """All settings; of these kinds of source, None for all that are installed."""
    kinds = kind_names() if kinds is None else kinds
    return (
        Section(
            "The service",
            "In `ingest.toml`, before its first `[section]`, or in the environment.",
            tuple(_of_service(kinds)),
        ),
        Section(
            "Every source",
            "As the service's for all sources, or in a `[sources.NAME]` section for that one.",
            (*_described(_shared(), _defaults(SourceSettings)), _KIND),
        ),
        *(_of_kind(name) for name in sorted(kinds)),
        Section(
            "Places and processes", "In the environment alone.", (*_of_environment(), _WORKERS)
        ),
    )


_KIND = Setting(
    "kind",
    None,
    "text",
    DEFAULT_KIND,
    "What the source is; only in its section, where it decides what else can be set.",
)
_WORKERS = Setting(
    None, "WEB_CONCURRENCY", "whole number, 1 to 9999", "2", "Worker processes of gunicorn."
)


def _of_service(kinds: Collection[str]) -> Iterator[Setting]:
    options = (key for name in kinds for key in options_of(name)().fields)
    inherited = {*_shared(), *options}  # these stand with the sources
    own = {key: of for key, of in SettingsSchema().fields.items() if key not in inherited}
    return _described(own, _defaults(Settings))


def _of_kind(name: str) -> Section:
    return Section(
        f"Sources of kind {name}",
        f'In a `[sources.NAME]` section with `kind = "{name}"`.',
        tuple(_described(options_of(name)().fields, {})),
    )


def _of_environment() -> Iterator[Setting]:
    for key, field in {**PlacesSchema().fields, **ClientsSchema().fields}.items():
        yield Setting(None, variable_of(key), _takes(field), _default(field, None), _says(field))


def _described(
    described: Mapping[str, Field[Any]], defaults: Mapping[str, Any]
) -> Iterator[Setting]:
    for key, field in described.items():
        variable = variable_of(key) if key in SETTING_NAMES else None
        default = _default(field, defaults.get(key))
        yield Setting(key, variable, _takes(field), default, _says(field))


def _shared() -> Mapping[str, Field[Any]]:
    return SourceSchema().fields


def _defaults(of: type[Settings] | type[SourceSettings]) -> dict[str, Any]:
    return {
        field.name: field.default for field in dataclass_fields(of) if field.default is not MISSING
    }


def _says(field: Field[Any]) -> str:
    return str(field.metadata.get("description", ""))


def _takes(field: Field[Any]) -> str:
    if "takes" in field.metadata:
        return str(field.metadata["takes"])
    for one in field.validators:
        if isinstance(one, validate.OneOf):
            return " or ".join(map(str, one.choices))
    return next((word for kind, word in _TYPES.items() if isinstance(field, kind)), "any") + (
        _range(field)
    )


def _range(field: Field[Any]) -> str:
    for one in field.validators:
        if isinstance(one, validate.Range):
            return f", {_number(one.min)} to {_number(one.max)}"
    return ""


def _number(value: Any) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _default(field: Field[Any], inherited: Any) -> str:
    if "default" in field.metadata:
        return str(field.metadata["default"])
    if field.required:
        return "required"
    value = inherited if field.load_default is missing else field.load_default
    if value is None or callable(value):
        return "none"
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, str) and value.isalnum() else json.dumps(value)
