"""Rendered HU and labels against the patient's shapes and tables."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry
from RenalCLIPCore.phantom.measures import measure_lesion, parenchyma_volume_ml
from RenalCLIPCore.phantom.render import Acquisition, TissueMap, render_labels, render_phase
from RenalCLIPCore.phantom.shapes import rows
from Testing.Core.phantom.phantom_toys import grid_around

QUIET = Acquisition(kernel_mm=0.0, noise_hu=0.0)


def hu_at(patient, point, phase):
    volume = render_phase(patient, phase, grid_around(point, margin_mm=2.0), 1, acquisition=QUIET)
    return float(volume.array[2, 2, 2])


@pytest.mark.parametrize("phase", list(Phase))
def test_tissues_have_their_hu_in_every_phase(plain_patient, phase):
    torso, kidney = plain_patient.torso, plain_patient.kidney("right")
    aorta = (*torso.aorta.centre_xy_mm, -55.0)
    cortex = np.array(kidney.outline.centre_lps_mm) - rows(kidney.outline.axes)[1] * (
        kidney.outline.semi_axes_mm[1] - 0.5 * kidney.cortex_mm
    )
    places = {
        "aorta": aorta,
        "cortex": cortex,
        "urine": kidney.collecting[0].centre_lps_mm,
        "liver": torso.liver[0].centre_lps_mm,
        "spleen": torso.spleen.centre_lps_mm,
        "air": (torso.body.semi_axes_mm[0] + 8.0, -20.0, 0.0),
    }
    for tissue, place in places.items():
        assert hu_at(plain_patient, place, phase) == pytest.approx(plain_patient.tissues.hu(tissue, phase), abs=2.0)
    primary = plain_patient.primary
    assert hu_at(plain_patient, primary.shape.centre_lps_mm, phase) == pytest.approx(primary.hu(phase), abs=1.0)


def test_cortex_and_medulla_differ_in_the_arterial_phase_only(plain_patient):
    for phase, wanted in ((Phase.A, True), (Phase.D, False)):
        gap = plain_patient.tissues.hu("cortex", phase) - plain_patient.tissues.hu("medulla", phase)
        assert (gap > 50) == wanted


def test_labels_have_the_volumes_of_the_truth(patient):
    kidneys = list(patient.kidneys)
    bounds = np.concatenate([np.stack(k.outline.bounds()) for k in kidneys])
    bounds = np.concatenate([bounds, *(np.stack(x.shape.bounds()) for x in patient.lesions)])
    grid = grid_around(bounds)
    labels = render_labels(patient, grid).array
    lesion = sum(measure_lesion(x).volume_ml for x in patient.lesions)
    assert (labels >= 2).sum() / 1000 == pytest.approx(lesion, rel=0.02)
    parenchyma = sum(parenchyma_volume_ml(k, patient.lesions) for k in kidneys)
    assert (labels == 1).sum() / 1000 == pytest.approx(parenchyma, rel=0.02)


def test_left_and_right_are_the_patients(plain_patient):
    bounds = np.concatenate([np.stack(k.outline.bounds()) for k in plain_patient.kidneys])
    volume = render_labels(plain_patient, grid_around(bounds, (2.0, 2.0, 3.0), 20.0))
    positions = volume.geometry.lps(np.argwhere(volume.array == 2))
    assert positions[:, 0].min() > 0
    assert positions.mean(axis=0) == pytest.approx(plain_patient.primary.shape.centre_lps_mm, abs=0.5)


def stored(geometry, order, flips):
    """The same voxels with permuted and flipped index axes."""
    start = [n - 1 if flip else 0 for n, flip in zip(geometry.size, flips, strict=True)]
    columns = geometry.direction_matrix * np.where(flips, -1.0, 1.0)
    return Geometry.from_components(
        [geometry.size[a] for a in order],
        [geometry.spacing_mm[a] for a in order],
        geometry.lps(start),
        columns[:, list(order)],
    )


@pytest.mark.parametrize(
    ("order", "flips"),
    [((0, 1, 2), (True, True, False)), ((2, 0, 1), (False, False, False)), ((1, 2, 0), (True, False, True))],
)
def test_the_anatomy_is_the_same_on_every_storage_order(patient, order, flips):
    shape = patient.primary.shape
    grid = grid_around(np.stack(shape.bounds()), (1.5, 1.5, 3.0), 15.0)
    other = stored(grid, order, flips)
    expected = TissueMap(patient, grid).hu(Phase.V)
    found = TissueMap(patient, other).hu(Phase.V)
    flipped = expected[tuple(slice(None, None, -1) if f else slice(None) for f in flips)].transpose(order)
    assert np.abs(found - flipped).max() < 1.0
    labels = render_labels(patient, grid).array
    turned = labels[tuple(slice(None, None, -1) if f else slice(None) for f in flips)].transpose(order)
    assert (render_labels(patient, other).array != turned).mean() < 1e-4


def test_an_oblique_grid_sees_the_same_anatomy(patient):
    centre = np.array(patient.primary.shape.centre_lps_mm)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    size = np.array([60, 60, 20])
    spacing = np.array([1.0, 1.0, 2.0])
    origin = centre - turn @ (spacing * (size - 1) / 2)
    oblique = Geometry.from_components(size, spacing, origin, turn)
    straight = grid_around(np.stack(oblique.bounds_lps_mm), (1.0, 1.0, 2.0))
    direct = TissueMap(patient, oblique).hu(Phase.A)
    points = straight.index(oblique.lps(np.argwhere(np.ones(oblique.size))))
    nearest = TissueMap(patient, straight).hu(Phase.A)[tuple(np.rint(points).astype(int).T)]
    assert np.median(np.abs(direct.ravel() - nearest)) < 4.0


def test_noise_has_its_standard_deviation_and_depends_on_seed_and_phase(plain_patient):
    centre = plain_patient.torso.liver[0].centre_lps_mm
    grid = grid_around(centre, (1.0, 1.0, 3.0), 14.0)
    tissues = TissueMap(plain_patient, grid)
    chosen = Acquisition(kernel_mm=0.0, noise_hu=12.0, grain_mm=0.6)
    first = render_phase(plain_patient, Phase.V, grid, 1, tissues=tissues, acquisition=chosen).array
    assert first.std() == pytest.approx(12.0, rel=0.1)
    again = render_phase(plain_patient, Phase.V, grid, 1, tissues=tissues, acquisition=chosen).array
    assert np.array_equal(first, again)
    for phase, seed in ((Phase.V, 2), (Phase.A, 1)):
        other = render_phase(plain_patient, phase, grid, seed, tissues=tissues, acquisition=chosen).array
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.2


def test_phases_are_clipped_16_bit_hu(plain_patient):
    grid = grid_around((250.0, 0.0, 0.0), (2.0, 2.0, 3.0), 10.0)
    loud = Acquisition(noise_hu=3000.0)
    volume = render_phase(plain_patient, Phase.A, grid, 1, acquisition=loud)
    assert volume.array.dtype == np.int16
    assert volume.array.min() == -1024
    assert volume.array.max() == 3071


def test_breathing_moves_the_whole_patient(plain_patient):
    centre = plain_patient.primary.shape.centre_lps_mm
    grid = grid_around(centre, (1.0, 1.0, 3.0), 21.0)
    still = render_phase(plain_patient, Phase.A, grid, 1, acquisition=QUIET).array
    moved = render_phase(plain_patient, Phase.A, grid, 1, acquisition=QUIET, shift_mm=(0.0, 0.0, 6.0)).array
    assert np.abs(moved[:, :, 2:].astype(int) - still[:, :, :-2]).max() <= 1
    assert np.abs(moved.astype(int) - still).max() > 40


def test_texture_and_necrosis_belong_to_the_patient_not_to_the_grid(patient):
    lesion = replace(patient.primary, texture_hu=25.0, necrosis_fraction=0.2)
    changed = replace(patient, lesions=(lesion,))
    centre = np.array(lesion.shape.centre_lps_mm)
    fine = grid_around(centre, (0.5, 0.5, 0.5), 6.0)
    coarse = grid_around(centre, (1.5, 1.5, 1.5), 6.0)
    small = render_phase(changed, Phase.A, coarse, 1, acquisition=QUIET)
    large = render_phase(changed, Phase.A, fine, 9, acquisition=QUIET)
    at = np.rint(fine.index(coarse.lps(np.argwhere(np.ones(coarse.size))))).astype(int)
    inside = np.all((at >= 0) & (at < np.array(fine.size)), axis=1)
    matched = large.array[tuple(at[inside].T)]
    assert np.abs(matched - small.array.ravel()[inside]).max() <= 1


def test_fat_fraction_shows_as_fat_in_the_lesion(patient):
    lesion = replace(patient.primary, fat_fraction=0.4, necrosis_fraction=0.0, calcification=None, septa=False)
    changed = replace(patient, lesions=(lesion,))
    grid = grid_around(np.stack(lesion.shape.bounds()))
    volume = render_phase(changed, Phase.N, grid, 1, acquisition=QUIET)
    inside = volume.array[render_labels(changed, grid).array >= 2]
    assert (inside < -20).mean() == pytest.approx(0.4, abs=0.12)
