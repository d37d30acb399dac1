"""The worker's methods for a reader: a saved review with edits and verdicts, and the phantom study for a first look."""

import json

import pytest

from RenalCLIPCore.imaging.study import read_study
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.review import read_review
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker import InvalidParams
from RenalCLIPCore.worker_methods import SessionMethods
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom, write_phantom_study

EDIT = {
    "pointer": "/lesions/0/report/impression",
    "before": '""',
    "by": "Dr A",
    "at": "2026-01-02T03:04:05+00:00",
    "why": "",
}
VERDICT = {"finding": "L1 malignancy", "verdict": "rejected", "comment": "fat", "by": "Dr A", "at": EDIT["at"]}


def quiet(fraction, words):
    """Progress that nobody watches."""


@pytest.fixture
def methods(tmp_path):
    volumes, labels, _ = make_phantom(phases="A")
    study, masks = write_phantom_study(tmp_path / "study", volumes, labels)
    write_bundle(tmp_path / "bundle", toy_contents())
    made = SessionMethods(SessionOptions(), tmp_path)
    made.call("bundle.load", {"path": str(tmp_path / "bundle")}, quiet)
    made.call("study.open", {"path": str(study.folder)}, quiet)
    made.call("segment", {"file": str(masks)}, quiet)
    made.call("review", {}, quiet)
    return made


def test_edits_and_verdicts_are_in_both_files(methods, tmp_path):
    params = {
        "out": str(tmp_path / "out"),
        "edits": [{**EDIT, "after": json.dumps("Oncocytoma is likely.")}],
        "sign_off": [VERDICT],
    }
    methods.call("review.save", params, quiet)
    saved = read_review(tmp_path / "out" / "review.json")
    assert saved.lesions[0].report.impression == "Oncocytoma is likely."
    assert saved.sign_off[0].comment == "fat"
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    assert "Oncocytoma is likely." in page
    assert "L1 malignancy" in page
    methods.call("review.save", {"out": str(tmp_path / "again")}, quiet)
    assert read_review(tmp_path / "again" / "review.json").edits == (), "nothing of it stays in the session"


@pytest.mark.parametrize(
    "changes", [{"sign_off": [{**VERDICT, "verdict": "perhaps"}]}, {"edits": [{"pointer": "/x"}]}, {"edits": "all"}]
)
def test_changes_of_another_form_are_refused_before_anything_is_written(methods, tmp_path, changes):
    with pytest.raises(InvalidParams):
        methods.call("review.save", {"out": str(tmp_path / "out"), **changes}, quiet)
    assert not (tmp_path / "out").exists()


def test_a_phantom_study_can_be_imported(tmp_path, monkeypatch):
    from RenalCLIPCore.phantom import dicom
    from RenalCLIPCore.phantom.grids import study_geometry

    monkeypatch.setattr(dicom, "study_geometry", lambda patient: study_geometry(patient, columns=64, slice_mm=8.0))
    methods = SessionMethods(SessionOptions(), tmp_path)
    told = []
    folder = methods.call(
        "phantom.study", {"out": str(tmp_path / "phantom"), "seed": 3}, lambda *step: told.append(step)
    ).result["folder"]
    answer = methods.call("study.import", {"sources": [folder], "out": str(tmp_path / "study")}, quiet).result
    assert [item["phase"] for item in answer["phases"]] == ["N", "A", "V", "D"]
    first = next(iter(read_study(tmp_path / "study").phases.values()))
    assert first.geometry.size[0] == 64
    assert told[-1][0] == 1.0
