"""Forms of the service's own pages: they have few fields, so whatever is more is not read."""

from __future__ import annotations

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

MOST_BYTES = 16_384
MOST_FIELDS = 20


class FormTooLarge(RequestEntityTooLarge):
    """A form has more than any page of this service sends."""

    description = f"A form may have {MOST_BYTES:,} bytes and {MOST_FIELDS} fields; this has more."


def sent_form() -> MultiDict[str, str]:
    """The fields of the form that the request brought, none where it is no form (FormTooLarge)."""
    request.max_content_length = MOST_BYTES
    request.max_form_parts = MOST_FIELDS
    try:
        return request.form
    except RequestEntityTooLarge as error:
        raise FormTooLarge from error
