"""No secret in anything people get to read."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from ingest_app.sources.veil import Veil

HOST = "https://host.example"
SECRET = 'p@ss/w "ö+%7E'


def veil(*secrets: str, url: str = HOST) -> Veil:
    return Veil(secrets, url)


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(quote(SECRET, safe=""), id="in a URL"),
        pytest.param(quote(SECRET), id="in a path"),
        pytest.param(quote(SECRET, safe="").lower(), id="with small hexadecimal digits"),
        pytest.param('p@ss/w \\"ö+%7E', id="in JSON"),
        pytest.param('p@ss/w \\"\\u00f6+%7E', id="in JSON of ASCII"),
        pytest.param('p@ss/w "ö+~', id="decoded"),
    ],
)
def test_every_spelling_of_a_secret_is_covered(spelling: str) -> None:
    assert veil(SECRET).over(f"a {spelling} b {spelling}") == "a *** b ***"


def test_longer_secret_is_covered_before_one_that_begins_it() -> None:
    assert veil("abc", "abcdef").over("abcdef abc") == "*** ***"


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("us%40er:pa%2Fss", id="as the URL has it"),
        pytest.param("pa%2Fss", id="the password"),
        pytest.param("pa/ss", id="decoded"),
        pytest.param("dXNAZXI6cGEvc3M=", id="in an Authorization header"),
    ],
)
def test_user_and_password_of_the_url_are_secrets(secret: str) -> None:
    covered = veil(url="https://us%40er:pa%2Fss@host.example/").over(f"<{secret}>")
    assert covered == "<***>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\nb\r\nc\td", "a b  c d", id="one line"),
        pytest.param("a\x1b[31mb\x00", "a[31mb", id="no control characters"),
        pytest.param("a\ud800b", "ab", id="half a pair cannot be stored"),
    ],
)
def test_text_is_one_line_that_can_be_stored(text: str, expected: str) -> None:
    assert veil().over(text) == expected


def test_excerpt_is_short_and_never_ends_within_a_secret() -> None:
    excerpt = veil("secret").excerpt("x" * 195 + "secret" + "y" * 500)
    assert excerpt == "x" * 195 + "***y…"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        pytest.param(f"{HOST}/a/b?token=5#c", f"{HOST}/a/b", id="neither query nor fragment"),
        pytest.param("https://me:word@host.example/a", f"{HOST}/a", id="no user"),
        pytest.param("http://[::1]:8000/a", "http://[::1]:8000/a", id="a port"),
        pytest.param(f"{HOST}/key-5/a", f"{HOST}/***/a", id="a secret in the path"),
    ],
)
def test_address_shows_where_a_url_points(url: str, address: str) -> None:
    assert veil("key-5").address(url) == address


def test_address_with_many_ids_is_cut() -> None:
    assert len(veil().address(f"{HOST}/{'1,' * 1_000}")) == 300
