from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.errors import Cancelled, CentreError
from RenalCLIPCore.inference.head_readings import probabilities
from RenalCLIPCore.inference.prediction import read
from RenalCLIPCore.inference.uncertainty import SHIFT_VOXELS, augment, spread_over_phases, uncertainty
from RenalCLIPCore.models.bundle import BundleContents
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.review import Absent
from Testing.Core.inference.reading_toys import ROI_SHAPE, saved, toy_rois
from Testing.Core.models.bundle_toys import DIMENSIONS, WIDTH, toy_contents, toy_manifest

CENTRE = (10.0, 20.0, 30.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("spread"), toy_contents())


@pytest.fixture(scope="module")
def case(bundle):
    rois = toy_rois("AV")
    return rois, read(bundle, rois)


def measured(bundle, case, cut, **options):
    rois, reading = case
    return uncertainty(bundle, reading, rois, cut, CENTRE, **{"augmentations": 2, "centres": 3, **options})


def test_spread_over_phases_is_the_standard_deviation_by_hand(bundle, case):
    rois, reading = case
    found = measured(bundle, case, lambda centre: rois)
    by_task = {item.task: item for item in found.tasks}
    best = int(reading.output.fused_logits("renal_r").argmax())
    rows = probabilities(reading.output.logits["renal_r"], 1.0)[:, best]
    assert by_task["renal_r"].over_phases == pytest.approx(np.std(rows))
    assert set(by_task) == {"renal_r", "malignancy", "rfs"}


def test_a_centre_that_changes_nothing_has_no_spread(bundle, case):
    found = measured(bundle, case, lambda centre: case[0])
    assert all(item.over_centres == pytest.approx(0.0, abs=1e-9) for item in found.tasks)
    assert any(item.over_augmentations > 0 for item in found.tasks)
    assert (found.augmentations, found.centres, found.jitter_mm) == (2, 3, 3.0)


def test_spread_over_centres_is_that_of_the_readings_there(bundle, case):
    variants = [toy_rois("AV", seed) for seed in (1, 2, 3)]
    given = iter(variants)
    found = measured(bundle, case, lambda centre: next(given))
    best = int(case[1].output.fused_logits("malignancy").argmax())
    values = [probabilities(read(bundle, rois).output.fused_logits("malignancy"), 1.0)[best] for rois in variants]
    spread = next(item.over_centres for item in found.tasks if item.task == "malignancy")
    assert spread == pytest.approx(np.std(values), abs=1e-9)


def test_the_same_seed_gives_the_same_result_and_jitter_of_the_asked_size(bundle, case):
    centres = []

    def cut(centre):
        centres.append(centre)
        return case[0]

    first = measured(bundle, case, cut, centres=12, jitter_mm=5.0, seed=4)
    second = measured(bundle, case, cut, centres=12, jitter_mm=5.0, seed=4)
    assert first == second
    assert centres[:12] == centres[12:]
    offsets = np.asarray(centres[:12]) - CENTRE
    assert 3.0 < offsets.std() < 7.0


def test_centres_outside_the_volume_are_drawn_again(bundle, case):
    calls = []

    def cut(centre):
        calls.append(centre)
        if len(calls) % 2:
            raise CentreError("outside")
        return case[0]

    assert measured(bundle, case, cut).centres == 3
    assert len(calls) == 6


def test_a_centre_that_cannot_be_moved_is_an_error(bundle, case):
    def cut(centre):
        raise CentreError("outside")

    with pytest.raises(CentreError, match="edge of the volume"):
        measured(bundle, case, cut)


def test_one_phase_has_no_spread_over_phases(bundle):
    rois = toy_rois("A")
    found = measured(bundle, (rois, read(bundle, rois)), lambda centre: rois)
    assert all(isinstance(item.over_phases, Absent) for item in found.tasks)


def test_cancelling_stops_at_once(bundle, case):
    steps = []

    def progress(fraction, words):
        steps.append(fraction)
        if len(steps) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        measured(bundle, case, lambda centre: case[0], progress=progress)
    assert steps == pytest.approx([0.0, 0.2, 0.4])


def test_a_bundle_without_tasks_has_no_uncertainty(tmp_path):
    bundle = saved(tmp_path, BundleContents(toy_manifest(()), RenalEncoder(WIDTH, DIMENSIONS)))
    rois = toy_rois("A")
    assert isinstance(measured(bundle, (rois, read(bundle, rois)), lambda centre: rois), Absent)


def test_augmentation_shifts_all_phases_alike_and_never_mirrors():
    ramp = np.broadcast_to(np.linspace(0.2, 0.6, 140, dtype=np.float32)[:, None, None], ROI_SHAPE)
    for seed in range(20):
        changed = augment({"A": ramp, "V": ramp.copy()}, np.random.default_rng(seed))
        assert np.array_equal(changed["A"], changed["V"])
        steps = np.diff(changed["A"][:, 70, 16])
        assert (steps >= 0).all()
        assert (steps == 0).sum() <= SHIFT_VOXELS
        assert changed["A"].min() >= 0.0
        assert changed["A"].max() <= 1.0
        assert changed["A"].dtype == np.float32


def test_the_spread_over_phases_is_of_the_fused_class_where_a_phase_prefers_another(tmp_path):
    bundle = saved(tmp_path, toy_contents())
    output = read(bundle, toy_rois("AV")).output
    logits = np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]])  # fused: class 0
    output = replace(output, logits={**output.logits, "renal_r": logits})
    expected = np.std(probabilities(logits, 1.0)[:, 0])
    assert spread_over_phases(bundle, output, "renal_r") == pytest.approx(expected)
