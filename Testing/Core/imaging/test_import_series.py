"""Grouping of slices, separation of phases, kinds of stacks, and the volume that a series gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage

from RenalCLIPCore.errors import GeometryError, InputError, SliceGapError
from RenalCLIPCore.imaging.hounsfield import check_hounsfield, to_hounsfield
from RenalCLIPCore.imaging.series import Kind, group_series, same_acquisition
from RenalCLIPCore.imaging.sources import find_sources
from RenalCLIPCore.imaging.stacking import build_volume
from Testing.Core.imaging import dicom_files as files


def series_of(folder):
    return group_series(find_sources([folder]).slices)


def volume_of(folder, **options):
    (one,) = series_of(folder)
    return build_volume(one, **options)


def test_a_series_becomes_the_volume_that_was_written(tmp_path):
    values = files.body()
    volume, notes = volume_of(files.save(files.datasets(values), tmp_path))
    assert np.array_equal(volume.array, values.transpose(2, 1, 0))
    assert volume.array.dtype == np.int16
    assert np.allclose(volume.geometry.origin_lps_mm, files.ORIGIN)
    assert np.allclose(volume.geometry.spacing_mm, (*files.SPACING, files.STEP))
    assert notes == ()


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(files.SLICES)), numbers=st.permutations(range(files.SLICES)))
def test_file_names_and_instance_numbers_do_not_matter(tmp_path_factory, order, numbers):
    def renumber(k, ds):
        ds.InstanceNumber = numbers[k] + 1

    values = files.body()
    folder = files.save(files.datasets(values, edit=renumber), tmp_path_factory.mktemp("ct"), order=order)
    volume, _ = volume_of(folder)
    assert np.array_equal(volume.array, values.transpose(2, 1, 0))


def test_rows_that_run_the_other_way_keep_every_voxel_in_its_place(tmp_path):
    values = files.body()
    plain, _ = volume_of(files.save(files.datasets(values), tmp_path / "plain"))
    places = [(x + (files.COLUMNS - 1) * files.SPACING[0], y, z) for x, y, z in files.positions()]
    turned = files.datasets(values[:, :, ::-1], places, ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])
    other, _ = volume_of(files.save(turned, tmp_path / "turned"))
    assert not np.allclose(other.geometry.direction, plain.geometry.direction)
    assert other.canonical().geometry.same_grid(plain.geometry, 1e-6)
    assert np.array_equal(other.canonical().array, plain.array)


def test_compressed_and_signed_files_give_the_same_values(tmp_path):
    values = files.body()
    signed = files.datasets(values, RescaleIntercept=0, PixelRepresentation=1)
    for ds, pixels in zip(signed, values, strict=True):
        ds.PixelData = pixels.tobytes()
        ds.compress(RLELossless)
    volume, _ = volume_of(files.save(signed, tmp_path))
    assert np.array_equal(volume.array, values.transpose(2, 1, 0))


def test_rescale_slope_is_applied_slice_by_slice_and_its_change_is_noted(tmp_path):
    def rescale(k, ds):
        if k == 4:
            ds.RescaleSlope, ds.RescaleIntercept = 2, -2000

    values = files.body()
    volume, notes = volume_of(files.save(files.datasets(values, edit=rescale), tmp_path))
    expected = np.clip(2 * (values[4].astype(int) + 1024) - 2000, -1024, 3071)
    assert np.array_equal(volume.array[:, :, 4], expected.T)
    assert any("rescale" in note for note in notes)


def test_without_rescale_stored_values_must_look_like_hounsfield_units(tmp_path):
    folder = files.save(files.datasets(RescaleSlope=None, RescaleIntercept=None), tmp_path)
    with pytest.raises(InputError, match="Hounsfield"):
        volume_of(folder)


def test_a_missing_slice_is_refused_with_its_position_and_filled_on_request(tmp_path):
    items = files.datasets()
    folder = files.save(items[:4] + items[5:], tmp_path)
    with pytest.raises(SliceGapError, match=r"lacks 1 slice at z = 110\.0 mm \(LPS\)"):
        volume_of(folder)
    volume, notes = volume_of(folder, allow_gaps=True)
    values = files.body().transpose(2, 1, 0).astype(float)
    assert volume.array.shape[2] == files.SLICES
    assert np.abs(volume.array[:, :, 4] - (values[:, :, 3] + values[:, :, 5]) / 2).max() <= 0.5
    assert np.array_equal(volume.array[:, :, 5], values[:, :, 5])
    assert any("1 missing slice at z = 110.0" in note for note in notes)


def test_two_gaps_are_both_named(tmp_path):
    items = files.datasets()
    folder = files.save(items[:2] + items[4:7] + items[8:], tmp_path)
    with pytest.raises(SliceGapError, match=r"3 slices at z = 105\.0, 107\.5, 117\.5 mm"):
        volume_of(folder)


def test_uneven_spacing_is_refused_and_evened_on_request(tmp_path):
    places = files.positions()
    places[6:] = [(x, y, z + 0.8) for x, y, z in places[6:]]
    folder = files.save(files.datasets(places=places), tmp_path)
    with pytest.raises(SliceGapError, match="unevenly spaced"):
        volume_of(folder)
    volume, notes = volume_of(folder, allow_gaps=True)
    low, high = volume.geometry.lps([(0, 0, 0), (0, 0, volume.array.shape[2] - 1)])[:, 2]
    assert (low, high) == pytest.approx((100.0, 123.3))
    assert any("resampled onto an even grid" in note for note in notes)


def test_rounded_positions_are_no_uneven_spacing(tmp_path):
    places = [(x, y, round(100 + 0.6667 * k, 1)) for k, (x, y, _) in enumerate(files.positions())]
    volume, notes = volume_of(files.save(files.datasets(places=places), tmp_path))
    assert volume.geometry.spacing_mm[2] == pytest.approx(0.667, abs=0.01)
    assert notes == ()


def test_an_identical_duplicate_is_dropped_and_a_different_one_refused(tmp_path):
    items = files.datasets()
    copy = files.datasets()[5]
    folder = files.save([*items, copy], tmp_path / "same")
    volume, notes = volume_of(folder)
    assert volume.array.shape[2] == files.SLICES
    assert any("duplicate" in note for note in notes)
    other = files.datasets(files.body(seed=9))[5]
    folder = files.save([*items, other], tmp_path / "other")
    with pytest.raises(SliceGapError, match=r"two different slices at z = 112\.5"):
        volume_of(folder)


def test_gantry_tilt_is_found_as_shear_and_rectified(tmp_path):
    angle = np.radians(12.0)
    axes = [1, 0, 0, 0, np.cos(angle), -np.sin(angle)]
    values = np.full((30, files.ROWS, files.COLUMNS), -1000, dtype=np.int16)
    places = [(files.ORIGIN[0], -12.0, 100.0 + 2.0 * k) for k in range(30)]
    # A plane of constant patient z: it cuts the tilted slices obliquely.
    for k, place in enumerate(places):
        z = place[2] - np.sin(angle) * files.SPACING[1] * np.arange(files.ROWS)
        values[k] = np.where(z > 130.0, 200, -100)[:, None]
    folder = files.save(files.datasets(values, places, ImageOrientationPatient=axes), tmp_path)
    volume, notes = volume_of(folder)
    assert any("Gantry tilt of 12.0 degrees" in note for note in notes)
    assert np.allclose(volume.geometry.direction, np.eye(3), atol=1e-6)
    index = np.array(np.nonzero(volume.array > 150)).T
    assert volume.geometry.lps(index)[:, 2].min() == pytest.approx(130.0, abs=2.0)
    above = volume.geometry.lps(np.array(np.nonzero(np.abs(volume.array + 100) < 1)).T)
    assert above[:, 2].max() == pytest.approx(130.0, abs=2.0)


def test_slices_shifted_in_their_plane_are_refused(tmp_path):
    places = files.positions()
    places[5] = (places[5][0] + 9.0, places[5][1], places[5][2])
    with pytest.raises(GeometryError, match="shifted against each other"):
        volume_of(files.save(files.datasets(places=places), tmp_path))


def mixed(folder, **by_phase):
    """Two phases at the same positions in one series; each tag has a value per phase."""
    items = []
    for phase in range(2):
        tags = {name: values[phase] for name, values in by_phase.items()}
        items += files.datasets(files.body(phase), **tags)
    return files.save(items, folder)


@pytest.mark.parametrize(
    "tags",
    [
        {"AcquisitionNumber": (1, 2)},
        {"TemporalPositionIdentifier": (1, 2)},
        {"TriggerTime": (0, 700)},
        {"ContrastBolusAgent": ("", "Iohexol")},
        {"SeriesDescription": ("nativ", "arteriell")},
        {"AcquisitionTime": ("100000", "100040")},
        {"ContentTime": ("100000", "100040")},
    ],
)
def test_phases_in_one_series_come_apart(tmp_path, tags):
    found = series_of(mixed(tmp_path, **tags))
    assert [one.label for one in found] == ["1.1", "1.2"]
    for phase, one in enumerate(found):
        volume, _ = build_volume(one)
        assert np.array_equal(volume.array, files.body(phase).transpose(2, 1, 0))


def test_phases_come_apart_by_the_run_of_instance_numbers(tmp_path):
    def later(k, ds):
        ds.InstanceNumber = k + 1 + files.SLICES

    items = files.datasets(files.body(0)) + files.datasets(files.body(1), edit=later)
    one, two = series_of(files.save(items, tmp_path, order=np.random.default_rng(0).permutation(len(items))))
    assert np.array_equal(build_volume(one)[0].array, files.body(0).transpose(2, 1, 0))
    assert np.array_equal(build_volume(two)[0].array, files.body(1).transpose(2, 1, 0))


def test_phases_on_interleaved_positions_come_apart(tmp_path):
    between = [(x, y, z + 1.1) for x, y, z in files.positions()]
    items = files.datasets(AcquisitionNumber=1) + files.datasets(files.body(1), between, AcquisitionNumber=2)
    one, two = series_of(files.save(items, tmp_path))
    assert len(one.slices) == len(two.slices) == files.SLICES


def test_acquisition_times_that_run_within_a_phase_do_not_tear_it(tmp_path):
    def timed(start):
        def edit(k, ds):
            ds.AcquisitionTime = f"1000{start + 0.5 * k:05.2f}"

        return edit

    items = files.datasets(files.body(0), edit=timed(0)) + files.datasets(files.body(1), edit=timed(40))
    one, two = series_of(files.save(items, tmp_path))
    assert np.array_equal(build_volume(one)[0].array, files.body(0).transpose(2, 1, 0))
    assert np.array_equal(build_volume(two)[0].array, files.body(1).transpose(2, 1, 0))


def test_step_and_shoot_with_a_number_per_slice_stays_one_series(tmp_path):
    def numbered(k, ds):
        ds.AcquisitionNumber = k // 2

    assert len(series_of(files.save(files.datasets(edit=numbered), tmp_path))) == 1


def test_frames_of_an_enhanced_file_come_apart_by_temporal_position(tmp_path):
    stacks = [(files.body(p), files.positions(), p + 1, f"2020010210{p:02d}00") for p in range(2)]
    folder = files.save([files.enhanced(stacks)], tmp_path)
    one, two = series_of(folder)
    for phase, stack in enumerate((one, two)):
        assert np.array_equal(build_volume(stack)[0].array, files.body(phase).transpose(2, 1, 0))
    assert two.acquired_s - one.acquired_s == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Kind.LOCALISER),
        ({"SeriesDescription": "Topogram 0.6"}, Kind.LOCALISER),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Kind.MAP),
        ({"SeriesDescription": "Patient Protocol"}, Kind.MAP),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, Kind.MAP),
        ({"RescaleType": "Z_EFF"}, Kind.MAP),
        ({"ImagePositionPatient": None}, Kind.NO_POSITION),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, Kind.REFORMATTED),
        ({"SeriesDescription": "Abdomen low dose arterial"}, Kind.AXIAL),
        ({}, Kind.AXIAL),
    ],
)
def test_kinds_are_told_apart(tmp_path, tags, kind):
    places = files.positions()
    if kind is Kind.REFORMATTED:
        places = [(x, y + 2.5 * k, 100.0) for k, (x, y, _) in enumerate(places)]
    (one,) = series_of(files.save(files.datasets(places=places, **tags), tmp_path))
    assert one.kind is kind


def test_three_slices_and_bolus_tracking_at_one_place_are_too_few(tmp_path):
    (few,) = series_of(files.save(files.datasets()[:3], tmp_path / "few"))
    tracking = files.save(files.datasets(places=[files.ORIGIN] * files.SLICES), tmp_path / "tracking")
    assert few.kind is Kind.FEW
    assert {one.kind for one in series_of(tracking)} == {Kind.FEW}


def test_matrix_orientation_kernel_and_thickness_part_one_series_uid(tmp_path):
    tags = [{}, {"ConvolutionKernel": "B70f"}, {"SliceThickness": 5.0}, {"PixelSpacing": [2.0, 2.0]}]
    items = [ds for one in tags for ds in files.datasets(**one)]
    assert len(series_of(files.save(items, tmp_path))) == 4


def test_the_smooth_original_is_preferred_among_reconstructions(tmp_path):
    plain = {"AcquisitionTime": "100000", "AcquisitionNumber": 3}
    items = files.datasets(SeriesNumber=1, ConvolutionKernel="B70f", **plain)
    items += files.datasets(SeriesNumber=2, **plain)
    items += files.datasets(SeriesNumber=3, ImageType=["DERIVED", "SECONDARY", "AXIAL"], **plain)
    found = series_of(files.save(items, tmp_path))
    assert max(found, key=lambda one: one.preference).label == "2"
    assert all(same_acquisition(found[0], other) for other in found[1:])
    later = [replace(item, acquired_s=item.acquired_s + 50) for item in found[1].slices]
    assert not same_acquisition(found[0], replace(found[1], slices=tuple(later)))


def test_values_that_are_no_numbers_become_air_and_absurd_ones_are_clipped():
    array, notes = to_hounsfield(np.array([[np.nan, 1e9, -np.inf, 40.4]]))
    assert array.tolist() == [[-1000, 3071, -1000, 40]]
    assert len(notes) == 2


@pytest.mark.parametrize(
    "values", [np.linspace(0, 1, 50), np.arange(256), np.zeros(9), np.full(3, np.nan), np.linspace(-3, 4, 9)]
)
def test_values_that_cannot_be_hounsfield_units_are_refused(values):
    with pytest.raises(InputError, match="Hounsfield"):
        check_hounsfield(values, "the file")
