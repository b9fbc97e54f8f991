from __future__ import annotations

import re

import pytest

from ingest_app.access.tokens import Token, make_token, read_token


def test_new_ones_differ_and_are_read_back() -> None:
    first, second = make_token(), make_token()
    assert first.text != second.text
    assert first.prefix != second.prefix
    assert read_token(first.text) == first
    assert re.fullmatch(r"ing_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", first.text)


def test_matches_its_own_digest_alone() -> None:
    first, second = make_token(), make_token()
    assert first.matches(first.digest)
    assert not first.matches(second.digest)
    assert not first.matches("")


def test_is_not_shown_by_accident() -> None:
    token = make_token()
    assert token.text not in repr(token)
    assert token.text[17:] not in f"{token}"
    assert token.text not in token.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ing_",
        "ing_aaaaaaaaaaaa_" + "A" * 42,  # one too short
        "ing_aaaaaaaaaaaa_" + "A" * 44,  # one too long
        "ing_AAAAAAAAAAAA_" + "A" * 43,  # the prefix is lower case
        "ing_aaaaaaaaaaaa_" + "A" * 42 + "\n",
        "ing_aaaaaaaaaaaa_" + "A" * 42 + "é",
        "ing_aaaaaaaaaaaa_" + "A" * 43 + " ",
        "Bearer ing_aaaaaaaaaaaa_" + "A" * 43,
        "x" * 100_000,
    ],
)
def test_what_cannot_be_one_is_none(text: str) -> None:
    assert read_token(text) is None


def test_prefix_tells_which_it_may_be() -> None:
    token = read_token("ing_aaaaaaaaaaaa_" + "A" * 43)
    assert isinstance(token, Token)
    assert token.prefix == "aaaaaaaaaaaa"
