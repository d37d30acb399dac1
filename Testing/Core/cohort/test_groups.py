"""Groups of patients that stand in several tables keep to one side of learning and evaluation."""

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.groups import group_digest, group_digests, rows_of_groups, splits_of_groups
from RenalCLIPCore.cohort.splits import assign_splits
from RenalCLIPCore.cohort.table import CohortRow, read_cohort, write_cohort_table
from RenalCLIPCore.errors import CohortError


def painted(name, masks, split=""):
    """A patient per mask."""
    return [CohortRow(f"{name}-{mask}", "left", group=f"mask-{mask}", split=split) for mask in masks]


def test_a_digest_names_nobody_and_tells_groups_apart():
    rows = [*painted("a", range(3)), CohortRow("alone", "left")]
    digests = group_digests(rows)
    assert len(digests) == 3
    assert all("mask" not in digest and len(digest) == 16 for digest in digests)
    assert rows_of_groups(rows, frozenset({group_digest("mask-1")})) == (rows[1],)


def test_groups_that_another_table_has_assigned_keep_their_split():
    first = assign_splits(painted("a", range(12)), (0.5, 0.25, 0.25), seed=1)
    fixed = splits_of_groups([first])
    rows = [*painted("b", range(4, 16)), *(CohortRow(f"own-{i}", "left") for i in range(8))]
    for seed in range(4):
        second = assign_splits(rows, (0.5, 0.25, 0.25), seed, fixed)
        of_group = {row.group: row.split for row in second if row.group}
        assert all(of_group[row.group] == row.split for row in first if row.group in of_group)
        free = [row.split for row in second if row.group not in fixed]
        assert (free.count("training"), free.count("validation"), free.count("test")) == (6, 3, 3)


def test_tables_that_were_split_without_one_another_are_refused():
    with pytest.raises(CohortError, match="split without one another"):
        splits_of_groups([painted("a", [1], "training"), painted("b", [1], "test")])
    assert splits_of_groups([painted("a", [1], "training"), painted("b", [1])]) == {"mask-1": "training"}


def test_the_command_says_how_many_rows_follow_another_table(tmp_path, capsys):
    write_cohort_table(painted("a", range(4), "test"), tmp_path / "a.csv")
    write_cohort_table(painted("b", range(2, 12)), tmp_path / "b.csv")
    split = ["cohort", "split", "--fractions", "0.5", "0.5", "0", "--seed", "1", "--out", str(tmp_path / "out.csv")]
    assert main([*split, "--cohort", str(tmp_path / "b.csv"), "--beside", str(tmp_path / "a.csv")]) == 0
    assert "2 rows of 2 groups keep the split that they have in another table" in capsys.readouterr().out
    assert [row.split for row in read_cohort(tmp_path / "out.csv")].count("test") == 2
