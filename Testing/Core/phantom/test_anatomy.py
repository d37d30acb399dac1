"""The drawn patient: sides, positions, and what a draw depends on."""

import numpy as np
import pytest

from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.histology import Histology


def test_equal_seeds_give_equal_patients():
    assert draw_patient(21) == draw_patient(21)
    assert draw_patient(21) != draw_patient(22)


def test_anatomy_does_not_depend_on_the_lesion_draws():
    plain, other = draw_patient(21, lesion=False), draw_patient(21, histology=Histology.ONCOCYTOMA)
    assert plain.kidneys == other.kidneys
    assert plain.torso == other.torso
    assert plain.lesions == ()
    assert plain.tumour is None
    assert plain.primary is None


@pytest.mark.parametrize("seed", range(6))
def test_organs_are_on_their_sides(seed):
    patient = draw_patient(seed)
    left, right = patient.kidney("left").outline, patient.kidney("right").outline
    assert left.centre_lps_mm[0] > 30
    assert right.centre_lps_mm[0] < -30
    assert patient.torso.aorta.centre_xy_mm[0] > 0 > patient.torso.cava.centre_xy_mm[0]
    assert patient.torso.aorta.centre_xy_mm[1] < patient.torso.spine.centre_xy_mm[1]
    assert patient.torso.liver[0].centre_lps_mm[0] < 0 < patient.torso.spleen.centre_lps_mm[0]


@pytest.mark.parametrize("seed", range(6))
def test_kidneys_are_tilted_and_their_hila_face_anteromedially(seed):
    for kidney in draw_patient(seed, lesion=False).kidneys:
        long, hilar, front = np.array(kidney.outline.axes)
        medial = -np.sign(kidney.outline.centre_lps_mm[0])
        assert long[2] > 0.8
        assert long[0] * medial > 0
        assert long[1] > 0
        assert hilar[0] * medial > 0.3
        assert hilar[1] < 0
        assert front[1] < 0
        assert 95 < 2 * kidney.outline.semi_axes_mm[0] < 135


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seed", range(8))
def test_the_primary_lesion_belongs_to_the_wanted_kidney_and_stays_in_the_abdomen(side, seed):
    patient = draw_patient(seed, side=side)
    primary = patient.primary
    assert primary.side == side
    centre = np.array(primary.shape.centre_lps_mm)
    assert (centre[0] > 0) == (side == "left")
    reach = patient.kidney(side).outline.distance(*centre[:, None])[0]
    assert reach < max(primary.shape.semi_axes_mm)
    assert patient.torso.wall.distance(*centre[:, None])[0] < 0


def test_a_cystic_primary_is_the_largest_cyst_and_has_no_tumour_beside_it():
    for seed in range(12):
        lesions = draw_patient(seed, histology=Histology.COMPLEX_CYST).lesions
        volumes = [np.prod(lesion.shape.semi_axes_mm) for lesion in lesions]
        assert {lesion.label for lesion in lesions} == {"cyst"}
        assert volumes[0] == max(volumes)


def test_a_solid_primary_is_the_largest_tumour():
    seconds = 0
    for seed in range(60):
        tumours = [x for x in draw_patient(seed, histology=Histology.CLEAR_CELL_LOW).lesions if x.label == "tumour"]
        volumes = [np.prod(lesion.shape.semi_axes_mm) for lesion in tumours]
        assert volumes[0] == max(volumes)
        seconds += len(tumours) > 1
    assert 0 < seconds < 15
