"""The progress of several steps is one that starts at 0, ends at 1 and never goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from RenalCLIPCore.progress import spans


def test_each_step_fills_its_share_of_the_whole():
    told = []
    steps = spans(lambda fraction, words: told.append((fraction, words)), {"import": 1.0, "segment": 3.0})
    steps["import"](0.5, "reading")
    steps["segment"](0.0, "finding")
    steps["segment"](1.0, "found")
    assert told == [(0.125, "reading"), (0.25, "finding"), (1.0, "found")]


@given(
    st.lists(st.floats(0.1, 100.0), min_size=1, max_size=6),
    st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=5),
)
def test_the_whole_never_goes_back_and_stays_within_its_bounds(shares, fractions):
    told = []
    steps = spans(lambda fraction, words: told.append(fraction), {str(k): share for k, share in enumerate(shares)})
    for step in steps.values():
        for fraction in sorted(fractions):
            step(fraction, "")
    assert told == pytest.approx(sorted(told), abs=1e-9)
    assert told[0] >= -1e-9
    assert told[-1] <= 1 + 1e-9
