"""A `[sources.NAME]` section of the settings: checked, completed, its secrets filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from ingest_app.errors import SettingsError
from ingest_app.setting_fields import count, seconds

DEFAULT_KIND = "simulated"
LONGEST_LEASE_SECONDS = 86_400.0

OptionsOf = Callable[[str], type[Schema]]
"""The schema of what a kind of source may set, by the kind's name (SettingsError)."""

_PLACE_OF_SECRET = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


class SourceSchema(Schema):
    """What a source of any kind may set; every key is also a setting of the service."""

    class Meta:  # noqa: D106
        unknown = RAISE

    interval_seconds = seconds(
        0, says="The least time between the calls of two batches of a source; 0 for no limit."
    )
    batch_size = count(1, 1_000, says="IDs in a batch; ingestions that were accepted keep theirs.")
    lease_seconds = seconds(
        0.5,
        LONGEST_LEASE_SECONDS,
        says="How long a worker may give no sign of life before its batch is taken back.",
    )
    max_in_flight = count(
        1, 64, says="Batches of a source that may be under way at once, over all workers."
    )
    max_attempts = count(1, 1_000, says="After so many failed attempts a batch has failed.")


_INHERITED = {*SourceSchema().fields, "simulated_latency_seconds"}


class SectionReader:
    """Makes the values of a source's settings out of its section."""

    def __init__(
        self, service: Mapping[str, Any], *, options_of: OptionsOf, environ: Mapping[str, str]
    ) -> None:
        """`service` is what the service sets, `environ` where `${NAME}` is looked up."""
        # Not its own affairs, as the address of the database, whatever a kind calls its options.
        self._inherited = {key: service[key] for key in service.keys() & _INHERITED}
        self._options_of = options_of
        self._environ = environ

    def read(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """The values by their names in `SourceSettings` (marshmallow's ValidationError)."""
        secrets: list[str] = []
        given = {"kind": DEFAULT_KIND, **filled(section, self._environ, secrets)}
        kind, shared = str(given.pop("kind")), SourceSchema()
        options = self._options_schema(kind)
        own = {key: given.pop(key) for key in given.keys() - shared.fields.keys()}
        unknown = own.keys() - options.fields.keys()
        if unknown and "kind" not in section:
            hint = f"Set it; without it the source is {kind}, which has other options."
            raise ValidationError({"kind": [hint], **{key: ["Unknown field."] for key in unknown}})
        return {
            "kind": kind,
            **shared.load({**self._of(shared), **given}),
            "options": options.load({**self._of(options), **own}),
            "secrets": tuple(secrets),
        }

    def _options_schema(self, kind: str) -> Schema:
        try:
            return self._options_of(kind)(unknown=RAISE)
        except SettingsError as error:
            raise ValidationError({"kind": [str(error)]}) from error

    def _of(self, schema: Schema) -> dict[str, Any]:
        return {key: self._inherited[key] for key in self._inherited.keys() & schema.fields.keys()}


def filled(value: Any, environ: Mapping[str, str], secrets: list[str]) -> Any:
    """The value with every `${NAME}` in it replaced, and what came in its place in `secrets`."""
    if isinstance(value, Mapping):
        return {key: _filled_at(key, below, environ, secrets) for key, below in value.items()}
    if isinstance(value, list):
        return [filled(below, environ, secrets) for below in value]
    if not isinstance(value, str):
        return value

    def look_up(place: re.Match[str]) -> str:
        name = place["name"]
        if not environ.get(name):
            raise ValidationError(f"The environment sets no {name}, or an empty one.")
        secrets.append(environ[name])
        return environ[name]

    return _PLACE_OF_SECRET.sub(look_up, value)


def _filled_at(key: str, value: Any, environ: Mapping[str, str], secrets: list[str]) -> Any:
    try:
        return filled(value, environ, secrets)
    except ValidationError as error:
        raise ValidationError({key: error.messages}) from error
