"""The sinus of measured nephrometry where a lesion reaches it, and what is told of another sampling of one mask."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from RenalCLIPCore.imaging.nephrometry_evidence import _sinus_shells
from RenalCLIPCore.imaging.nephrometry_readings import Diameter
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Benchmarks import nephrometry_storage
from Testing.Benchmarks.nephrometry_storage import Difference, differences, summary
from Testing.Core.imaging.nephrometry_toys import CENTRE, found, left_kidney, measured_context, positions


def filled_kidney(balls, fat_radius_mm):
    """A kidney whose label fills the sinus but for a ball of fat at its centre."""
    labels = left_kidney(balls)
    away = positions(labels.geometry) - CENTRE
    array = labels.array.copy()
    array[(array == 0) & (np.linalg.norm(away / (30, 26, 55), axis=-1) <= 1)] = 1
    array[(array == 1) & (np.linalg.norm(away, axis=-1) <= fat_radius_mm)] = 0
    return Volume(array, labels.geometry)


@pytest.mark.parametrize(("lesion_x_mm", "gap_mm"), [(16.0, 0.0), (21.0, 1.5), (24.0, 4.5)])
def test_nearness_reaches_the_fat_at_the_lesion(lesion_x_mm, gap_mm):
    context = measured_context(filled_kidney([((lesion_x_mm, 0.0, 0.0), 9.5, 2)], 10.0))
    assert "fat" in context.frame.sinus.source
    assert context.readings.near.length_mm == pytest.approx(gap_mm, abs=1.1)


def test_polar_lines_move_steadily_from_the_lips_to_the_model():
    frame = measured_context(left_kidney([((30.0, 0.0, -34.0), 12.0, 2)])).frame
    model = frame.centre_lps_mm + np.array([[0.0, 0.0, -30.0], [0.0, 0.0, 30.0]])
    axis = np.array([0.0, 0.0, 1.0])
    lower = [
        replace(frame, model_lips_lps_mm=model, covered={"lower": share}).polar_lines(axis)[0]
        for share in (0.0, 0.5, 1.0)
    ]
    assert lower[1] == pytest.approx((lower[0] + lower[2]) / 2)
    assert lower[2] == pytest.approx(frame.centre_lps_mm[2] - 30.0)
    assert frame.polar_lines(axis)[0] == pytest.approx(lower[0], abs=1e-6)


def test_a_lesion_at_a_lip_covers_it_and_one_far_off_does_not():
    far, at = (
        measured_context(left_kidney([(place, 9.0, 2)])).frame for place in ((28.0, 0.0, 0.0), (-24.0, 0.0, -24.0))
    )
    assert far.hidden == ()
    assert at.hidden == ("lower",)


def test_points_that_differ_between_samplings_are_told_with_what_was_stated(monkeypatch):
    # two grids of a ball of about 40 mm, the cut-off of R: one a little larger than the other
    small, large = (left_kidney([((26.0, 0.0, 0.0), radius, 2)]) for radius in (19.2, 19.6))
    monkeypatch.setattr(nephrometry_storage, "find", lambda labels, _lesion: found(labels))
    compared, apart = differences("ball", small, large, None, perturbations=12)
    assert compared == 5
    assert [item.name.split(":")[0] for item in apart] == ["ball R"]
    assert apart[0].stated < 0.9
    assert differences("ball", small, small, None) == (5, [])


def test_the_summary_counts_how_many_differences_were_said_to_be_close():
    text = summary("oblique grids", 50, [Difference("one L", 0.6), Difference("two E", 0.95)])
    assert "96.0 % of 50 components; 2 differ, 1 of them with a stated probability below 0.9" in text
    assert "one L, stated 0.60" in text


def test_a_piece_too_small_for_the_coarse_surface_is_shown_on_its_own():
    grid = Geometry.from_components((90, 60, 60), (1, 1, 1), (-30, -30, -30), np.eye(3))
    places = positions(grid)
    large, small = (np.linalg.norm(places - middle, axis=-1) for middle in ((0, 0, 0), (45.3, 0, 0)))
    values = np.minimum(large - 25.0, small - 2.2).astype(np.float32)
    frame = SimpleNamespace(sinus=SimpleNamespace(values=values), fields=SimpleNamespace(grid=grid))
    to_large, to_small = (Diameter(5.0, np.zeros(3), np.array(end)) for end in ((25.0, 0, 0), (43.1, 0, 0)))
    assert [shell.name for shell in _sinus_shells(frame, to_large)] == ["sinus or collecting system"]
    _, part = _sinus_shells(frame, to_small)
    away = np.linalg.norm(np.subtract(part.vertices_lps_mm, (45.3, 0, 0)), axis=1)
    assert away == pytest.approx(np.full(len(away), 2.2), abs=0.6)
