"""The slice store holds the slice of the largest tumour area, survives interruption, and refuses what cannot be cut."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.roi_store import RoiStore, build_roi_store
from RenalCLIPCore.cohort.slice_store import SliceStore, build_slice_store
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import Cancelled, CohortError, InputError
from RenalCLIPCore.imaging.lesion_slice import SliceSpec, extract_slices
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Volume, read_volume, write_volume
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

SLICE = SliceSpec(spacing_mm=1.0, size=16)


def with_masks(rows, folder, voxels=((15, 16, 8), (16, 16, 8), (16, 16, 9))):
    found = []
    for row in rows:
        volume = read_volume(next(iter(row.volumes.values())))
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[4:8, 4:8, 2:4] = 1
        for voxel in voxels:
            labels[voxel] = 2
        path = folder / f"{row.patient}-labels.nii.gz"
        write_volume(Volume(labels, volume.geometry), path)
        found.append(replace(row, label_map=path))
    return found


def test_a_store_holds_the_slice_of_the_largest_area_of_every_phase(tmp_path):
    rows = with_masks(toy_rows(tmp_path, 3), tmp_path)
    store = build_slice_store(rows, tmp_path / "slices", SLICE)
    assert store.spec == SLICE
    for row in rows:
        centre = store.centre_lps_mm(row.case_id)
        grid = read_volume(row.volumes[Phase.V]).geometry
        np.testing.assert_allclose(grid.index(centre), (15.5, 16, 8), atol=1e-6)
        assert store.phases(row.case_id) == tuple(sorted(row.volumes, key=list(Phase).index))
        volumes = {phase: read_volume(path) for phase, path in row.volumes.items()}
        for phase, item in extract_slices(volumes, grid, centre, SLICE).items():
            np.testing.assert_allclose(store.read(row.case_id, phase), item.array, atol=1e-4)


def test_without_a_label_map_the_slice_runs_through_the_centre(tmp_path):
    rows = toy_rows(tmp_path, 1)
    store = build_slice_store(rows, tmp_path / "slices", SLICE)
    np.testing.assert_array_equal(store.centre_lps_mm(rows[0].case_id), rows[0].centre_lps_mm)


def test_a_lesion_of_one_voxel_is_cut(tmp_path):
    rows = with_masks(toy_rows(tmp_path, 1), tmp_path, [(20, 12, 7)])
    store = build_slice_store(rows, tmp_path / "slices", SLICE)
    grid = read_volume(rows[0].volumes[Phase.V]).geometry
    np.testing.assert_allclose(store.centre_lps_mm(rows[0].case_id), grid.lps((20, 12, 7)), atol=1e-6)


def test_a_label_map_without_tumour_is_refused_by_its_row(tmp_path):
    rows = toy_rows(tmp_path, 2)
    rows = [rows[0], *with_masks(rows[1:], tmp_path, [])]
    with pytest.raises(CohortError, match=r"Row 2 has a label map without a tumour"):
        build_slice_store(rows, tmp_path / "slices", SLICE)
    assert not (tmp_path / "slices").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": {}}, "no volume of any phase"),
        ({"centre_lps_mm": None}, "neither a label map nor a lesion centre"),
        ({"centre_lps_mm": (500.0, 0.0, 0.0)}, "cannot be cut"),
    ],
)
def test_rows_that_cannot_be_cut_are_named(tmp_path, change, message):
    rows = [replace(toy_rows(tmp_path, 1)[0], **change)]
    with pytest.raises(CohortError, match=message):
        build_slice_store(rows, tmp_path / "slices", SLICE)


def test_an_interrupted_build_goes_on_and_equals_an_uninterrupted_one(tmp_path):
    rows = with_masks(toy_rows(tmp_path, 3), tmp_path)

    def stop(fraction, words):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        build_slice_store(rows, tmp_path / "slices", SLICE, progress=stop)
    assert not (tmp_path / "slices").exists()
    told = []
    store = build_slice_store(rows, tmp_path / "slices", SLICE, progress=lambda fraction, _: told.append(fraction))
    assert told == pytest.approx([2 / 3, 1])
    whole = build_slice_store(rows, tmp_path / "whole", SLICE, workers=Workers(2))
    for row in rows:
        for phase in whole.phases(row.case_id):
            np.testing.assert_array_equal(store.read(row.case_id, phase), whole.read(row.case_id, phase))


def test_one_kind_of_store_is_not_taken_for_the_other(tmp_path):
    rows = toy_rows(tmp_path, 1)
    build_slice_store(rows, tmp_path / "slices", SLICE)
    build_roi_store(rows, tmp_path / "rois", SPEC)
    with pytest.raises(InputError, match="no finished ROI store"):
        RoiStore(tmp_path / "slices")
    with pytest.raises(InputError, match="no finished slice store"):
        SliceStore(tmp_path / "rois")


def test_a_finished_store_of_other_slices_is_refused(tmp_path):
    rows = toy_rows(tmp_path, 2)
    build_slice_store(rows, tmp_path / "slices", SLICE)
    assert build_slice_store(rows, tmp_path / "slices", SLICE).case_ids == tuple(row.case_id for row in rows)
    with pytest.raises(CohortError, match="another size"):
        build_slice_store(rows, tmp_path / "slices", replace(SLICE, size=8))
    with pytest.raises(CohortError, match="another cohort"):
        build_slice_store(rows[:1], tmp_path / "slices", SLICE)
