"""Several rounds in which the sides take turns to go first; medians and ranges over them."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Figures = Mapping[str, float]
"""What one side gave in one round, by name."""

Found = Mapping[str, Sequence[Figures]]
"""What every side gave, round by round."""


@dataclass(frozen=True)
class Plan:
    """How much to measure, and below which folder everything is written."""

    folder: Path
    rounds: int
    is_quick: bool

    def size(self, full: int, *, quick: int) -> int:
        """The full size, or the tiny one of a run that only tries whether all works."""
        return quick if self.is_quick else full

    def fewer_rounds(self, most: int) -> int:
        """The rounds of a measure that takes long."""
        return min(self.rounds, most)

    @contextmanager
    def fresh_folder(self) -> Iterator[Path]:
        """An empty folder, deleted afterwards with all that is in it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)


@dataclass(frozen=True)
class Spread:
    """One figure over several rounds."""

    middle: float
    lowest: float
    highest: float


def interleaved(rounds: int, sides: Mapping[str, Callable[[], Figures]]) -> Found:
    """Let every side give its figures once a round; in every other round the last goes first."""
    found: dict[str, list[Figures]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(sides[name]())
    return found


def spread(values: Iterable[float]) -> Spread:
    """The median and the range."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


def column(rounds: Sequence[Figures], name: str) -> Sequence[float]:
    """One figure of every round."""
    return [figures[name] for figures in rounds]


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The median and the range of the ratios within each round."""
    return spread(one / other for one, other in zip(above, below, strict=True))


def both(found: Found, name: str, against: str = "theirs") -> Mapping[str, Spread]:
    """One figure of ours and of another side, as a row takes them."""
    sides = {"ours": found["ours"], "theirs": found[against]}
    return {side: spread(column(rounds, name)) for side, rounds in sides.items()}


def compared(
    found: Found, name: str, against: str = "theirs", *, is_cost: bool = False
) -> Mapping[str, Spread]:
    """The same with how many times better ours is; of a cost, less is better."""
    mine, theirs = column(found["ours"], name), column(found[against], name)
    ratio = ratios(theirs, mine) if is_cost else ratios(mine, theirs)
    return {**both(found, name, against), "ratio": ratio}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all are not above."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * percent / 100))]
