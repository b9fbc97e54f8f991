"""What the faulty upstream may answer, and when: behaviours to be put together by tests."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

HUNG_UP = -1
"""In the place of a status: the connection is closed without an answer."""

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Call:
    """A call as it arrived.

    number: from 1, in the order of arrival.
    boot_seconds: when, by the boot clock.
    target: path and query as they came. body: of a POST.
    """

    number: int
    boot_seconds: float
    ids: tuple[object, ...]
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    delay_seconds: how long nothing comes.
    drip_seconds: the pause between two bytes of the body; 0 sends it at once.
    missing_bytes: how much longer `Content-Length` says it is; then the connection is closed.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    missing_bytes: int = 0


Behaviour = Callable[[Call], Answer]


def knows_all(call: Call) -> Answer:
    """Everything that was asked for, as it should be."""
    rows = [row_of(item) for item in call.ids]
    return Answer(200, json.dumps({"rows": rows}).encode())


def row_of(item: object) -> dict[str, object]:
    """What this upstream knows of an ID."""
    return {"id": item, "name": f"item {item}"}


def says(status: int, body: str = '{"error": "no"}', **headers: str) -> Behaviour:
    """Always the same; an underscore in a header's name is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status, body.encode(), {**_JSON, **named})
    return lambda _call: answer


def html(call: Call) -> Answer:
    """A page for people, though all is well."""
    page = b"<!doctype html><title>Welcome</title><p>We are moving. Come back soon."
    return replace(knows_all(call), body=page, headers={"Content-Type": "text/html"})


def slow(seconds: float) -> Behaviour:
    """All that was asked for, after a silence."""
    return lambda call: replace(knows_all(call), delay_seconds=seconds)


def dripping(seconds: float) -> Behaviour:
    """All that was asked for, byte by byte."""
    return lambda call: replace(knows_all(call), drip_seconds=seconds)


def lying(call: Call) -> Answer:
    """Less than it says."""
    return replace(knows_all(call), missing_bytes=100)


def hangs_up(_call: Call) -> Answer:
    """No answer at all."""
    return Answer(HUNG_UP)


def echoing(status: int) -> Behaviour:
    """What it was sent, in its own words."""

    def answer(call: Call) -> Answer:
        told = f"refused: {call.headers.get('Authorization')} {call.target}"
        return Answer(status, json.dumps({"error": told}).encode())

    return answer


def at_first(count: int, behaviour: Behaviour, then: Behaviour = knows_all) -> Behaviour:
    """One behaviour for the first so many calls, and another one ever after."""
    return lambda call: behaviour(call) if call.number <= count else then(call)


def at_first_for_each(behaviour: Behaviour) -> Behaviour:
    """One behaviour for the first call for the same IDs, and all is well with the others."""
    seen = set[tuple[object, ...]]()

    def answer(call: Call) -> Answer:
        is_first = call.ids not in seen
        seen.add(call.ids)
        return behaviour(call) if is_first else knows_all(call)

    return answer


def at_random(seed: int, share: float, behaviour: Behaviour) -> Behaviour:
    """One behaviour for a share of the calls, and all is well with the others."""
    rng = random.Random(seed)
    return lambda call: behaviour(call) if rng.random() < share else knows_all(call)


def for_ids(ids: Sequence[object], behaviour: Behaviour) -> Behaviour:
    """One behaviour for calls that ask for any of these IDs, and all is well with the others."""
    return lambda call: behaviour(call) if set(ids) & set(call.ids) else knows_all(call)
