"""Measured nephrometry: values on shapes known by hand and on phantoms, evidence, storage, variation, bad input."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from RenalCLIPCore import review
from RenalCLIPCore.errors import Cancelled
from RenalCLIPCore.imaging.nephrometry import measure
from RenalCLIPCore.imaging.nephrometry_components import measured, scored_diameter
from RenalCLIPCore.imaging.nephrometry_perturbation import values_of
from RenalCLIPCore.imaging.nephrometry_scores import NephrometryOptions
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.review import Measured
from Testing.Core.imaging.nephrometry_toys import (
    CENTRE,
    LATERAL,
    OPTIONS,
    QUICK,
    component,
    found,
    left_kidney,
    measured_context,
    outcome,
    phantom_side,
    positions,
)


@pytest.fixture(scope="module")
def lateral():
    return left_kidney(LATERAL)


@pytest.fixture(scope="module")
def full(lateral):
    return measure(lateral, *found(lateral), perturbations=4, options=QUICK)


def test_a_lateral_ball_has_the_values_that_the_shapes_have(lateral):
    readings = measured_context(lateral).readings
    away = positions(lateral.geometry)[lateral.array == 2] - CENTRE
    outside = float((np.linalg.norm(away / (30, 26, 55), axis=-1) > 1).mean())
    for plane in ("axial", "coronal", "sagittal", "space"):
        assert readings.diameters[plane].length_mm == pytest.approx(24.0, abs=0.8)
    assert readings.outside == pytest.approx(outside, abs=0.05)
    assert readings.front_mm == pytest.approx(0.0, abs=1.0)
    # the sinus opens through the outline where both surfaces meet: z = +- 21 mm
    assert readings.patient.lower == pytest.approx(-21.0, abs=1.5)
    assert readings.patient.upper == pytest.approx(21.0, abs=1.5)
    assert readings.patient.high == pytest.approx(-22.0, abs=0.6)


@pytest.mark.parametrize("front", [-22.0, 22.0])
def test_front_and_back_follow_the_patient_on_both_sides(front):
    for mirrored in (False, True):
        labels = left_kidney([((8.0, -front, 0.0), 10.0, 2)], mirrored=mirrored)
        context = measured_context(labels)
        assert context.frame.fields.side == ("right" if mirrored else "left")
        assert context.readings.front_mm == pytest.approx(front, abs=1.2)


def test_nearness_is_the_distance_between_the_surfaces():
    # sinus wall at x = -2 of the kidney's centre, ball from x = 10 on
    labels = left_kidney([((20.0, 0.0, 0.0), 10.0, 2)])
    readings = measured_context(labels).readings
    assert readings.near.length_mm == pytest.approx(12.0, abs=1.0)
    reaching = measured_context(left_kidney([((4.0, 0.0, 0.0), 10.0, 2)])).readings
    assert reaching.near.length_mm < 0.7


def test_an_inner_ball_is_endophytic():
    context = measured_context(left_kidney([((16.0, 0.0, 10.0), 7.0, 2)]))
    assert context.readings.outside < 0.02
    assert outcome(context)["E"] == 3


@pytest.mark.parametrize("seed", [3, 12, 20])
def test_phantoms_get_the_points_of_their_continuous_shapes(seed):
    _, _, labels, truth = phantom_side(seed)
    context = measured_context(labels)
    readings = context.readings
    assert readings.outside == pytest.approx(truth.e_outside, abs=0.08)
    assert readings.near.length_mm == pytest.approx(truth.n_mm, abs=0.8)
    assert readings.front_mm == pytest.approx(truth.a_mm, abs=1.0)
    assert readings.patient.lower == pytest.approx(truth.polar_lines_mm[0], abs=1.5)
    assert readings.patient.upper == pytest.approx(truth.polar_lines_mm[2], abs=1.5)
    faces = ("anterior", "posterior", "neither")
    wanted = {"R": truth.r + 1, "E": truth.e + 1, "N": truth.n + 1, "L": truth.l + 1, "A": faces[truth.a]}
    assert outcome(context) == wanted


def test_storage_does_not_change_a_single_value(lateral, full):
    for code in ("RAS", "IPL"):
        stored = reorient(lateral, code)
        turned = Volume(np.ascontiguousarray(stored.array), stored.geometry)
        assert measure(turned, *found(turned), perturbations=4, options=QUICK) == full, code


def test_an_oblique_grid_gives_the_same_points_and_nearly_the_same_values(lateral):
    straight = measured_context(lateral)
    frame = Rotation.from_euler("xyz", (15, -10, 20), degrees=True).as_matrix()
    spacing = np.array([0.9, 0.9, 2.0])
    size = np.array([150, 150, 90])
    grid = Geometry.from_components(size, spacing, CENTRE - frame @ (spacing * (size - 1) / 2), frame)
    oblique = measured_context(left_kidney(LATERAL, grid))
    assert outcome(oblique) == outcome(straight)
    assert oblique.readings.front_mm == pytest.approx(straight.readings.front_mm, abs=0.7)
    assert oblique.readings.near.length_mm == pytest.approx(straight.readings.near.length_mm, abs=0.7)


def test_thick_slices_keep_the_values():
    _, _, thin, _ = phantom_side(12, 1.0)
    _, _, thick, _ = phantom_side(12, 5.0)
    one, two = (values_of(measured_context(labels).readings) for labels in (thin, thick))
    assert two.near_mm == pytest.approx(one.near_mm, abs=1.0)
    assert two.diameters_mm["axial"] == pytest.approx(one.diameters_mm["axial"], abs=1.5)


def test_evidence_belongs_to_the_values(full):
    r, n, a = component(full, "R"), component(full, "N"), component(full, "A")
    scores = next(item for item in r.evidence.segments if "scores R" in item.name)
    assert math.dist(scores.start_lps_mm, scores.end_lps_mm) == pytest.approx(r.value, abs=0.6)
    shortest = n.evidence.segments[0]
    assert math.dist(shortest.start_lps_mm, shortest.end_lps_mm) == pytest.approx(n.value, abs=0.05)
    plane, centre = a.evidence.planes[0], a.evidence.points[0]
    offset = np.subtract(centre.lps_mm, plane.point_lps_mm) @ plane.normal_lps
    assert offset == pytest.approx(a.value, abs=0.1)
    lines = {item.name: item for item in component(full, "L").evidence.planes}
    assert len(lines) == 6
    assert lines["lower polar line (patient's axis)"].normal_lps == (0.0, 0.0, 1.0)
    shell = component(full, "E").evidence.shells[0]
    away = (np.asarray(shell.vertices_lps_mm) - CENTRE) / (30, 26, 55)
    assert np.percentile(np.linalg.norm(away, axis=1), 5) > 0.85
    outline = full.evidence.shells[0]
    radii = np.linalg.norm((np.asarray(outline.vertices_lps_mm) - CENTRE) / (30, 26, 55), axis=1)
    assert np.percentile(np.abs(radii - 1), 90) < 0.06
    for item in (*full.components, full):
        for mesh in item.evidence.shells:
            assert max(map(max, mesh.triangles)) < len(mesh.vertices_lps_mm)


def test_a_measurement_comes_back_from_json_and_stays_small(full):
    text = json.dumps(review.encode(full), allow_nan=False)
    assert review.decode(Measured, json.loads(text)) == full
    assert len(text) < 300_000


def test_definitions_are_named_and_decide():
    labels = left_kidney([((20.0, -8.0, 30.0), 11.0, 2)])
    context = measured_context(labels)
    wide, narrow = measured(context, OPTIONS), measured(context, NephrometryOptions(band_mm=5.0))
    assert wide.options["band_mm"] == "10"
    assert (component(wide, "A").label, component(narrow, "A").label) == ("neither", "anterior")
    assert any("anterior" in name for name in component(wide, "A").variants)
    tolerant = measured(context, NephrometryOptions(endophytic_tolerance=0.49))
    assert component(tolerant, "E").points >= component(wide, "E").points


def test_total_padua_and_c_index_follow_from_the_components(full):
    assert isinstance(full.total, review.NephrometryTotal)
    points = sum(component(full, letter).points for letter in "RENL")
    assert full.total.score == points
    assert full.total.text == f"{points}x"
    assert sum(full.total.complexity_probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert isinstance(full.padua, review.PaduaScore)
    assert full.padua.score == sum(item.points for item in full.padua.items)
    assert [item.points for item in full.padua.items if item.name == "Renal rim"] == [1]
    assert isinstance(full.centrality, review.CentralityIndex)
    assert full.centrality.value == pytest.approx(np.hypot(30, 34) / 12, abs=0.15)
    assert full.centrality.longitudinal_mm == pytest.approx(34, abs=1.0)


def test_probabilities_say_when_it_is_close():
    # a ball of 40.4 mm diameter lies at the cut-off of R, one of 50 mm does not
    balls = [left_kidney([((26.0, 0.0, 0.0), radius, 2)]) for radius in (20.2, 25.0)]
    close, clear = (measure(labels, *found(labels), perturbations=12, options=QUICK) for labels in balls)
    assert component(close, "R").point_probabilities[str(component(close, "R").points)] < 0.9
    assert component(clear, "R").point_probabilities["2"] > 0.94
    for item in close.components[:5]:
        assert sum(item.point_probabilities.values()) == pytest.approx(1, abs=2e-3)
        assert item.margin >= 0


def test_one_seed_gives_one_result_and_another_one_another(lateral, full):
    assert measure(lateral, *found(lateral), perturbations=4, options=QUICK) == full
    other = measure(lateral, *found(lateral), perturbations=4, options=QUICK, seed=1)
    assert [item.value for item in other.components] == [item.value for item in full.components]


def test_without_perturbations_there_are_no_probabilities(lateral):
    result = measure(lateral, *found(lateral), perturbations=0, options=QUICK)
    assert component(result, "R").point_probabilities == {}
    assert result.total.complexity_probabilities == {}
    assert any("not varied" in note for note in result.notes)
    assert isinstance(result.total, review.NephrometryTotal)


def test_h_is_not_assessed_without_vessels_and_told_with_them(lateral, full):
    assert component(full, "h").label == "not assessed"
    assert not full.total.text.endswith("h")
    mask = np.zeros(lateral.array.shape, np.uint8)
    away = positions(lateral.geometry) - CENTRE
    mask[(np.abs(away[..., 1]) < 4) & (np.abs(away[..., 2]) < 4) & (away[..., 0] < -20)] = 1
    vessels = Volume(mask, lateral.geometry)
    apart = measure(lateral, *found(lateral), vessels=vessels, perturbations=0, options=QUICK)
    assert component(apart, "h").label == "not hilar"
    touching = left_kidney([((-24.0, 0.0, 8.0), 10.0, 2)])
    hilar = measure(touching, *found(touching), vessels=vessels, perturbations=0, options=QUICK)
    assert component(hilar, "h").label == "hilar"
    assert hilar.total.text.endswith("h")


def test_the_excretory_phase_is_the_better_source_and_is_named(lateral):
    # contrast in a lumen that ends at x = -12, so 10 mm farther from a lateral lesion than the sinus wall
    labels = left_kidney([((20.0, 0.0, 0.0), 10.0, 2)])
    away = positions(labels.geometry) - CENTRE
    lumen = np.linalg.norm((away - (-22.0, 0, 0)) / (10.0, 5.0, 10.0), axis=-1) <= 1
    phase = Volume(np.where(lumen, 600, np.where(labels.array > 0, 110, -90)).astype(np.int16), labels.geometry)
    result = measure(labels, *found(labels), excretory=phase, perturbations=2, options=QUICK)
    assert "excretory" in component(result, "N").source
    assert component(result, "N").value == pytest.approx(22.0, abs=1.2)
    pale = Volume(np.full(labels.array.shape, 40, np.int16), labels.geometry)
    fallen_back = measure(labels, *found(labels), excretory=pale, perturbations=0, options=QUICK)
    assert "cavity" in component(fallen_back, "N").source
    assert any("excretory" in note for note in fallen_back.notes)


def test_a_given_sinus_mask_is_used_and_an_empty_one_is_told():
    labels = left_kidney([((20.0, 0.0, 0.0), 10.0, 2)])
    away = positions(labels.geometry) - CENTRE
    mask = Volume((np.linalg.norm(away - (-20.0, 0, 0), axis=-1) <= 8).astype(np.uint8), labels.geometry)
    result = measure(labels, *found(labels), sinus=mask, perturbations=0, options=QUICK)
    assert component(result, "N").value == pytest.approx(22.0, abs=1.0)
    empty = measure(labels, *found(labels), sinus=Volume(mask.array * 0, mask.geometry), perturbations=0, options=QUICK)
    assert any("empty" in note for note in empty.notes)


def test_a_filled_sinus_is_modelled_and_said_so():
    labels = left_kidney(LATERAL)
    filled = labels.array.copy()
    away = positions(labels.geometry) - CENTRE
    filled[(filled == 0) & (np.linalg.norm(away / (30, 26, 55), axis=-1) <= 1)] = 1
    result = measure(
        Volume(filled, labels.geometry), *found(Volume(filled, labels.geometry)), perturbations=0, options=QUICK
    )
    assert "modelled" in component(result, "N").source
    assert component(result, "N").confidence < 0.7
    assert any("do not show the sinus" in note for note in result.notes)


def test_progress_is_told_and_cancelling_stops(lateral):
    told = []

    def listen(fraction, words):
        told.append(fraction)
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        measure(lateral, *found(lateral), perturbations=4, options=QUICK, progress=listen)
    assert told == sorted(told)
    assert len(told) >= 4


def test_r_is_scored_in_a_plane_even_where_the_lesion_is_longer_in_space():
    lengths = {"axial": 36.0, "coronal": 38.0, "sagittal": 34.0, "space": 44.0}
    readings = SimpleNamespace(diameters={name: SimpleNamespace(length_mm=mm) for name, mm in lengths.items()})
    assert scored_diameter(readings, NephrometryOptions()) == "coronal"
    assert scored_diameter(readings, NephrometryOptions(diameter="space")) == "space"
