"""What people get to read about a call: addresses without queries, and no secrets anywhere."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

_EXCERPT_LENGTH = 200
_ADDRESS_LENGTH = 300
_VEIL = "***"


class Veil:
    """Covers the secrets of one source in whatever text is to be shown."""

    def __init__(self, secrets: Iterable[str], url: str = "") -> None:
        """`secrets` as they are; user and password of `url` are secrets as well."""
        forms = {form for secret in (*secrets, *_secrets_of(url)) for form in _forms(secret)}
        # The longest first, or a secret that begins another would leave the rest of it to be seen.
        patterns = map(re.escape, sorted(forms, key=len, reverse=True))
        # Hexadecimal digits may be written either way.
        self._secret = re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)

    def over(self, text: str) -> str:
        """The text in one line, with what is secret covered."""
        # First, or the zeros of UTF-16 within a secret would hide it from us and nobody else.
        shown = "".join(c if c.isprintable() else " " * c.isspace() for c in text)
        return self._secret.sub(_VEIL, shown).strip()

    def excerpt(self, text: str) -> str:
        """The beginning of the text, as `over` gives it."""
        return _shortened(" ".join(self.over(text).split()), _EXCERPT_LENGTH)

    def address(self, url: str) -> str:
        """Where a URL points, without user, query and fragment."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return _shortened(self.over(f"{parts.scheme}://{host}{parts.path}"), _ADDRESS_LENGTH)


def _secrets_of(url: str) -> Iterator[str]:
    user_and_password, found, _ = urlsplit(url).netloc.rpartition("@")
    if found:
        user, _, password = user_and_password.partition(":")
        yield from (user_and_password, password)
        # As the Authorization header has it, which some upstreams repeat in their errors.
        yield b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def _forms(secret: str) -> Iterator[str]:
    encodings = (quote(secret, safe=""), quote(secret), quote_plus(secret), unquote(secret))
    as_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from filter(None, (secret, *encodings, *as_json))


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
