"""Fields for settings: each says in one sentence what it sets, which `ingest settings` prints.

docs/settings.md is that print; a setting without a sentence fails tests/unit/test_settings_page.py.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from marshmallow import ValidationError, fields, validate

_LONGEST_SECONDS = 366 * 86_400.0


def seconds(
    minimum: float, maximum: float = _LONGEST_SECONDS, *, says: str = "", **more: Any
) -> fields.Float:
    """A field for a duration in seconds."""
    return number(minimum, maximum, says=says, **more)


def number(minimum: float, maximum: float, *, says: str = "", **more: Any) -> fields.Float:
    """A field for a number that may have a fraction."""
    return fields.Float(validate=validate.Range(minimum, maximum), metadata=described(says), **more)


def count(minimum: int, maximum: int, *, says: str = "", **more: Any) -> fields.Integer:
    """A field for a number of things."""
    return fields.Integer(
        strict=True,
        validate=validate.Range(minimum, maximum),
        metadata=described(says),
        **more,
    )


def flag(says: str = "", **more: Any) -> fields.Boolean:
    """A field for true or false."""
    return fields.Boolean(metadata=described(says), **more)


def text(says: str = "", *, default: str | None = None, **more: Any) -> fields.String:
    """A field for a text; `default` describes what there is without it, if that is no plain one."""
    return fields.String(metadata=described(says, default=default), **more)


def choice(*allowed: str, says: str = "", default: str | None = None, **more: Any) -> fields.String:
    """A field for one of these words."""
    return text(says, default=default, validate=validate.OneOf(allowed), **more)


def described(says: str, *, takes: str | None = None, default: str | None = None) -> dict[str, str]:
    """What the reference prints of a field, as its metadata.

    takes: what it may be set to; None where the field's type and range say it.
    default: what there is without it; None where the field or the loaded settings say it.
    """
    told = {"description": says, "takes": takes, "default": default}
    return {key: value for key, value in told.items() if value is not None}


def split_http_url(url: str) -> SplitResult:
    """The parts of an address that can be called (ValidationError, which does not quote it)."""
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValidationError("It has a space, a line break or another control character.")
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise ValidationError("It does not begin with http:// or https:// and a host.")
    return parts
