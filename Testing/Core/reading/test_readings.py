"""Readings are saved at every change and never over one another; cases go to readers in an order of their own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from RenalCLIPCore.errors import InputError, WorklistError
from RenalCLIPCore.reading import saving, worklist
from RenalCLIPCore.reading.disagreement import agreed, disagreements
from RenalCLIPCore.reading.records import Reading, read_json
from RenalCLIPCore.reading.schema import READINGS
from RenalCLIPCore.reading.worklist import Filter, Plan, assignments, next_assignment
from Testing.Core.reading.worklists import QUESTIONS, change, make, new_cases

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return str(tmp_path / "worklist.db") if request.param == "sqlite" else request.getfixturevalue("postgresql")


def test_what_is_saved_is_read_back_with_its_time_and_author(url):
    with make(url, 2) as database:
        reading = Reading((1.5, -2.0, 3.25), "poor", {"renal_r": 2}, "边界不清", flagged=True, finished=True)
        number = assignments(database)[0].number
        saved = saving.save(database, replace(change(number, 0, "李医生"), reading=reading, seconds=12.5))
        found = assignments(database)[0]
    assert (saved.version, saved.conflict) == (1, None)
    assert (found.reading, found.by, found.seconds, found.status) == (reading, "李医生", 12.5, "finished")


def test_two_annotators_on_one_case_never_overwrite_each_other(url):
    with make(url, 1) as database:
        (item,) = assignments(database)
        saving.save(database, change(item.number, 0, "ann", point_lps_mm=(1.0, 0.0, 0.0)))
        late = saving.save(database, change(item.number, 0, "bob", point_lps_mm=(2.0, 0.0, 0.0)))
        assert (late.version, late.by) == (1, "ann")
        assert late.reading.point_lps_mm == (1.0, 0.0, 0.0)
        assert late.conflict.reading.point_lps_mm == (2.0, 0.0, 0.0)
        assert [item.conflicts for item in assignments(database)] == [1]
        chosen = saving.resolve(database, change(item.number, 1, "eve", 9, point_lps_mm=(2.0, 0.0, 0.0)))
        assert (chosen.version, chosen.conflict) == (2, None)
        assert saving.conflicts(database, item.number) == ()
        assert [version.by for version in saving.history(database, item.number)] == ["ann", "bob", "eve"]


def test_a_conflict_that_has_moved_on_is_not_resolved_blindly(tmp_path):
    with make(str(tmp_path / "w.db"), 1) as database:
        number = assignments(database)[0].number
        saving.save(database, change(number, 0, "ann", comment="first"))
        saving.save(database, change(number, 0, "bob", comment="second"))
        saving.save(database, change(number, 1, "ann", comment="third"))
        with pytest.raises(WorklistError, match="changed again"):
            saving.resolve(database, change(number, 1, "eve", 9, comment="second"))
        assert len(saving.conflicts(database, number)) == 1
        assert len(saving.history(database, number)) == 3


def test_a_change_that_is_sent_again_has_no_effect(url):
    with make(url, 1) as database:
        number = assignments(database)[0].number
        sent = change(number, 0, "ann", comment="once")
        assert saving.save(database, sent) == saving.save(database, sent)
        late = change(number, 0, "bob", comment="late")
        assert saving.save(database, late).conflict == saving.save(database, late).conflict
        assert len(saving.history(database, number)) == 2
        assert assignments(database)[0].seconds == 1.0


def test_a_readers_reading_is_nobody_elses(tmp_path):
    with make(str(tmp_path / "w.db"), 1, ("ann", "bob")) as database:
        own = assignments(database, "ann")[0]
        with pytest.raises(WorklistError, match="another reader's"):
            saving.save(database, change(own.number, 0, "bob"))
        with pytest.raises(WorklistError, match="no assignment 99"):
            saving.save(database, change(99, 0))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"point_lps_mm": [0, 0, float("nan")]}, "finite"),
        ({"point_lps_mm": [0, 0]}, "three LPS"),
        ({"quality": "good"}, "accurate, poor"),
        ({"answers": {"renal_r": 3}}, "0 to 2"),
        ({"answers": {"colour": 0}}, "not 'colour'"),
        ({"comment": "x" * 4001}, "4000"),
        ({"colour": 1}, "no field"),
    ],
)
def test_an_impossible_reading_is_refused(fields, match):
    with pytest.raises(WorklistError, match=match):
        read_json(fields, {name: len(classes) for name, classes in QUESTIONS.items()})


def test_readers_get_all_cases_in_orders_of_their_own_that_a_seed_repeats(tmp_path):
    orders = []
    for name in ("one.db", "two.db"):
        with make(str(tmp_path / name), 12, ("ann", "bob")) as database:
            orders.append([[item.case for item in assignments(database, reader)] for reader in ("ann", "bob")])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]
    assert sorted(orders[0][0]) == sorted(orders[0][1]) == [case.name for case in new_cases(12)]


def test_cases_are_read_both_ways_with_a_wash_out_between(tmp_path):
    with make(str(tmp_path / "w.db"), 10, ("ann",), "both", washout_days=14) as database:
        items = assignments(database, "ann")
        first, second = ([item for item in items if item.session == number] for number in (1, 2))
        assert sum(item.with_ai for item in first) == sum(item.with_ai for item in second) == 5
        assert {(item.case, item.with_ai) for item in first} == {(item.case, not item.with_ai) for item in second}
        for item in first:
            saving.save(database, change(item.number, 0, finished=True), NOW)
        later = assignments(database, "ann")
        assert next_assignment(later, None, now=NOW + timedelta(days=13)) is None
        assert next_assignment(later, None, now=NOW + timedelta(days=15)).session == 2


def test_a_time_that_is_none_keeps_the_second_reading_closed(tmp_path):
    with make(str(tmp_path / "w.db"), 1, ("ann",), "both") as database:
        first = assignments(database, "ann")[0]
        saving.save(database, change(first.number, 0, finished=True), NOW)
        for end in ("0000-00-00", "9999-12-31T23:59:59+00:00", ""):
            with database.writing() as connection:
                connection.execute(READINGS.update().where(READINGS.c.version > 0).values(finished_at=end))
            assert assignments(database, "ann")[1].opens == "9999"


def test_a_mode_that_is_assigned_later_is_washed_out_too(tmp_path):
    with make(str(tmp_path / "w.db"), 2, ("ann",), "without") as database:
        assert worklist.assign(database, Plan(("ann",), "with")) == 2
        assert worklist.assign(database, Plan(("ann",), "with")) == 0
        assert {(item.with_ai, item.session) for item in assignments(database)} == {(False, 1), (True, 2)}


def test_next_and_previous_walk_the_filtered_list_and_start_at_what_is_unfinished(tmp_path):
    with make(str(tmp_path / "w.db"), 3) as database:
        items = assignments(database)
        saving.save(database, change(items[0].number, 0, finished=True, quality="poor", flagged=True))
        items = assignments(database)
        assert next_assignment(items, None).number == items[1].number
        assert next_assignment(items, items[1].number).number == items[2].number
        assert next_assignment(items, items[1].number, step=-1).number == items[0].number
        assert next_assignment(items, items[2].number) is None
        for wanted in (Filter(status="finished"), Filter(quality="poor"), Filter(flagged=True)):
            assert [item.number for item in assignments(database, None, wanted)] == [items[0].number]


def test_disagreements_are_found_and_the_adjudicated_reading_stands(tmp_path):
    with make(str(tmp_path / "w.db"), 3, ("ann", "bob")) as database:
        said = {"ann": ((0.0, 0.0, 0.0), 0), "bob": ((0.0, 6.0, 0.0), 0)}
        for item in assignments(database):
            point, answer = said[item.reader]
            if item.case.startswith("P01") and item.reader == "bob":
                point, answer = (0.0, 30.0, 0.0), 1
            answers = {"malignancy": answer}
            fields = {"point_lps_mm": point, "quality": "accurate", "answers": answers, "finished": True}
            saving.save(database, change(item.number, 0, item.reader, **fields))
        (found,) = disagreements(assignments(database))
        assert (found.case, found.about, found.distance_mm) == ("P01-left", ("point", "malignancy"), 30.0)
        before = agreed(assignments(database), {})
        assert before["P00-left"].reading.point_lps_mm == (0.0, 3.0, 0.0)
        assert before["P01-left"].reading.point_lps_mm is None
        saving.adjudicate(database, "P01-left", Reading((0.0, 1.0, 0.0), finished=True), "eve")
        saving.adjudicate(database, "P01-left", Reading((0.0, 2.0, 0.0), finished=True), "eve")
        after = agreed(assignments(database), saving.adjudications(database))
        assert (after["P01-left"].reading.point_lps_mm, after["P01-left"].open) == ((0.0, 2.0, 0.0), ())
        with pytest.raises(WorklistError, match="no such case"):
            saving.adjudicate(database, "P99-left", Reading(), "eve")


def test_files_that_moved_are_told_and_found_again_by_naming_their_folder(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        for number in range(2):
            (folder / f"p{number:02d}.nii.gz").touch()
    with make(str(tmp_path / "w.db"), 2, folder=old) as database:
        assert worklist.files_of(database, "P00-left")[0] == {"V": old / "p00.nii.gz"}
        (old / "p00.nii.gz").unlink()
        with pytest.raises(InputError, match="1 of the case's 1 files") as caught:
            worklist.files_of(database, "P00-left")
        assert "p00" not in str(caught.value)
        with pytest.raises(InputError, match="does not hold"):
            worklist.relocate(database, tmp_path / "nowhere")
        worklist.relocate(database, new)
        assert worklist.files_of(database, "P00-left")[0] == {"V": new / "p00.nii.gz"}
        with pytest.raises(WorklistError, match="no such case"):
            worklist.files_of(database, "P77-left")


@pytest.mark.parametrize(
    ("count", "options", "match"),
    [(0, {}, "at least one"), (1, {"washout_days": -1.0}, "0 to 3650"), (1, {"washout_days": 1e6}, "0 to 3650")],
)
def test_an_impossible_worklist_is_refused(tmp_path, count, options, match):
    with pytest.raises(WorklistError, match=match):
        make(str(tmp_path / "w.db"), count, **options)


def test_every_readers_own_first_reading_opens_the_second(tmp_path):
    with make(str(tmp_path / "w.db"), 4, ("ann", "bob"), "both", washout_days=14) as database:
        assert all(item.opens == "9999" for item in assignments(database) if item.session == 2)
        for item in assignments(database, "ann"):
            if item.session == 1:
                saving.save(database, change(item.number, 0, finished=True), NOW)
        late = NOW + timedelta(days=400)
        assert next_assignment(assignments(database, "ann"), None, now=late).session == 2
        bobs = [item for item in assignments(database, "bob") if item.session == 2]
        assert [item.opens for item in bobs] == ["9999"] * 4, "what ann has read opens nothing for bob"


def test_the_second_reading_has_an_order_of_its_own(tmp_path):
    with make(str(tmp_path / "w.db"), 12, ("ann",), "both") as database:
        items = assignments(database, "ann")
        first, second = ([item.case for item in items if item.session == number] for number in (1, 2))
        assert sorted(first) == sorted(second)
        assert first != second


def test_cases_that_are_assigned_later_get_codes_of_their_own(tmp_path):
    with make(str(tmp_path / "w.db"), 6, ("bob",)) as database:
        names = [case.name for case in worklist.cases(database)]
        worklist.assign(database, Plan(("ann",)), names[:3])
        worklist.assign(database, Plan(("ann",)), names)
        codes = {item.case: item.code for item in assignments(database, "ann")}
        assert len(codes) == 6
        assert len(set(codes.values())) == 6
