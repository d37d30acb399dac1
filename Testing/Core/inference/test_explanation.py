import numpy as np
import pytest
import torch

from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.inference.explanation import ExplanationMap, explain, place, share_inside
from RenalCLIPCore.inference.prediction import read
from RenalCLIPCore.models.bundle import BundleContents
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.manifest import Task
from RenalCLIPCore.models.weights import make_head
from RenalCLIPCore.review import Absent
from Testing.Core.inference.reading_toys import ROI_GEOMETRY, ROI_SHAPE, saved, toy_rois
from Testing.Core.models.bundle_toys import DIMENSIONS, WIDTH, toy_contents, toy_manifest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """An encoder whose first channel is the image, strided: class 1 is brightness, class 0 is its negative."""
    encoder = RenalEncoder(WIDTH, DIMENSIONS)
    task = Task(name="malignancy", classes=("benign", "malignant"), hidden=0)
    head = make_head(task, 8 * WIDTH)
    with torch.no_grad():
        for part in encoder.modules():
            if isinstance(part, torch.nn.Conv3d):
                part.weight.zero_()
        encoder.conv1.weight[0, 0, 3, 3, 3] = 1.0
        head.output.weight.zero_()
        head.output.weight[0, 0], head.output.weight[1, 0] = -1.0, 1.0
    contents = BundleContents(toy_manifest((task,)), encoder, {"malignancy": head})
    return saved(tmp_path_factory.mktemp("explain"), contents)


def blob(x, y, z=slice(None)):
    """A bright spot at a voxel of the network's input (6 voxels inside the region of interest)."""
    roi = np.zeros(ROI_SHAPE, np.float32)
    roi[x + 5 : x + 8, y + 5 : y + 8, z] = 1.0
    return roi


@pytest.mark.parametrize(("x", "y"), [(64, 32), (32, 96), (0, 64)])
def test_last_stage_map_peaks_at_the_evidence_in_patient_space(bundle, x, y):
    rois = {"A": blob(x, y)}
    found = explain(bundle, read(bundle, rois), "malignancy", ROI_GEOMETRY, class_index=1)
    peak = found.volume.array.max(axis=2)
    plateau = np.argwhere(peak > 0.999) - 6
    assert (x, y) in [tuple(index) for index in plateau]
    assert abs(found.peak_lps_mm[0] - (-90.0 + x + 6)) <= (6 if x == 0 else 0.5)
    assert abs(found.peak_lps_mm[1] - (-30.0 + y + 6)) <= 0.5
    assert found.volume.array.dtype == np.float32
    assert found.volume.array.max() == pytest.approx(1.0)
    assert found.volume.geometry == ROI_GEOMETRY


def test_third_stage_resolves_height(bundle):
    # the weaker spot lies on a cell that the last stage keeps and gives the channel its weight
    rois = {"A": 0.5 * blob(64, 32, slice(0, 3)) + blob(48, 80, slice(15, 18))}
    found = explain(bundle, read(bundle, rois), "malignancy", ROI_GEOMETRY, class_index=1, stage=3)
    x, y, z = ROI_GEOMETRY.index(found.peak_lps_mm)
    assert (round(float(x)), round(float(y))) == (54, 86)
    assert z >= 16
    assert "stage 3" in found.method


def test_nothing_speaks_for_the_opposite_class(bundle):
    reading = read(bundle, {"A": blob(64, 32)})
    found = explain(bundle, reading, "malignancy", ROI_GEOMETRY, class_index=0)
    assert not found.volume.array.any()
    assert isinstance(share_inside(found, found.volume), Absent)


def test_the_map_is_the_mean_over_the_phases_and_explains_the_most_probable_class(bundle):
    rois = {"A": blob(64, 32), "V": 0.5 * blob(32, 96)}
    found = explain(bundle, read(bundle, rois), "malignancy", ROI_GEOMETRY)
    values = found.volume.array
    assert values[70, 38, 16] == pytest.approx(1.0, abs=0.01)
    assert values[38, 102, 16] == pytest.approx(0.5, abs=0.01)
    assert found.task == "malignancy: malignant"
    assert "A, V" in found.method


def test_every_task_of_a_bundle_can_be_explained(tmp_path):
    bundle = saved(tmp_path, toy_contents())
    reading = read(bundle, toy_rois("AV"))
    for task in ("renal_r", "malignancy", "rfs"):
        for stage in (3, 4):
            found = explain(bundle, reading, task, ROI_GEOMETRY, stage=stage)
            assert found.volume.array.min() >= 0
    assert explain(bundle, reading, "rfs", ROI_GEOMETRY).task == "rfs: risk of recurrence"
    with pytest.raises(ValueError, match="stage 2"):
        explain(bundle, reading, "rfs", ROI_GEOMETRY, stage=2)


def test_cells_are_placed_by_linear_interpolation_between_their_centres():
    cells = np.arange(8.0).reshape(2, 4, 1)
    values = place(cells, 4, (8, 16, 4), (12, 20, 4))
    for i in range(12):
        for j in range(20):
            x, y = np.clip((i - 2) / 4, 0, 1), np.clip((j - 2) / 4, 0, 3)
            expected = np.interp(x, [0, 1], [np.interp(y, range(4), cells[n, :, 0]) for n in range(2)])
            assert values[i, j, 0] == pytest.approx(expected / 7.0, abs=1e-6)
    assert np.array_equal(values[:, :, 0], values[:, :, 3])


def uniform_map():
    volume = Volume(np.ones(ROI_SHAPE, np.float32), ROI_GEOMETRY)
    return ExplanationMap("t", "m", volume, (0.0, 0.0, 0.0))


def test_share_inside_counts_mass_on_any_grid():
    fine = Geometry.from_components((40, 40, 40), (0.5, 0.5, 0.5), (-20.0, 40.0, 160.0), np.eye(3))
    mask = Volume(np.ones(fine.size, np.uint8), fine)
    assert share_inside(uniform_map(), mask) == pytest.approx(20**3 / (140 * 140 * 160), rel=1e-5)


def test_the_part_of_a_mask_outside_the_region_does_not_count():
    far = Geometry.from_components((4, 4, 4), (1.0, 1.0, 1.0), (500.0, 0.0, 0.0), np.eye(3))
    assert share_inside(uniform_map(), Volume(np.ones(far.size, np.uint8), far)) == 0.0


def test_an_empty_mask_has_no_share():
    assert isinstance(share_inside(uniform_map(), Volume(np.zeros(ROI_SHAPE, np.uint8), ROI_GEOMETRY)), Absent)
