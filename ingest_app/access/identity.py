"""Who makes a request, and what that lets them do."""

from __future__ import annotations

from dataclasses import dataclass

from ingest_app.states import Role


@dataclass(frozen=True)
class Identity:
    """Somebody with an API key, or anybody while there is none.

    key_name, owner, key_prefix: None while there is no key at all.
    max_waiting_ids, max_requests_per_minute: None where the key has no limit of its own.
    """

    role: Role
    key_name: str | None = None
    owner: str | None = None
    max_waiting_ids: int | None = None
    max_requests_per_minute: int | None = None
    key_prefix: str | None = None

    @property
    def sees_only(self) -> str | None:
        """Whose ingestions there are for them; None for everybody's."""
        return None if self.role is Role.OPERATOR else self.owner


ANYBODY = Identity(Role.OPERATOR)
"""While no key has been created."""
