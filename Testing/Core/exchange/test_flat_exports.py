"""Table, FHIR bundles and PDF: the review's numbers and words, whole and valid."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pypdfium2
import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.R4B.bundle import Bundle as BundleR4B
from hypothesis import given, settings

from RenalCLIPCore import review as r
from RenalCLIPCore.exchange.chinese_font import font_files
from RenalCLIPCore.exchange.dicom_source import find_source
from RenalCLIPCore.exchange.export_case import open_review, part_map
from RenalCLIPCore.exchange.exporting import Exporter, ExportOptions
from RenalCLIPCore.exchange.fhir_bundle import fhir_bundle, fhir_json, instant
from RenalCLIPCore.exchange.html import ReportRemark, render_html
from RenalCLIPCore.exchange.lesion_table import COLUMNS, lesion_table
from RenalCLIPCore.exchange.lesion_values import KEYS, Category, Quantity, categories, lesion_values, quantities
from RenalCLIPCore.exchange.page_tree import is_shown, page_tree
from RenalCLIPCore.exchange.pdf import render_pdf
from RenalCLIPCore.exchange.svg_drawing import path_lines
from RenalCLIPCore.exchange.terminology import class_concept, local_code
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Core.exchange.export_cases import lesion_of, stored_case
from Testing.Core.exchange.reviews import absent_review, empty_review, full_lesion, full_review, values

MODELS = {"R5": Bundle, "R4B": BundleR4B}


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_values_of_a_lesion_are_those_of_its_review():
    lesion = full_lesion()
    found = {item.key: item.value for item in lesion_values(lesion)}
    assert found["volume_ml"] == lesion.volume_ml
    assert found["centre_used_lps_y_mm"] == lesion.centre_used.lps_mm[1]
    for component in lesion.predicted.components:
        for number, item in enumerate(component.classes, 1):
            assert found[f"predicted_{component.component}_probability_{number}"] == item.probability
    for item in lesion.measured.components:
        assert found[f"measured_{item.component}"] == item.label
        assert found[f"measured_{item.component}_confidence"] == item.confidence
    assert found["predicted_total"] == lesion.predicted.total.score
    assert found["measured_total_text"] == lesion.measured.total.text
    assert found["malignancy_probability"] == lesion.predicted.malignancy.probability
    assert found["aggressiveness_read_as"] == "indolent"
    assert found["recurrence_score"] == lesion.predicted.recurrence.score
    assert found["padua"] == lesion.measured.padua.score
    assert found["c_index"] == lesion.measured.centrality.value
    assert len(found) == len(lesion_values(lesion))
    assert set(found) <= set(KEYS)


def test_every_documented_value_has_a_short_code_of_its_own():
    codes = {local_code(key) for key in KEYS}
    assert len(codes) == len(KEYS)
    assert max(map(len, codes)) <= 16
    assert class_concept("predicted_R", "<=4 cm") != class_concept("predicted_R", ">=4 cm")


def test_a_label_map_comes_apart_into_kidneys_lesions_and_what_is_no_lesion():
    grid = Geometry.from_components((60, 40, 30), (2.0, 2.0, 3.0), (-60.0, -40.0, -45.0), np.eye(3))
    array = np.zeros(grid.size, np.uint8)
    array[5:20, 10:30, 5:25] = array[40:55, 10:30, 5:25] = 1
    array[5:12, 10:16, 8:14] = array[45:50, 20:25, 15:20] = 2
    array[42:45, 12:15, 8:10] = 3
    array[18, 28, 22] = 2  # an island under 0.05 ml
    labels = Volume(array, grid)
    lesions = tuple(lesion_of(item, n == 0) for n, item in enumerate(find_lesions(labels).lesions))
    parts = part_map(labels, replace(full_review(), lesions=lesions))
    assert [part.name for part in parts.parts] == [
        "Kidneys",
        "L1 tumour, right kidney",
        "L2 tumour, left kidney",
        "L3 cyst, left kidney",
        "tumour islands, not read as lesions",
    ]
    kinds = np.array([0, 1, 2, 2, 3, 2])
    assert np.array_equal(kinds[parts.voxels.array], array)
    for lesion in lesions:
        count = np.count_nonzero(parts.voxels.array == parts.number_of(lesion.lesion_id))
        assert count * grid.voxel_volume_ml == pytest.approx(lesion.volume_ml)
    assert parts.number_of("L9") is None


def test_absent_parts_have_no_value():
    lesion = absent_review().lesions[0]
    assert lesion_values(lesion) == ()
    assert lesion_values(replace(full_lesion(), predicted=r.Absent("no bundle"), measured=r.Absent("no mask")))


def test_the_table_has_a_row_per_lesion_and_reads_back_to_the_same_numbers():
    review = full_review()
    second = replace(full_lesion(), lesion_id="L2", primary=False, volume_ml=0.1 + 0.2)
    review = replace(review, lesions=(*review.lesions, second))
    found = rows(lesion_table([review, empty_review()]))
    assert [(row["study_id"], row["lesion_id"]) for row in found] == [
        ("RC-7f3a91c2", "L1"),
        ("RC-7f3a91c2", "L2"),
        ("RC-0", ""),
    ]
    for row, lesion in zip(found, review.lesions, strict=False):
        for item in quantities(lesion):
            assert float(row[item.key]) == item.value
        for item in categories(lesion):
            assert row[item.key].lstrip("'") == item.value
    assert found[2]["volume_ml"] == ""
    assert found[0]["sign_off"] == "malignancy=accepted"
    assert found[0]["bundle_sha256"] == "cd" * 32


def test_the_columns_are_the_documented_ones_in_one_order():
    header = lesion_table([replace(empty_review())]).split("\r\n")[0].split(",")
    assert header == list(COLUMNS)
    assert all(COLUMNS.values())
    with_name = lesion_table([full_review()]).split("\r\n")[0].split(",")
    assert with_name == [*COLUMNS, "patient_name", "patient_id", "study_date", "accession_number"]


def test_no_text_of_the_table_is_a_spreadsheet_s_formula():
    review = full_review()
    bad = replace(review, lesions=(replace(full_lesion(), label='=HYPERLINK("http://x")', side="@x"),))
    row = rows(lesion_table([bad]))[0]
    assert row["label"].startswith("'=")
    assert row["side"].startswith("'@")


@pytest.mark.parametrize("release", MODELS)
@pytest.mark.parametrize("review", [full_review(), empty_review(), absent_review()], ids=["full", "empty", "absent"])
def test_the_bundle_passes_the_validator_and_holds_the_review_s_numbers(release, review):
    text = fhir_json(fhir_bundle(review, release))
    valid = MODELS[release].model_validate_json(text)
    assert len(valid.entry) == len(json.loads(text)["entry"])
    resources = {entry["fullUrl"]: entry["resource"] for entry in json.loads(text)["entry"]}
    assert len(resources) == len(valid.entry)
    groups = [
        item for item in resources.values() if "hasMember" in item or item.get("code", {}).get("text") == "Renal lesion"
    ]
    assert len(groups) == len(review.lesions)
    for group, lesion in zip(groups, review.lesions, strict=True):
        members = [resources[member["reference"]] for member in group.get("hasMember", [])]
        numbers = [member["valueQuantity"]["value"] for member in members if "valueQuantity" in member]
        assert numbers == [item.value for item in lesion_values(lesion) if isinstance(item, Quantity)]
        words = [member["valueCodeableConcept"]["text"] for member in members if "valueCodeableConcept" in member]
        assert words == [item.value for item in lesion_values(lesion) if isinstance(item, Category)]


@pytest.mark.parametrize("release", MODELS)
def test_every_reference_of_a_bundle_points_into_it(release):
    document = fhir_bundle(full_review(), release)
    known = {entry["fullUrl"] for entry in document["entry"]}
    assert set(re.findall(r'"reference": "([^"]+)"', fhir_json(document))) <= known
    kinds = {entry["resource"]["resourceType"] for entry in document["entry"]}
    assert {"Patient", "Device", "Observation", "DiagnosticReport"} <= kinds


def test_with_its_dicom_the_bundle_names_images_and_segments(tmp_path):
    review, written, dicom = stored_case(tmp_path, "axial")
    exporter = Exporter(open_review(written), ExportOptions(dicom=dicom))
    files = exporter.files("fhir")
    r5, r4 = (json.loads(files[name]) for name in ("bundle-r5.json", "bundle-r4b.json"))
    Bundle.model_validate(r5)
    BundleR4B.model_validate(r4)
    source = exporter.dicom.source
    selections = [e["resource"] for e in r5["entry"] if e["resource"]["resourceType"] == "ImagingSelection"]
    assert {item["uid"] for item in selections[0]["instance"]} == set(source.sop_instance_uids)
    assert selections[1]["instance"][0]["uid"] == str(exporter.segmentation.SOPInstanceUID)
    assert selections[1]["instance"][0]["imageRegion3D"][0]["coordinate"] == list(review.lesions[0].centre_used.lps_mm)
    studies = [e["resource"] for e in r4["entry"] if e["resource"]["resourceType"] == "ImagingStudy"]
    assert studies[0]["series"][0]["uid"] == source.series_uid
    kept = find_source(dicom, open_review(written).labels().geometry, None)
    assert kept.series_uid != source.series_uid


def test_a_time_that_fhir_does_not_know_is_left_out():
    assert instant("2025-03-04T10:20:30Z") == "2025-03-04T10:20:30Z"
    assert instant("0000-03-04T10:20:30Z") is None
    assert instant("[removed]") is None


@given(values(r.CaseReview))
@settings(max_examples=25, deadline=None)
def test_any_review_becomes_a_table_and_bundles(review):
    assert len(rows(lesion_table([review]))) == max(len(review.lesions), 1)
    for release in MODELS:
        assert fhir_json(fhir_bundle(review, release))


def pdf_text(data):
    document = pypdfium2.PdfDocument(data)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def words(text):
    return re.sub(r"[\s\ufffe\u200b\u00ad-]+", "", text.replace("\u202f", " "))


def shown_texts(node):
    for child in node.children:
        if isinstance(child, str):
            yield child
        elif is_shown(child) and child.tag != "svg" and "legend" not in child.classes:
            yield from shown_texts(child)


@pytest.mark.parametrize("review", [full_review(), empty_review(), absent_review()], ids=["full", "empty", "absent"])
def test_the_pdf_says_every_word_of_the_page(review):
    pages = pdf_text(render_pdf(review, {}))
    said = words("".join(pages))
    missing = []
    for text in shown_texts(page_tree(render_html(review, {}))):
        for word in text.split():
            if words(word) and words(word) not in said:
                missing.append(word)
    assert missing == []
    assert all(f"{n} / {len(pages)}" in page for n, page in enumerate(pages, 1))


def test_the_pdf_tells_what_the_check_of_the_report_found():
    remark = ReportRemark(
        "The mass is in the left kidney.", "contradicted", "draft", ("side: says left, measured right",)
    )
    said = words("".join(pdf_text(render_pdf(full_review(), {}, {"L1": (remark,)}))))
    assert words("contradicted The mass is in the left kidney.") in said
    assert words("side: says left, measured right") in said


def test_the_pdf_is_a4_names_its_use_on_every_page_and_is_the_same_each_time():
    review = full_review()
    data = render_pdf(review, {})
    document = pypdfium2.PdfDocument(data)
    assert {tuple(round(side) for side in page.get_size()) for page in document} == {(595, 842)}
    document.close()
    assert all("Not for clinical use." in page for page in pdf_text(data))
    assert render_pdf(review, {}) == data


def test_the_pdf_shows_the_pictures_with_their_marks_laid_over(tmp_path):
    from PIL import Image

    def picture(kind, colour, mode="RGB"):
        target = io.BytesIO()
        Image.new(mode, (120, 90), colour).save(target, kind)
        return target.getvalue()

    images = {
        "axial-A": picture("JPEG", (10, 10, 10)),
        "axial-marks": picture("PNG", (255, 0, 0, 255), "RGBA"),
        "coronal-A": picture("JPEG", (10, 10, 10)),
    }
    document = pypdfium2.PdfDocument(render_pdf(full_review(), {"L1": images}))
    drawn = [page.render(scale=0.5).to_pil().convert("RGB") for page in document]
    document.close()
    reds = sum(sum(1 for p in image.get_flattened_data() if p[0] > 200 and p[1] < 60 and p[2] < 60) for image in drawn)
    assert reds > 500


def test_chinese_text_and_markup_in_texts_stand_in_the_pdf_as_they_are():
    draft = r.ReportDraft("右肾上极见一肿块，约 3.8 cm。<b>not bold</b> & more", "右肾占位。", "structured")
    review = replace(full_review(), lesions=(replace(full_lesion(), report=draft),))
    said = "".join(pdf_text(render_pdf(review, {})))
    assert "右肾上极见一肿块" in said
    assert "<b>not bold</b> & more" in " ".join(said.split())


def chinese_review():
    draft = r.ReportDraft("右肾上极见一肿块，约 3.8 cm，增强明显。", "右肾占位，考虑肾癌。", "structured")
    return replace(full_review(), lesions=(replace(full_lesion(), report=draft),))


@pytest.mark.skipif(not font_files(), reason="no font with Chinese characters is installed (Debian: fonts-noto-cjk)")
def test_chinese_text_is_embedded_and_drawn():
    told = []
    data = render_pdf(chinese_review(), {}, told=told.append)
    assert told == []
    assert b"+RenalCLIPChinese" in data
    assert b"STSong" not in data
    document = pypdfium2.PdfDocument(data)
    boxes = []
    for page in document:
        text = page.get_textpage()
        whole = text.get_text_range()
        place = whole.find("右肾上极")
        if place >= 0:
            picture = page.render(scale=4).to_pil().convert("L")
            high = picture.height
            for number in range(4):
                left, bottom, right, top = (4 * side for side in text.get_charbox(place + number))
                letter = picture.crop((round(left), round(high - top), round(right), round(high - bottom)))
                boxes.append(letter.resize((12, 12)).tobytes())
    document.close()
    assert len(boxes) == 4
    assert len(set(boxes)) == 4, "four different characters, not four empty boxes"
    assert all(min(box) < 120 < max(box) for box in boxes)
    assert render_pdf(chinese_review(), {}) == data


def test_without_a_font_for_chinese_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("RenalCLIPCore.exchange.chinese_font.font_files", lambda: ())
    told = []
    data = render_pdf(chinese_review(), {}, told=told.append)
    assert len(told) == 1
    assert "fonts-noto-cjk" in told[0]
    assert b"STSong" in data
    assert "右肾上极见一肿块" in "".join(pdf_text(data))
    render_pdf(full_review(), {}, told=told.append)
    assert len(told) == 1, "a review without Chinese needs no such font"


@pytest.mark.parametrize("content", [None, b"", b"no font"])
def test_a_named_font_that_is_none_is_passed_over(monkeypatch, tmp_path, content):
    if content is not None:
        (tmp_path / "font.ttf").write_bytes(content)
    monkeypatch.setenv("RENALCLIP_CHINESE_FONT", str(tmp_path / "font.ttf"))
    font_files.cache_clear()
    told = []
    try:
        assert render_pdf(chinese_review(), {}, told=told.append).startswith(b"%PDF")
    finally:
        font_files.cache_clear()
    assert len(told) == 1


def test_a_very_long_text_breaks_over_pages():
    draft = r.ReportDraft("A mass. " * 3000, "x" * 900, "structured")
    review = replace(full_review(), lesions=(replace(full_lesion(), report=draft),))
    pages = pdf_text(render_pdf(review, {}))
    assert "".join("".join(pages).split()).count("Amass.") >= 2990


def test_paths_of_straight_strokes_become_their_corners():
    assert path_lines("M1 2H5V7l-2 1z") == [([(1, 2), (5, 2), (5, 7), (3, 8)], True)]
    assert path_lines("M0 0L1.5 -2 3 4") == [([(0, 0), (1.5, -2), (3, 4)], False)]
