"""Whom to tell, and what to sign with: checked before anything starts, and shown nowhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from ingest_app.errors import SettingsError
from ingest_app.settings import Settings, load_settings
from ingest_app.sources import options_of
from ingest_app.webhook_settings import new_secret, signing_keys
from ingest_app.webhooks.endpoint import Endpoint

URL = "https://hooks.example/ended?key=plugh"
SECRET = "whsec_" + base64.b64encode(b"x" * 24).decode()


def load(environ: dict[str, str] | None = None, **given: Any) -> Settings:
    return load_settings(Path("."), given, options_of=options_of, environ=environ or {})


def of(byte_count: int) -> str:
    return "whsec_" + base64.b64encode(os.urandom(byte_count)).decode()


def test_both_are_taken_as_they_are_and_never_shown() -> None:
    settings = load(webhook_url=URL, webhook_secret=SECRET)
    assert (settings.webhook_url, settings.webhook_secret) == (URL, SECRET)
    assert "plugh" not in repr(settings)
    assert SECRET not in repr(settings)


def test_neither_is_nobody_to_tell() -> None:
    settings = load(webhook_url="", webhook_secret="")
    assert (settings.webhook_url, settings.webhook_secret) == (None, None)


def test_both_may_come_from_the_environment_by_name() -> None:
    environ = {"KEY": "plugh", "SECRET": SECRET}
    given = {"webhook_url": URL.replace("plugh", "${KEY}"), "webhook_secret": "${SECRET}"}
    settings = load(environ, **given)
    assert (settings.webhook_url, settings.webhook_secret) == (URL, SECRET)


@pytest.mark.parametrize("byte_count", [24, 25, 32, 64])
def test_keys_are_the_bytes_of_the_secrets_with_or_without_padding(byte_count: int) -> None:
    first, second = of(byte_count), of(byte_count)
    keys = signing_keys(f"{first} {second.rstrip('=')}")
    assert keys == [base64.b64decode(each.removeprefix("whsec_")) for each in (first, second)]


def test_new_secrets_are_good_and_differ() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert [len(key) for key in signing_keys(f"{first} {second}")] == [32, 32]


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        pytest.param({"webhook_url": URL}, "webhook_secret", id="no secret"),
        pytest.param({"webhook_secret": SECRET}, "webhook_url", id="no address"),
        pytest.param({"webhook_secret": SECRET[6:]}, "webhook_secret", id="no prefix"),
        pytest.param({"webhook_secret": of(23)}, "webhook_secret", id="too short"),
        pytest.param({"webhook_secret": of(65)}, "webhook_secret", id="too long"),
        pytest.param({"webhook_secret": "whsec_" + "ä" * 40}, "webhook_secret", id="no base64"),
        pytest.param({"webhook_secret": SECRET + " plugh"}, "webhook_secret", id="one is bad"),
        pytest.param({"webhook_secret": "${PLUGH}"}, "webhook_secret", id="not there"),
        pytest.param({"webhook_url": "ftp://plugh.example/"}, "webhook_url", id="not http"),
        pytest.param({"webhook_url": "plugh"}, "webhook_url", id="no address at all"),
        pytest.param({"webhook_url": "https:///plugh"}, "webhook_url", id="no host"),
        pytest.param({"webhook_url": "https://a.example:0/plugh"}, "webhook_url", id="no port"),
        pytest.param({"webhook_url": "https://[a.example/plugh"}, "webhook_url", id="not a host"),
        pytest.param({"webhook_url": "https://me:plugh@a.example"}, "webhook_url", id="a user"),
        pytest.param({"webhook_url": "https://a.example/\nplugh"}, "webhook_url", id="a new line"),
        pytest.param({"webhook_url": "https://a.example/#plugh"}, "webhook_url", id="a fragment"),
    ],
)
def test_what_cannot_be_used_is_refused_without_being_shown(
    given: dict[str, str], setting: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{setting}: ") as caught:
        load({}, **given)
    told = f"{caught.value} {caught.value.__cause__!r}"
    assert "plugh" not in told
    assert not any(value.removeprefix("whsec_") in told for value in given.values())


def test_address_that_no_request_can_have_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match=r"^webhook_url: ") as caught:
        Endpoint("https://.plugh.example/", SECRET)
    assert "plugh" not in str(caught.value)
