"""Measure everything and show it: `.venv/bin/python -m tests.benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.needed import missing
from tests.benchmarks.report import as_json, show
from tests.benchmarks.rounds import Plan

ROUNDS = 3
QUICK_ROUNDS = 1
# On the disk that the service would use; what is in it is never committed.
INSTANCE = Path(__file__).parents[2] / "instance"


def main() -> None:
    """Run the measures that were asked for."""
    lacks = missing()
    if lacks:
        sys.exit(f"The benchmarks need {lacks}")
    # Not before it is known that what they compare with is there.
    from tests.benchmarks.suite import MEASURES, run  # noqa: PLC0415

    asked = _parser(list(MEASURES)).parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=INSTANCE) as folder:
        rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
        plan = Plan(Path(folder), rounds=rounds, is_quick=asked.quick)
        tell = partial(print, file=sys.stderr, flush=True)
        rows, header = run(asked.names or list(MEASURES), plan, tell=tell)
    show(rows, header)
    if asked.json:
        asked.json.write_text(json.dumps(as_json(rows, header), indent=1))


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"by default {ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser


if __name__ == "__main__":
    main()
