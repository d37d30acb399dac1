"""DICOM export: readable by others, with the right geometry and HU, and the options that spoil it."""

from collections import Counter

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from RenalCLIPCore.errors import ConfigurationError, OutputError
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.dicom import TRANSFER_SYNTAXES, write_dicom, write_phantom_study

GRID = Geometry.from_components((38, 34, 6), (1.25, 0.75, 3.0), (-40.5, 12.25, -100.0), np.eye(3))


def volume(seed, grid=GRID):
    array = np.random.default_rng(seed).integers(-1024, 3072, size=grid.size).astype(np.int16)
    array[0, 0, 0], array[0, 0, 1] = -1024, 3071
    return Volume(array, grid)


VOLUMES = {Phase.A: volume(1), Phase.V: volume(2)}


def images(folder, *, localiser=False):
    found = [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [d for d in found if localiser or "LOCALIZER" not in d.ImageType]


def of_phase(folder, phase):
    number = "NAVD".index(phase.value) + 1
    return sorted((d for d in images(folder) if d.AcquisitionNumber == number), key=lambda d: int(d.InstanceNumber))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def hu(dataset):
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
@pytest.mark.parametrize("signed", [False, True])
def test_simpleitk_reads_the_same_hu_and_geometry_from_every_transfer_syntax(tmp_path, syntax, signed):
    folder = write_dicom(VOLUMES, tmp_path / "study", transfer_syntax=syntax, signed=signed, localiser=False)
    places = sorted(path for path in folder.iterdir() if path.is_dir())
    assert len(places) == 2
    found = []
    for place in places:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place))
        found.append(Volume.from_sitk(sitk.ReadImage(names)))
    assert all(item.geometry.same_grid(GRID) for item in found)
    expected = {v.array.tobytes() for v in VOLUMES.values()}
    assert {item.array.astype(np.int16).tobytes() for item in found} == expected
    assert images(folder)[0].file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[syntax]


@pytest.mark.parametrize("syntax", ["explicit", "jpeg2000"])
def test_enhanced_multi_frame_holds_the_same_voxels(tmp_path, syntax):
    folder = write_dicom(VOLUMES, tmp_path / "study", enhanced=True, transfer_syntax=syntax, localiser=False)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 2
    found = [Volume.from_sitk(sitk.ReadImage(str(path))) for path in files]
    assert all(item.geometry.same_grid(GRID) for item in found)
    assert {i.array.astype(np.int16).tobytes() for i in found} == {v.array.tobytes() for v in VOLUMES.values()}


def test_tags_are_those_of_a_contrast_examination(tmp_path):
    volumes = {phase: volume(n) for n, phase in enumerate(Phase)}
    folder = write_dicom(volumes, tmp_path / "study", delays_s={p: 40.0 * n for n, p in enumerate(Phase)})
    first = {phase: of_phase(folder, phase)[0] for phase in Phase}
    assert {str(d.PatientName) for d in first.values()} == {"PHANTOM^RENAL"}
    assert len({d.StudyInstanceUID for d in first.values()}) == 1
    assert len({d.FrameOfReferenceUID for d in first.values()}) == 1
    assert len({d.SeriesInstanceUID for d in first.values()}) == 4
    assert "ContrastBolusAgent" not in first[Phase.N]
    times = [float(first[phase].AcquisitionTime) for phase in Phase]
    assert times == sorted(times)
    assert len(set(times)) == 4
    assert float(first[Phase.A].ContrastBolusStartTime) < times[1]
    assert "ART" in first[Phase.A].SeriesDescription
    assert len(images(folder, localiser=True)) == 4 * 6 + 1
    assert len({d.SOPInstanceUID for d in images(folder, localiser=True)}) == 25


def test_equal_seeds_give_equal_files(tmp_path):
    first, second, other = (
        write_dicom(VOLUMES, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    names = [
        {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (first, second)
    ]
    assert names[0] == names[1]
    assert {d.StudyInstanceUID for d in images(first)}.isdisjoint(d.StudyInstanceUID for d in images(other))


def test_descriptions_contrast_and_times_can_be_left_out(tmp_path):
    bare = write_dicom(VOLUMES, tmp_path / "bare", descriptions="none", contrast_tags=False, times=False)
    for d in images(bare, localiser=True):
        assert not {"SeriesDescription", "ProtocolName", "ContrastBolusAgent", "AcquisitionTime"} & set(d.dir())
    garbled = write_dicom(VOLUMES, tmp_path / "garbled", descriptions="garbled")
    assert all("ART" not in d.SeriesDescription and "VEN" not in d.SeriesDescription for d in images(garbled))


def test_one_mixed_series_in_one_folder(tmp_path):
    folder = write_dicom(VOLUMES, tmp_path / "study", one_series=True, one_folder=True, suffix=".dcm")
    assert all(path.suffix == ".dcm" for path in folder.iterdir())
    found = images(folder)
    assert len({d.SeriesInstanceUID for d in found}) == 1
    assert Counter(int(d.AcquisitionNumber) for d in found) == {2: 6, 3: 6}


def test_reverse_order_runs_from_head_to_feet(tmp_path):
    found = of_phase(write_dicom(VOLUMES, tmp_path / "study", reverse=True), Phase.A)
    heights = [float(d.ImagePositionPatient[2]) for d in found]
    assert heights == sorted(heights, reverse=True)
    assert np.array_equal(hu(found[0]).T, VOLUMES[Phase.A].array[:, :, -1])


def test_missing_and_duplicate_slices(tmp_path):
    gap = of_phase(write_dicom(VOLUMES, tmp_path / "gap", missing_slice=2), Phase.A)
    assert [round(float(d.ImagePositionPatient[2])) for d in gap] == [-100, -97, -91, -88, -85]
    twice = of_phase(write_dicom(VOLUMES, tmp_path / "twice", duplicate_slice=2), Phase.A)
    pair = [d for d in twice if float(d.ImagePositionPatient[2]) == -94]
    assert len(pair) == 2
    assert pair[0].SOPInstanceUID != pair[1].SOPInstanceUID
    assert np.array_equal(pair[0].pixel_array, pair[1].pixel_array)
    differs = of_phase(write_dicom(VOLUMES, tmp_path / "differs", duplicate_slice=2, duplicate_differs=True), Phase.A)
    pair = [d for d in differs if float(d.ImagePositionPatient[2]) == -94]
    assert not np.array_equal(pair[0].pixel_array, pair[1].pixel_array)


def test_gantry_tilt_shears_the_stack_and_keeps_patient_space(plain_patient, tmp_path):
    x, y, z = np.mean([k.outline.centre_lps_mm for k in plain_patient.kidneys], axis=0)
    grid = Geometry.from_components((60, 40, 24), (4.0, 4.0, 4.0), (x - 118, y - 78, z - 46), np.eye(3))
    folder = write_phantom_study(plain_patient, tmp_path / "study", [Phase.A], geometry=grid, gantry_tilt_deg=15.0)
    found = of_phase(folder, Phase.A)
    row, column = np.reshape(found[0].ImageOrientationPatient, (2, 3)).astype(float)
    step = np.subtract(found[1].ImagePositionPatient, found[0].ImagePositionPatient).astype(float)
    assert step == pytest.approx((0, 0, 4), abs=1e-6)
    assert abs(column @ step) == pytest.approx(4 * np.sin(np.radians(15)), abs=1e-5)
    aorta = (*plain_patient.torso.aorta.centre_xy_mm, z)
    values = []
    for d in found:
        offset = np.subtract(aorta, np.array(d.ImagePositionPatient, float))
        normal = np.cross(row, column)
        offset = offset - np.array([0, 0, 1.0]) * (offset @ normal) / normal[2]
        values.append(hu(d)[round(offset @ column / 4.0), round(offset @ row / 4.0)])
    assert np.median(values) > 200


def test_bad_options_and_an_existing_folder_are_refused(tmp_path):
    with pytest.raises(ConfigurationError):
        write_dicom(VOLUMES, tmp_path / "study", transfer_syntax="gif")
    with pytest.raises(ConfigurationError):
        write_dicom(VOLUMES, tmp_path / "study", descriptions="latin")
    (tmp_path / "study").mkdir()
    with pytest.raises(OutputError):
        write_dicom(VOLUMES, tmp_path / "study")
    assert [p.name for p in tmp_path.iterdir()] == ["study"]
