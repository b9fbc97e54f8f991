"""What a source of kind "http" may set; no message tells what was set, since it may be a secret."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import trustme
from marshmallow import RAISE

from ingest_app.errors import SettingsError
from ingest_app.settings import load_settings
from ingest_app.sources import options_of

URL = "https://host.example/items/{id}"
SECRET = "t0ps3cret"


def load(**given: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = options_of("http")(unknown=RAISE).load({"url": URL, **given})
    return loaded


def refusal(tmp_path: Path, given: dict[str, Any]) -> str:
    """What is said at the start about a source with such settings."""
    source = {"kind": "http", "url": URL, **given}
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path, {"sources": {"catalog": source}}, options_of=options_of, environ={})
    return str(error.value)


def test_only_the_url_must_be_given() -> None:
    assert load() == {
        "url": URL,
        "method": "GET",
        "query": {},
        "headers": {},
        "body": None,
        "separator": ",",
        "items": "",
        "id_field": "id",
        "timeout_seconds": 30.0,
        "verify_tls": True,
        "ca_file": None,
        "max_answer_bytes": 10 * 1024 * 1024,
    }


@pytest.mark.parametrize(
    ("given", "method"),
    [
        pytest.param({}, "GET", id="without a body"),
        pytest.param({"method": "POST"}, "POST", id="as it says"),
        pytest.param({"body": {"a": 1}}, "POST", id="with a body"),
    ],
)
def test_method_follows_from_the_body(given: dict[str, Any], method: str) -> None:
    assert load(**given)["method"] == method


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"url": "http://127.0.0.1:8001/{ids}"}, id="an address and a port"),
        pytest.param({"url": "http://[::1]/{ids}"}, id="an IPv6 address"),
        pytest.param({"url": "https://me:word@host.example/{ids}"}, id="user and password"),
        pytest.param({"url": "https://host.example", "query": {"id": "{id}"}}, id="no path"),
        pytest.param({"url": "https://host.example/", "body": "{ids}"}, id="IDs in the body only"),
        pytest.param({"url": "https://bücher.example/{id}"}, id="a name that is not ASCII"),
        pytest.param({"headers": {"X-Name": "Zoë {5}"}}, id="characters of Latin-1, braces"),
        pytest.param({"query": {"a": 1, "b": ["x", 2.5, False]}}, id="parameters of all types"),
    ],
)
def test_settings_that_will_do(given: dict[str, Any]) -> None:
    load(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("url", f"ftp://host.example/{SECRET}{{id}}", id="not HTTP"),
        pytest.param("url", f"//host.example/{SECRET}{{id}}", id="no scheme"),
        pytest.param("url", f"https:///{SECRET}{{id}}", id="no host"),
        pytest.param("url", f"https://host.example:port/{SECRET}{{id}}", id="no port"),
        pytest.param("url", f"https://host.example:70000/{SECRET}{{id}}", id="no such port"),
        pytest.param("url", f"https://[::1/{SECRET}{{id}}", id="half an address"),
        pytest.param("url", f"https://.{SECRET}/{{id}}", id="a host without a name"),
        pytest.param("url", f"https://{{id}}.example/{SECRET}", id="IDs choose no host"),
        pytest.param("url", f"https://host.example/{{id}}#{SECRET}", id="a fragment"),
        pytest.param("url", f"https://host.example/a b{SECRET}{{id}}", id="a blank"),
        pytest.param("url", f"https://host.example/{SECRET}\n{{id}}", id="a line break"),
        pytest.param("url", f"https://host.example/../{SECRET}/{{id}}", id="a way up"),
        pytest.param("url", f"https://host.example/{SECRET}", id="no placeholder"),
        pytest.param("url", f"https://host.example/{SECRET}/{{id}}/{{ids}}", id="two of them"),
        pytest.param("url", f"https://host.example/{SECRET}{{id}}{{name}}", id="an unknown one"),
        pytest.param("method", "PUT", id="a method that might change something"),
        pytest.param("method", "get", id="methods are upper case"),
        pytest.param("query", {"a": {SECRET: 1}}, id="a table in a parameter"),
        pytest.param("query", {"a": f"{SECRET}{{name}}"}, id="an unknown placeholder"),
        pytest.param("query", {"a": "{ids}"}, id="another placeholder than in the URL"),
        pytest.param("query", [SECRET], id="not a table"),
        pytest.param("headers", {"X-Id": f"{SECRET}{{id}}"}, id="a placeholder in a header"),
        pytest.param("headers", {"X-Key": f"{SECRET}\n"}, id="a file's line break in a header"),
        pytest.param("headers", {"X-Key": f"{SECRET}\r\nX: y"}, id="a second header in the first"),
        pytest.param("headers", {"X-Key": f"{SECRET}€"}, id="beyond Latin-1"),
        pytest.param("headers", {"X-Key": 5}, id="not a text"),
        pytest.param("headers", {"X Key": SECRET}, id="a blank in a name"),
        pytest.param("headers", {"Content-Length": SECRET}, id="a header that follows"),
        pytest.param("body", {"day": date(2026, 3, 1)}, id="JSON has no dates"),
        pytest.param("body", {"a": float("nan")}, id="nor NaN"),
        pytest.param("body", {"a": "{name}", "b": SECRET}, id="an unknown placeholder"),
        pytest.param("body", {"a": "{ids}"}, id="another placeholder than in the URL"),
        pytest.param("body", None, id="nothing"),
        pytest.param("separator", "", id="IDs would run together"),
        pytest.param("items", 5, id="not a path"),
        pytest.param("id_field", "", id="not a name"),
        pytest.param("timeout_seconds", 0, id="no time at all"),
        pytest.param("timeout_seconds", float("inf"), id="for ever"),
        pytest.param("timeout_seconds", 3_601, id="more than an hour"),
        pytest.param("verify_tls", "perhaps", id="neither yes nor no"),
        pytest.param("ca_file", f"/nowhere/{SECRET}", id="no such file"),
        pytest.param("ca_file", __file__, id="no certificate in it"),
        pytest.param("max_answer_bytes", 0, id="no answer at all"),
        pytest.param("max_answer_bytes", 2**40, id="more than memory holds"),
        pytest.param("urls", SECRET, id="no such setting"),
    ],
)
def test_settings_that_will_not_do_are_named_and_not_quoted(
    tmp_path: Path, name: str, value: object
) -> None:
    message = refusal(tmp_path, {name: value})
    assert "sources.catalog" in message
    assert SECRET not in message
    # Whether there is one kind of placeholder is said of the URL, wherever they stand.
    assert name in message or "catalog.url:" in message


def test_body_of_a_get_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"method": "GET", "body": {"a": SECRET}})
    assert message == "sources.catalog.body: Only a POST has a body."


def test_certificates_nobody_would_look_at_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert load(ca_file=str(file))["ca_file"] == str(file)
    assert "ca_file" in refusal(tmp_path, {"ca_file": str(file), "verify_tls": False})


def test_url_is_required(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"sources\.catalog\.url"):
        load_settings(
            tmp_path,
            {"sources": {"catalog": {"kind": "http"}}},
            options_of=options_of,
            environ={},
        )
