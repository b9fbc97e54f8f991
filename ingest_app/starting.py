"""Whether the service may start: the same for a start, a reload and `ingest settings --check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingest_app.errors import SettingsError
from ingest_app.processes import Address
from ingest_app.settings import Settings
from ingest_app.sources import make_source
from ingest_app.web.strangers import is_loopback
from ingest_app.webhooks.endpoint import endpoint_of


def check_startable(
    settings: Settings, addresses: Sequence[Address], *, is_open: Callable[[], bool]
) -> None:
    """Raise SettingsError if the service could not run with these settings at these addresses.

    Nothing is called. is_open: whether there is no API key, asked only where that matters.
    """
    for source in settings.sources.values():
        make_source(source)
    endpoint_of(settings)
    _check_who_can_reach(settings, addresses, is_open)


def _check_who_can_reach(
    settings: Settings, addresses: Sequence[Address], is_open: Callable[[], bool]
) -> None:
    hosts = [address[0] for address in addresses if isinstance(address, tuple)]
    others = [host for host in hosts if not is_loopback(host) or not host]
    if others and not settings.allow_anonymous and is_open():
        raise SettingsError(
            f"No API key has been created, and {others[0] or '0.0.0.0'} can be reached from other"
            " machines: create one (ingest keys create NAME --role operator), listen on 127.0.0.1,"
            " or set INGEST_ALLOW_ANONYMOUS=1."
        )
