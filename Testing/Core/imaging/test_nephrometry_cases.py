"""Cases with a known answer: the truth of lesions inserted into real kidneys, tried on an analytic kidney."""

import numpy as np
import pytest

from RenalCLIPCore.imaging.mask_fields import signed_distance
from RenalCLIPCore.imaging.volume import Volume
from Testing.Benchmarks import nephrometry_cases
from Testing.Benchmarks.nephrometry_cases import RealKidney, inserted
from Testing.Core.imaging.nephrometry_toys import CENTRE, box, left_kidney, measured_context


@pytest.fixture(scope="module")
def intact():
    grid = box((62, 58, 87), (62, 58, 87), (1.0, 1.0, 2.0))
    labels = left_kidney([], grid)
    frame = measured_context(left_kidney([((29.0, 0.0, 0.0), 3.0, 2)], grid)).frame
    return RealKidney("case_90001", "left", labels, frame, 0.0)


def millilitres(mask):
    return float((mask.array > 0).sum()) * mask.geometry.voxel_volume_ml


def test_the_closed_mask_fills_the_sinus_and_little_else(intact):
    closed = nephrometry_cases._closed_distance(intact)
    inside = closed.array <= 0
    assert inside[intact.labels.array > 0].all()
    middle_of_sinus = closed.geometry.index(CENTRE - (18.0, 0.0, 0.0)).round().astype(int)
    assert closed.array[tuple(middle_of_sinus)] < 0
    ellipsoid_ml = 4 / 3 * np.pi * 30 * 26 * 55 / 1000
    filled_ml = millilitres(Volume(inside, closed.geometry))
    assert millilitres(intact.labels) + 5 < filled_ml < 1.02 * ellipsoid_ml


def test_a_continuous_shape_keeps_volume_and_place_on_any_slices(intact):
    shape = Volume(signed_distance(intact.labels), intact.labels.geometry)
    for slice_mm, phase in ((1.0, np.zeros(3)), (2.7, np.array([0.3, 0.9, 0.5]))):
        drawn = nephrometry_cases._drawn(shape, slice_mm, phase)
        assert drawn.geometry.spacing_mm == pytest.approx((0.75, 0.75, slice_mm))
        assert millilitres(drawn) == pytest.approx(millilitres(intact.labels), rel=0.01)
        centres = [mask.geometry.lps(np.argwhere(mask.array > 0)).mean(axis=0) for mask in (drawn, intact.labels)]
        assert centres[0] == pytest.approx(centres[1], abs=0.15)


def test_the_same_lesion_and_truth_go_into_both_forms_of_a_kidney(intact):
    shape = Volume(signed_distance(intact.labels), intact.labels.geometry)
    drawn = RealKidney(intact.case, intact.side, intact.labels, intact.frame, 0.0, shape)
    stored, blob, truth = inserted(intact, 3)
    fresh, same, again = inserted(drawn, 3)
    assert same == blob
    assert again == truth
    assert 1 <= fresh.geometry.spacing_mm[2] <= 3
    volumes = [float((labels.array == 2).sum()) * labels.geometry.voxel_volume_ml for labels in (stored, fresh)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.02)
