"""A case that is read without predictions shows none, whatever the worker is asked for."""

import json
import shutil

import pytest

from RenalCLIPCore.errors import BlindedError, ConfigurationError, RenalCLIPError
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.reading import worklist
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.records import NewCase, Reading
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.withheld import Withheld
from RenalCLIPCore.worker_methods import SessionMethods
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom, write_phantom_study
from Testing.Core.reading.worklists import QUESTIONS

TELLING = ("probability", "neighbours", "zero_shot", "log relative", "toy")


class Reader:
    """A host that asks for whatever it likes."""

    def __init__(self, folder):
        self.folder = folder
        self.methods = SessionMethods(SessionOptions(), folder / "work")
        (folder / "work").mkdir(exist_ok=True)
        self.call("bundle.load", path=str(folder / "bundle"))

    def call(self, method, **params):
        answer = self.methods.call(method, params, lambda fraction, words: None)
        results = [answer.result, *(item.compute(lambda fraction, words: None) for item in answer.follow_ups)]
        return json.loads(json.dumps(results[0] if len(results) == 1 else results))

    def open(self, **how):
        self.call("worklist.open", db=str(self.folder / "w.db"), reader="ann")
        return self.call("worklist.step", **how)["case"]

    def load(self, case, name="own"):
        return self.call("study.import", sources=list(case["files"].values()), out=str(self.folder / name))

    def read(self):
        self.call("segment", file=str(next(self.folder.glob("masks*"))))
        return self.call("review")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a bundle, masks and the volumes of two cases, one and the same phantom."""
    folder = tmp_path_factory.mktemp("blinded")
    volumes, labels, _ = make_phantom(phases="A")
    study, masks = write_phantom_study(folder / "study", volumes, labels)
    file = next(iter(study.phases.values())).file
    for name in ("A_first", "A_second"):
        shutil.copy(file, folder / f"{name}{file.suffix}")
    shutil.copy(masks, folder / f"masks{''.join(masks.suffixes)}")
    write_bundle(folder / "bundle", toy_contents())
    return folder


def worklists(folder, mode="without", withheld=(), washout_days=28.0):
    (folder / "w.db").unlink(missing_ok=True)
    masks = str(next(folder.glob("masks*")))
    cases = [
        NewCase(name, name, "left", {"A": str(next(folder.glob(f"A_{name}*")))}, masks, (1, 2, 3))
        for name in ("first", "second")
    ]
    with Database(str(folder / "w.db")) as database:
        options = {"washout_days": washout_days, "withheld": withheld}
        worklist.create(database, cases, folder=folder, questions=QUESTIONS, **options)
        worklist.assign(database, worklist.Plan(("ann",), mode, 1))


@pytest.fixture
def reader(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    worklists(tmp_path)
    return Reader(tmp_path)


def tells(value):
    """What of a model's reading an answer holds."""
    text = json.dumps(value)
    return [word for word in TELLING if word in text]


def test_without_predictions_no_answer_holds_any(reader):
    case = reader.open()
    assert case["withheld"] == ["predictions"]
    reader.load(case)
    answers = reader.read()
    review, followed = answers[0], answers[1:]
    lesion = review["lesions"][0]
    assert tells(lesion["predicted"]) == []
    assert "without predictions" in lesion["predicted"]["absent"]
    assert "without predictions" in lesion["report"]["absent"]
    assert "absent" in review["provenance"]["bundle"]
    assert [set(part) for part in followed] == [{"lesion_id", "measured"}], "no map and no spread follows"
    assert followed[0]["measured"]["components"], "masks and what they measure are shown unless the study says not"
    moved = reader.call("review.update", lesion_id="L1", centre_lps_mm=lesion["centre_used"]["lps_mm"])
    assert tells(moved[0]["predicted"]) == []
    for method, params in (
        ("explain", {}),
        ("explain", {"tasks": ["malignancy"]}),
        ("uncertainty", {}),
        ("report.draft", {}),
        ("report.draft", {"generated": True}),
    ):
        with pytest.raises(BlindedError, match="read without predictions"):
            reader.call(method, lesion_id="L1", **params)
    said = reader.call("report.check", lesion_id="L1", findings="The mass is malignant with a probability of 93 %.")
    assert not any(tie["source"] == "predicted" for one in said["sentences"] for tie in one["ties"])
    reader.call("review.save", out=str(reader.folder / "out"))
    saved = json.loads((reader.folder / "out" / "review.json").read_text(encoding="utf-8"))
    assert all("absent" in item["predicted"] and "absent" in item["report"] for item in saved["lesions"])
    assert not list((reader.folder / "out").rglob("explanation-*"))


def test_there_is_no_way_round_through_other_methods(reader):
    case = reader.open()
    reader.load(case)
    reader.read()
    reader.call("bundle.load", path=str(reader.folder / "bundle"))
    assert tells(reader.call("review")[0]["lesions"][0]["predicted"]) == []
    others = [str(path) for path in reader.folder.glob("A_*") if str(path) not in case["files"].values()]
    with pytest.raises(BlindedError, match="only its open case"):
        reader.call("study.import", sources=others, out=str(reader.folder / "other"))
    with pytest.raises(BlindedError, match="only its open case"):
        reader.call("study.open", path=str(reader.folder / "work"))
    reader.call("study.open", path=str(reader.folder / "own"))
    assert tells(reader.read()[0]["lesions"][0]["predicted"]) == []
    reader.call("worklist.close")
    with pytest.raises(ConfigurationError, match="No study is open"):
        reader.call("review")
    for sources in (list(case["files"].values()), [str(reader.folder)]):
        with pytest.raises(BlindedError, match="through their worklist"):
            reader.call("study.import", sources=sources, out=str(reader.folder / "again"))
    with pytest.raises(BlindedError, match="through their worklist"):
        reader.call("study.open", path=str(reader.folder / "own"))
    reader.call("study.import", sources=others, out=str(reader.folder / "other"))
    assert tells(reader.read()[0]["lesions"][0]["predicted"]) != [], "what is in no open worklist is read"


def test_a_case_with_predictions_shows_them_and_nothing_of_the_case_before_stays(reader):
    worklists(reader.folder, "both", washout_days=0.0)
    first = reader.open()
    second = reader.call("worklist.step", after=first["number"])["case"]
    assert {first["with_ai"], second["with_ai"]} == {True, False}, "one with, one without"
    blinded, shown = sorted((first, second), key=lambda case: case["with_ai"])
    assert (blinded["withheld"], shown["withheld"]) == (["predictions"], [])
    open_case(reader, shown, first)
    reader.load(shown, "shown")
    lesion = reader.read()[0]["lesions"][0]
    assert lesion["predicted"]["malignancy"]["probability"] > 0
    assert reader.call("explain", lesion_id="L1")["explanation"]
    open_case(reader, blinded, first)
    for method, params in (("review", {}), ("explain", {"lesion_id": "L1"}), ("report.draft", {"lesion_id": "L1"})):
        with pytest.raises(RenalCLIPError):
            reader.call(method, **params)
    reader.load(blinded, "blinded")
    assert tells(reader.read()[0]["lesions"][0]["predicted"]) == []


def open_case(reader, case, first):
    reader.call("worklist.step", **({} if case is first else {"after": first["number"]}))


def test_masks_and_what_they_measure_are_withheld_where_the_study_says_so(reader):
    worklists(reader.folder, withheld=["masks"])
    case = reader.open()
    assert case["withheld"] == ["predictions", "masks", "nephrometry"]
    assert (case["label_map"], case["centre_lps_mm"]) == (None, None)
    reader.load(case)
    with pytest.raises(BlindedError, match="masks are not shown"):
        reader.read()
    with pytest.raises(BlindedError, match="masks are not shown"):
        reader.call("segment")
    answers = reader.call("review", centre_lps_mm=[40.0, 0.0, 0.0])
    assert tells(answers[0]["lesions"]) == []
    assert "without predictions" in answers[1]["measured"]["absent"]


def test_nephrometry_alone_can_be_withheld(reader):
    worklists(reader.folder, withheld=["nephrometry"])
    case = reader.open()
    assert case["label_map"] is not None
    reader.load(case)
    answers = reader.read()
    assert "without predictions" in answers[0]["lesions"][0]["measured"]["absent"]
    assert "without predictions" in answers[1]["measured"]["absent"]
    assert "without predictions" in reader.call("measure", lesion_id="L1")["measured"]["absent"]


def test_a_second_reading_stays_closed_and_the_order_is_kept(reader):
    worklists(reader.folder, "both")
    rows = reader.call("worklist.open", db=str(reader.folder / "w.db"), reader="ann")["cases"]
    one, two = (row["number"] for row in rows if row["session"] == 1)
    again = next(row["number"] for row in rows if row["session"] == 2)
    with pytest.raises(BlindedError, match="wash-out"):
        reader.call("worklist.step", number=again)
    with pytest.raises(BlindedError, match="in their order"):
        reader.call("worklist.step", number=two)
    for number in (one, two):
        assert reader.call("worklist.step", number=number)["case"]["number"] == number
        save = {"number": number, "change_id": str(number), "base_version": 0, "reading": {"finished": True}}
        reader.call("worklist.save", **save)
    with pytest.raises(BlindedError, match=r"opens on \d{4}-"):
        reader.call("worklist.step", number=again)
    assert reader.call("worklist.step", after=two)["case"] is None


def test_a_study_can_withhold_masks_and_nephrometry_and_nothing_else():
    assert Withheld.of_study(True, ["masks"]) == Withheld()
    assert Withheld.of_study(False, []).names == ["predictions"]
    assert Withheld.of_study(False, ["masks"]).names == ["predictions", "masks", "nephrometry"]
    with pytest.raises(ConfigurationError, match="masks and nephrometry"):
        Withheld.of_study(False, ["report"])


def test_time_spent_without_a_change_is_added(reader):
    number = reader.open()["number"]
    reader.call("worklist.time", number=number, seconds=7.5)
    reader.call("worklist.save", number=number, change_id="a", base_version=0, reading={"comment": "seen"}, seconds=2.5)
    with Database(str(reader.folder / "w.db")) as database:
        item = next(one for one in worklist.assignments(database) if one.number == number)
    assert (item.seconds, item.version, item.reading) == (10.0, 1, Reading(comment="seen"))


def test_files_that_moved_are_found_in_the_folder_that_a_reader_names(reader):
    elsewhere = reader.folder / "elsewhere"
    elsewhere.mkdir()
    for path in [*reader.folder.glob("A_*"), *reader.folder.glob("masks*")]:
        shutil.move(path, elsewhere / path.name)
    with pytest.raises(RenalCLIPError, match="2 of the case's 2 files are not where"):
        reader.open()
    reader.call("worklist.relocate", folder=str(elsewhere))
    case = reader.call("worklist.step")["case"]
    assert case["files"]["A"].startswith(str(elsewhere))
