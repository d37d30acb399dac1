"""DICOM segmentation and report: back on the right voxels, with the review's numbers, naming their source."""

import io
import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.config import disable_value_validation

from RenalCLIPCore.exchange.dicom_source import valid_date, valid_time
from RenalCLIPCore.exchange.export_case import open_review
from RenalCLIPCore.exchange.exporting import Exporter, ExportOptions
from RenalCLIPCore.exchange.lesion_values import Category, Quantity, lesion_values
from RenalCLIPCore.exchange.terminology import LOCAL, local_code
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Core.exchange.export_cases import STORAGES, stored_case

SEGMENT_ATTRIBUTES = {
    "SegmentNumber", "SegmentLabel", "SegmentAlgorithmType", "SegmentAlgorithmName", "TrackingID", "TrackingUID",
    "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence",
}  # fmt: skip
ROOT_ATTRIBUTES = {
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientName",
    "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
    "ReferringPhysicianName", "Modality", "SeriesNumber", "InstanceNumber", "Manufacturer", "ManufacturerModelName",
    "DeviceSerialNumber", "SoftwareVersions", "ContentDate", "ContentTime", "SpecificCharacterSet",
}  # fmt: skip


@pytest.fixture(scope="module", params=STORAGES)
def stored(request, tmp_path_factory):
    """(storage, review, opened case, DICOM folder, segmentation and report as read back) with kept identifiers."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    review, written, dicom = stored_case(folder, request.param)
    case = open_review(written)
    exporter = Exporter(case, ExportOptions(keep_identifiers=True, dicom=dicom))
    files = exporter.files("dicom-seg") | exporter.files("dicom-sr")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return request.param, review, case, dicom, folder


def segmentation(stored):
    return pydicom.dcmread(stored[4] / "segmentation.dcm")


def report(stored):
    return pydicom.dcmread(stored[4] / "report.dcm")


def source_files(dicom):
    return [pydicom.dcmread(path) for path in dicom.rglob("*") if path.is_file()]


def segments_back(dataset):
    """(volume of segment numbers on a grid that its frames span) from the file's own attributes, by pydicom alone."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (2, 3))
    measures = shared.PixelMeasuresSequence[0]
    spacing = [float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]), float(measures.SpacingBetweenSlices)]
    normal = np.cross(row, column)
    groups = dataset.PerFrameFunctionalGroupsSequence
    positions = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], float)
    offsets = (positions - positions[0]) @ normal
    first = positions[np.argmin(offsets)]
    places = np.rint((offsets - offsets.min()) / spacing[2]).astype(int)
    array = np.zeros((dataset.Columns, dataset.Rows, places.max() + 1), np.uint8)
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for frame, group, place in zip(pixels, groups, places, strict=True):
        array[:, :, place][frame.T > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return Volume(array, Geometry.from_components(array.shape, spacing, first, np.column_stack([row, column, normal])))


def test_the_masks_come_back_onto_the_same_voxels(stored):
    _, review, case, _, _ = stored
    dataset, labels = segmentation(stored), case.labels()
    back = segments_back(dataset)
    values = {item.SegmentNumber: _label_value(item) for item in dataset.SegmentSequence}
    found = np.vectorize(lambda n: values.get(n, 0), otypes=[np.uint8])(back.array)
    indices = np.argwhere(labels.array > 0)
    there = np.rint(back.geometry.index(labels.geometry.lps(indices))).astype(int)
    assert np.abs(back.geometry.index(labels.geometry.lps(indices)) - there).max() < 1e-3
    assert np.array_equal(found[tuple(there.T)], labels.array[tuple(indices.T)])
    assert np.count_nonzero(found) == len(indices)
    voxel_ml = float(np.prod(back.geometry.spacing_mm)) / 1000
    for lesion in review.lesions:
        number = next(n.SegmentNumber for n in dataset.SegmentSequence if n.TrackingID.endswith(f" {lesion.lesion_id}"))
        assert np.count_nonzero(back.array == number) * voxel_ml == pytest.approx(lesion.volume_ml, rel=1e-6)


def _label_value(segment):
    meaning = segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning
    return {"Kidney": 1, "Mass": 2, "Cyst": 3}[meaning]


def test_highdicom_reads_the_same_masks(stored):
    read = highdicom.seg.segread(stored[4] / "segmentation.dcm")
    labels = stored[2].labels()
    volume = read.get_volume(combine_segments=False)
    assert volume.array.any(axis=-1).sum() == np.count_nonzero(labels.array)
    assert read.get_tracking_ids()


def test_each_frame_names_the_source_image_at_its_place(stored):
    storage, _, _, dicom, _ = stored
    dataset = segmentation(stored)
    files = {str(item.SOPInstanceUID): item for item in source_files(dicom)}
    named = {
        str(i.ReferencedSOPInstanceUID) for s in dataset.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
    }
    assert named == set(files)
    assert str(dataset.FrameOfReferenceUID) == str(next(iter(files.values())).FrameOfReferenceUID)
    if storage == "tilted":
        return  # resampled: no image lies where a frame does
    for group in dataset.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        source = files[str(image.ReferencedSOPInstanceUID)]
        if storage == "enhanced":
            frames = source.PerFrameFunctionalGroupsSequence
            source = frames[int(image.ReferencedFrameNumber) - 1].PlanePositionSequence[0]
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        assert np.abs(place - np.array(source.ImagePositionPatient, float)).max() < 1e-3


def test_required_attributes_and_codes_are_there(stored):
    masks_alone = {"FrameOfReferenceUID", "DeviceSerialNumber"}
    assert {name for name in ROOT_ATTRIBUTES if name not in segmentation(stored)} == set()
    assert {name for name in ROOT_ATTRIBUTES - masks_alone if name not in report(stored)} == set()
    for item in segmentation(stored).SegmentSequence:
        assert {name for name in SEGMENT_ATTRIBUTES if name not in item} == set()
        assert item.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("phantom-nnunet 1.0", "ab" * 32)


def test_the_report_has_a_group_per_lesion_with_exactly_the_review_s_numbers(stored):
    _, review, case, _, _ = stored
    dataset, masks = report(stored), segmentation(stored)
    content = highdicom.sr.MeasurementReport.from_sequence([dataset])
    groups = {group.tracking_identifier: group for group in content.get_volumetric_roi_measurement_groups()}
    sides = case.review.segmentation.kidney_volumes_ml
    assert len(groups) == len(review.lesions) + len(sides)
    for lesion in review.lesions:
        group = groups[f"{review.study.study_id} {lesion.lesion_id}"]
        segment = masks.SegmentSequence[group.referenced_segment.referenced_segment_numbers[0] - 1]
        assert (segment.TrackingUID, segment.TrackingID) == (group.tracking_uid, group.tracking_identifier)
        assert str(group.referenced_segment.referenced_sop_instance_uid) == str(masks.SOPInstanceUID)
        numbers = [item for item in lesion_values(lesion) if isinstance(item, Quantity)]
        assert [m.value for m in group.get_measurements()] == [item.value for item in numbers]
        assert [m.unit.value for m in group.get_measurements()] == [item.unit for item in numbers]
        said = {
            e.name.value: e.value.meaning
            for e in group.get_qualitative_evaluations()
            if e.name.scheme_designator == LOCAL
        }
        classes = [item for item in lesion_values(lesion) if isinstance(item, Category)]
        known = {local_code(i.key): i.value for i in classes if not i.key.endswith("read_as")}
        assert known.items() <= said.items()
        assert said["primary"] == ("yes" if lesion.primary else "no")
    for side, volume in sides.items():
        assert groups[f"{review.study.study_id} {side} kidney"].get_measurements()[0].value == volume


def test_the_report_identifies_the_algorithm_and_its_use(stored):
    text = "\n".join(str(element.value) for element in report(stored).iterall() if element.VR in ("UT", "LO"))
    assert "phantom-demo 1.0" in text
    assert f"bundle sha256 {'cd' * 32}" in text
    assert "Research only. Not for clinical use." in text
    assert report(stored).VerificationFlag == "UNVERIFIED"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
def test_the_independent_validator_finds_no_error(stored):
    for name in ("segmentation.dcm", "report.dcm"):
        found = subprocess.run(["dciodvfy", str(stored[4] / name)], capture_output=True, text=True).stderr
        assert [line for line in found.splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump (DCMTK) is not installed")
def test_dcmtk_reads_the_report(stored):
    found = subprocess.run(["dsrdump", str(stored[4] / "report.dcm")], capture_output=True, text=True)
    assert found.returncode == 0
    assert found.stdout.count('"Measurement Group"') >= 2
    assert repr(stored[1].lesions[0].volume_ml)[:10] in found.stdout


def test_the_same_review_gives_the_same_files(stored):
    _, _, case, dicom, folder = stored
    again = Exporter(case, ExportOptions(keep_identifiers=True, dicom=dicom))
    assert again.files("dicom-seg")["segmentation.dcm"] == (folder / "segmentation.dcm").read_bytes()


def test_de_identified_objects_agree_with_each_other_and_with_no_original_uid(stored):
    _, review, case, dicom, _ = stored
    exporter = Exporter(case, ExportOptions(dicom=dicom))
    masks = pydicom.dcmread(io.BytesIO(exporter.files("dicom-seg")["segmentation.dcm"]))
    measures = pydicom.dcmread(io.BytesIO(exporter.files("dicom-sr")["report.dcm"]))
    assert masks.StudyInstanceUID == measures.StudyInstanceUID != segmentation(stored).StudyInstanceUID
    assert masks.PatientID == measures.PatientID == review.study.study_id
    assert masks.PatientIdentityRemoved == measures.PatientIdentityRemoved == "YES"
    assert masks.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert not masks.StudyDate
    assert not measures.PatientBirthDate
    with disable_value_validation():
        originals = {
            str(getattr(item, name))
            for item in source_files(dicom)
            for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
        }
    held = {
        str(v)
        for d in (masks, measures)
        for e in d.iterall()
        if e.VR == "UI"
        for v in ([e.value] if isinstance(e.value, str) else e.value)
    }
    assert not originals & held
    other = Exporter(case, ExportOptions(dicom=dicom, uid_key="a secret of the hospital")).segmentation
    assert other.StudyInstanceUID != masks.StudyInstanceUID


@pytest.mark.parametrize(
    ("text", "date"), [("20210917", "20210917"), ("20211345", ""), ("00000101", ""), ("2021-09-17", ""), ("", "")]
)
def test_dates_out_of_range_are_left_out(text, date):
    assert valid_date(text) == date
    assert valid_time("256199") == ""
    assert valid_time("091200.000000") == "091200.000000"
