"""Cases with a known answer for measured nephrometry: tilted phantoms, and real kidneys with an inserted lesion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from RenalCLIPCore.imaging.kidney_fields import kidney_fields
from RenalCLIPCore.imaging.kidney_frame import KidneyFrame, kidney_frame
from RenalCLIPCore.imaging.lesions import Lesion, LesionFindings, find_lesions
from RenalCLIPCore.imaging.mask_fields import bounding_box, cropped, signed_distance
from RenalCLIPCore.imaging.nephrometry_scores import PolarExtent
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.measures import measure_renal, surface_points
from RenalCLIPCore.phantom.patient import Kidney, PhantomPatient
from RenalCLIPCore.phantom.patient import Lesion as PhantomLesion
from RenalCLIPCore.phantom.render import render_labels
from RenalCLIPCore.phantom.shapes import Blob, Ellipsoid, as_matrix, as_point, rows

PIXEL_MM = 0.75
TILT_DEG = 25.0
CLOSING_MM = 25.0


@dataclass(frozen=True)
class Truth:
    """True values, and how far each moves when its boundary moves by one pixel.

    Attributes:
        values: R and N and A in mm, E as a share.
        band: Components whose points a shift of one pixel can change.
        points: R, E, N, L points and the label of A.
    """

    values: dict[str, float]
    band: frozenset[str]
    points: dict[str, str]


def phantom(seed: int, tilt: bool = True) -> tuple[PhantomPatient, Kidney, PhantomLesion]:
    """A patient whose kidney with the primary lesion (and its lesions) is turned by up to 25 degrees."""
    patient = draw_patient(seed)
    primary = patient.primary
    assert primary is not None
    kidney = patient.kidney(primary.side)
    if tilt:
        generator = np.random.default_rng(seed + 10_000)
        axis = generator.normal(size=3)
        angle = np.radians(generator.uniform(0, TILT_DEG))
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()
        centre = np.asarray(kidney.outline.centre_lps_mm)
        kidney = replace(
            kidney, outline=_turned(kidney.outline, turn, centre), sinus=_turned(kidney.sinus, turn, centre)
        )
        lesions = [
            replace(item, shape=_turned(item.shape, turn, centre)) if item.side == primary.side else item
            for item in patient.lesions
        ]
        kidneys = [kidney if k.side == primary.side else k for k in patient.kidneys]
        patient = replace(patient, kidneys=(kidneys[0], kidneys[1]), lesions=tuple(lesions))
        primary = lesions[0]
    return patient, kidney, primary


def _turned(shape, turn, centre):
    moved = centre + turn @ (np.asarray(shape.centre_lps_mm) - centre)
    return replace(shape, centre_lps_mm=as_point(moved), axes=as_matrix(rows(shape.axes) @ turn.T))


def phantom_labels(patient: PhantomPatient, kidney: Kidney, slice_mm: float, seed: int, code_axis: int = 2) -> Volume:
    """Labels of one side of a phantom on a grid with a random phase; ``code_axis`` is the slice direction."""
    shapes: list[Ellipsoid | Blob] = [kidney.outline, *(x.shape for x in patient.lesions if x.side == kidney.side)]
    low = np.min([s.bounds()[0] for s in shapes], axis=0) - 8.0
    high = np.max([s.bounds()[1] for s in shapes], axis=0) + 8.0
    spacing = np.full(3, PIXEL_MM)
    spacing[code_axis] = slice_mm
    size = np.ceil((high - low) / spacing).astype(int)
    phase = np.random.default_rng(seed).uniform(0, 1, 3) * spacing
    return render_labels(patient, Geometry.from_components(size, spacing, low + phase, np.eye(3)))


def find(labels: Volume, lesion: PhantomLesion, midline_x_mm: float = 0.0) -> tuple[LesionFindings, Lesion]:
    """The findings and the lesion of them that is the phantom's."""
    findings = find_lesions(labels, midline_x_mm=midline_x_mm)
    centre = np.asarray(lesion.shape.centre_lps_mm)
    return findings, min(
        findings.lesions, key=lambda item: float(np.linalg.norm(np.subtract(item.centre_lps_mm, centre)))
    )


def phantom_truth(kidney: Kidney, lesion: PhantomLesion) -> Truth:
    """Truth of a phantom from its continuous shapes."""
    value = measure_renal(lesion, kidney)
    surface = surface_points(lesion.shape, 20000)
    inside = _filled(lesion.shape)
    depth = kidney.outline.distance(*inside.T)
    lower, middle, upper = value.polar_lines_mm
    assert abs(middle - (lower + upper) / 2) < 1e-6
    extent = PolarExtent(lower, upper, float(surface[:, 2].min()), float(surface[:, 2].max()), value.l_between)
    shares = [float((depth > shift).mean()) for shift in (-PIXEL_MM, PIXEL_MM)]
    band = set()
    band |= {"R"} if min(abs(value.r_mm - 40), abs(value.r_mm - 70)) <= PIXEL_MM else set()
    band |= {"E"} if any(shares[1] <= cut <= shares[0] for cut in (0.5, 0.05)) else set()
    band |= {"N"} if min(abs(value.n_mm - 4), abs(value.n_mm - 7)) <= PIXEL_MM else set()
    band |= {"A"} if abs(abs(value.a_mm) - 10) <= PIXEL_MM else set()
    band |= {"L"} if extent.margin <= PIXEL_MM else set()
    return Truth(
        {"R": value.r_mm, "E": value.e_outside, "N": value.n_mm, "A": value.a_mm},
        frozenset(band),
        {"R": str(value.r + 1), "E": str(value.e + 1), "N": str(value.n + 1), "L": str(value.l + 1),
         "A": ("anterior", "posterior", "neither")[value.a]},
    )  # fmt: skip


def _filled(shape: Blob, count: int = 60000) -> np.ndarray:
    low, high = shape.bounds()
    points = np.random.default_rng(0).uniform(low, high, size=(count, 3))
    return points[shape.distance(*points.T) <= 0]


@dataclass(frozen=True, eq=False)
class RealKidney:
    """A kidney without lesions of a real mask, cropped, and its undisturbed frame.

    Attributes:
        case, side: Where it comes from.
        labels: Its mask as stored; of a continuous shape, that shape on 1 mm slices.
        frame: Undisturbed.
        midline_x_mm: Middle of the body.
        shape: Signed distance of the stored mask, when lesions go into the continuous shape of which it is the zero
            level, drawn anew on slices of 1 to 3 mm; None when they go into the stored voxels.
    """

    case: str
    side: str
    labels: Volume
    frame: KidneyFrame
    midline_x_mm: float
    shape: Volume | None = None


def healthy_kidneys(folder: Path, continuous: bool = False) -> Iterator[RealKidney]:
    """Kidneys of at least 60 ml whose side holds no lesion over 1 ml; what lesions there are is removed.

    Args:
        folder: KiTS masks; many of them have slices of 5 mm.
        continuous: Take each as a continuous shape, interpolated between its slices.
    """
    for path in sorted(folder.glob("case_*_segmentation.nii.gz")):
        whole = read_volume(path).canonical()
        low, high = whole.geometry.bounds_lps_mm
        middle = float((low[0] + high[0]) / 2)
        x = whole.geometry.lps(np.stack([np.arange(whole.array.shape[0]), *[np.zeros(whole.array.shape[0])] * 2], 1))
        for side, part in (("left", x[:, 0] > middle), ("right", x[:, 0] < middle)):
            own = np.where(part[:, None, None], whole.array, 0)
            voxel = whole.geometry.voxel_volume_ml
            if (own == 1).sum() * voxel < 60 or (own > 1).sum() * voxel > 1:
                continue
            box = bounding_box(own == 1)
            assert box is not None
            labels = cropped(Volume((own == 1).astype(np.uint8), whole.geometry), box, 45.0)
            shape = Volume(signed_distance(labels), labels.geometry) if continuous else None
            if shape is not None:
                labels = _drawn(shape, 1.0, np.zeros(3))
            yield RealKidney(path.name[:10], side, labels, _intact(labels, middle), middle, shape)


def _drawn(shape: Volume, slice_mm: float, phase: np.ndarray) -> Volume:
    """The zero level of a signed distance on a grid of given slices that begins by a part of a voxel further on."""
    low, high = shape.geometry.bounds_lps_mm
    spacing = np.array([PIXEL_MM, PIXEL_MM, slice_mm])
    size = np.floor((high - low) / spacing).astype(int)
    grid = Geometry.from_components(size, spacing, low + (0.5 + phase) * spacing, np.eye(3))
    return Volume((shape.resample_to(grid, fill=30.0).array <= 0).astype(np.uint8), grid)


def _intact(labels: Volume, middle: float) -> KidneyFrame:
    """Frame of a kidney without lesions: one far-away voxel stands in for the lesion that the search starts from."""
    array = labels.array.copy()
    first = np.argwhere(array == 1)[0]
    array[tuple(first)] = 2
    marked = Volume(array, labels.geometry)
    findings = find_lesions(marked, minimum_ml=0.0, midline_x_mm=middle)
    fields = kidney_fields(marked, findings, findings.lesions[0])
    return kidney_frame(replace(fields, lesion=np.full(fields.grid.size, 60.0, np.float32)))


def inserted(kidney: RealKidney, seed: int) -> tuple[Volume, Blob, Truth]:
    """A real kidney with a blob inserted at its surface, and the truth.

    E is told from the closed mask of the intact kidney. A, N and L are told from the frame of the intact kidney, by the
    same code, so that they show only what the missing tissue does to the measurement: most KiTS labels fill the sinus,
    and nothing else in them tells where it ends.
    """
    generator = np.random.default_rng([seed, len(kidney.case), int(kidney.case[-5:]), kidney.side == "left"])
    outline = kidney.frame.outline
    direction = generator.normal(size=3)
    on = outline.surface(direction[None] / np.linalg.norm(direction))[0]
    inward = (outline.centre_lps_mm - on) / np.linalg.norm(outline.centre_lps_mm - on)
    radius = float(generator.uniform(8, 26))
    semi = radius * np.exp(generator.normal(0, 0.08, 3))
    turn = Rotation.random(rng=generator).as_matrix()
    blob = Blob(as_point(on + inward * radius * generator.uniform(-0.4, 0.9)), as_point(semi), as_matrix(turn))
    own = kidney.labels
    if kidney.shape is not None:
        own = _drawn(kidney.shape, float(generator.uniform(1, 3)), generator.uniform(0, 1, 3))
    grid = own.geometry
    index = np.indices(grid.size).reshape(3, -1).T
    hit = (blob.distance(*grid.lps(index).T) <= 0).reshape(grid.size)
    labels = np.where(hit, np.uint8(2), own.array)
    return Volume(labels, grid), blob, _inserted_truth(kidney, blob)


def _inserted_truth(kidney: RealKidney, blob: Blob) -> Truth:
    frame, points = kidney.frame, _filled(blob)
    surface = surface_points(blob, 8000)
    closed = _closed_distance(kidney)
    index = closed.geometry.index(points)
    from scipy import ndimage

    depth = ndimage.map_coordinates(closed.array, index.T, order=1, mode="nearest")
    outside = float((depth > 0).mean())
    shares = [float((depth > shift).mean()) for shift in (-PIXEL_MM, PIXEL_MM)]
    wall = frame.sinus
    near = ndimage.map_coordinates(wall.values, frame.fields.grid.index(points).T, order=1, mode="nearest")
    n_mm = max(0.0, float(near.min())) if near.min() < 1.0 else _gap(frame, surface)
    a_mm = float((points.mean(axis=0) - frame.centre_lps_mm) @ frame.front)
    lower, upper = frame.polar_lines(np.array([0.0, 0.0, 1.0]))
    z = points[:, 2]
    extent = PolarExtent(lower, upper, float(surface[:, 2].min()), float(surface[:, 2].max()),
                         float(((z > lower) & (z < upper)).mean()))  # fmt: skip
    band = set()
    band |= {"E"} if any(shares[1] <= cut <= shares[0] for cut in (0.5, 0.05)) else set()
    band |= {"N"} if min(abs(n_mm - 4), abs(n_mm - 7)) <= PIXEL_MM else set()
    band |= {"A"} if abs(abs(a_mm) - 10) <= PIXEL_MM else set()
    band |= {"L"} if extent.margin <= PIXEL_MM else set()
    return Truth(
        {"E": outside, "N": n_mm, "A": a_mm}, frozenset(band),
        {"E": "1" if outside >= 0.5 else "2" if outside > 0.05 else "3",
         "N": "1" if n_mm >= 7 else "2" if n_mm > 4 else "3", "L": str(extent.points),
         "A": "neither" if abs(a_mm) <= 10 else "anterior" if a_mm > 0 else "posterior"},
    )  # fmt: skip


def _gap(frame: KidneyFrame, surface: np.ndarray) -> float:
    from scipy.spatial import KDTree

    from RenalCLIPCore.imaging.mask_fields import crossings

    return float(KDTree(crossings(frame.sinus.values, frame.fields.grid)).query(surface)[0].min())


_closed: dict[tuple[str, str], Volume] = {}


def _closed_distance(kidney: RealKidney) -> Volume:
    """Signed distance to the closed mask of an intact kidney, once per kidney.

    The closing by a ball of 25 mm also closes the opening of the sinus, which lies inside the native outline.
    """
    key = (kidney.case, kidney.side)
    if key not in _closed:
        _closed.clear()
        own = signed_distance(kidney.labels)
        grown = signed_distance(Volume(own < CLOSING_MM, kidney.labels.geometry))
        closed = Volume((grown < -CLOSING_MM) | (kidney.labels.array == 1), kidney.labels.geometry)
        _closed[key] = Volume(signed_distance(closed), kidney.labels.geometry)
    return _closed[key]
