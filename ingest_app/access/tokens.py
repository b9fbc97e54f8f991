"""API keys as text: `ing_<prefix>_<secret>`, of which only the prefix and a digest are stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_FORM = re.compile(r"ing_(?P<prefix>[a-z2-7]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_PREFIX_BYTES = 8
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Token:
    """An API key as its holder has it; `text` may be shown nowhere but once, where it is made."""

    text: str = field(repr=False)
    prefix: str

    @property
    def digest(self) -> str:
        """SHA-256 in hex: 256 random bits need no salt and no slow hash."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def matches(self, digest: str) -> bool:
        """True when this is the key of the digest; takes as long when it is not."""
        return hmac.compare_digest(self.digest, digest)


def make_token() -> Token:
    """A new key."""
    prefix = base64.b32encode(secrets.token_bytes(_PREFIX_BYTES)).decode().lower()[:12]
    return Token(f"ing_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}", prefix)


def read_token(text: str) -> Token | None:
    """A key as it was sent; None for what cannot be one."""
    found = _FORM.fullmatch(text)
    return found and Token(text, found["prefix"])
