"""Comparators predict into the table of all models; what they cannot predict is left out and counted."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore import cli
from RenalCLIPCore.cohort.radiomics_table import RadiomicsRow, RadiomicsTable
from RenalCLIPCore.cohort.table import write_cohort_table
from RenalCLIPCore.cohort.table_file import write_lines
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.models.nomogram import Nomogram
from RenalCLIPCore.protocol.comparator_predictions import nomogram_predictions, radiomics_predictions
from RenalCLIPCore.protocol.joining import join_predictions
from RenalCLIPCore.protocol.prediction_table import read_predictions
from RenalCLIPCore.training import radiomics
from RenalCLIPCore.training.radiomics import RadiomicsPlan, train_radiomics
from Testing.Core.protocol import study_toys as toys

NAMES = ("shape.slice.a", "A.slice.x", "V.slice.x")


def features(rows, seed=0):
    g = np.random.default_rng(seed)
    found = {}
    for row in rows:
        values = g.normal(size=3) + np.array((0, 2, 1)) * row.labels["malignancy"]
        found[row.patient, row.side] = RadiomicsRow(
            row.patient, row.side, dict(zip(NAMES, values.tolist(), strict=True))
        )
    return found


def cases(count=40):
    training = toys.cohort_rows("t", count, 1, split="training")
    test = toys.cohort_rows("h", 12, 2)
    return training, test


@pytest.fixture(scope="module")
def model():
    training, _ = cases()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radiomics, "LASSO_SHARES", (0.1,))
        patch.setattr(radiomics, "LEAVES", (1,))
        plan = RadiomicsPlan("malignancy", "AV", ("slice",), folds=2, trees=10)
        return train_radiomics(training, RadiomicsTable("s", NAMES, features(training)), plan).model


def nomogram(target="malignancy"):
    terms = [{"component": "sex", "levels": {"female": 0.0, "male": 1.0}},
             {"component": "age_years", "slope": 0.01, "low": 20, "high": 90}]  # fmt: skip
    return Nomogram.model_validate({"target": target, "intercept": 0.0, "terms": terms, "source": "a test"})


def test_radiomics_predicts_both_classes_of_every_case(model):
    _, test = cases()
    made = radiomics_predictions(model, RadiomicsTable("s", NAMES, features(test)), test, "h")
    scores = join_predictions(made, {"h": test})
    assert len(scores) == 1
    assert scores[0].key.phases == "AV"
    np.testing.assert_allclose(scores[0].values.sum(axis=1), 1.0)
    assert [row.case_id for row in scores[0].rows] == [row.case_id for row in test]


def test_a_case_that_lacks_a_phase_of_training_has_no_prediction(model):
    _, test = cases()
    found = features(test)
    key = (test[0].patient, test[0].side)
    found[key] = replace(found[key], features={n: v for n, v in found[key].features.items() if not n.startswith("V.")})
    made = radiomics_predictions(model, RadiomicsTable("s", NAMES, found), test, "h")
    assert len(made) == 2 * (len(test) - 1)
    assert test[0].patient not in {item.patient for item in made}


def test_features_of_other_settings_or_a_missing_column_are_refused(model):
    _, test = cases()
    with pytest.raises(CohortError, match="needs features with the settings 's'"):
        radiomics_predictions(model, RadiomicsTable("other", NAMES, features(test)), test, "h")
    bare = RadiomicsTable("s", ("A.slice.y", "V.slice.y"), {
        key: replace(row, features={"A.slice.y": 1.0, "V.slice.y": 1.0}) for key, row in features(test).items()
    })  # fmt: skip
    with pytest.raises(CohortError, match="lacks the column"):
        radiomics_predictions(model, bare, test, "h")


def test_a_nomogram_predicts_who_it_knows_enough_of():
    _, test = cases()
    test[0] = replace(test[0], clinical=replace(test[0].clinical, sex=""))
    made = nomogram_predictions(nomogram(), test, "h")
    assert len(made) == 2 * (len(test) - 1)
    row = test[1]
    odds = (row.clinical.sex == "male") + 0.01 * row.clinical.age_years
    chance = next(item.score for item in made if item.patient == row.patient and item.output == "malignant")
    assert chance == pytest.approx(1 / (1 + np.exp(-odds)))
    assert {item.task for item in nomogram_predictions(nomogram("high_grade"), test, "h")} == {"aggressiveness"}


def write_features(rows, path):
    lines = [{"patient": row.patient, "side": row.side, "settings": "s"} | {n: repr(v) for n, v in row.features.items()}
             for row in features(rows).values()]  # fmt: skip
    write_lines(["patient", "side", "settings", *NAMES], lines, path)


def test_the_commands_train_and_predict(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(radiomics, "LASSO_SHARES", (0.1,))
    monkeypatch.setattr(radiomics, "LEAVES", (1,))
    training, test = cases()
    (tmp_path / "c").mkdir()
    table, features_file = str(tmp_path / "c" / "cohort.csv"), str(tmp_path / "c" / "features.csv")
    rows = [replace(row, volumes={}) for row in (*training, *test)]
    write_cohort_table(rows, tmp_path / "c" / "cohort.csv")
    write_features(rows, tmp_path / "c" / "features.csv")
    given = ["--cohort", table, "--features", features_file]
    run = str(tmp_path / "radiomics")
    train = ["train", "radiomics", "--task", "malignancy", *given, "--phases", "av", "--folds", "2", "--trees", "10"]
    assert cli.main([*train, "--out", run]) == 0
    assert "AUROC" in capsys.readouterr().out
    assert cli.main([*train, "--out", run]) == 2  # nothing is replaced unasked
    predicted = tmp_path / "p.csv"
    assert cli.main(["evaluate", "radiomics", "--run", run, *given, "--out", str(predicted)]) == 0
    assert "12 of 12 cases" in capsys.readouterr().out
    assert {(item.model, item.cohort) for item in read_predictions(predicted)} == {("radiomics", "c")}
    folder = str(tmp_path / "nomogram")
    assert cli.main(["train", "nomogram", "--cohort", table, "--out", folder]) == 0
    assert "high_grade" in capsys.readouterr().out  # the toys are graded
    names = {path.name for path in (tmp_path / "nomogram").iterdir()}
    assert {"malignancy.json", "high_grade-chart.svg", "high_grade-chart.png", "malignancy-coefficients.csv"} <= names
    files = [str(tmp_path / "nomogram" / f"{target}.json") for target in ("malignancy", "high_grade")]
    out = tmp_path / "n.csv"
    assert cli.main(["evaluate", "nomogram", "--nomogram", *files, "--cohort", table, "--out", str(out)]) == 0
    assert {item.task for item in read_predictions(out)} == {"malignancy", "aggressiveness"}
    assert cli.main(["nomogram", "chart", files[0], "--out", str(tmp_path / "chart")]) == 0
    assert (tmp_path / "chart" / "malignancy-chart.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()


def test_an_unknown_component_and_nothing_to_predict_are_one_sentence_on_stderr(tmp_path, capsys):
    _, test = cases()
    write_cohort_table([replace(row, volumes={}, clinical=replace(row.clinical, sex="")) for row in test],
                       tmp_path / "cohort.csv")  # fmt: skip
    path = tmp_path / "n.json"
    content = json.loads(nomogram().model_dump_json())
    path.write_text(json.dumps(content))
    command = ["evaluate", "nomogram", "--nomogram", str(path), "--cohort", str(tmp_path / "cohort.csv")]
    assert cli.main([*command, "--out", str(tmp_path / "p.csv")]) == 2
    assert "None of the 12 cases" in capsys.readouterr().err
    content["terms"][0]["component"] = "blood_group"
    path.write_text(json.dumps(content))
    assert cli.main([*command, "--out", str(tmp_path / "p.csv")]) == 2
    words = capsys.readouterr().err
    assert "there is no component 'blood_group'" in words
    assert words.count("\n") == 1
    assert not (tmp_path / "p.csv").exists()


def test_the_table_is_csv_with_the_known_columns(tmp_path, model):
    from RenalCLIPCore.protocol.predictions import write_predictions

    _, test = cases()
    write_predictions(nomogram_predictions(nomogram(), test, "h"), tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        assert next(csv.reader(file))[:4] == ["patient", "side", "lesion", "cohort"]
