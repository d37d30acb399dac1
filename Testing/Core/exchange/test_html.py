"""The page: self-contained, escaped, complete for a full review and decent for an empty one."""

import dataclasses
import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from RenalCLIPCore import review as r
from RenalCLIPCore.errors import OutputError
from RenalCLIPCore.exchange.html import STUDY, embed, read_pictures, render_html, write_html, write_pictures
from RenalCLIPCore.review_reading import lesion_checks
from Testing.Core.exchange.reviews import (
    absent_lesion,
    absent_review,
    empty_review,
    full_lesion,
    full_review,
    predecessor,
    values,
)

HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror='alert(2)'>\"' onload=\"x"
VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Tags with their attributes, the text without styles, and whether every tag is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture(kind="PNG", size=(8, 6)):
    buffer = io.BytesIO()
    Image.new("L", size, 90).save(buffer, kind)
    return buffer.getvalue()


def pictures():
    names = [f"{view}-{what}" for view in ("axial", "coronal", "sagittal", "roi") for what in ("A", "V", "marks")]
    return {name: picture("PNG" if name.endswith("marks") else "JPEG") for name in [*names, "explanation-1"]}


def hostile(value):
    """The same value with every text replaced, except those that choose a way through the page."""
    if dataclasses.is_dataclass(value):
        keep = {"schema_version", "lesion_id", "reference_phase", "phase", "component", "verdict"}
        return replace(
            value,
            **{
                item.name: hostile(getattr(value, item.name))
                for item in dataclasses.fields(value)
                if item.name not in keep and item.name != "pictures"
            },
        )
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    if isinstance(value, dict):
        return {HOSTILE + str(key): hostile(item) for key, item in value.items()}
    return HOSTILE if isinstance(value, str) else value


def check_self_contained(page):
    assert not page.open
    assert not page.named("script")
    assert not page.named("link")
    assert not page.named("iframe")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/png;base64,").startswith(
            ("data:image/png;base64,", "data:image/jpeg;")
        )
        assert attributes.get("href", "#").startswith("#")


@pytest.mark.parametrize("make", [full_review, empty_review, absent_review])
def test_the_page_is_well_formed_and_asks_for_nothing_from_outside(make):
    text = render_html(make(), {"L1": pictures()})
    page = Page(text)
    check_self_contained(page)
    policy = next(item["content"] for item in page.named("meta") if "http-equiv" in item)
    assert "default-src 'none'" in policy
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    assert "url(http" not in text


def test_hostile_text_anywhere_in_a_review_stays_text():
    review = hostile(full_review())
    page = Page(render_html(review, {"L1": pictures()}))
    check_self_contained(page)
    assert "<script>alert(1)</script>" in page.text
    friendly = Page(render_html(full_review(), {"L1": pictures()}))
    assert {name for name, _ in page.tags} == {name for name, _ in friendly.tags}


@settings(
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(values(r.StudyRecord), values(r.LesionReview), values(r.Provenance))
def test_any_review_gives_a_well_formed_page(study, lesion, provenance):
    review = replace(full_review(), study=study, lesions=(full_lesion(), lesion), provenance=provenance)
    check_self_contained(Page(render_html(review, {lesion.lesion_id: pictures()})))


def test_the_full_page_says_what_the_review_says():
    text = Page(render_html(full_review(), {"L1": pictures()})).text
    for words in (
        "Research only. Not for clinical use.",
        "Model trained on digital phantoms, not on patients",
        "Study RC-7f3a91c2",
        full_review().conclusion,
        "7p moderate complexity predicted, 7 points of 4 to 12",
        "6p low complexity measured from the masks",
        "≠ differs from the prediction",
        "components disagree: E",
        "84 % malignant",
        "read as malignant, threshold 50 %",
        "Low risk score -0.42, median 0.10 of the phantom training cohort, 320 patients",
        "60 months 94 %",
        "R 96.3, P 76.7, I 120.8 mm",
        "set by Reader 1, 2025-03-04 10:20 UTC: the mask misses the dorsal part; 3.5 mm from the proposed R 94.0",
        "CT shows clear cell renal cell carcinoma.",
        "papillary carcinoma",
        "58 % of the map lies inside",
        "8 augmentations, 8 moved centres (SD 3.0 mm)",
        "Distance 18.4, threshold 24.0",
        "No mass in the left kidney.",
        "phantom-demo 1.0 sha256 " + "cd" * 32,
        "400 digital phantoms; no patient",
        "phantom-nnunet 1.0 sha256 " + "ab" * 32,
        "numpy 2.4.6",
        "registration: off",
        "segment 31.40 s",
        "malignancy accepted agrees with my reading",
        "mask misses a part",
        "Patient Doe^Jane",
    ):
        assert words in text, words
    assert "Not in this review" not in text


def test_pictures_have_words_for_those_who_do_not_see_them_and_the_side_is_stated():
    page = Page(render_html(full_review(), {"L1": pictures()}))
    shown = [item for item in page.named("img") if item.get("class") != "marks"]
    assert len(shown) >= 8
    assert all(item["alt"] for item in shown)
    assert "the patient's right is on the left" in shown[0]["alt"]
    assert all(item["aria-label"] for item in page.named("svg") if item.get("role") == "img")
    assert all("scope" in item for item in page.named("th"))


def test_absent_parts_stand_together_with_each_reason_once():
    none = r.Absent("No model bundle was given.")
    gone = replace(full_lesion(), predicted=none, report=none, predecessor=none)
    page = Page(render_html(replace(full_review(), lesions=(gone,)), {"L1": pictures()})).text
    assert "Network reading, report, the predecessor's reading: No model bundle was given." in page
    assert page.count("No model bundle was given.") == 1
    assert "Malignancy" not in page


def test_each_part_of_the_reading_can_be_absent_on_its_own():
    full = full_lesion()
    for item in dataclasses.fields(r.Predicted):
        if item.name in ("phases_used", "fusion"):
            continue
        reading = replace(full.predicted, **{item.name: r.Absent(f"reason of {item.name}")})
        page = Page(render_html(replace(full_review(), lesions=(replace(full, predicted=reading),)), {})).text
        assert page.count(f"reason of {item.name}") == 1


def test_the_predecessor_stands_beside_with_score_map_and_agreement():
    drawn = {**pictures(), "predecessor-1": pictures()["explanation-1"]}
    page = Page(render_html(full_review(), {"L1": drawn})).text
    assert "Malignancy: RenalCLIP and the predecessor agree on malignant (84 % and 79 % malignant)." in page
    assert "2.3 aggressiveness score of 0 to 10" in " ".join(page.split())
    assert "Predecessor, malignancy: malignant" in page
    assert "41 % of the map lies inside the lesion's mask." in page
    assert "Grad-CAM on the axial slice" in page


def test_disagreement_and_a_missing_phase_are_told_among_the_checks():
    apart = predecessor(agreement={"malignancy": "agree", "aggressiveness": "disagree"}, phases_missing=("V",))
    apart = replace(apart, aggressiveness=replace(apart.aggressiveness, probability=0.7))
    lesion = replace(full_lesion(), predecessor=apart)
    told = lesion_checks(lesion)
    words = "RenalCLIP and the predecessor disagree (31 % and 70 % aggressive): indolent against aggressive."
    assert f"Aggressiveness: {words}" in told
    assert "The predecessor read the lesion without the venous phase, which it was trained with." in told
    assert not any("agree on" in words for words in told)
    page = Page(render_html(replace(full_review(), lesions=(lesion,)), {})).text
    assert page.count("indolent against aggressive") == 2  # in the checks, and in its own section


def test_a_review_without_a_predecessor_says_why_once():
    lesion = replace(full_lesion(), predecessor=r.Absent("The model bundle carries no multi-phase network."))
    page = Page(render_html(replace(full_review(), lesions=(lesion,)), {})).text
    assert "The predecessor's reading: The model bundle carries no multi-phase network." in page
    assert "aggressiveness score" not in page


def test_components_that_are_not_measured_say_why():
    lesion = replace(full_lesion(), measured=r.Absent("The kidney is cut."))
    page = Page(render_html(replace(full_review(), lesions=(lesion,)), {})).text
    assert "not measured" in page
    assert "Not measured: The kidney is cut." in page


def test_no_lesion_and_no_bundle_give_a_page_that_says_so():
    page = Page(render_html(empty_review(), {})).text
    assert "No lesion was looked for." in page
    assert "No segmentation model was given." in page
    assert "Research only. Not for clinical use." in page
    found_none = replace(full_review(), lesions=())
    page = Page(render_html(found_none, {STUDY: pictures()}))
    assert "No tumour or cyst was found" in page.text
    assert len(page.named("img")) > 3
    assert "centre used" not in page.text


def test_every_lesion_is_on_the_page_and_reached_by_a_link():
    others = [absent_lesion(lesion_id=f"L{number}", primary=False, label="cyst") for number in range(2, 7)]
    page = Page(render_html(replace(full_review(), lesions=(full_lesion(), *others)), {}))
    targets = {item.get("id") for _, item in page.tags}
    links = {item["href"].removeprefix("#") for item in page.named("a")}
    assert links == {f"L{number}" for number in range(1, 7)} <= targets
    assert len([item for item in page.named("details") if item.get("class") == "lesion"]) == 5
    identities = [item["id"] for _, item in page.tags if "id" in item]
    assert len(identities) == len(set(identities))


def test_what_should_be_checked_first_is_named():
    full = full_review()
    reading = full.primary.predicted
    reading = replace(
        reading,
        out_of_distribution=r.OutOfDistribution(31.2, 24.0, True, "Mahalanobis"),
        malignancy=replace(reading.malignancy, probability=0.52),
    )
    review = replace(
        full,
        lesions=(replace(full.primary, predicted=reading, roi_inside=0.83),),
        study=replace(full.study, phases=(replace(full.study.phases[0], confidence=0.55), *full.study.phases[1:])),
        sign_off=(r.SignOff("malignancy", "rejected", "looks like an AML", "Reader 2", ""),),
    )
    page = Page(render_html(review, {})).text
    for words in (
        "Unlike the training data: distance 31.2 exceeds 24.0",
        "Only 83 % of the region of interest",
        "Malignancy lies within one standard deviation (5 %) of its threshold",
        "non-contrast phase was recognised with 55 % confidence",
        "Reader 2 rejected malignancy: looks like an AML",
        "One localiser was left out.",
    ):
        assert words in page, words


@pytest.mark.parametrize(
    ("malignant", "aggressive", "told"), [(0.65, 0.41, True), (0.8, 0.41, False), (0.65, 0.3, False)]
)
def test_benign_and_yet_aggressive_is_named_as_a_contradiction(malignant, aggressive, told):
    lesion = full_lesion()
    reading = lesion.predicted
    parts = {
        "malignancy": replace(reading.malignancy, probability=malignant, threshold=0.73),
        "aggressiveness": replace(reading.aggressiveness, probability=aggressive, threshold=0.35),
    }
    words = " ".join(lesion_checks(replace(lesion, predicted=replace(reading, **parts))))
    assert ("Read as benign and yet as aggressive" in words) == told
    assert ("contradict each other" in words) == told


def test_a_page_of_a_bundle_trained_on_patients_does_not_speak_of_phantoms():
    review = full_review()
    source = replace(review.provenance, trained_on="400 patients of three hospitals", intended_use="Research only.")
    page = Page(render_html(replace(review, provenance=source), {})).text
    assert "Model trained on digital phantoms" not in page


def test_pictures_are_written_named_and_read_back(tmp_path):
    images = pictures()
    paths = write_pictures(images, tmp_path, "L1")
    assert paths["axial-A"] == "pictures/L1-axial-A.jpg"
    assert paths["roi-marks"] == "pictures/L1-roi-marks.png"
    review = replace(full_review(), lesions=(replace(full_lesion(), pictures=paths),))
    assert read_pictures(review, tmp_path) == {"L1": images}
    out = write_html(review, tmp_path, tmp_path / "review.html")
    assert out.read_text(encoding="utf-8") == render_html(review, {"L1": images})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "review.html"]


def test_only_pictures_inside_the_reviews_folder_are_embedded(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(picture())
    (folder / "text.png").write_text("secret words")
    paths = {
        "axial-A": "../secret.png",
        "roi-A": str(tmp_path / "secret.png"),
        "coronal-A": "text.png",
        "sagittal-A": "gone.png",
        "roi-V": "bad\0name",
    }
    review = replace(full_review(), lesions=(replace(full_lesion(), pictures=paths),))
    page = Page(write_html(review, folder, folder / "review.html").read_text(encoding="utf-8"))
    assert not page.named("img")
    assert "Pictures: none were drawn" in page.text


def test_bytes_that_are_no_picture_are_not_embedded():
    assert embed(b"<svg onload='alert(1)'/>") is None
    assert embed(picture()[:12]) is None
    shown = embed(picture("JPEG", (20, 10)))
    assert (shown.width, shown.height) == (20, 10)
    assert shown.uri.startswith("data:image/jpeg;base64,")


def test_a_page_that_cannot_be_written_leaves_nothing_and_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"review\.html cannot be written"):
        write_html(full_review(), tmp_path, tmp_path / "file" / "review.html")
    (tmp_path / "review.html").mkdir()
    with pytest.raises(OutputError):
        write_html(full_review(), tmp_path, tmp_path / "review.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "review.html"]


def test_text_without_a_utf8_form_and_chinese_text_are_written(tmp_path):
    review = replace(full_review(), conclusion="右肾肿瘤 \ud800.")
    text = write_html(review, tmp_path, tmp_path / "review.html", {}).read_text(encoding="utf-8")
    assert "右肾肿瘤" in text
