"""What a source of kind "http" may set. No message quotes a value, since any may be a secret."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

import requests
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema
from urllib3.util.ssl_ import create_urllib3_context

from ingest_app.setting_fields import (
    choice,
    count,
    described,
    flag,
    seconds,
    split_http_url,
    text,
)
from ingest_app.sources.templates import (
    ALL,
    EACH,
    RequestTemplate,
    TemplateError,
    Text,
    has_dot_segment,
    placeholders_of_body,
)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_OUR_HEADERS = frozenset({"connection", "content-length", "transfer-encoding"})
_PLACEHOLDER = re.compile(r"\{ids?\}")


def _check_url(value: str) -> None:
    parts = split_http_url(value)
    _check_parts(value, parts.netloc)


def _check_parts(url: str, host: str) -> None:
    if "{" in host or "}" in host:
        raise ValidationError("IDs may stand in its path and query, not in its host.")
    if "#" in url:
        raise ValidationError("The part after # is never sent; write %23 for the character.")
    if has_dot_segment(url):
        raise ValidationError("Its path has a part . or .. in it.")
    try:
        requests.Request("GET", Text(url).fill("1")).prepare()
    except TemplateError as error:
        raise ValidationError(str(error)) from None
    except (requests.RequestException, ValueError):
        raise ValidationError("Its host is none that can exist.") from None


def _check_query(value: Mapping[str, Any]) -> None:
    try:
        RequestTemplate("", value, None, ",")
    except TemplateError as error:
        raise ValidationError(str(error)) from None


def _check_body(value: Any) -> None:
    try:
        placeholders_of_body(value)
    except TemplateError as error:
        raise ValidationError(str(error)) from None


def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValidationError("This is not the name of a header.")
    if name.lower() in _OUR_HEADERS:
        raise ValidationError("This header follows from the request and cannot be set.")


def _check_header_value(value: str) -> None:
    if value != value.strip() or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        raise ValidationError("It has a line break or another control character, or outer spaces.")
    if any(ord(c) > 255 for c in value):
        raise ValidationError("It has characters that a header cannot have.")
    if _PLACEHOLDER.search(value):
        raise ValidationError("IDs may stand in url, query and body, not in headers.")


def _check_ca_file(path: str) -> None:
    try:
        create_urllib3_context().load_verify_locations(path)
    except (OSError, ssl.SSLError, ValueError):
        raise ValidationError("There are no certificates in PEM form to be read there.") from None


class HttpOptions(Schema):
    """The request, where its answer holds the items, and limits."""

    url = text(
        "The address; `{ids}` in it (or in query or body): one call a batch, `{id}`: one an ID.",
        required=True,
        validate=_check_url,
    )
    method = choice(
        "GET", "POST", says="The method of the request.", default="GET, with a body POST"
    )
    query = fields.Dict(
        fields.String(),
        fields.Raw(),
        load_default=dict,
        validate=_check_query,
        metadata=described("Further parameters; a list repeats its parameter."),
    )
    headers = fields.Dict(
        fields.String(validate=_check_header_name),
        fields.String(validate=_check_header_value),
        load_default=dict,
        metadata=described("Headers of the request; secrets as `${NAME}` of the environment."),
    )
    body = fields.Raw(
        validate=_check_body,
        metadata=described(
            'What is sent as JSON; the text `"{ids}"` in it becomes the array of the IDs.',
            takes="table or array",
        ),
    )
    separator = text(
        "What stands between the IDs of `{ids}` in url and query.",
        load_default=",",
        validate=validate.Length(1, 16),
    )
    items = text(
        "Where the answer holds the items: names of fields with dots between; empty for itself.",
        load_default="",
    )
    id_field = text(
        "The field of an item that holds its ID.", load_default="id", validate=validate.Length(1)
    )
    timeout_seconds = seconds(
        0.1,
        3_600,
        load_default=30.0,
        says="For making the connection, and again for the whole answer.",
    )
    verify_tls = flag("False accepts any certificate.", load_default=True)
    ca_file = text(
        "A file of certificates in PEM form to trust instead of the system's.",
        load_default=None,
        validate=_check_ca_file,
    )
    max_answer_bytes = count(
        1,
        1024**3,
        load_default=10 * 1024**2,
        says="Size of one answer, counted after decompression.",
    )

    @validates_schema
    def _check_together(self, data: dict[str, Any], **_: Any) -> None:
        template = RequestTemplate(data["url"], data["query"], data.get("body"), data["separator"])
        if len(template.placeholders) != 1:
            raise ValidationError(
                f"IDs are to be asked for with either {EACH} or {ALL}, in url, query or body.",
                "url",
            )
        if "body" in data and data.get("method") == "GET":
            raise ValidationError("Only a POST has a body.", "body")
        if data["ca_file"] and not data["verify_tls"]:
            raise ValidationError("It is of no use without verify_tls.", "ca_file")

    @post_load
    def _complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        method = "POST" if "body" in data else "GET"
        return {"method": method, "body": None, **data}
