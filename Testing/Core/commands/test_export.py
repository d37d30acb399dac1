"""``renalclip export`` as a person uses it: one message for each bad input, no patient data in files or output."""

import csv
import io
import shutil
import subprocess
from dataclasses import replace

import pydicom
import pytest

from RenalCLIPCore import review as r
from RenalCLIPCore.cli import main
from RenalCLIPCore.exchange.pdf import review_pdf
from RenalCLIPCore.phantom.dicom import write_dicom
from Testing.Core.exchange.export_cases import phantom_volumes, write_case
from Testing.Core.test_privacy import ACCESSION, DAY, GIVEN, NAME, NUMBER, SECRETS, identify

ALL = ("dicom-seg", "dicom-sr", "fhir", "pdf", "csv")
FILES = {"segmentation.dcm", "report.dcm", "bundle-r5.json", "bundle-r4b.json", "review.pdf", "lesions.csv"}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """(folder of the review, folder of DICOM in which every identifying attribute is filled) of one study."""
    base = tmp_path_factory.mktemp("export")
    volumes, labels = phantom_volumes("AV")
    plain = write_dicom(volumes, base / "plain", localiser=False)
    dicom = base / "dicom"
    dicom.mkdir()
    for number, path in enumerate(sorted(item for item in plain.rglob("*") if item.is_file())):
        dataset = pydicom.dcmread(path)
        identify(dataset, number)
        dataset.save_as(dicom / f"{number:03}", enforce_file_format=True)
    identifiers = r.Identifiers(f"{NAME}^{GIVEN}", NUMBER, DAY, ACCESSION)
    write_case(base / "review", dicom, labels, identifiers=identifiers)
    return base / "review", dicom


def export(*arguments):
    return main(["export", *map(str, arguments)])


def kinds(*names):
    return [word for name in names for word in ("--to", name)]


def refused(capsys, *arguments):
    assert export(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("renalclip: ")
    assert "Traceback" not in printed.err
    assert not SECRETS.search(printed.out + printed.err)
    return printed.err


def secrets_in(folder):
    return [path.name for path in folder.iterdir() if SECRETS.search(path.read_bytes().decode("latin-1"))]


def test_nothing_of_the_patient_gets_out_of_any_export(case, tmp_path, capfd):
    review, dicom = case
    assert export(review, *kinds(*ALL), "--dicom", dicom, "--out", tmp_path / "out") == 0
    printed = capfd.readouterr()
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert secrets_in(tmp_path / "out") == []
    assert not SECRETS.search(printed.out + printed.err)
    assert "burned" in printed.err
    import pypdfium2

    document = pypdfium2.PdfDocument(tmp_path / "out" / "review.pdf")
    assert not SECRETS.search("".join(page.get_textpage().get_text_range() for page in document))
    document.close()


def test_copies_of_the_ct_hold_nothing_of_the_patient_and_the_uids_that_the_other_exports_name(case, tmp_path, capfd):
    review, dicom = case
    out = tmp_path / "out"
    assert export(review, *kinds("dicom-ct", "dicom-seg", "dicom-sr"), "--dicom", dicom, "--out", out) == 0
    printed = capfd.readouterr()
    assert not SECRETS.search(printed.out + printed.err)
    assert "burned" in printed.err
    copies = [pydicom.dcmread(path) for path in sorted((out / "dicom-ct").iterdir())]
    originals = [pydicom.dcmread(path) for path in sorted(dicom.iterdir())]
    assert len(copies) == len(originals)
    assert secrets_in(out / "dicom-ct") == []
    masks = pydicom.dcmread(out / "segmentation.dcm")
    series = {str(one.SeriesInstanceUID) for one in copies}
    named = masks.ReferencedSeriesSequence[0]
    assert str(named.SeriesInstanceUID) in series
    assert {str(one.ReferencedSOPInstanceUID) for one in named.ReferencedInstanceSequence} <= {
        str(one.SOPInstanceUID) for one in copies
    }
    assert {str(one.StudyInstanceUID) for one in copies} == {str(masks.StudyInstanceUID)}
    assert {str(one.FrameOfReferenceUID) for one in copies} == {str(masks.FrameOfReferenceUID)}
    assert len(series) == len({str(one.SeriesInstanceUID) for one in originals})
    with pydicom.config.disable_value_validation():
        kept = {str(e.value) for one in originals for e in one.iterall() if e.VR == "UI" and e.keyword != "SOPClassUID"}
    held = {str(e.value) for one in copies for e in one.iterall() if e.VR == "UI"}
    assert not {uid for uid in kept & held if not uid.startswith("1.2.840.10008.")}
    assert not [e for one in copies for e in one.iterall() if e.tag.is_private]
    assert {one.PatientIdentityRemoved for one in copies} == {"YES"}
    assert all(one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID for one in copies)
    by_place = {(float(one.ImagePositionPatient[2]), one.SeriesNumber): one for one in originals}
    for copy in copies:
        original = by_place[float(copy.ImagePositionPatient[2]), copy.SeriesNumber]
        assert (copy.pixel_array == original.pixel_array).all()
        assert (copy.RescaleSlope, copy.RescaleIntercept) == (original.RescaleSlope, original.RescaleIntercept)


def test_copies_of_the_ct_are_a_study_that_the_segmentation_fits(case, tmp_path):
    from RenalCLIPCore.imaging.importing import ImportOptions, import_study

    out = tmp_path / "out"
    assert export(case[0], *kinds("dicom-ct"), "--dicom", case[1], "--out", out) == 0
    again = import_study([out / "dicom-ct"], tmp_path / "study", ImportOptions(phases_of(out / "dicom-ct")))
    first = r.read_review(case[0] / "review.json").study
    assert again.reference.geometry.size == tuple(first.phases[0].size)


def phases_of(folder):
    """Phases by series number, since what would tell them is gone from the copies."""
    numbers = sorted({int(pydicom.dcmread(path).SeriesNumber) for path in folder.iterdir()})
    from RenalCLIPCore.imaging.importing import parse_phase_overrides

    return parse_phase_overrides([f"{phase}={number}" for phase, number in zip("AV", numbers, strict=True)])


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
def test_the_independent_validator_finds_no_error_in_a_copy_of_the_ct_that_the_original_lacks(tmp_path):
    volumes, labels = phantom_volumes("A")
    for name, options in (("plain", {}), ("enhanced", {"enhanced": True}), ("packed", {"transfer_syntax": "jpegls"})):
        dicom = write_dicom(volumes, tmp_path / name / "dicom", localiser=False, **options)
        write_case(tmp_path / name / "review", dicom, labels)
        out = tmp_path / name / "out"
        assert export(tmp_path / name / "review", *kinds("dicom-ct"), "--dicom", dicom, "--out", out) == 0
        copies = sorted((out / "dicom-ct").iterdir())
        originals = sorted(path for path in dicom.rglob("*") if path.is_file())
        assert errors(copies[0]) - errors(originals[0]) == set(), name
        assert name == "enhanced" or errors(copies[len(copies) // 2]) == set()


def errors(path):
    """What an independent validator calls an error."""
    found = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
    return {line for line in found.splitlines() if line.startswith("Error")}


def test_images_with_burned_in_text_are_left_out_of_the_copies_and_a_full_folder_is_refused(case, tmp_path, capsys):
    folder = tmp_path / "dicom"
    shutil.copytree(case[1], folder)
    files = sorted(folder.iterdir())
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.BurnedInAnnotation = "YES" if path == files[0] else "NO"
        dataset.save_as(path)
    out = tmp_path / "out"
    assert export(case[0], *kinds("dicom-ct"), "--dicom", folder, "--out", out) == 0
    assert "1 images with text burned" in capsys.readouterr().err
    assert len(list((out / "dicom-ct").iterdir())) == len(files) - 1
    assert "not empty" in refused(capsys, case[0], *kinds("dicom-ct"), "--dicom", folder, "--out", out)
    other = tmp_path / "other"
    assert "--keep-identifiers" in refused(
        capsys, case[0], *kinds("dicom-ct"), "--dicom", folder, "--out", other, "--keep-identifiers"
    )
    assert "--dicom" in refused(capsys, case[0], *kinds("dicom-ct"), "--out", other)
    assert not other.exists() or list(other.iterdir()) == []


def test_kept_identifiers_are_the_source_s_and_the_output_stays_silent_of_them(case, tmp_path, capfd):
    review, dicom = case
    assert export(review, *kinds(*ALL), "--dicom", dicom, "--out", tmp_path / "out", "--keep-identifiers") == 0
    printed = capfd.readouterr()
    assert not SECRETS.search(printed.out + printed.err)
    assert "Identifiers were kept" in printed.err
    for name in ("segmentation.dcm", "report.dcm"):
        dataset = pydicom.dcmread(tmp_path / "out" / name)
        assert (dataset.PatientName, dataset.PatientID, dataset.StudyDate) == (f"{NAME}^{GIVEN}", NUMBER, DAY)
        assert "PatientIdentityRemoved" not in dataset
        assert not [element for element in dataset.iterall() if element.tag.is_private]
    assert set(secrets_in(tmp_path / "out")) >= FILES - {"review.pdf"}


def test_one_export_can_name_its_file_and_several_reviews_make_one_table(case, tmp_path):
    review, _ = case
    assert export(review, "--to", "pdf", "--out", tmp_path / "case.pdf") == 0
    assert (tmp_path / "case.pdf").read_bytes().startswith(b"%PDF")
    assert export(review, review / "review.json", "--to", "csv", "--out", tmp_path / "table.csv") == 0
    lesions = len(r.read_review(review / "review.json").lesions)
    text = (tmp_path / "table.csv").read_bytes().decode("utf-8")
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2 * lesions
    assert not SECRETS.search(text)


def test_dicom_is_asked_for_in_one_sentence_where_it_is_needed(case, tmp_path, capsys):
    for kind in ("dicom-seg", "dicom-sr"):
        assert "--dicom" in refused(capsys, case[0], "--to", kind, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dicom_of_another_study_is_refused(case, tmp_path, capsys):
    volumes, _ = phantom_volumes("A")
    phase, volume = next(iter(volumes.items()))
    other = write_dicom({phase: replace(volume, array=volume.array + 1)}, tmp_path / "other")
    message = refused(capsys, case[0], "--to", "dicom-seg", "--dicom", other, "--out", tmp_path / "out")
    assert "No series" in message


def test_images_that_share_a_uid_are_refused(case, tmp_path, capsys):
    folder = tmp_path / "dicom"
    shutil.copytree(case[1], folder)
    for path in sorted(folder.iterdir())[:3]:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        dataset.save_as(path)
    message = refused(capsys, case[0], "--to", "dicom-seg", "--dicom", folder, "--out", tmp_path / "out")
    assert "share a UID" in message


def test_chinese_names_and_impossible_dates_are_written_so_that_they_read_back(tmp_path):
    volumes, labels = phantom_volumes("A")
    plain = write_dicom(volumes, tmp_path / "dicom", localiser=False)
    with pydicom.config.disable_value_validation():
        for path in plain.rglob("*"):
            if path.is_file():
                dataset = pydicom.dcmread(path)
                dataset.SpecificCharacterSet = "GB18030"
                dataset.PatientName, dataset.PatientBirthDate = "Wang^XiaoDong=王^小东", "19471399"
                dataset.save_as(path)
    write_case(tmp_path / "review", plain, labels)
    arguments = [tmp_path / "review", *kinds("dicom-seg", "dicom-sr"), "--dicom", plain, "--out", tmp_path / "out"]
    assert export(*arguments, "--keep-identifiers") == 0
    for name in ("segmentation.dcm", "report.dcm"):
        dataset = pydicom.dcmread(tmp_path / "out" / name)
        assert str(dataset.PatientName) == "Wang^XiaoDong=王^小东"
        assert not dataset.PatientBirthDate
    assert export(*arguments) == 0
    assert "王" not in str(pydicom.dcmread(tmp_path / "out" / "report.dcm").PatientName)


def test_a_study_without_a_lesion_is_exported_with_its_kidneys(case, tmp_path):
    folder = tmp_path / "review"
    shutil.copytree(case[0], folder)
    review = r.read_review(folder / "review.json")
    r.write_review(replace(review, lesions=()), folder / "review.json")
    assert export(folder, *kinds(*ALL), "--dicom", case[1], "--out", tmp_path / "out") == 0
    dataset = pydicom.dcmread(tmp_path / "out" / "segmentation.dcm")
    assert dataset.SegmentSequence[0].SegmentLabel == "Kidneys"


def test_a_point_without_masks_is_reported_without_a_segment(case, tmp_path, capsys):
    folder = tmp_path / "review"
    shutil.copytree(case[0], folder)
    review = r.read_review(folder / "review.json")
    gone = r.Absent("nothing was segmented; the centre was given")
    point = replace(review.lesions[0], label="point", volume_ml=gone, largest_diameter_mm=gone, axial_diameter_mm=gone)
    r.write_review(replace(review, segmentation=gone, lesions=(point,)), folder / "review.json")
    assert export(folder, "--to", "dicom-sr", "--dicom", case[1], "--out", tmp_path / "report.dcm") == 0
    assert pydicom.dcmread(tmp_path / "report.dcm").Modality == "SR"
    capsys.readouterr()
    message = refused(capsys, folder, "--to", "dicom-seg", "--dicom", case[1], "--out", tmp_path / "out")
    assert "Nothing was segmented" in message


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "segmentation.nrrd").unlink(), "label map"),
        (lambda folder: (folder / "review.json").write_text("{}"), "Schema version"),
        (lambda folder: (folder / "review.json").unlink(), "cannot be read"),
    ],
    ids=["no label map", "no review", "nothing"],
)
def test_a_damaged_folder_is_told_in_one_sentence(case, tmp_path, capsys, spoil, words):
    folder = tmp_path / "review"
    shutil.copytree(case[0], folder)
    spoil(folder)
    arguments = (folder, "--to", "dicom-seg", "--dicom", case[1], "--out", tmp_path / "out")
    assert words in refused(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_masks_that_are_not_the_review_s_are_refused(case, tmp_path, capsys):
    folder = tmp_path / "review"
    shutil.copytree(case[0], folder)
    review = r.read_review(folder / "review.json")
    grown = replace(review.lesions[0], volume_ml=2 * review.lesions[0].volume_ml)
    r.write_review(replace(review, lesions=(grown, *review.lesions[1:])), folder / "review.json")
    message = refused(capsys, folder, "--to", "dicom-seg", "--dicom", case[1], "--out", tmp_path / "out")
    assert "as the review measured it" in message


def test_several_reviews_are_for_the_table_alone_and_a_short_secret_is_none(case, tmp_path, capsys):
    assert "csv" in refused(capsys, case[0], case[0], "--to", "pdf", "--out", tmp_path / "out")
    (tmp_path / "key").write_text("short")
    arguments = (case[0], "--to", "csv", "--uid-key", tmp_path / "key", "--out", tmp_path / "out")
    assert "16 characters" in refused(capsys, *arguments)


def test_the_pdf_reads_the_pictures_that_lie_beside_the_review(case):
    review = r.read_review(case[0] / "review.json")
    outside = replace(review.lesions[0], pictures={"axial-A": "../../etc/passwd"})
    assert review_pdf(replace(review, lesions=(outside,)), case[0]).startswith(b"%PDF")
