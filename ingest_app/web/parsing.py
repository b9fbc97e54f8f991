"""Request bodies: JSON and nothing else, read strictly."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request, request
from marshmallow import Schema, ValidationError
from webargs.core import is_json
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from ingest_app.runtime import current_runtime
from ingest_app.web.problems import InvalidInput

# A comma outside quotes: two headers, which servers join.
IDEMPOTENCY_KEY_PATTERN = r'"((?:[!#-\[\]-~]|\\["\\]){1,255})"|([!#-+\--\[\]-~]{1,255})'
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
_ESCAPED = re.compile(r'\\(["\\])')
_SEPARATORS_AN_ID = 4
_SEPARATORS_BESIDE = 100_000


class StrictParser(FlaskParser):
    """webargs' parser with our errors.

    Raises UnsupportedMediaType, RequestEntityTooLarge, BadRequest (not JSON) and InvalidInput (JSON
    that is not allowed).
    """

    def parse(
        self, argmap: Any, req: Request | None = None, *, location: str | None = None, **more: Any
    ) -> Any:
        """What a request says at a place; of a query that is not there, the defaults."""
        if location == "query" and not (req or request).query_string:
            return dict(_defaults(argmap))  # webargs takes longer for this than the database
        return super().parse(argmap, req, location=location, **more)

    def load_json(self, req: Request, schema: Schema) -> dict[str, object]:
        """Read the body of a request as one JSON object; none is as good where none is needed."""
        is_needed = any(field.required for field in schema.fields.values())
        if is_needed:
            _check_is_json(req)
        body = _bounded_body(req)
        if not is_needed and not body:
            return {}
        _check_is_json(req)
        value = parse_json(body)
        if not isinstance(value, dict):
            raise InvalidInput({"body": ["Send a JSON object."]})
        return value

    def handle_error(self, error: ValidationError, *_: object, **__: object) -> NoReturn:
        """Raise what marshmallow found, without the place's name that webargs puts around it."""
        assert isinstance(error.messages, dict)
        (errors,) = error.messages.values()
        raise InvalidInput(errors) from error


@functools.cache
def _defaults(schema: Schema) -> Mapping[str, Any]:
    nothing_sent: Mapping[str, Any] = schema.load({})
    return nothing_sent


def parse_idempotency_key(header: str | None) -> str | None:
    """The key in an Idempotency-Key header; BadRequest when it is not of the form.

    A string as in RFC 8941, 3.3.3, or, as many clients send it, the bare key
    (draft-ietf-httpapi-idempotency-key-header-07, 2.1).
    """
    if header is None:
        return None
    found = _IDEMPOTENCY_KEY.fullmatch(header)
    if found is None:
        raise BadRequest(
            'Idempotency-Key is not of the form "…": send 1 to 255 visible ASCII characters between'
            ' quotes, with \\ before " and \\.'
        )
    return found[2] or _ESCAPED.sub(r"\1", found[1])


def _check_is_json(req: Request) -> None:
    if not is_json(req.mimetype):
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
    # A few kilobytes could unpack to gigabytes.
    if req.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")


def _bounded_body(req: Request) -> bytes:
    try:
        body = req.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # servers raise errors of their own for a broken body
        raise BadRequest("The body could not be read to its end.") from error
    if len(body) > current_runtime().settings.max_body_bytes:
        raise RequestEntityTooLarge
    _check_value_count(body, current_runtime().settings.max_ids)
    return body


def _check_value_count(body: bytes, max_ids: int) -> None:
    # Before they are built: a body of empty arrays takes thirty times its size in memory.
    # Names with a few commas or brackets in each are still let through.
    separator_count = sum(map(body.count, (b",", b"[", b"{")))
    if separator_count > _SEPARATORS_AN_ID * max_ids + _SEPARATORS_BESIDE:
        raise InvalidInput({"ids": [f"Send at most {max_ids} IDs; the body has more values."]})


def parse_json(body: bytes) -> object:
    """The value of a JSON text in UTF-8 (RFC 8259); BadRequest says what is wrong with it."""
    if not body:
        raise BadRequest("The body is empty; send a JSON object.")
    try:
        return _DECODER.decode(body.decode())
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 at byte {error.start}.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    except ValueError as error:
        raise BadRequest(
            "The body has a number that is not JSON or has too many digits."
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    # Python's decoder takes NaN and the infinities, which JSON does not have.
    raise ValueError(name)


def _one_of_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Python keeps the last of two fields of one name, and would drop the IDs of the first.
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("The body has a field twice.")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_one_of_each)
