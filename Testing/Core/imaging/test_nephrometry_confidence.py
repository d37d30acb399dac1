"""Measured nephrometry where masks or scan fall short: what is refused, what is assumed, and how confidence falls."""

import numpy as np
import pytest

from RenalCLIPCore.errors import NoKidneyError
from RenalCLIPCore.imaging import kidney_fields
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.mask_fields import crossings
from RenalCLIPCore.imaging.nephrometry import measure
from RenalCLIPCore.imaging.nephrometry_perturbation import centred, values_of
from RenalCLIPCore.imaging.nephrometry_readings import shortest
from RenalCLIPCore.imaging.renal_sinus import CAVITY_SHARE, Variation, cavity_of, free_inside
from RenalCLIPCore.imaging.volume import Volume
from RenalCLIPCore.review import Absent
from Testing.Core.imaging.nephrometry_toys import (
    CENTRE,
    LATERAL,
    QUICK,
    box,
    component,
    found,
    grid_around,
    left_kidney,
    measured_context,
    outcome,
    positions,
)


@pytest.fixture(scope="module")
def lateral():
    return left_kidney(LATERAL)


def test_a_kidney_cut_off_by_the_scan_is_continued_and_trusted_less():
    cut = left_kidney(LATERAL, box((52, 48, 62), (52, 48, 30)))
    result = measure(cut, *found(cut), perturbations=0, options=QUICK)
    assert any("cuts the kidney off at its upper border" in note for note in result.notes)
    assert component(result, "L").confidence < 0.7
    lesion_cut = left_kidney(LATERAL, box((52, 48, 36), (52, 48, 62)))
    short = measure(lesion_cut, *found(lesion_cut), perturbations=0, options=QUICK)
    assert any("lower bound" in note for note in short.notes)
    assert component(short, "R").confidence <= 0.5


def test_thick_slices_are_told():
    labels = left_kidney(LATERAL, box((52, 48, 66), (52, 48, 66), (1.5, 1.5, 6.0)))
    result = measure(labels, *found(labels), perturbations=0, options=QUICK)
    assert any("6 mm thick" in note for note in result.notes)
    assert component(result, "E").confidence < 1


def test_a_giant_lesion_is_told():
    labels = left_kidney([((18.0, -10.0, 0.0), 48.0, 2)])
    result = measure(labels, *found(labels), perturbations=0, options=QUICK)
    assert component(result, "R").points == 3
    assert any("deforms" in note for note in result.notes)
    assert result.confidence < 0.7


def test_a_coarser_grid_and_mask_of_a_giant_change_little(monkeypatch):
    labels = left_kidney([((18.0, -10.0, 0.0), 40.0, 2)])
    fine = measured_context(labels)
    monkeypatch.setattr(kidney_fields, "MAXIMUM_VOXELS", 200_000)
    coarse = measured_context(labels)
    assert coarse.frame.fields.grid.spacing_mm[0] > 1.8
    lengths = [context.readings.diameters["axial"].length_mm for context in (fine, coarse)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.02)
    assert coarse.readings.outside == pytest.approx(fine.readings.outside, abs=0.03)
    assert coarse.readings.front_mm == pytest.approx(fine.readings.front_mm, abs=1.0)


def test_one_kidney_alone_is_measured_and_the_assumed_side_is_told():
    labels = left_kidney(LATERAL)
    findings = find_lesions(labels)
    result = measure(labels, findings, findings.lesions[0], perturbations=0, options=QUICK)
    assert any("One kidney was found" in note for note in result.notes)
    assert not isinstance(result.total, Absent)


def test_a_horseshoe_kidney_is_measured_by_half():
    left = left_kidney(LATERAL, grid := grid_around((-112, -40, -60), (116, 45, 60), (1.5, 1.5, 3.0)))
    right = left_kidney([], grid, mirrored=True)
    away = positions(grid) - (0, 10, -45)
    bridge = (np.abs(away[..., 0]) < 75) & (np.hypot(away[..., 1], away[..., 2]) < 9)
    labels = Volume(np.where(left.array > 0, left.array, np.maximum(right.array, bridge)).astype(np.uint8), grid)
    findings = find_lesions(labels)
    result = measure(labels, findings, findings.lesions[0], perturbations=0, options=QUICK)
    assert any("horseshoe" in note for note in result.notes)
    assert component(result, "R").value == pytest.approx(24.0, abs=1.5)
    assert component(result, "A").confidence <= 0.5


def test_a_lesion_that_touches_no_kidney_is_measured_with_a_note_and_a_distant_one_by_size_alone():
    apart = left_kidney([((48.0, 0.0, 0.0), 9.0, 2)])
    result = measure(apart, *found(apart), perturbations=0, options=QUICK)
    assert any("touches no kidney" in note for note in result.notes)
    assert component(result, "E").value == pytest.approx(100, abs=0.5)
    grid = box((50, 45, 65), (50, 45, 170), (1.5, 1.5, 3.0))
    distant = left_kidney([((0.0, 0.0, 150.0), 9.0, 2)], grid)
    alone = measure(distant, *found(distant), perturbations=0, options=QUICK)
    assert isinstance(alone.total, Absent)
    assert "60 mm" in alone.total.absent
    assert [item.component for item in alone.components] == ["R"]
    assert component(alone, "R").value == pytest.approx(18, abs=3.0)


def test_masks_without_a_kidney_are_refused():
    labels = left_kidney(LATERAL)
    only = Volume(np.where(labels.array == 2, 2, 0).astype(np.uint8), labels.geometry)
    for mask in (only, Volume(only.array * 0, labels.geometry)):
        with pytest.raises(NoKidneyError):
            find_lesions(mask)


def test_hundreds_of_islands_change_nothing(lateral):
    clean = measured_context(lateral)
    noisy = lateral.array.copy()
    generator = np.random.default_rng(0)
    places = generator.integers(0, lateral.array.shape, size=(600, 3))
    away = np.linalg.norm((positions(lateral.geometry)[tuple(places.T)] - CENTRE) / (30, 26, 55), axis=-1)
    keep = tuple(places[away > 1.6].T)
    noisy[keep] = np.where(noisy[keep] == 0, generator.integers(1, 4, size=len(keep[0])), noisy[keep])
    context = measured_context(Volume(noisy, lateral.geometry))
    assert outcome(context) == outcome(clean)
    assert context.readings.outside == pytest.approx(clean.readings.outside, abs=0.02)
    assert context.readings.front_mm == pytest.approx(clean.readings.front_mm, abs=0.5)


def test_a_kidney_in_two_pieces_is_one_kidney():
    # a tumour slab divides the kidney
    labels = left_kidney([])
    away = positions(labels.geometry) - CENTRE
    slab = (np.abs(away[..., 2] + 30) < 7) & (np.linalg.norm(away / (32, 28, 57), axis=-1) <= 1)
    labels.array[slab] = 2
    context = measured_context(labels)
    assert context.frame.centre_lps_mm == pytest.approx(CENTRE, abs=2.5)
    assert context.frame.outline.semi_axes_mm[0] == pytest.approx(55, abs=3)


def test_a_second_lesion_is_no_sinus_and_no_outline():
    alone = measured_context(left_kidney(LATERAL))
    with_cyst = measured_context(left_kidney([*LATERAL, ((22.0, -8.0, 25.0), 12.0, 3)]))
    assert with_cyst.readings.outside == pytest.approx(alone.readings.outside, abs=0.04)
    assert with_cyst.readings.near.length_mm == pytest.approx(alone.readings.near.length_mm, abs=0.5)


def test_the_source_of_the_sinus_is_as_uncertain_as_its_threshold(lateral):
    from RenalCLIPCore.imaging.kidney_frame import kidney_frame

    frame = measured_context(lateral).frame
    inside, _ = free_inside(frame.fields, frame.outline)
    _, share = cavity_of(frame.fields, frame.outline, inside)
    assert share > CAVITY_SHARE
    believed = kidney_frame(frame.fields, variation=Variation(enough=0.9 * share / CAVITY_SHARE))
    doubted = kidney_frame(frame.fields, variation=Variation(enough=1.2 * share / CAVITY_SHARE))
    assert believed.sinus.visible
    assert "cavity" in believed.sinus.source
    assert "cavity" not in doubted.sinus.source


def test_the_shortest_segment_is_that_of_all_pairs():
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(700, 3)), generator.normal((3, 0, 0), size=(500, 3))
    gaps = np.linalg.norm(first[:, None] - second, axis=-1)
    segment = shortest(first, second)
    assert segment.length_mm == pytest.approx(gaps.min())
    assert np.linalg.norm(segment.start_lps_mm - segment.end_lps_mm) == pytest.approx(gaps.min())


def test_the_cavity_of_a_part_of_the_grid_is_that_of_the_whole(lateral):
    frame = measured_context(lateral).frame
    inside, _ = free_inside(frame.fields, frame.outline)
    cavity, share = cavity_of(frame.fields, frame.outline, inside)
    wall = crossings(cavity, frame.fields.grid) - CENTRE
    # the sinus that was painted: half lengths 20, 10, 22 mm around x = -22, seen inside the outline only
    away = np.linalg.norm((wall - (-22.0, 0, 0)) / (20.0, 10.0, 22.0), axis=1)
    inner = np.linalg.norm(wall / (30, 26, 55), axis=1) < 0.9
    assert inner.sum() > 100
    assert np.percentile(np.abs(away[inner] - 1), 90) < 0.1
    assert share == pytest.approx((cavity <= 0).sum() * frame.fields.grid.voxel_volume_ml / frame.outline.volume_ml)


def test_draws_from_another_source_keep_their_distance_from_the_others(lateral):
    from dataclasses import replace

    fine = values_of(measured_context(lateral).readings)
    near = [replace(fine, near_mm=fine.near_mm + shift) for shift in (-1.5, -1.0, -0.5)]
    other = [replace(fine, near_mm=max(0.0, fine.near_mm - 11.0))] * 9
    moved = centred([*near, *other], [True] * 3 + [False] * 9, fine)
    # roughening took 1 mm on average; the nine from another source stay about 11 mm nearer
    assert [draw.near_mm - fine.near_mm for draw in moved[:3]] == pytest.approx([-0.5, 0.0, 0.5])
    assert moved[3].near_mm == pytest.approx(other[0].near_mm + 1.0)
    assert moved[3].outside == pytest.approx(fine.outside)
