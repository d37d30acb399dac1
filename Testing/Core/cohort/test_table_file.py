"""A cohort table says the same in CSV and in Parquet, and a Parquet file that is none is refused in one sentence."""

import datetime
import sys

import pytest

from RenalCLIPCore.cohort.table import CohortRow, FollowUp, read_cohort, write_cohort_table
from RenalCLIPCore.errors import CohortError, ConfigurationError
from Testing.Core.cohort.test_table import full_row

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (renalclip[parquet])")
parquet = pytest.importorskip("pyarrow.parquet")


def stored(tmp_path, **columns):
    path = tmp_path / "cohort.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_every_field_comes_back_as_it_was_written(tmp_path):
    rows = (full_row(tmp_path), CohortRow("p2", "right"))
    write_cohort_table(rows, tmp_path / "cohort.parquet")
    assert read_cohort(tmp_path / "cohort.parquet") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.parquet"]


def test_what_is_counted_and_measured_is_stored_as_numbers(tmp_path):
    write_cohort_table([full_row(tmp_path), CohortRow("p2", "right")], tmp_path / "cohort.parquet")
    schema = parquet.read_schema(tmp_path / "cohort.parquet")
    kinds = {name: str(schema.field(name).type) for name in ("malignancy", "age_years", "rfs_event", "patient")}
    assert kinds == {"malignancy": "int64", "age_years": "double", "rfs_event": "int64", "patient": "string"}
    assert parquet.read_table(tmp_path / "cohort.parquet").column("malignancy").to_pylist() == [0, None]


def test_cells_of_other_programs_are_understood(tmp_path):
    path = stored(
        tmp_path,
        patient=[1001, 1002],
        side=[" left ", "right"],
        malignancy=[1.0, float("nan")],  # how pandas keeps whole numbers with gaps
        sarcomatoid=[True, None],
        rfs_months=[12.25, None],
        rfs_event=[0, None],
    )
    rows = read_cohort(path)
    assert [row.patient for row in rows] == ["1001", "1002"]
    assert [row.labels for row in rows] == [{"malignancy": 1}, {}]
    assert [row.clinical.sarcomatoid for row in rows] == [True, None]
    assert [row.follow_up for row in rows] == [{"rfs": FollowUp(12.25, False)}, {}]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"patient": ["p1"]}, "the column 'side' is missing"),
        ({"patient": ["p1", "p1"], "side": ["left", "left"]}, "row 2 repeats"),
        (
            {"patient": ["p1"], "side": ["left"], "age_years": [datetime.date(1961, 2, 3)]},
            "row 1: age_years must be a number, found a date",
        ),
        ({"patient": ["p1"], "side": ["left"], "site": [["a", "b"]]}, "row 1: site holds neither text, a number"),
        ({"patient": [], "side": []}, "no rows"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path, columns, message):
    with pytest.raises(CohortError, match=message):
        read_cohort(stored(tmp_path, **columns))


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "cohort.parquet"
    path.write_text("patient,side\np1,left\n", encoding="utf-8")
    with pytest.raises(CohortError, match=r"cohort.parquet cannot be read as a table \(Parquet\)"):
        read_cohort(path)
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path / "none.parquet")


def test_a_cut_file_is_refused(tmp_path):
    write_cohort_table([full_row(tmp_path)], tmp_path / "cohort.parquet")
    content = (tmp_path / "cohort.parquet").read_bytes()
    (tmp_path / "cohort.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path / "cohort.parquet")


def test_without_the_package_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (read_cohort, lambda path: write_cohort_table([CohortRow("p", "left")], path)):
        with pytest.raises(ConfigurationError, match=r'Parquet needs the package pyarrow: pip install "renalclip\[p'):
            use(tmp_path / "cohort.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_a_wrong_column_is_not_quoted(tmp_path):
    (tmp_path / "cohort.csv").write_text("patient,side,sex\np1,left,Hans Mustermann\n", encoding="utf-8")
    with pytest.raises(CohortError, match="sex must be") as refused:
        read_cohort(tmp_path / "cohort.csv")
    assert "Mustermann" not in str(refused.value)
