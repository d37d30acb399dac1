"""The table of generated reports: models elsewhere that are shown a picture, and what leaves the machine."""

import base64
import csv
import io

import numpy as np
import pytest
from PIL import Image

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.roi_store import RoiStore, build_roi_store
from RenalCLIPCore.cohort.table import write_cohort_table
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.models.report_generator import INSTRUCTION
from RenalCLIPCore.protocol.generated_reports import centre_slice, written_reports
from RenalCLIPCore.protocol.prediction_table import read_generated_reports
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.text.loopback import Loopback

ANSWER = "Findings: A mass of 3 cm.\nImpression: Cyst."


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked") / "internal"
    folder.mkdir()
    rows = toy_rows(folder, 3, split="test")
    write_cohort_table(rows, folder / "cohort.csv")
    build_roi_store(rows, folder / "store", SPEC)
    return folder, rows, ("--cohort", folder / "cohort.csv", "--rois", folder / "store")


def test_a_slice_lies_as_radiologists_look_at_it():
    roi = np.zeros((4, 3, 5), np.float32)
    roi[3, 0, 2] = 1.0  # the patient's left, in front
    picture = np.asarray(Image.open(io.BytesIO(centre_slice(roi))))
    assert picture.shape == (3, 4)
    assert picture[0, 3] == 255
    assert picture.sum() == 255


def test_the_instruction_and_one_picture_per_kidney_leave_the_machine_and_nothing_else(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("RENALCLIP_API_KEY", "secret")
    folder, rows, cohort = toy
    out = tmp_path / "reports.csv"
    with Loopback(ANSWER) as server:
        ask = ("report", "ask", "--endpoint", server.address, "--model", "vlm", "--cache", tmp_path / "cache", *cohort)
        assert run(*ask, "--out", out) == 0
        assert run(*ask, "--out", tmp_path / "again.csv") == 0
        assert len(server.prompts) == 3  # the second time the cache answers
        assert server.headers[0]["Authorization"] == "Bearer secret"
    for prompt, row in zip(server.prompts, rows, strict=True):
        text, picture = prompt
        assert text == {"type": "text", "text": INSTRUCTION}
        kind, _, data = picture["image_url"]["url"].partition(",")
        assert kind == "data:image/png;base64"
        phase = Phase.A if Phase.A in row.volumes else Phase.V
        shown = centre_slice(RoiStore(folder / "store").read(row.case_id, phase))
        assert base64.b64decode(data) == shown
        assert row.patient not in str(prompt)
    found = read_generated_reports(out)
    assert {(item.cohort, item.model, item.findings, item.impression) for item in found} == {
        ("internal", "vlm", "A mass of 3 cm.", "Cyst.")
    }
    assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()


def test_a_model_that_declines_ends_in_one_message(toy, tmp_path, capsys):
    _, _, cohort = toy
    with Loopback("I'm sorry, I cannot help with that.") as server:
        ask = ("report", "ask", "--endpoint", server.address, "--model", "vlm", *cohort, "--out", tmp_path / "r.csv")
        assert run(*ask) == 2
    assert "declines" in capsys.readouterr().err
    assert not (tmp_path / "r.csv").exists()


def test_reports_are_written_in_the_order_of_the_rows(toy, tmp_path):
    _, rows, _ = toy
    told = []
    found = written_reports(
        lambda features: [f"Findings: {value:g}" for value in features[:, 0]],
        np.arange(3, dtype=np.float32)[:, None],
        rows,
        "internal",
        "toy",
        lambda fraction, words: told.append(fraction),
    )
    assert [(item.patient, item.findings) for item in found] == [(row.patient, str(n)) for n, row in enumerate(rows)]
    assert told[-1] == 1


def test_the_table_has_the_documented_columns(toy, tmp_path):
    _, _, cohort = toy
    with Loopback(ANSWER) as server:
        ask = ("report", "ask", "--endpoint", server.address, "--model", "vlm", *cohort, "--out", tmp_path / "r.csv")
        assert run(*ask) == 0
        assert run(*ask) == 2
    with (tmp_path / "r.csv").open(newline="") as file:
        assert csv.DictReader(file).fieldnames == ["patient", "side", "cohort", "model", "findings", "impression"]
