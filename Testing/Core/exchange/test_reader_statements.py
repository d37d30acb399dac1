"""What readers said is exported apart from what the program found, with the reader as the one who says it."""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import highdicom
import pydicom
import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.R4B.bundle import Bundle as BundleR4B

from RenalCLIPCore import review as r
from RenalCLIPCore.exchange.export_case import open_review
from RenalCLIPCore.exchange.exporting import Exporter, ExportOptions
from RenalCLIPCore.exchange.reader_statements import reader_statements
from RenalCLIPCore.exchange.terminology import LOCAL
from RenalCLIPCore.reader_changes import with_reader_changes
from RenalCLIPCore.report_remarks import written_sentences
from Testing.Core.exchange.export_cases import stored_case
from Testing.Core.exchange.reviews import full_review

AT = "2026-03-01T12:00:00+00:00"
MODELS = {"bundle-r5.json": Bundle, "bundle-r4b.json": BundleR4B}
READER, OTHER = "Ann Müller-Zhang", "Bob Stone"


def read_by_persons(review):
    """The review with a moved centre, verdicts of two readers and one sentence that a reader wrote."""
    lesion = review.lesions[0]
    x, y, z = lesion.centre_used.lps_mm
    moved = r.Centre((x + 4, y, z), "manual", READER, AT, "off the necrosis")
    draft = r.ReportDraft("Kept sentence.", "1. A mass.", "structured")
    review = replace(review, lesions=(replace(lesion, centre_used=moved, report=draft), *review.lesions[1:]))
    name = lesion.lesion_id
    after = json.dumps(f"Kept sentence. Seen with {READER}. Written by hand.", ensure_ascii=False)
    edit = r.Edit("/lesions/0/report/findings", '"Kept sentence."', after, READER, AT, "as seen")
    verdicts = [
        r.SignOff(f"{name} malignancy", "rejected", "looks like an oncocytoma", READER, AT),
        r.SignOff(f"{name} R.E.N.A.L. measured", "accepted", "", OTHER, AT),
    ]
    return with_reader_changes(review, [edit], verdicts)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """(review, its opened folder, its DICOM)."""
    folder = tmp_path_factory.mktemp("read")
    review, written, dicom = stored_case(folder, "axial")
    review = read_by_persons(review)
    r.write_review(review, written / "review.json")
    return review, open_review(written), dicom


def exported(case, kind, *, keep):
    exporter = Exporter(case[1], ExportOptions(keep_identifiers=keep, dicom=case[2]), None, written_sentences)
    return exporter.files(kind)


def test_statements_are_verdicts_centres_and_the_sentences_that_persons_wrote():
    review = read_by_persons(full_review())
    found = [(one.kind, one.about, one.words, one.by) for one in reader_statements(review, written_sentences(review))]
    assert found == [
        ("centre", "centre", "moved by hand", READER),
        ("verdict", "malignancy", "rejected", READER),
        ("verdict", "R.E.N.A.L. measured", "accepted", OTHER),
        ("sentence", "findings", f"Seen with {READER}.", READER),
        ("sentence", "findings", "Written by hand.", READER),
    ]
    bare = replace(full_review(), edits=(), sign_off=())
    plain = replace(bare.lesions[0], centre_used=bare.lesions[0].centre_proposed)
    assert reader_statements(replace(bare, lesions=(plain,)), written_sentences(bare)) == ()


@pytest.mark.parametrize("name", MODELS)
def test_fhir_has_an_observation_per_statement_with_the_reader_as_performer(case, name):
    text = exported(case, "fhir", keep=True)[name].decode("utf-8")
    MODELS[name].model_validate_json(text)
    resources = {entry["fullUrl"]: entry["resource"] for entry in json.loads(text)["entry"]}
    assert set(re.findall(r'"reference": "([^"]+)"', text)) <= set(resources)
    said = [one for one in resources.values() if "performer" in one]
    told = [
        (
            one["code"]["text"],
            one.get("valueString") or one["valueCodeableConcept"]["text"],
            resources[one["performer"][0]["reference"]]["name"][0]["text"],
        )
        for one in said
    ]
    assert told == [
        ("Centre put by the reader: centre", "moved by hand", READER),
        ("Reader's verdict: malignancy", "rejected", READER),
        ("Reader's verdict: R.E.N.A.L. measured", "accepted", OTHER),
        ("Written by the reader: findings", f"Seen with {READER}.", READER),
        ("Written by the reader: findings", "Written by hand.", READER),
    ]
    assert all("device" not in one and one["effectiveDateTime"] == AT for one in said)
    malignancy = said[1]
    judged = [resources[item["reference"]]["code"]["text"] for item in malignancy["derivedFrom"]]
    assert "Probability of malignant" in judged
    assert all("device" in resources[item["reference"]] for item in malignancy["derivedFrom"])
    assert malignancy["note"][0]["text"] == "looks like an oncocytoma"
    report = next(one for one in resources.values() if one["resourceType"] == "DiagnosticReport")
    assert len([item for item in report["result"] if "performer" in resources[item["reference"]]]) == len(said)


def report(case, *, keep):
    return pydicom.dcmread(io.BytesIO(exported(case, "dicom-sr", keep=keep)["report.dcm"]))


def items(container, kind):
    return [item for item in container.ContentSequence if item.ValueType == kind]


def reader_groups(dataset):
    """Measurement groups that name an observer of their own, by that observer."""
    found = {}
    for item in dataset.ContentSequence:
        if item.ValueType == "CONTAINER":
            for group in item.ContentSequence:
                names = items(group, "PNAME") if "ContentSequence" in group else []
                if names:
                    found[str(names[0].PersonName)] = group
    return found


def test_the_structured_report_has_a_group_per_reader_with_a_person_as_observer(case):
    dataset = report(case, keep=True)
    groups = reader_groups(dataset)
    assert set(groups) == {READER, OTHER}
    ann = groups[READER]
    observer = [item for item in items(ann, "CODE") if item.RelationshipType == "HAS OBS CONTEXT"]
    assert observer[0].ConceptCodeSequence[0].CodeMeaning == "Person"
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeValue
        for item in items(ann, "CODE")
        if item.ConceptNameCodeSequence[0].CodingSchemeDesignator == LOCAL
    }
    assert said["Reader's verdict: malignancy"] == "rejected"
    assert "Centre put by the reader: centre" in said
    texts = [item.TextValue for item in items(ann, "TEXT")]
    assert "Written by hand." in texts
    assert "malignancy: looks like an oncocytoma" in texts
    content = highdicom.sr.MeasurementReport.from_sequence([dataset])
    assert len(content.get_volumetric_roi_measurement_groups()) == len(case[0].lesions) + len(
        case[0].segmentation.kidney_volumes_ml
    ), "the program's own groups stay as they were"
    tracked = {str(one.UID) for group in groups.values() for one in items(group, "UIDREF")}
    assert tracked < {str(one.value) for one in dataset.iterall() if one.keyword == "UID"}


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
def test_the_independent_validator_finds_no_error(case, tmp_path, keep):
    (tmp_path / "report.dcm").write_bytes(exported(case, "dicom-sr", keep=keep)["report.dcm"])
    found = subprocess.run(["dciodvfy", str(tmp_path / "report.dcm")], capture_output=True, text=True).stderr
    assert [line for line in found.splitlines() if line.startswith("Error")] == []


def test_de_identified_readers_are_numbers_and_their_free_words_are_gone(case):
    files = exported(case, "fhir", keep=False) | exported(case, "dicom-sr", keep=False)
    secret = ("Müller", "Zhang", "Ann", "Bob", "Stone", "oncocytoma", "off the necrosis", "as seen")
    for name, data in files.items():
        text = data.decode("utf-8", "replace")
        assert [word for word in secret if re.search(rf"\b{word}\b", text)] == [], name
    assert set(reader_groups(report(case, keep=False))) == {"Reader 1", "Reader 2"}
    resources = [entry["resource"] for entry in json.loads(files["bundle-r5.json"])["entry"]]
    names = [one["name"][0]["text"] for one in resources if one["resourceType"] == "Practitioner"]
    assert names == ["Reader 1", "Reader 2"]
    assert [one["valueString"] for one in resources if "performer" in one and "valueString" in one] == [
        "Seen with [removed].",
        "Written by hand.",
    ], "what a reader wrote of the patient's disease stays, without whose name it could hold"
