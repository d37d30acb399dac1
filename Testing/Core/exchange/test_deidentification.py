"""De-identification on export: what is the patient's goes, what is medicine stays, what is left is refused."""

from dataclasses import replace

import pydicom
import pytest

from RenalCLIPCore import review as r
from RenalCLIPCore.errors import OutputError
from RenalCLIPCore.exchange.deidentification import (
    REMOVED,
    Identity,
    UidMap,
    check_dataset,
    check_text,
    deidentified_review,
    mark_deidentified,
    texts_of,
)
from RenalCLIPCore.reader_changes import with_reader_changes
from Testing.Core.exchange.reviews import AT, full_review


def known(name="ZZHIDDEN^JANE", number="MRN4711", date="20210917"):
    dataset = pydicom.Dataset()
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = name, number, date
    dataset.StudyInstanceUID = "1.2.826.0.1.99999.1"
    block = dataset.private_block(0x0009, "MAKER", create=True)
    block.add_new(1, "LO", "PRIVATE-0815")
    return Identity.of_dataset(dataset)


@pytest.mark.parametrize(
    "text",
    [
        "seen with ZZHIDDEN, JANE today",
        "zzhidden jane",
        "JANE ZZHIDDEN",
        "id MRN4711.",
        "on 2021-09-17",
        "17.09.2021",
        "20210917",
        "uid 1.2.826.0.1.99999.1 of",
        "PRIVATE-0815",
        "ZZHIDDEN",
    ],
)
def test_a_known_value_is_found_and_removed_in_its_forms(text):
    identity = known()
    with pytest.raises(OutputError) as error:
        check_text(text, identity)
    assert "ZZHIDDEN" not in str(error.value)
    assert "MRN4711" not in str(error.value)
    check_text(identity.without(text, by_person=True), identity)


def test_numbers_that_hold_a_known_number_are_left_alone():
    identity = known(number="4711")
    assert identity.without("volume 4711.5 ml, 0.4711, 14711", by_person=True) == "volume 4711.5 ml, 0.4711, 14711"
    assert identity.without("patient 4711 came", by_person=True) == f"patient {REMOVED} came"


def test_a_family_name_that_is_a_medical_word_does_not_take_words_out_of_the_program_s_text():
    identity = known(name="RENAL^ARTERIAL")
    text = "Right renal tumour in the arterial phase"
    assert identity.without(text, by_person=False) == text
    check_text(text, identity)
    assert identity.without("Mrs Renal came", by_person=True) == f"Mrs {REMOVED} came"
    assert identity.without("Mrs Arterial Renal came", by_person=False) == f"Mrs {REMOVED} came"


def test_chinese_names_are_found_without_spaces():
    identity = known(name="Wang^XiaoDong=王^小东")
    assert identity.without("患者王小东右肾肿块", by_person=False) == f"患者{REMOVED}右肾肿块"


def test_readers_become_numbers_and_their_free_words_go():
    base = full_review()
    edit = r.Edit("/lesions/0/report/findings", '"x"', '"Mrs ZZHIDDEN has a mass."', "Dr Reader", AT, "seen by Dr Boss")
    verdict = r.SignOff("malignancy", "rejected", "Mrs ZZHIDDEN told me", "Dr Reader", AT)
    review = with_reader_changes(base, [edit], [verdict])
    cleaned, count = deidentified_review(review, known())
    text = "\n".join(texts_of(cleaned))
    for gone in ("ZZHIDDEN", "Dr Reader", "Dr Boss", "told me", "Doe", "A-9"):
        assert gone not in text
    assert count == 2
    assert cleaned.edits[0].by == cleaned.sign_off[0].by == "Reader 2"
    assert cleaned.lesions[0].centre_used.by == "Reader 1"
    assert cleaned.lesions[0].report.source == "Reader 2, from a draft"
    assert cleaned.lesions[0].report.findings == f"Mrs {REMOVED} has a mass."
    assert isinstance(cleaned.study.identifiers, r.Absent)
    assert cleaned.lesions[0].volume_ml == review.lesions[0].volume_ml
    assert cleaned.lesions[0].predicted == review.lesions[0].predicted


def test_a_review_made_on_the_patient_s_day_loses_its_time():
    review = full_review()
    cleaned, _ = deidentified_review(review, known(date="20250304"))
    assert cleaned.provenance.created == cleaned.sign_off[0].at == REMOVED
    kept, _ = deidentified_review(review, known(date="20250303"))
    assert kept.provenance.created == review.provenance.created


def test_uids_are_replaced_by_one_rule_and_those_of_the_standard_stay():
    one, other = UidMap("a"), UidMap("b")
    assert one.of("1.2.3") == UidMap("a").of("1.2.3") != other.of("1.2.3")
    assert one.of("1.2.3") != one.of("1.2.4")
    assert one.of("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"
    assert len(one.of("1.2.3")) <= 64
    assert one.of("1.2.3").startswith("2.25.")


def marked():
    dataset = pydicom.Dataset()
    dataset.PatientName, dataset.PatientID = "Deidentified^study-1", "study-1"
    mark_deidentified(dataset)
    return dataset


def test_an_object_that_still_holds_something_is_refused():
    check_dataset(marked(), known())
    with pytest.raises(OutputError, match="not marked"):
        check_dataset(pydicom.Dataset(), known())
    for name, value in (
        ("StudyInstanceUID", "1.2.826.0.1.99999.1"),
        ("SeriesDescription", "for ZZHIDDEN"),
        ("StudyDate", "20210917"),
    ):
        dataset = marked()
        setattr(dataset, name, value)
        with pytest.raises(OutputError, match="nothing was written"):
            check_dataset(dataset, known())
    dataset = marked()
    dataset.private_block(0x0011, "X", create=True).add_new(1, "LO", "y")
    with pytest.raises(OutputError, match="private"):
        check_dataset(dataset, known())


def test_the_identifiers_that_a_review_keeps_are_known_from_it():
    identity = Identity.of_review(full_review())
    assert identity.places_in("Jane Doe") == ["PatientName"]
    assert identity.places_in("2025-03-01") == ["StudyDate"]
    bare = replace(full_review(), study=replace(full_review().study, identifiers=r.Absent("no")))
    assert set(Identity.of_review(bare).values.values()) == {"readers' names"}
    assert Identity.of_review(bare).words == {}


def test_why_a_reader_moved_a_centre_goes_with_the_other_free_words():
    review = full_review()
    used = replace(review.lesions[0].centre_used, why="Mrs Miller showed me where it hurts")
    review = replace(review, lesions=(replace(review.lesions[0], centre_used=used), *review.lesions[1:]))
    cleaned, _ = deidentified_review(review, Identity())
    assert cleaned.lesions[0].centre_used.why == REMOVED


def test_what_a_reader_s_text_took_the_place_of_loses_the_names_too():
    edit = r.Edit("/lesions/0/report/findings", '"Mrs ZZHIDDEN has a cyst."', '"A cyst."', "Dr Reader", AT, "")
    cleaned, count = deidentified_review(with_reader_changes(full_review(), [edit], []), known())
    assert cleaned.edits[0].before == f'"Mrs {REMOVED} has a cyst."'
    assert count == 1
