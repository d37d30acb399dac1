"""A DICOM study in which every text, name, date, time and UID that DICOM knows is filled: none gets out."""

import re

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from RenalCLIPCore.cli import main
from RenalCLIPCore.exchange.ct_copies import KEPT
from RenalCLIPCore.phantom.dicom import write_dicom
from Testing.Core.exchange.export_cases import phantom_volumes, write_case

VALUES = {
    "LO": "ZZFILL {n}", "SH": "ZZFILL{n}", "LT": "text ZZFILL {n}", "ST": "text ZZFILL {n}", "UT": "text ZZFILL {n}",
    "UC": "ZZFILL {n}", "AE": "ZZFILL{n}", "UR": "http://zzfill.example/{n}", "PN": "ZZFILL^Ann{n}=张^三丰",
    "DA": "19310203", "DT": "19310203010203", "TM": "010203.5", "AS": "077Y", "UI": "1.2.826.0.1.88888.{n}",
}  # fmt: skip
OUT = re.compile(r"ZZFILL|zzfill\.example|张\^?三丰|19310203|1931-02-03|1\.2\.826\.0\.1\.88888", re.IGNORECASE)
STUDY = {"StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"}  # one value in all files


def fillable():
    """(keyword, VR) of the attributes that are filled: all that no copy keeps, and the UIDs."""
    for tag, (vr, _, _, retired, keyword) in sorted(DicomDictionary.items()):
        known = keyword and not retired and tag >> 16 > 0x0004 and vr in VALUES
        if known and (keyword not in KEPT or keyword in STUDY):
            yield keyword, vr


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """(folder of the review, folder of DICOM, number of attributes that were filled)."""
    base = tmp_path_factory.mktemp("filled")
    volumes, labels = phantom_volumes("A")
    plain = write_dicom(volumes, base / "plain", localiser=False)
    attributes = list(fillable())
    folder = base / "dicom"
    folder.mkdir()
    for number, path in enumerate(sorted(item for item in plain.rglob("*") if item.is_file())):
        dataset = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            dataset.SpecificCharacterSet = "ISO_IR 192"
            for place, (keyword, vr) in enumerate(attributes):
                setattr(dataset, keyword, VALUES[vr].format(n=place))
            dataset.SOPInstanceUID = f"1.2.826.0.1.88888.99.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(folder / f"{number:03}", enforce_file_format=True)
    write_case(base / "review", folder, labels)
    return base / "review", folder, len(attributes)


def test_no_value_of_any_attribute_gets_out(filled, tmp_path, capfd):
    review, dicom, count = filled
    assert count > 700
    kinds = [word for kind in ("dicom-ct", "dicom-seg", "dicom-sr", "fhir", "csv") for word in ("--to", kind)]
    assert main(["export", str(review), *kinds, "--dicom", str(dicom), "--out", str(tmp_path / "out")]) == 0
    printed = capfd.readouterr()
    assert not OUT.search(printed.out + printed.err)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 5 + len(list(dicom.iterdir()))
    for path in files:
        data = path.read_bytes()
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            assert not OUT.search(data.decode(encoding, "replace")), path.name
        assert not OUT.search(path.name)
    kept = {e.keyword for path in (tmp_path / "out" / "dicom-ct").iterdir() for e in pydicom.dcmread(path)}
    assert kept.isdisjoint(
        {"StudyDescription", "OperatorsName", "InstitutionName", "PatientAddress", "AcquisitionDate"}
    )
