"""The evidence of a measurement is cut by slices where it lies, and drawn there."""

import io

import numpy as np
import pytest
from PIL import Image

from RenalCLIPCore import review as r
from RenalCLIPCore.exchange.evidence_pictures import evidence_captions, evidence_pictures
from RenalCLIPCore.exchange.evidence_views import evidence_views, flattest_view, fullest_view, plane_line, shell_loops
from RenalCLIPCore.exchange.html import render_nephrometry
from RenalCLIPCore.exchange.planes import Plane, View
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Core.exchange.reviews import full_lesion

RED = (255, 80, 80)


def box_shell(low, high, name="native outline"):
    """A closed box of 8 corners and 12 triangles."""
    corners = [(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    sides = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
    triangles = [t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))]
    return r.EvidenceShell(name, tuple(tuple(map(float, corner)) for corner in corners), tuple(triangles))


def axial(level, side=100.0):
    return Plane.around(View.AXIAL, (0, 0, level), side, side, 1.0)


def shoelace(loop):
    x, y = loop[:-1].T
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def test_a_slice_cuts_a_box_in_a_rectangle():
    shell = box_shell((-10, -20, -30), (10, 20, 30))
    (loop,) = shell_loops(shell, axial(0.0))
    assert (loop[0] == loop[-1]).all()
    assert loop.min(axis=0) == pytest.approx((40, 30))
    assert loop.max(axis=0) == pytest.approx((60, 70))
    assert shoelace(loop) == pytest.approx(20 * 40)
    assert shell_loops(shell, axial(31.0)) == []
    assert len(shell_loops(shell, axial(30.0))) <= 1


def test_two_parts_are_cut_in_two_lines():
    one, two = box_shell((-30, -5, -5), (-20, 5, 5)), box_shell((20, -5, -5), (30, 5, 5))
    moved = tuple((a + 8, b + 8, c + 8) for a, b, c in two.triangles)
    both = r.EvidenceShell("both", one.vertices_lps_mm + two.vertices_lps_mm, one.triangles + moved)
    loops = shell_loops(both, axial(1.0))
    assert sorted(shoelace(loop) for loop in loops) == pytest.approx([100, 100])


def test_views_are_those_that_show_most():
    assert flattest_view((0, 0, 0), (10, 0.5, 20)) is View.CORONAL
    assert flattest_view((0, 0, 0), (10, 9, 1)) is View.AXIAL
    flat = box_shell((-40, -40, -3), (40, 40, 3))
    assert fullest_view(flat, np.zeros(3), list(View)) is View.AXIAL
    # beyond the box's right side the sagittal slice misses it
    assert fullest_view(flat, np.array([50.0, 0, 0]), [View.SAGITTAL, View.AXIAL]) is View.AXIAL


def test_a_plane_is_drawn_where_it_cuts_the_slice():
    across = r.EvidencePlane("polar line", (0.0, 0.0, 12.0), (0.0, 0.0, 1.0))
    coronal = Plane.around(View.CORONAL, (0, 0, 0), 100, 100, 1.0)
    line = plane_line(across, coronal)
    assert line[:, 1] == pytest.approx([38, 38])  # 12 mm above the middle
    assert line[:, 0] == pytest.approx([0, 100])
    assert plane_line(across, coronal, shift_mm=-5.0)[:, 1] == pytest.approx([43, 43])
    assert plane_line(across, axial(12.0)) is None
    assert plane_line(r.EvidencePlane("far", (0.0, 0.0, 90.0), (0.0, 0.0, 1.0)), coronal) is None


def a_measurement(labels_centre=(0.0, 0.0, 0.0)):
    """A kidney of 40 x 40 x 80 mm and a lesion whose scoring diameter lies in an axial slice."""
    scored = r.EvidenceSegment("largest diameter in an axial plane (scores R)", (10.0, 0.0, 4.0), (40.0, 0.0, 4.0))
    parts = {
        "R": r.Evidence(segments=(scored,)),
        "E": r.Evidence(shells=(box_shell((20, -10, -5), (40, 10, 10), "part outside the native outline"),)),
        "N": r.Evidence(segments=(r.EvidenceSegment("shortest", (0.0, 0.0, 4.0), (10.0, 0.0, 4.0)),)),
        "A": r.Evidence(
            (r.EvidencePlane("coronal plane of the kidney", (0.0, 0.0, 0.0), (0.0, -1.0, 0.0)),),
            points=(r.EvidencePoint("centre of the lesion", (25.0, 0.0, 4.0)),),
        ),
        "L": r.Evidence((r.EvidencePlane("lower polar line (patient's axis)", (0.0, 0.0, -15.0), (0.0, 0.0, 1.0)),)),
    }
    values = {"R": 30.0, "E": 70.0, "N": 10.0, "A": -3.0, "L": 5.0}
    components = tuple(
        r.MeasuredComponent(
            letter, values[letter], "mm", 1, "label", 1.0, {"1": 0.9, "2": 0.1}, "source", evidence=item
        )
        for letter, item in parts.items()
    )
    apart = r.Evidence(segments=(r.EvidenceSegment("between the centres", (0.0, 0.0, 0.0), (25.0, 0.0, 4.0)),))
    return r.Measured(
        components, r.NephrometryTotal(5, "5x", "low", {}), ("A note.",), r.Absent("not scored"),
        r.CentralityIndex(1.7, 25.0, 4.0, 15.0, apart), 0.8, {"band_mm": "10"},
        r.Evidence(shells=(box_shell((-20, -20, -40), (20, 20, 40)),)),
    )  # fmt: skip


def label_map():
    geometry = Geometry.from_components((100, 80, 60), (1, 1, 2), (-50, -40, -60), np.eye(3))
    x, y, z = np.moveaxis(geometry.lps(np.stack(np.meshgrid(*map(np.arange, (100, 80, 60)), indexing="ij"), -1)), -1, 0)
    labels = ((abs(x) <= 20) & (abs(y) <= 20) & (abs(z) <= 40)).astype(np.uint8)
    labels[(x - 25) ** 2 + y**2 + (z - 4) ** 2 <= 15**2] = 2
    return Volume(labels, geometry)


def test_the_measured_diameter_is_red_where_it_was_measured():
    measured = a_measurement()
    plane = next(view.plane for view in evidence_views(measured) if view.letter == "R")
    assert plane.view is not View.SAGITTAL
    pictures = evidence_pictures(measured, label_map(), None)
    marks = np.asarray(Image.open(io.BytesIO(pictures["evidence-R-marks"])))
    for x, red in ((12.0, True), (38.0, True), (4.0, False), (46.0, False)):
        column, row = plane.pixel((x, 0.0, 4.0))
        pixel = marks[int(row), int(column)]
        assert (np.abs(pixel[:3].astype(int) - RED).max() < 40 and pixel[3] > 150) == red


def test_every_component_has_a_picture_of_one_size_with_its_marks():
    pictures = evidence_pictures(a_measurement(), label_map(), None)
    assert set(pictures) == {f"evidence-{letter}{end}" for letter in "RENALC" for end in ("", "-marks")}
    sizes = {Image.open(io.BytesIO(data)).size for data in pictures.values()}
    assert sizes == {(440, 440)}
    assert set(evidence_captions(a_measurement())) == set("RENALC")
    assert "3.0 mm behind" in evidence_captions(a_measurement())["A"]


def test_the_scan_is_the_background_where_there_is_one():
    labels = label_map()
    scan = Volume(np.where(labels.array > 0, 150, -1000).astype(np.int16), labels.geometry)
    with_scan, without = (evidence_pictures(a_measurement(), labels, item) for item in (scan, None))
    assert with_scan["evidence-R"] != without["evidence-R"]
    assert with_scan["evidence-R-marks"] == without["evidence-R-marks"]


def test_what_was_not_measured_is_not_drawn():
    measured = full_lesion().measured
    assert evidence_pictures(r.Absent("no mask"), label_map(), None) == {}
    only_size = r.Measured(measured.components[:1], r.Absent("no kidney"), ())
    assert evidence_pictures(only_size, label_map(), None) == {}
    assert evidence_captions(only_size) == {}


def test_the_page_of_a_measurement_shows_probabilities_pictures_and_scores():
    from dataclasses import replace

    measured = a_measurement()
    lesion = replace(full_lesion(), predicted=r.Absent("only the masks were measured"), measured=measured)
    pictures = {"L1": evidence_pictures(measured, label_map(), None)}
    page = render_nephrometry([lesion], ["2 islands were left out."], pictures)
    for words in (
        "1 point 90 %",
        "C-index",
        "A note.",
        "2 islands were left out.",
        "band mm 10",
        "Not for clinical use",
    ):
        assert words in page
    assert page.count("data:image/jpeg") == 6
    assert "Predicted by the network" not in page
    assert "http" not in page.replace("http-equiv", "")
