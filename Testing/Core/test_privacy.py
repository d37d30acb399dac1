"""Unmistakable identifiers in every place that files offer; none may be found in anything that the program lets out."""

import gzip
import io
import json
import os
import re
import threading
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from RenalCLIPCore.cli import main
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import write_volume
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.phantom.dicom import write_dicom
from RenalCLIPCore.review import read_review
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker import Worker
from RenalCLIPCore.worker_methods import SessionMethods
from Testing.Core import phantom_case
from Testing.Core.models.bundle_toys import toy_contents

NAME, GIVEN, NUMBER = "ZZHIDDENDOE", "QXJANE", "MRN4711XYZ"
BIRTH, DAY, ACCESSION, ROOT = "19471103", "20210917", "ACC998877", "1.2.826.0.1.99999"
SECRETS = re.compile(
    rf"{NAME}|{GIVEN}|{NUMBER}|{BIRTH}|1947-11-03|{DAY}|2021-09-17|{ACCESSION}|{re.escape(ROOT)}", re.IGNORECASE
)
QUICK = ("--quiet", "--no-uncertainty", "--no-nephrometry")


def identify(dataset, number):
    """Put identifiers into a dataset wherever they can stand."""
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = f"{NAME}^{GIVEN}", NUMBER, BIRTH
    for tag in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, tag, DAY)
    dataset.AccessionNumber, dataset.StudyID = ACCESSION, NUMBER
    dataset.OtherPatientIDs = dataset.DeviceSerialNumber = NUMBER
    for tag in ("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName"):
        setattr(dataset, tag, f"{NAME}^{GIVEN}")
    dataset.PatientComments = dataset.ImageComments = dataset.InstitutionName = f"{NAME}, born {BIRTH}"
    dataset.SeriesDescription = f"{dataset.SeriesDescription} {NAME} {NUMBER}"
    dataset.ProtocolName = f"ABDOMEN {NAME}"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = f"{ROOT}.1", f"{ROOT}.2"
    dataset.SeriesInstanceUID = f"{ROOT}.3.{dataset.SeriesNumber}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.4.{number}"
    block = dataset.private_block(0x0009, f"MAKER {NAME}", create=True)
    block.add_new(1, "LO", f"{NAME} {NUMBER}")
    block.add_new(2, "UN", f"{NAME}^{GIVEN} {BIRTH}".encode())


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Volumes, labels, and the folder of a study whose every name holds the patient's."""
    base = tmp_path_factory.mktemp("case")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_case, "COLUMNS", 64)
        patch.setattr(phantom_case, "SLICE_MM", 10.0)
        volumes, labels, _ = phantom_case.make_phantom(phases="AV")
    write_bundle(base / "bundle", toy_contents())
    plain = write_dicom({Phase(p): volumes[Phase(p)] for p in "AV"}, base / "plain", localiser=False)
    folder = base / f"{NAME}_{GIVEN}" / f"{NUMBER}_{DAY}"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(item for item in plain.rglob("*") if item.is_file())):
        dataset = pydicom.dcmread(path)
        identify(dataset, number)
        dataset.save_as(folder / f"{NAME}_{GIVEN}_{NUMBER}_{number:03}.dcm", enforce_file_format=True)
    write_volume(labels, folder.parent / f"{NAME}-masks.nii.gz")
    return volumes, labels, folder, base / "bundle"


@pytest.fixture
def made(monkeypatch):
    """Names of all folders that are made, and of all things that are renamed."""
    names = []
    for function in ("mkdir", "rename", "replace"):
        original = getattr(os, function)

        def noted(*arguments, _original=original, **more):
            names.extend(
                os.path.basename(os.fsdecode(path)) for path in arguments[:2] if isinstance(path, (str, os.PathLike))
            )
            return _original(*arguments, **more)

        monkeypatch.setattr(os, function, noted)
    return names


def texts_in(path):
    """The bytes of a file, and what they unpack to."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data.startswith(b"NRRD"):
        yield zlib.decompressobj(31).decompress(data.partition(b"\n\n")[2])
    if data[:4] == b"\x89PNG" or data[:2] == b"\xff\xd8":
        with Image.open(io.BytesIO(data)) as picture:
            yield repr(picture.info).encode()


def secrets_in(folder):
    """Where below a folder a secret stands, in names or contents."""
    found = []
    for path in folder.rglob("*"):
        if SECRETS.search(str(path.relative_to(folder))):
            found.append(str(path))
        if path.is_file() and any(SECRETS.search(text.decode("latin-1")) for text in texts_in(path)):
            found.append(f"in {path.name}")
    return found


def test_a_review_of_dicom_lets_no_identifier_out(case, tmp_path, capfd, made):
    _, _, folder, bundle = case
    masks = folder.parent / f"{NAME}-masks.nii.gz"
    arguments = ["--bundle", str(bundle), "--segmentation", str(masks), *QUICK]
    assert main(["review", str(folder), "--out", str(tmp_path / "out"), *arguments]) == 0
    assert main(["import", str(folder), "--out", str(tmp_path / "study")]) == 0
    printed = capfd.readouterr()
    assert not SECRETS.search(printed.out + printed.err)
    assert (tmp_path / "out" / "study" / "A.nrrd").is_file()
    assert secrets_in(tmp_path) == []
    assert not [name for name in made if SECRETS.search(name)]


def test_identifiers_that_are_asked_for_are_those_of_the_study_and_nothing_else(case, tmp_path, capfd):
    _, _, folder, bundle = case
    masks = folder.parent / f"{NAME}-masks.nii.gz"
    arguments = [
        "--bundle",
        str(bundle),
        "--segmentation",
        str(masks),
        "--no-explanation",
        *QUICK,
        "--keep-identifiers",
    ]
    assert main(["review", str(folder), "--out", str(tmp_path / "out"), *arguments]) == 0
    printed = capfd.readouterr()
    assert not SECRETS.search(printed.out + printed.err)
    identifiers = read_review(tmp_path / "out" / "review.json").study.identifiers
    assert (identifiers.patient_id, identifiers.study_date) == (NUMBER, DAY)
    document = json.loads((tmp_path / "out" / "review.json").read_text())
    document["study"]["identifiers"] = {}
    assert not SECRETS.search(json.dumps(document))
    assert set(secrets_in(tmp_path)) <= {"in review.json", "in review.html", "in study.json"}


def test_a_review_of_named_volume_files_lets_no_identifier_out(case, tmp_path, capfd, made):
    volumes, labels, _, bundle = case
    given = tmp_path / f"{NAME}_{GIVEN}"
    given.mkdir()
    image = volumes[Phase.A].to_sitk()
    for key in ("PatientName", "aux_file", "descrip", "db_name"):
        image.SetMetaData(key, f"{NAME} {BIRTH}")
    masks = labels.to_sitk()
    masks.SetMetaData("PatientName", NAME)
    made.clear()
    for suffix in (".nrrd", ".nii.gz", ".mha"):
        out = tmp_path / "out" / suffix.strip(".")
        sitk.WriteImage(image, str(given / f"{NAME}_art{suffix}"))
        sitk.WriteImage(masks, str(given / f"{NAME}_masks.seg{suffix}"))
        source, given_masks = given / f"{NAME}_art{suffix}", given / f"{NAME}_masks.seg{suffix}"
        arguments = ["--phase", f"A={source}", "--bundle", str(bundle), "--segmentation", str(given_masks)]
        assert main(["review", str(source), "--out", str(out), *arguments, "--no-explanation", *QUICK]) == 0
    printed = capfd.readouterr()
    assert not SECRETS.search(printed.out + printed.err)
    assert secrets_in(tmp_path / "out") == []
    assert not [name for name in made if SECRETS.search(name)]


def spoil_truncated(folder):
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-3000])


def spoil_pixels(folder):
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51 no codestream"])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.save_as(path)


def spoil_gap(folder):
    sorted(folder.iterdir())[7].unlink()


def spoil_size(folder):
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.Rows = 60000
        dataset.save_as(path)


def spoil_modality(folder):
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.Modality, dataset.SOPClassUID = NAME, "1.2.840.10008.5.1.4.1.1.4"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(path)


def spoil_patients(folder):
    path = sorted(folder.iterdir())[0]
    dataset = pydicom.dcmread(path)
    dataset.PatientID = "another"
    dataset.save_as(path)


def spoil_everything(folder):
    for path in folder.iterdir():
        path.unlink()


SPOILS = (spoil_truncated, spoil_pixels, spoil_gap, spoil_size, spoil_modality, spoil_patients, spoil_everything)


@pytest.fixture(params=SPOILS, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def spoilt(request, case, tmp_path):
    """A copy of the study's arterial series in which something is wrong."""
    folder = tmp_path / f"{NAME}_{GIVEN}"
    folder.mkdir()
    for path in sorted(case[2].iterdir()):
        dataset = pydicom.dcmread(path)
        if "ART" in dataset.SeriesDescription:
            dataset.save_as(folder / path.name)
    request.param(folder)
    return folder


class Host:
    """Gives a worker one request after the other, each when the one before is answered, and then ends."""

    def __init__(self, calls):
        self.waiting = [
            json.dumps({"jsonrpc": "2.0", "id": k, "method": m, "params": p}) for k, (m, p) in enumerate(calls)
        ]
        self.given, self.answers = 0, []
        self.answered = threading.Condition()

    def readline(self, size):
        with self.answered:
            self.answered.wait_for(lambda: len(self.finals()) >= self.given, timeout=100)
            if self.given == len(self.waiting):
                return b""
            self.given += 1
            return self.waiting[self.given - 1].encode() + b"\n"

    def finals(self):
        return [line for line in self.answers if "$/progress" not in line]

    def write(self, line):
        with self.answered:
            self.answers.append(line.decode())
            self.answered.notify_all()

    def flush(self):
        """Nothing is held back."""


def talk(methods, *calls):
    """All that a worker answers to calls, as text."""
    host = Host(calls)
    Worker(host, host, methods).serve()
    return "".join(host.answers)


def test_a_refused_source_is_told_without_an_identifier(spoilt, case, tmp_path, capfd, made):
    assert main(["review", str(spoilt), "--out", str(tmp_path / "out"), "--bundle", str(case[3])]) == 2
    (tmp_path / "work").mkdir()
    call = ("study.import", {"sources": [str(spoilt)], "out": str(tmp_path / "study")})
    answers = talk(SessionMethods(SessionOptions(), tmp_path / "work"), call)
    assert '"error"' in answers
    printed = capfd.readouterr()
    assert printed.err.startswith("renalclip: ") or "\nrenalclip: " in printed.err
    assert not SECRETS.search(printed.out + printed.err + answers)
    assert not [name for name in made if SECRETS.search(name)]
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("what", ["cut.nii.gz", "cut.nrrd", "text.mha", "missing.nii", "values.nrrd", "gone"])
def test_a_refused_volume_or_mask_is_told_without_an_identifier(case, tmp_path, capfd, what):
    volumes, labels, _, bundle = case
    path = tmp_path / f"{NAME}_{what}"
    if what.startswith("cut"):
        write_volume(volumes[Phase.A], path)
        path.write_bytes(path.read_bytes()[:-2000])
    elif what.startswith("text"):
        path.write_text(f"{NAME} is no image")
    elif what.startswith("values"):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((9, 9, 9), 7, np.int16)), str(path))
    study = phantom_case.write_phantom_study(tmp_path / "study", {Phase.A: volumes[Phase.A]}, labels)[0].folder
    arguments = ["--bundle", str(bundle), "--out", str(tmp_path / "out"), *QUICK]
    assert main(["review", str(path), "--phase", f"A={path}", *arguments]) == 2
    assert main(["review", str(study), "--segmentation", str(path), *arguments]) == 2
    calls = [
        ("study.open", {"path": str(study)}),
        ("segment", {"file": str(path)}),
        ("study.open", {"path": str(path)}),
    ]
    answers = talk(SessionMethods(SessionOptions(), tmp_path), *calls)
    assert answers.count('"error"') == 2
    printed = capfd.readouterr()
    assert printed.err.count("renalclip: ") == 2
    assert not SECRETS.search(printed.out + printed.err + answers)


def test_parameters_and_defects_are_told_without_what_they_hold(tmp_path, capfd, monkeypatch):
    methods = SessionMethods(SessionOptions(), tmp_path)

    def broken(params, progress):
        raise ZeroDivisionError(f"{NAME} in {params}")

    monkeypatch.setitem(methods._methods, "review", broken)
    calls = [
        ("study.open", {"path": [f"/data/{NAME}"]}),
        ("review", {"by": NAME}),
        ("study.open", {"path": f"/{NAME}\0"}),
    ]
    answers = talk(methods, *calls)
    assert answers.count('"error"') == 3
    printed = capfd.readouterr()
    assert "ZeroDivisionError" in printed.err
    assert not SECRETS.search(printed.out + printed.err + answers)
