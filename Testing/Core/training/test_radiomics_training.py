"""A radiomics model learns from training rows alone, inside its folds, and its file says all that it needs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.radiomics_table import RadiomicsRow, RadiomicsTable
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import BundleError, CohortError, ConfigurationError
from RenalCLIPCore.evaluation.classification import auroc
from RenalCLIPCore.models.radiomics_model import RadiomicsModel, load_radiomics_model, save_radiomics_model
from RenalCLIPCore.training import radiomics
from RenalCLIPCore.training.radiomics import RadiomicsPlan, train_radiomics, write_radiomics_run
from RenalCLIPCore.training.radiomics_pipeline import LassoSelection, UsableFeatures, oversampled

NAMES = ("shape.slice.a", "shape.space.b", *(f"A.space.f{k}" for k in range(20)))
PLAN = RadiomicsPlan("malignancy", "A", folds=3, trees=20, cohort="toys")


def cohort(positive, negative, split="training", signal=2.0, seed=0, first=0):
    """Rows and features; the third feature tells the classes apart by ``signal`` standard deviations."""
    g = np.random.default_rng(seed)
    rows, found = [], {}
    for number in range(positive + negative):
        label = int(number < positive)
        patient = f"p{first + number}"
        values = g.normal(size=len(NAMES))
        values[2] += signal * label
        rows.append(CohortRow(patient, "left", split=split, labels={"malignancy": label}))
        found[patient, "left"] = RadiomicsRow(patient, "left", dict(zip(NAMES, values.tolist(), strict=True)))
    return rows, found


def table(found, names=NAMES):
    return RadiomicsTable("settings", tuple(names), found)


@pytest.fixture(scope="module", autouse=True)
def small_grid():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radiomics, "LASSO_SHARES", (0.1, 0.4))
        patch.setattr(radiomics, "LEAVES", (1,))
        yield


@pytest.fixture(scope="module")
def trained(small_grid):
    rows, found = cohort(40, 20)
    return train_radiomics(rows, table(found), PLAN)


def matrix(model, found):
    return [[row.features.get(name, np.nan) for name in model.features] for row in found.values()]


def test_a_feature_that_tells_the_classes_apart_is_found_and_used(trained):
    assert "A.space.f0" in trained.model.features
    assert max(zip(trained.importance, trained.model.features, strict=True))[1] == "A.space.f0"
    rows, found = cohort(30, 30, seed=9, first=500)
    chances = trained.model.probability(matrix(trained.model, found))
    assert auroc([row.labels["malignancy"] for row in rows], chances) > 0.85


def test_the_file_gives_what_the_forest_gave(trained, tmp_path, monkeypatch):
    rows, found = cohort(40, 20)
    fitted = []
    real = radiomics._exported
    monkeypatch.setattr(radiomics, "_exported", lambda *a: fitted.append(a[0]) or real(*a))
    again = train_radiomics(rows, table(found), PLAN)
    save_radiomics_model(again.model, tmp_path / "model.json")
    read = load_radiomics_model(tmp_path / "model.json")
    assert read == again.model == trained.model  # one seed, one model
    everything = np.array([list(row.features.values()) for row in found.values()])
    expected = fitted[0].predict_proba(everything)[:, 1]
    np.testing.assert_allclose(read.share(matrix(read, found)), expected, atol=1e-12)


def test_noise_with_a_rare_class_is_no_better_than_chance_in_cross_validation():
    # oversampling before the folds are made would put near copies of held-out cases among those learnt from
    rows, found = cohort(100, 15, signal=0.0, seed=4)
    best = train_radiomics(rows, table(found), PLAN).trials[0].mean
    assert best < 0.72


def test_no_fold_sees_a_case_that_it_holds_out(monkeypatch):
    rows, found = cohort(30, 12)
    seen = []
    real = UsableFeatures.fit

    def fit(self, X, y=None):
        seen.append({tuple(line) for line in X.tolist()})
        return real(self, X, y)

    monkeypatch.setattr(UsableFeatures, "fit", fit)
    train_radiomics(rows, table(found), PLAN)
    everything = {tuple(row.features.values()) for row in found.values()}
    *folds, final = seen
    assert final == everything
    assert len(folds) == 3 * len(radiomics.LASSO_SHARES) * len(radiomics.LEAVES)
    assert all(part < everything for part in folds)
    # each of the three folds leaves out other cases, all of them together everything
    left_out = [everything - part for part in folds[:3]]
    assert set.union(*left_out) == everything
    assert sum(map(len, left_out)) == len(everything)


def test_patients_of_one_group_stay_on_one_side_of_a_fold():
    rows, found = cohort(24, 24)
    grouped = [replace(row, group=f"g{number % 12}") for number, row in enumerate(rows)]
    cases = radiomics._cases(grouped, table(found), PLAN)
    for learn, hold in radiomics._folds(cases, PLAN):
        assert not {cases.groups[k] for k in learn} & {cases.groups[k] for k in hold}


def test_validation_and_test_rows_do_not_change_the_model(trained):
    rows, found = cohort(40, 20)
    for split, first in (("validation", 1000), ("test", 2000)):
        more, features = cohort(10, 10, split, signal=-9.0, seed=7, first=first)
        rows, found = rows + more, found | features
    assert train_radiomics(rows, table(found), PLAN).model == trained.model


def test_oversampling_makes_classes_equal_from_the_rare_class_alone():
    values = np.array([[0.0, 0.0], [1.0, 2.0], [9.0, 9.0], [8.0, 9.0], [9.0, 8.0], [7.0, 7.0], [8.0, 8.0]])
    labels = np.array([1, 1, 0, 0, 0, 0, 0])
    more, kinds = oversampled(values, labels, seed=1)
    assert np.bincount(kinds).tolist() == [5, 5]
    np.testing.assert_array_equal(more[:7], values)
    # made-up cases lie on the line between the two rare ones
    np.testing.assert_allclose(more[7:, 1], 2 * more[7:, 0])
    assert ((more[7:, 0] >= 0) & (more[7:, 0] <= 1)).all()
    single, _ = oversampled(values[1:], labels[1:], seed=1)
    np.testing.assert_array_equal(single[6:], np.repeat([[1.0, 2.0]], 4, axis=0))


def test_constant_and_mostly_undefined_features_are_left_out_and_gaps_take_the_median():
    rows, found = cohort(40, 20)
    for number, row in enumerate(found.values()):
        row.features["A.space.f5"] = 7.0
        if number % 2:
            del row.features["A.space.f6"]
        if number % 10 == 0:
            del row.features["A.space.f0"]
    model = train_radiomics(rows, table(found), PLAN).model
    assert "A.space.f0" in model.features
    assert not {"A.space.f5", "A.space.f6"} & set(model.features)
    place = model.features.index("A.space.f0")
    defined = [row.features["A.space.f0"] for row in found.values() if "A.space.f0" in row.features]
    assert model.median[place] == pytest.approx(np.median(defined))
    assert np.isfinite(model.probability(matrix(model, found))).all()


def test_features_that_are_all_constant_are_refused_in_one_sentence():
    rows, found = cohort(12, 12)
    for row in found.values():
        row.features.update(dict.fromkeys(NAMES, 3.0))
    with pytest.raises(CohortError, match="same in all training cases"):
        train_radiomics(rows, table(found), PLAN)


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        (30, 0, r"one class of malignancy alone \(0 and 30 patients\)"),
        (0, 30, r"one class of malignancy alone \(30 and 0 patients\)"),
        (30, 2, "rows have 2 and 30"),
    ],
)
def test_a_cohort_with_one_class_in_a_fold_is_refused_in_one_sentence(positive, negative, message):
    rows, found = cohort(positive, negative)
    with pytest.raises(CohortError, match=message):
        train_radiomics(rows, table(found), PLAN)


def test_groups_so_large_that_a_fold_has_one_class_are_refused(monkeypatch):
    from sklearn.model_selection import StratifiedGroupKFold

    rows, found = cohort(9, 9)
    parts = [(np.arange(9, 18), np.arange(9)), (np.arange(9), np.arange(9, 18))]
    monkeypatch.setattr(StratifiedGroupKFold, "split", lambda self, *cases: iter(parts))
    with pytest.raises(CohortError, match="A fold of the training rows would have one class"):
        train_radiomics(rows, table(found), PLAN)


def test_rows_without_label_or_without_a_phase_are_left_out_and_counted():
    rows, found = cohort(20, 20)
    rows[0] = replace(rows[0], labels={})
    patient = rows[1].patient
    shape = dict.fromkeys(NAMES[:2], 1.0)
    found[patient, "left"] = RadiomicsRow(patient, "left", shape)
    trained = train_radiomics(rows, table(found), PLAN)
    assert (trained.left_out, trained.model.cases) == (2, 38)


def test_no_row_with_the_phases_is_refused():
    rows, found = cohort(12, 12)
    with pytest.raises(CohortError, match="features of all phases NAV"):
        train_radiomics(rows, table(found), replace(PLAN, phases="NAV"))


@pytest.mark.parametrize(
    "values",
    [
        {"phases": "VA"},
        {"phases": ""},
        {"phases": "X"},
        {"task": "renal_r"},
        {"folds": 1},
        {"trees": 0},
        {"regions": ()},
    ],
)
def test_impossible_plans_are_refused(values):
    with pytest.raises(ConfigurationError):
        RadiomicsPlan(**{"task": "malignancy", **values})


def test_the_regions_choose_the_columns():
    rows, found = cohort(20, 20)
    model = train_radiomics(rows, table(found), replace(PLAN, regions=("slice",))).model
    assert model.features == ["shape.slice.a"]


def test_the_run_holds_model_trials_and_features(trained, tmp_path):
    write_radiomics_run(trained, tmp_path / "run")
    assert load_radiomics_model(tmp_path / "run" / "model.json") == trained.model
    trials = (tmp_path / "run" / "cross-validation.csv").read_text().splitlines()
    assert trials[0] == "lasso_share,fewest_in_leaf,mean_auroc,fold_1,fold_2,fold_3"
    assert len(trials) == 1 + len(radiomics.LASSO_SHARES) * len(radiomics.LEAVES)
    assert len((tmp_path / "run" / "features.csv").read_text().splitlines()) == 1 + len(trained.model.features)


def test_the_lasso_keeps_at_least_one_feature():
    g = np.random.default_rng(0)
    selection = LassoSelection(0.999).fit(g.normal(size=(30, 8)), g.integers(0, 2, 30))
    assert len(selection.kept_) >= 1


def hostile(model, change):
    content = json.loads(model.model_dump_json())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["trees"][0].update(left=[0] * len(c["trees"][0]["left"])), "lead forward"),
        (lambda c: c["trees"][0]["feature"].__setitem__(0, 10**6), "not listed"),
        (lambda c: c["trees"][0]["right"].__setitem__(0, 10**9), "lead forward"),
        (lambda c: c["trees"][0]["share"].pop(), "one length"),
        (lambda c: c["scale"].__setitem__(0, 0.0), "scale"),
        (lambda c: c["median"].pop(), "a value per feature"),
        (lambda c: c.update(code="import os"), "code"),
        (lambda c: c.update(format="pickle"), "format"),
        (lambda c: c.update(task="renal_r"), "task"),
        (lambda c: c.update(trees=[]), "trees"),
    ],
)
def test_a_hostile_or_damaged_file_is_refused_in_one_sentence(trained, tmp_path, change, words):
    path = tmp_path / "model.json"
    path.write_text(hostile(trained.model, change))
    with pytest.raises(BundleError, match=words):
        load_radiomics_model(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x80\x04}", '{"format": NaN}'])
def test_what_is_no_json_of_a_model_is_refused(tmp_path, text):
    path = tmp_path / "model.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match="no radiomics model"):
        load_radiomics_model(path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_radiomics_model(tmp_path / "absent.json")


def test_an_infinite_threshold_is_refused(trained, tmp_path):
    text = hostile(trained.model, lambda c: c["trees"][0]["threshold"].__setitem__(0, float("inf")))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(BundleError):
        load_radiomics_model(tmp_path / "model.json")


def test_the_model_is_a_pydantic_value_that_survives_its_own_json(trained):
    assert RadiomicsModel.model_validate_json(trained.model.model_dump_json()) == trained.model


def test_rows_of_one_group_are_one_for_the_folds():
    rows, found = cohort(24, 24)
    group = {row.patient: f"g{number % 12}" for number, row in enumerate(rows)}
    grouped = [replace(row, group=group[row.patient]) for row in rows]
    cases = radiomics._cases(grouped, table(found), PLAN)
    groups = [group[row.patient] for row in grouped]
    for learn, hold in radiomics._folds(cases, PLAN):
        assert not {groups[k] for k in learn} & {groups[k] for k in hold}


def test_a_forest_that_is_worse_than_chance_is_not_turned_round():
    labels = np.array([0, 1] * 30)
    slope, _ = radiomics._calibration(np.where(labels == 1, 0.2, 0.8), labels)
    assert 0 < slope < 0.01


def test_the_calibration_is_that_of_the_chosen_combination(monkeypatch):
    rows, found = cohort(20, 20)
    seen = []
    places = iter([0.6, 0.9])

    def cross_validated(cases, folds, share, leaf, plan):
        score = next(places)
        return radiomics.Trial(share, leaf, (score,)), np.full(len(cases.labels), score)

    monkeypatch.setattr(radiomics, "LASSO_SHARES", (0.1, 0.4))
    monkeypatch.setattr(radiomics, "LEAVES", (1,))
    monkeypatch.setattr(radiomics, "_cross_validated", cross_validated)
    monkeypatch.setattr(radiomics, "_calibration", lambda scores, labels: seen.append(scores[0]) or (1.0, 0.0))
    radiomics.train_radiomics(rows, table(found), PLAN)
    assert seen == [0.9]


def test_made_up_cases_lie_between_two_cases_and_are_no_copies():
    g = np.random.default_rng(3)
    values, labels = g.normal(size=(52, 3)), np.array([1, 1] + [0] * 50)
    more, _ = oversampled(values, labels, seed=1)
    made = more[52:]
    apart = np.linalg.norm(made[:, None] - values[None, :2], axis=2).min(axis=1)
    assert (apart > 0).all()
