"""Which rows of a range of ids to read when there are too many to read them all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

BLOCK_SIZE = 4
"""How many ids are read in a row: more take less time, and tell less of when something was."""

_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, less their whole part, are spread as evenly as can be."""


@dataclass(frozen=True)
class Sample:
    """Of a range of ids, a block of `size` in each stretch of `step`."""

    ids: range
    size: int
    step: int

    @property
    def is_whole(self) -> bool:
        """True when nothing is left out."""
        return self.size == self.step

    @property
    def scale(self) -> int:
        """How many ids stand behind each that is read."""
        return self.step // self.size

    @property
    def block_starts(self) -> Sequence[int]:
        """The first id of each block; those at the edges may reach beyond the range.

        A stretch has its block at the same place whenever it is asked for, so that an estimate of
        what is past stays as it was; and each has it elsewhere, or what takes turns could always be
        between the blocks.
        """
        if self.step >= len(self.ids):
            return [self.ids.start]
        room = self.step - self.size + 1
        stretches = range(self.ids.start // self.step, -(-self.ids.stop // self.step))
        return [at * self.step + int(at * _GOLDEN % 1 * room) for at in stretches]

    def widened(self, found_count: int, most: int) -> Sample:
        """The same with larger blocks, if these brought fewer rows than half of `most`."""
        wanted = most // max(found_count, 1)
        size = self.size << max(wanted.bit_length() - 1, 0)
        return replace(self, size=min(size, self.step))


def whole_of(ids: range) -> Sample:
    """All of them, in one block."""
    size = max(len(ids), 1)
    return Sample(ids, size, size)


def sample_of(ids: range, most: int) -> Sample:
    """Not more than about `most` of them, and not less than half as many."""
    # Powers of two, so that stretches do not move with every id that is added.
    least = -(-len(ids) * BLOCK_SIZE // most)
    return Sample(ids, BLOCK_SIZE, max(BLOCK_SIZE, 1 << (least - 1).bit_length()))
