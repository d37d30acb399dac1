"""Stage groups from the words that tables use (AJCC, 8th edition)."""

import pytest

from RenalCLIPCore.cohort.staging import stage_group


@pytest.mark.parametrize(
    ("words", "group"),
    [
        ("pT1a", 1), ("T1b N0 M0", 1), ("pT2a", 2), ("T3a", 3), ("pT1a N1 M0", 3), ("pT4", 4), ("pT1b NX M1", 4),
        ("Stage I", 1), ("STAGE IV", 4), ("iii", 3), ("stage 2", 2), ("II", 2), ("ypT3c", 3),
        ("", None), ("TX", None), ("pT0", None), ("unknown", None), ("[Not Available]", None),
    ],
)  # fmt: skip
def test_stage_groups(words, group):
    assert stage_group(words) == group
