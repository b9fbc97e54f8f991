"""Attempts with keys that are not valid: who is slowed down by them, and who is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app.access.counters import Counters
from ingest_app.access.keys import create_key, revoke_key
from ingest_app.access.tokens import make_token
from ingest_app.access.windows import Decision
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from ingest_app.web.attempts import FAILURES_PER_MINUTE, place_of
from tests.support.clocks import FakeClock
from tests.support.signing_in import make_key

from .conftest import check_problem

HERE, THERE = "192.0.2.1", "198.51.100.1"


@dataclass(frozen=True)
class Keys:
    """As they are sent."""

    anna: str
    bert: str
    revoked: str

    @property
    def guessed(self) -> str:
        """Anna's, but for the secret."""
        return self.anna[:-43] + make_token().text[-43:]


@pytest.fixture
def keys(app: Flask) -> Keys:
    runtime = runtime_of(app)
    made = [
        create_key(runtime.database, name, Role.READER, clock=runtime.clock).text
        for name in ("anna", "bert", "revoked")
    ]
    revoke_key(runtime.database, "revoked", clock=runtime.clock)
    return Keys(*made)


Ask = Callable[..., int]


@pytest.fixture
def ask(client: FlaskClient, keys: Keys, counters: Counters) -> Ask:
    """The status of the answer to a key; `keys` names one, or it is sent as it is."""

    assert not counters.path.exists()

    def ask(key: str, address: str = HERE) -> int:
        sent = getattr(keys, key, key)
        headers = {"Authorization": f"Bearer {sent}"}
        answer = client.get("/sources", headers=headers, environ_base={"REMOTE_ADDR": address})
        return answer.status_code

    return ask


def unknown() -> str:
    return make_token().text


@pytest.mark.parametrize(
    ("sent", "then", "address", "status"),
    [
        pytest.param("guessed", "guessed", HERE, 429, id="guesses are slowed down"),
        pytest.param("guessed", "anna", HERE, 429, id="and a right one is not looked at"),
        pytest.param("guessed", "anna", THERE, 200, id="who has the key works on elsewhere"),
        pytest.param("guessed", "bert", HERE, 200, id="and so do others at that address"),
        pytest.param("revoked", "revoked", HERE, 429, id="an old key is slowed down"),
        pytest.param("revoked", "anna", HERE, 200, id="and locks out nobody else"),
        pytest.param("revoked", "guessed", HERE, 401, id="nor is another key's count"),
        pytest.param("unknown", "unknown", HERE, 429, id="keys of nobody are slowed down"),
        pytest.param("unknown", "nonsense", HERE, 429, id="and what is no key, with them"),
        pytest.param("nonsense", "unknown", HERE, 429, id="the other way round"),
        pytest.param("unknown", "anna", HERE, 200, id="and lock out nobody"),
        pytest.param("unknown", "unknown", THERE, 401, id="each address for itself"),
        pytest.param("", "nonsense", HERE, 429, id="no key at all"),
    ],
)
def test_after_ten_failures(ask: Ask, sent: str, then: str, address: str, status: int) -> None:
    def key(name: str) -> str:
        return unknown() if name == "unknown" else name

    assert [ask(key(sent)) for _ in range(FAILURES_PER_MINUTE)] == [401] * FAILURES_PER_MINUTE
    assert ask(key(then), address) == status


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("Basic \xff", id="base64 of another alphabet"),
        pytest.param("Basic YQ==", id="base64 of a name without a password"),
        pytest.param("Basic \x80:\x80", id="neither"),
        pytest.param('Digest a="', id="a parameter without its end"),
        pytest.param("Bearer \xff", id="a letter that no key has"),
        pytest.param("Bearer", id="a scheme alone"),
        pytest.param("\xff", id="no scheme"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_bearer_key_is_refused_and_counted(
    client: FlaskClient, counters: Counters, sent: str
) -> None:
    assert make_key(client.application)
    headers = {"Authorization": sent}
    for _ in range(FAILURES_PER_MINUTE):
        check_problem(client.get("/sources", headers=headers), 401)
    check_problem(client.get("/sources", headers=headers), 429)
    assert counters.path.exists()


def test_scheme_is_read_in_any_case_and_blanks_are_left_out(
    client: FlaskClient, keys: Keys
) -> None:
    for sent in (f"bearer {keys.anna}", f"BEARER   {keys.anna} "):
        assert client.get("/sources", headers={"Authorization": sent}).status_code == 200


def test_without_the_limiter_the_eleventh_guess_is_looked_at(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the table above."""
    free = Decision(True, FAILURES_PER_MINUTE, 1, 0.0)
    monkeypatch.setattr(Counters, "take", lambda *_: free)
    monkeypatch.setattr(Counters, "look", lambda *_: free)
    assert [ask("guessed") for _ in range(FAILURES_PER_MINUTE)] == [401] * FAILURES_PER_MINUTE
    assert ask("anna") == 200


def test_refusal_says_when_to_try_again_and_then_it_works(
    client: FlaskClient, keys: Keys, ask: Ask, clock: FakeClock
) -> None:
    for _ in range(FAILURES_PER_MINUTE):
        ask("guessed", "127.0.0.1")
    answer = client.get("/sources", headers={"Authorization": f"Bearer {keys.anna}"})
    assert "not looked at" in check_problem(answer, 429)["detail"]
    clock.move(float(answer.headers["Retry-After"]))
    assert ask("anna", "127.0.0.1") == 200


def test_who_has_a_valid_key_is_not_counted(ask: Ask, counters: Counters) -> None:
    assert [ask("anna") for _ in range(FAILURES_PER_MINUTE + 1)] == [200] * 11
    assert not counters.path.exists()


def test_failures_are_told_with_address_and_known_prefix_and_no_more(
    ask: Ask, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = unknown()
    for _ in range(FAILURES_PER_MINUTE + 5):
        ask("revoked")
        ask(stranger)
    told = [record.facts for record in caplog.records if _is_refusal(record)]  # type: ignore[attr-defined]
    prefix = keys.revoked.split("_")[1]
    assert told[:2] == [{"address": HERE, "prefix": prefix}, {"address": HERE}]
    assert len(told) == 2 * FAILURES_PER_MINUTE
    for secret in (stranger.split("_")[1], stranger[-43:], keys.revoked[-43:]):
        assert secret not in caplog.text


def _is_refusal(record: logging.LogRecord) -> bool:
    return bool(getattr(record, "event", None) == "key_refused")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),  # of the same customer
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # IPv4 on a socket for both
        ("fe80::1%eth0", "fe80::/64"),
        ("", "none"),  # a Unix socket
        (None, "none"),
        ("192.0.2.1:4711", "192.0.2.1"),  # as some proxies write it
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("192.0.2.1:", "none"),
        ("[192.0.2.1", "none"),
        ("unknown:4711", "none"),
        ("_hidden", "none"),  # RFC 7239, section 6.3
        ("a" * 10_000, "none"),
    ],
)
def test_place_that_failures_are_counted_for(address: str | None, place: str) -> None:
    assert place_of(address) == place
