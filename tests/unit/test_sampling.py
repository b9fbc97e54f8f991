from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_app.queue.sampling import BLOCK_SIZE, Sample, sample_of, whole_of

MOST = 1_000
reproducibly = settings(max_examples=50, derandomize=True, database=None, deadline=None)
IDS = st.builds(
    lambda start, count: range(start, start + count),
    st.integers(1, 2**53),
    st.integers(MOST + 1, 10**6),
)


def read(sample: Sample) -> int:
    return sample.size * len(sample.block_starts)


@reproducibly
@given(ids=IDS)
def test_sample_reads_about_as_many_as_it_may(ids: range) -> None:
    # Two blocks more: the stretches at the edges.
    assert MOST / 2 - BLOCK_SIZE <= read(sample_of(ids, MOST)) <= MOST + 2 * BLOCK_SIZE


@reproducibly
@given(ids=IDS)
def test_each_stretch_has_its_block_within(ids: range) -> None:
    sample = sample_of(ids, MOST)
    starts = sample.block_starts
    assert [start // sample.step for start in starts] == [
        (start + sample.size - 1) // sample.step for start in starts
    ]
    assert all(
        after // sample.step - before // sample.step == 1 for before, after in pairwise(starts)
    )
    assert starts[0] // sample.step == ids.start // sample.step
    assert starts[-1] // sample.step == (ids.stop - 1) // sample.step


@reproducibly
@given(ids=IDS, found_count=st.integers(0, MOST))
def test_wider_blocks_are_whole_or_bring_up_to_what_is_wanted(ids: range, found_count: int) -> None:
    sample = sample_of(ids, MOST)
    wider = sample.widened(found_count, MOST)
    factor = wider.size // sample.size
    assert wider.is_whole or MOST / 2 < max(found_count, 1) * factor <= MOST
    assert wider.scale * wider.size == wider.step == sample.step


def test_blocks_that_leave_nothing_out_follow_each_other() -> None:
    sample = sample_of(range(1, 100_001), MOST).widened(0, MOST)
    assert sample.is_whole
    assert sample.block_starts[0] <= 1
    assert {b - a for a, b in pairwise(sample.block_starts)} == {sample.size}


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(range(0), id="an empty ledger"),
        pytest.param(range(7, 8), id="one row"),
        pytest.param(range(4_999_999, 5_000_001), id="across a power of two"),
    ],
)
def test_whole_is_one_block_that_begins_where_the_ids_do(ids: range) -> None:
    sample = whole_of(ids)
    assert sample.block_starts == [ids.start]
    assert (sample.is_whole, sample.scale) == (True, 1)
    assert sample.size >= len(ids)
    assert sample.widened(0, MOST) == sample


def test_blocks_stay_where_they_are_while_ids_are_added() -> None:
    before = sample_of(range(500, 100_500), MOST)
    after = sample_of(range(700, 100_700), MOST)
    assert set(before.block_starts[1:-1]) <= set(after.block_starts)


@pytest.mark.parametrize("turns", [2, 3, 4, 8, 16, 100])
def test_sources_that_take_turns_are_found_alike(turns: int) -> None:
    sample = sample_of(range(1, 1_000_001), MOST)
    seen = [at + place for at in sample.block_starts for place in range(sample.size)]
    counts = [sum(one % turns == turn for one in seen) for turn in range(turns)]
    assert max(counts) <= 2 * min(counts)
