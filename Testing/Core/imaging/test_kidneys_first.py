"""The way from a volume to labels with a network that is a plain threshold: boxes, growth, storage, fallbacks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import Cancelled, ConfigurationError, InputError
from RenalCLIPCore.imaging.kidney_boxes import disjoint_parts, find_boxes, grown
from RenalCLIPCore.imaging.nnunet_model import SegmentationModel, TrainedConfiguration
from RenalCLIPCore.imaging.orientation import is_orientation, reorient
from RenalCLIPCore.imaging.segmentation import SegmentOptions, segment
from RenalCLIPCore.imaging.strays import without_strays
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Core.imaging.kidney_toys import toy

WIDE = Geometry.from_components((72, 48, 40), (4.0, 4.0, 5.0), (-142.0, -94.0, -97.5), np.eye(3))


class Threshold:
    """Stands in for a network: kidney, tumour and cyst by their Hounsfield units."""

    parameters = 10
    spacing_mm = (5.0, 4.0, 4.0)
    patch = (12, 14, 14)
    fixed_normalisation = True

    def __init__(self, orientation: str = "LPS") -> None:
        self.configuration = SimpleNamespace(orientation=orientation)
        self.calls: list[tuple[tuple[int, ...], tuple[float, ...] | None]] = []

    def predict(self, array, spacing_mm, on_tile, *, coarse_mm=None, **_options):
        on_tile(0.0)
        self.calls.append((array.shape, None if coarse_mm is None else tuple(coarse_mm)))
        return np.select([array > 110, array > 30, array > -40], [1, 2, 3], 0).astype(np.uint8)


def model_of(runner: Threshold, finder: Threshold | None = None) -> SegmentationModel:
    def trained(name):
        return TrainedConfiguration(name, {}, {}, (), None, {}, "LPS")

    runners = {"3d_fullres": runner, **({"3d_lowres": finder} if finder else {})}
    return SegmentationModel("toy", "0" * 64, {name: trained(name) for name in runners}, _runners=runners)


def foreground_is_right(volume, labels, result):
    return np.mean((result.labels.array > 0) == (labels.array > 0)) > 0.999


def test_only_the_coarse_volume_and_boxes_reach_the_network():
    volume, labels = toy(1, WIDE)
    runner = Threshold()
    result = segment(volume, model_of(runner), options=SegmentOptions(margin_mm=8.0))
    assert foreground_is_right(volume, labels, result)
    assert np.array_equal(np.unique(result.labels.array), [0, 1, 2, 3])
    (first, coarse), *boxes = runner.calls
    assert coarse == (10.0, 8.0, 8.0)
    assert np.prod(first) <= np.prod(WIDE.size) / 7
    assert len(boxes) == 2
    assert sum(np.prod(shape) for shape, _ in boxes) < 0.6 * np.prod(WIDE.size)
    assert all(coarse is None for _, coarse in boxes)


def test_a_finder_does_the_finding_at_its_own_spacing():
    volume, labels = toy(1, WIDE)
    runner, finder = Threshold(), Threshold()
    finder.spacing_mm = (6.0, 7.0, 7.0)
    assert foreground_is_right(volume, labels, segment(volume, model_of(runner, finder)))
    assert [coarse for _, coarse in finder.calls] == [(6.0, 7.0, 7.0)]
    assert len(runner.calls) == 2


@settings(max_examples=10, deadline=None)
@given(
    st.permutations(("LR", "PA", "SI")).flatmap(lambda axes: st.tuples(*(st.sampled_from(a) for a in axes))),
    st.sampled_from(["LPS", "RAS", "IPL"]),
)
def test_labels_are_the_same_whatever_the_storage_and_the_training_orientation(letters, trained):
    volume, _ = toy(2, WIDE)
    reference = segment(volume, model_of(Threshold())).labels
    stored = reorient(volume, "".join(letters))
    found = segment(stored, model_of(Threshold(trained))).labels
    assert found.geometry == stored.geometry
    assert np.array_equal(found.canonical().array, reference.array)


def test_the_network_sees_the_axes_of_its_training_files():
    volume, _ = toy(2, WIDE)
    runner = Threshold("IPL")
    runner.spacing_mm, runner.patch = (4.0, 4.0, 5.0), (14, 14, 12)
    segment(volume, model_of(runner), options=SegmentOptions(exact=True))
    assert runner.calls == [((72, 48, 40), None)]


def test_an_oblique_volume_keeps_its_grid():
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    grid = Geometry.from_components(WIDE.size, WIDE.spacing_mm, turn @ np.asarray(WIDE.origin_lps_mm), turn)
    volume, labels = toy(3, grid)
    result = segment(volume, model_of(Threshold()))
    assert result.labels.geometry == grid
    assert foreground_is_right(volume, labels, result)


def test_a_kidney_beyond_its_box_makes_the_box_grow():
    volume, labels = toy(4, WIDE)
    finder = Threshold()
    finder.predict = lambda array, *_a, **_k: centre_only(array)  # type: ignore[method-assign]
    runner = Threshold()
    result = segment(volume, model_of(runner, finder), options=SegmentOptions(margin_mm=8.0))
    assert foreground_is_right(volume, labels, result)
    assert len(runner.calls) > 2


def centre_only(array):
    found = np.zeros(array.shape, np.uint8)
    kidney = array > 110
    middle = array.shape[0] // 2
    found[middle - 2 : middle + 2] = kidney[middle - 2 : middle + 2]
    return found


def only_left(volume):
    array = volume.array.copy()
    array[: WIDE.size[0] // 2] = -80
    return array


def test_one_kidney_makes_the_mirrored_side_be_looked_at():
    volume, _ = toy(5, WIDE)
    finder = Threshold()
    finder.predict = lambda array, *_a, **_k: np.where(  # type: ignore[method-assign]
        np.arange(array.shape[2]) < array.shape[2] // 2, 0, (array > 110)
    ).astype(np.uint8)
    runner = Threshold()
    result = segment(volume, model_of(runner, finder))
    assert (result.labels.array[: WIDE.size[0] // 2] == 1).sum() > 500
    assert len(runner.calls) == 2


def test_a_single_kidney_is_fine():
    volume, _ = toy(5, WIDE)
    result = segment(Volume(only_left(volume), WIDE), model_of(Threshold()))
    assert not (result.labels.array[: WIDE.size[0] // 2] > 0).any()
    assert (result.labels.array == 1).any()


def test_nothing_found_makes_the_whole_volume_be_looked_at():
    runner = Threshold()
    result = segment(Volume(np.full(WIDE.size, -80, np.int16), WIDE), model_of(runner))
    assert [shape for shape, _ in runner.calls][-1] == (40, 48, 72)
    assert not result.labels.array.any()
    assert "whole volume" in result.notes[0]


def test_a_small_volume_is_segmented_at_once():
    grid = WIDE.crop((40, 15, 13), (18, 18, 14))
    runner = Threshold()
    segment(toy(1, grid)[0], model_of(runner))
    assert [shape for shape, _ in runner.calls] == [(14, 18, 18)]


def test_normalisation_by_the_crop_forbids_boxes():
    runner = Threshold()
    runner.fixed_normalisation = False
    segment(toy(1, WIDE)[0], model_of(runner))
    assert [shape for shape, _ in runner.calls] == [(40, 48, 72)]


def test_values_that_are_no_numbers_are_air_and_nothing_else_is_refused():
    volume, labels = toy(6, WIDE)
    array = volume.array.astype(np.float32)
    array[0] = np.nan
    assert foreground_is_right(volume, labels, segment(Volume(array, WIDE), model_of(Threshold())))
    with pytest.raises(InputError):
        segment(Volume(np.full(WIDE.size, np.nan), WIDE), model_of(Threshold()))


def test_cancel_leaves_at_the_next_tile():
    runner = Threshold()

    def stop(_fraction, words):
        if words.startswith("segmenting"):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        segment(toy(1, WIDE)[0], model_of(runner), progress=stop)
    assert len(runner.calls) == 1


def test_findings_away_from_the_kidneys_are_dropped():
    _, labels = toy(7, WIDE)
    array = labels.array.copy()
    array[1:6, 1:6, 1:6] = 2
    array[60:62, 2:4, 2:4] = 1
    cleaned, notes = without_strays(array, WIDE, 35.5)
    assert np.array_equal(cleaned, labels.array)
    assert notes == ("2 findings apart from the kidneys (10.6 ml) were dropped.",)
    assert without_strays(labels.array, WIDE, 35.5) == (labels.array, ())


def test_a_detached_lesion_beside_its_kidney_stays():
    _, labels = toy(7, WIDE)
    array = np.where(labels.array > 1, 0, labels.array).astype(np.uint8)
    edge = int(np.flatnonzero(array.any(axis=(1, 2)))[-1])
    array[edge + 2 : edge + 6, 22:28, 18:22] = 2
    assert np.array_equal(without_strays(array, WIDE, 35.5)[0], array)


def test_a_tumour_in_the_place_of_a_kidney_stays():
    _, labels = toy(7, WIDE)
    array = np.where(labels.array == 1, 2, labels.array)
    array[: WIDE.size[0] // 2] = labels.array[: WIDE.size[0] // 2]
    assert np.array_equal(without_strays(array, WIDE, 35.5)[0], array)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.tuples(st.integers(0, 30), st.integers(1, 20)) for _ in range(3))), max_size=4))
def test_disjoint_parts_never_overlap(raw):
    boxes = [tuple(slice(start, start + length) for start, length in sides) for sides in raw]
    count = np.zeros((50, 50, 50), int)
    for part, box in zip(disjoint_parts(boxes), boxes, strict=True):
        assert all(b.start <= p.start and p.stop <= b.stop for p, b in zip(part, box, strict=True))
        count[part] += 1
    assert count.max(initial=0) <= 1


def test_two_overlapping_boxes_cover_their_union_but_for_corners():
    boxes = [(slice(0, 10), slice(0, 10), slice(0, 10)), (slice(8, 20), slice(0, 10), slice(0, 10))]
    assert disjoint_parts(boxes) == [(slice(0, 9), slice(0, 10), slice(0, 10)), (slice(9, 20), *boxes[1][1:])]


def test_boxes_hold_the_kidneys_with_margin_and_stay_inside():
    volume, labels = toy(8, WIDE)
    boxes = find_boxes(volume, labels, 20.0, (40.0, 40.0, 40.0))
    covered = np.zeros(WIDE.size, bool)
    for box in boxes:
        assert all(0 <= side.start < side.stop <= n for side, n in zip(box, WIDE.size, strict=True))
        covered[box] = True
    assert len(boxes) == 2
    assert covered[labels.array > 0].all()


def test_a_box_a_little_larger_than_a_patch_is_one_patch():
    volume, labels = toy(8, WIDE)
    labels.array[labels.array > 1] = 1
    patch = (80.0, 80.0, 120.0)
    sizes = {tuple(side.stop - side.start for side in box) for box in find_boxes(volume, labels, 20.0, patch)}
    assert sizes == {(20, 20, 24)}


def test_a_box_grows_only_where_foreground_touches_it():
    piece = np.zeros((10, 10, 10), np.uint8)
    piece[9, 5, 5] = 1
    box = (slice(20, 30), slice(20, 30), slice(20, 30))
    assert grown(box, piece, WIDE, 20.0) == (slice(20, 35), box[1], box[2])


@pytest.mark.parametrize(
    ("code", "valid"), [("LPS", True), ("IAR", True), ("LRS", False), ("LP", False), ("XYZ", False)]
)
def test_orientation_codes(code, valid):
    assert is_orientation(code) is valid


@pytest.mark.parametrize("change", [{"tile_step": 0.0}, {"margin_mm": -1.0}])
def test_impossible_options_are_refused(change):
    with pytest.raises(ConfigurationError):
        SegmentOptions(**change)
