"""`webhook_url` and `webhook_secret`: checked; no message quotes them, since both are secret.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from ingest_app.setting_fields import split_http_url
from ingest_app.source_sections import filled

_PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64
_NEW_BYTES = 32
_FORM = (
    f"It is {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} bytes in base64;"
    " `ingest webhooks secret` makes one."
)


def read_webhook(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Both settings with their `${NAME}` filled in; neither when they are not set or empty.

    Raises marshmallow's ValidationError.
    """
    url = _read("webhook_url", given, environ, _check_url)
    secret = _read("webhook_secret", given, environ, signing_keys)
    if url and not secret:
        raise ValidationError({"webhook_secret": [f"It is needed with webhook_url. {_FORM}"]})
    if secret and not url:
        raise ValidationError({"webhook_url": ["It is needed with webhook_secret."]})
    return {"webhook_url": url, "webhook_secret": secret} if url else {}


def signing_keys(secret: str) -> Sequence[bytes]:
    """The bytes to sign with, of one secret or of several with spaces between (ValidationError)."""
    return [_signing_key(each) for each in secret.split()]


def new_secret() -> str:
    """A secret that nobody knows yet."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def _read(
    name: str, given: Mapping[str, Any], environ: Mapping[str, str], check: Callable[[str], object]
) -> str:
    try:
        value = str(filled(given.get(name, ""), environ, [])).strip()
        if value:
            check(value)
    except ValidationError as error:
        raise ValidationError({name: error.messages}) from None
    return value


def _check_url(url: str) -> None:
    parts = split_http_url(url)
    if "@" in parts.netloc:
        raise ValidationError("It has a user in it; what is sent is signed instead.")
    if "#" in url:
        raise ValidationError("The part after # is never sent; write %23 for the character.")


def _signing_key(secret: str) -> bytes:
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if text == secret or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValidationError(_FORM)
    return key
