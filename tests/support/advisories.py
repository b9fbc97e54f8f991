"""Locked dependencies against the PyPA's advisories, without a network.

`python -m tests.support.advisories FOLDER` with a checkout of
https://github.com/pypa/advisory-database; with a network `pip-audit -r constraints.txt --no-deps
--disable-pip` asks PyPI for the newest.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)", re.MULTILINE)
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


class Hit(NamedTuple):
    """A locked version with a known flaw."""

    name: str
    version: str
    advisory: str


def pins_in(constraints: str) -> Mapping[str, str]:
    """The locked versions by name."""
    return {canonicalize_name(pin["name"]): pin["version"] for pin in _PIN.finditer(constraints)}


def find_hits(pins: Mapping[str, str], advisories: Path) -> Iterator[Hit]:
    """What the advisories in this folder say of these versions (OSV's form, in YAML)."""
    for name, version in pins.items():
        for path in sorted((advisories / "vulns" / name).glob("*.yaml")):
            advisory = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not advisory.get("withdrawn") and _affects(advisory, version):
                yield Hit(name, version, advisory["id"])


def _affects(advisory: Mapping[str, Any], version: str) -> bool:
    return any(
        version in affected.get("versions", ())
        or any(_is_within(each, version) for each in affected.get("ranges", ()))
        for affected in advisory["affected"]
    )


def _is_within(versions: Mapping[str, Any], version: str) -> bool:
    """True when the last of the events before the version begins a flaw; those of git are none."""
    if versions["type"] != "ECOSYSTEM":
        return False
    is_flawed = False
    for event in versions["events"]:
        ((kind, since),) = event.items()
        is_past = since == "0" or _is_from(version, since)
        if kind == "introduced" and is_past:
            is_flawed = True
        elif is_past and (kind == "fixed" or version != since):
            is_flawed = False
    return is_flawed


def _is_from(version: str, since: str) -> bool:
    try:
        return Version(version) >= Version(since)
    except InvalidVersion:
        return True  # rather look once too often


def main() -> int:
    """Print what is found; 1 when something is."""
    pins = pins_in(CONSTRAINTS.read_text(encoding="utf-8"))
    hits = list(find_hits(pins, Path(sys.argv[1])))
    print(f"{len(pins)} locked versions, {len(hits)} with known flaws")
    for hit in hits:
        print(f"{hit.name} {hit.version}: {hit.advisory}")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
