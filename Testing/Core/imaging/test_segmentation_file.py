"""Segmentations given as files: values, names, grids, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from RenalCLIPCore.errors import GridMismatchError, InputError, NoKidneyError
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.segmentation import load_segmentation
from RenalCLIPCore.imaging.segmentation_file import Segmentation, origin_of, recognised
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from Testing.Core.imaging.kidney_toys import TOY_GRID, toy


def saved(tmp_path, volume, name="labels.nii.gz"):
    write_volume(volume, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nrrd", "labels.mha"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_values_are_kept_in_any_format_and_type(tmp_path, name, kind):
    _, labels = toy(1)
    found = load_segmentation(saved(tmp_path, Volume(labels.array.astype(kind), TOY_GRID), name), TOY_GRID)
    assert np.array_equal(found.labels.array, labels.array)
    assert found.labels.array.dtype == np.uint8
    assert (found.source, found.model, found.notes) == ("file", "", ())
    assert len(found.sha256) == 64


@pytest.mark.parametrize("value", [4, 255, 0.5, -1, np.nan])
def test_unknown_values_are_refused_with_the_convention(tmp_path, value):
    _, labels = toy(1)
    array = labels.array.astype(np.float32)
    array[0, 0, 0] = value
    with pytest.raises(InputError, match="KiTS"):
        load_segmentation(saved(tmp_path, Volume(array, TOY_GRID), "labels.mha"), TOY_GRID)


@pytest.mark.parametrize("value", [0, 2])
def test_a_mask_without_kidney_is_refused(tmp_path, value):
    array = np.zeros(TOY_GRID.size, np.uint8)
    array[5:9, 5:9, 5:9] = value
    with pytest.raises(NoKidneyError):
        load_segmentation(saved(tmp_path, Volume(array, TOY_GRID)), TOY_GRID)


def test_another_storage_of_the_same_grid_gives_the_same_labels(tmp_path):
    _, labels = toy(2)
    found = load_segmentation(saved(tmp_path, reorient(labels, "IRA")), TOY_GRID)
    assert np.array_equal(found.labels.array, labels.array)
    assert "resampled" in found.notes[0]


def test_another_grid_is_resampled_with_a_note(tmp_path):
    _, labels = toy(2)
    target = Geometry.from_components((60, 40, 30), (3.2, 3.2, 4.0), (-94.0, -62.0, -57.5), np.eye(3))
    found = load_segmentation(saved(tmp_path, labels), target)
    assert found.labels.geometry == target
    ours = [(found.labels.array == n).sum() * target.voxel_volume_ml for n in (1, 2, 3)]
    theirs = [(labels.array == n).sum() * TOY_GRID.voxel_volume_ml for n in (1, 2, 3)]
    assert np.allclose(ours, theirs, rtol=0.1)


def test_what_lies_outside_the_study_is_told(tmp_path):
    _, labels = toy(2)
    upper = TOY_GRID.crop((0, 0, 12), (48, 32, 12))
    found = load_segmentation(saved(tmp_path, labels), upper)
    assert any("outside the study" in note for note in found.notes)


def test_a_mask_elsewhere_in_space_is_refused(tmp_path):
    _, labels = toy(2)
    away = TOY_GRID.crop((500, 0, 0), TOY_GRID.size)
    with pytest.raises(GridMismatchError):
        load_segmentation(saved(tmp_path, labels), away)


def slicer_file(tmp_path, names):
    _, labels = toy(3)
    image = Volume(labels.array * 10, TOY_GRID).to_sitk()
    for number, (value, name) in enumerate(names.items()):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
        image.SetMetaData(f"Segment{number}_Layer", "0")
    sitk.WriteImage(image, str(tmp_path / "case.seg.nrrd"))
    return tmp_path / "case.seg.nrrd", labels


def test_a_slicer_segmentation_is_read_by_its_segment_names(tmp_path):
    path, labels = slicer_file(tmp_path, {10: "Kidney left", 20: "renal mass", 30: "Cyst"})
    assert np.array_equal(load_segmentation(path, TOY_GRID).labels.array, labels.array)


def test_an_unknown_segment_name_is_refused(tmp_path):
    path, _ = slicer_file(tmp_path, {10: "kidney", 20: "Segment_2"})
    with pytest.raises(InputError, match="Segment_2"):
        load_segmentation(path, TOY_GRID)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "labels.nii.gz").write_bytes(b"not an image")
    with pytest.raises(InputError):
        load_segmentation(tmp_path / "labels.nii.gz", TOY_GRID)


def test_a_models_masks_are_recognised_however_they_are_stored_and_a_change_is_told(tmp_path):
    _, labels = toy(3)
    origin = origin_of(Segmentation(labels, "model", "toy", "a" * 64, ("a note",)))
    stored = reorient(Volume(labels.array, TOY_GRID), "IRA")
    found = recognised(load_segmentation(saved(tmp_path, stored), stored.geometry), origin)
    assert (found.source, found.model, found.sha256, found.notes) == ("model", "toy", "a" * 64, ("a note",))
    array = labels.array.copy()
    array[tuple(np.argwhere(array == 1)[0])] = 2
    given = load_segmentation(saved(tmp_path, Volume(array, TOY_GRID)), TOY_GRID)
    found = recognised(given, origin)
    assert (found.source, found.sha256) == ("file", given.sha256)
    assert found.notes == ("The masks were made by toy and changed since.",)
