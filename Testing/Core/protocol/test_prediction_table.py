"""Tables for evaluation are read strictly: one clear sentence for every fault, and never a patient's name."""

from dataclasses import replace

import pytest

from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.protocol.prediction_table import read_generated_reports, read_predictions, read_readings
from RenalCLIPCore.protocol.predictions import write_predictions
from Testing.Core.protocol import study_toys as toys

HEAD = "patient,side,lesion,cohort,split,task,model,phases,training_fraction,seed,output,score\n"
GOOD = "p1,left,L1,toy,test,malignancy,m,A,1.0,0,malignant,0.5\n"


def written(tmp_path, text):
    path = tmp_path / "predictions.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_was_written_comes_back(tmp_path):
    made = toys.predictions(toys.cohort_rows("toy", 5, 0), "toy", settings=("A",))
    write_predictions(made, tmp_path / "predictions.csv")
    assert read_predictions(tmp_path / "predictions.csv") == made


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GOOD.replace("0.5", "nan"), "score must be finite"),
        (GOOD.replace("0.5", "-inf"), "score must be finite"),
        (GOOD.replace("0.5", "high"), "score must be a number"),
        (GOOD.replace("p1", ""), "patient must be"),
        (GOOD.replace("p1", "a b"), "patient must be"),
        (GOOD.replace("left", "links"), "side must be left or right"),
        (GOOD.replace("test", "tests"), "split must be training, validation or test"),
        (GOOD.replace("malignancy", "malignacy"), "there is no task 'malignacy'"),
        (GOOD.replace("malignant", "evil"), "output must be benign or malignant, found 'evil'"),
        (GOOD.replace("m,A,1.0", "m,A,0"), "training_fraction must be above 0"),
        (GOOD.replace("m,A,1.0", "m,A,1.5"), "training_fraction must be above 0 and at most 1"),
        (GOOD.replace("1.0,0,", "1.0,x,"), "seed must be a number"),
        (GOOD.replace("1.0,0,", "1.0,-1,"), "seed must be an integer"),
        (GOOD.replace(",m,", ",,"), "model is empty"),
        (GOOD.replace("malignancy", "rfs"), "output must be rfs"),
        (GOOD + GOOD, "line 3: it repeats the output 'malignant' of line 2"),
        (GOOD.replace("malignant", "benign"), "lacks the output 'malignant' of malignancy"),
        (GOOD.replace("malignancy", "renal_r").replace("malignant", "<=4 cm"), "lacks the output '>4 to <7 cm'"),
        (GOOD.strip() + ",1\n", "number of cells"),
        ("p1,left\n", "number of cells"),
        ("", "no rows"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(tmp_path, line, message):
    with pytest.raises(CohortError, match=message) as caught:
        read_predictions(written(tmp_path, HEAD + line))
    assert "p1" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD.replace(",score", ""), "column 'score' is missing"),
        (HEAD.replace("score", "score,note"), "unknown or repeated column 'note'"),
        (HEAD.replace("score", "score,score"), "unknown or repeated column 'score'"),
        ("", "'patient' is missing"),
    ],
)
def test_other_columns_are_refused(tmp_path, head, message):
    with pytest.raises(CohortError, match=message):
        read_predictions(written(tmp_path, head + GOOD))


def test_the_positive_class_alone_is_enough_of_two(tmp_path):
    assert read_predictions(written(tmp_path, HEAD + GOOD))[0].score == 0.5


def test_a_file_that_is_no_text_or_missing_is_refused(tmp_path):
    (tmp_path / "predictions.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CohortError, match="cannot be read"):
        read_predictions(tmp_path / "predictions.csv")
    with pytest.raises(CohortError, match="cannot be read"):
        read_predictions(tmp_path / "absent.csv")


def test_reports_and_readings_come_back(tmp_path):
    rows = toys.cohort_rows("toy", 4, 0)
    reports, readings = toys.generated_reports(rows, "toy"), toys.readings(rows, "toy")
    readings[0] = replace(readings[0], seconds=None)
    assert read_generated_reports(toys.write_table(tmp_path / "a.csv", reports)) == reports
    assert read_readings(toys.write_table(tmp_path / "b.csv", readings)) == readings


def test_repeated_reports_and_readings_are_refused(tmp_path):
    rows = toys.cohort_rows("toy", 2, 0)
    reports, readings = toys.generated_reports(rows, "toy"), toys.readings(rows, "toy")
    with pytest.raises(CohortError, match="has a report of this model above"):
        read_generated_reports(toys.write_table(tmp_path / "a.csv", [*reports, reports[0]]))
    with pytest.raises(CohortError, match="has read the lesion"):
        read_readings(toys.write_table(tmp_path / "b.csv", [*readings, readings[0]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"task": "renal_r"}, "task must be"), ({"seconds": -3.0}, "must not be negative"), ({"reader": ""}, "is empty")],
)
def test_bad_readings_are_refused(tmp_path, change, message):
    reading = toys.readings(toys.cohort_rows("toy", 1, 0), "toy")[0]
    with pytest.raises(CohortError, match=message):
        read_readings(toys.write_table(tmp_path / "b.csv", [replace(reading, **change)]))
