"""Patients painted onto label maps: the maps' shapes, the phantom's enhancement, and what is not known left out."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.splits import assign_splits
from RenalCLIPCore.cohort.table import read_cohort
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import (
    ConfigurationError,
    GeometryError,
    InputError,
    NoKidneyError,
    NoLesionError,
    OutputError,
)
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume, write_volume
from RenalCLIPCore.phantom.cohort import CohortPlan, write_cohort
from RenalCLIPCore.phantom.findings import UNKNOWN_IN_MASKS, kidney_findings
from RenalCLIPCore.phantom.histology import Histology, given_size, posterior, size_of
from RenalCLIPCore.phantom.masks import LICENCE, choose_masks, read_mask
from RenalCLIPCore.phantom.painting import moved, paint_patient
from RenalCLIPCore.phantom.render import Acquisition, TissueMap, render_phase
from RenalCLIPCore.phantom.reports import write_report
from RenalCLIPCore.phantom.truth import read_truth, truth
from RenalCLIPCore.text.extraction import read_answers
from RenalCLIPCore.text.questionnaire import questionnaire
from Testing.Core.phantom.mask_toys import CYST, KIDNEYS, TUMOUR, kits_labels, write_masks
from Testing.Core.real_data import REAL_DATA

QUIET = Acquisition(kernel_mm=0.0, noise_hu=0.0)
SEED = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    masks = tmp_path_factory.mktemp("masks")
    return write_masks(masks, kits_labels(), kits_labels(cyst=False), kits_labels(kidneys=("left",), cyst=False))


@pytest.fixture(scope="module")
def mask(folder):
    return read_mask(folder / "case_0.nii.gz")


@pytest.fixture(scope="module")
def patient(mask):
    return paint_patient(SEED, mask)


@pytest.fixture(scope="module")
def tissues(patient, mask):
    return TissueMap(patient, moved(mask.labels.geometry, -np.asarray(patient.painted.origin_lps_mm)))


def phase(patient, tissues, phase):
    return render_phase(patient, phase, tissues.geometry, 1, tissues=tissues, acquisition=QUIET).array


def at(mask, volume, place):
    index = np.rint(mask.labels.geometry.index(place)).astype(int)
    return float(volume[tuple(index)])


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cohort(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("painted") / "out"
    plan = CohortPlan(4, 8, phases=(Phase.A, Phase.N), masks=choose_masks(folder, 4, 2, 8), both_kidneys=True)
    write_cohort(out, plan)
    return out, plan


def test_the_maps_shapes_have_the_tissues_hu(patient, mask, tissues):
    primary = patient.primary
    plain = replace(primary, texture=None, calcification=None)
    changed = replace(patient, lesions=(plain, *patient.lesions[1:]))
    own = TissueMap(changed, tissues.geometry)
    for which in (Phase.N, Phase.A):
        volume = phase(changed, own, which)
        assert at(mask, volume, TUMOUR[0]) == pytest.approx(primary.hu(which), abs=1.0)
        assert at(mask, volume, CYST[0]) == pytest.approx(patient.lesions[1].hu(which), abs=1.0)
        cortex = np.array(KIDNEYS["right"]) - (22.0, 0.0, 0.0)
        assert at(mask, volume, cortex) == pytest.approx(patient.tissues.hu("cortex", which), abs=8.0)


def test_cortex_lies_over_medulla_only_while_contrast_is_corticomedullary(patient, mask, tissues):
    inside = mask.labels.array == 1
    for which, split in ((Phase.A, True), (Phase.N, False)):
        values = phase(patient, tissues, which)[inside]
        spread = np.percentile(values, 90) - np.percentile(values, 15)
        assert (spread > 50) == split, which


def test_voxels_agree_with_the_labels_at_their_borders(patient, mask, tissues):
    """Outside of kidneys and lesions and within reach of them, nothing has the kidneys' enhancement but vessels."""
    from scipy.ndimage import distance_transform_edt

    volume = phase(patient, tissues, Phase.V)
    foreground = mask.labels.array > 0
    distance = distance_transform_edt(~foreground, sampling=mask.labels.geometry.spacing_mm)
    rim = (distance > 2.5) & (distance < 4.0)
    assert np.median(volume[rim]) < -60
    assert (volume[foreground] > -20).mean() > 0.98


def test_other_organs_give_way_to_kidneys_that_lie_where_they_would_be(mask, patient):
    half = Volume(mask.labels.array, mask.labels.geometry)
    torso = patient.torso
    geometry = moved(half.geometry, -np.asarray(patient.painted.origin_lps_mm))
    points = geometry.lps(np.argwhere(half.array > 0))
    assert (torso.spine.distance(*points.T) < 0).mean() < 0.01
    assert (torso.cavity.distance(*points.T) > 5).mean() < 0.02
    assert points[half.array[half.array > 0] == 2][:, 0].min() > 0


def test_what_the_map_decides_is_measured_and_the_rest_is_said_to_be_unknown(patient, mask):
    value = truth(patient)
    found = find_lesions(mask.labels)
    assert [(x.side, x.label) for x in value.lesions] == [("left", "tumour"), ("right", "cyst")]
    assert value.primary.volume_ml == pytest.approx(4 / 3 * np.pi * TUMOUR[1] ** 3 / 1000, rel=0.05)
    assert value.primary.centre_lps_mm == pytest.approx(TUMOUR[0], abs=3.0)
    assert value.primary.centroid_lps_mm == pytest.approx(TUMOUR[0], abs=1.0)
    assert value.primary.largest_diameter_mm == found.lesions[0].largest_diameter_mm
    assert value.renal is None
    assert value.painted.mask_sha256 == mask.sha256
    assert any(words.startswith("R.E.N.A.L.") for words in value.painted.unlabelled)
    assert "CC BY-NC-SA" in value.painted.licence
    assert "margin_irregularity" not in value.tumour.attributes


def test_the_histology_is_drawn_given_the_size_and_the_oracle_knows_no_margin(patient, mask):
    size = size_of(2 * TUMOUR[1])
    assert patient.tumour.attributes.size == pytest.approx(size, abs=0.1)
    assert np.isnan(patient.tumour.attributes.irregularity)
    prior = {Histology.CLEAR_CELL_HIGH: 0.5, Histology.FAT_POOR_ANGIOMYOLIPOMA: 0.5}
    small, large = (given_size(prior, size_of(d))[Histology.CLEAR_CELL_HIGH] for d in (20.0, 80.0))
    assert small < 0.3 < 0.9 < large
    weights = posterior(patient.tumour.attributes, {h: 1.0 for h in Histology if h is not Histology.COMPLEX_CYST})
    known = replace(patient.tumour.attributes, irregularity=0.0)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights != posterior(known, dict.fromkeys(weights, 1.0))
    with pytest.raises(ConfigurationError, match="histology weights leave none"):
        paint_patient(SEED, mask, prior={Histology.COMPLEX_CYST: 1.0})


def test_sizes_beyond_the_model_are_held_to_its_range():
    assert (size_of(5.0), size_of(58.0), size_of(300.0)) == pytest.approx((-3.5, 0.0, 3.5))


def test_a_map_of_cysts_alone_is_a_complex_cyst(tmp_path):
    write_masks(tmp_path, kits_labels(tumour=False))
    patient = paint_patient(SEED, read_mask(tmp_path / "case_0.nii.gz"))
    assert patient.tumour.histology is Histology.COMPLEX_CYST
    assert patient.primary.septa
    assert patient.tumour.oracle.malignant == 0.0


def test_necrosis_takes_its_share_of_any_shape(patient):
    shape = patient.primary.shape
    points = shape.voxels_lps_mm.T
    radius = shape.relative_radius(*points)
    assert (radius < 0.3 ** (1 / 3)).mean() == pytest.approx(0.3, abs=0.03)
    assert radius.max() <= 1.0


def test_reports_say_what_the_map_shows_and_nothing_of_what_is_unknown(patient):
    for side in ("left", "right"):
        found = kidney_findings(patient, side)
        assert [n for n, answer in enumerate(found.answers, 1) if answer is None] == list(UNKNOWN_IN_MASKS)
    extent = kidney_findings(patient, "left").main
    assert extent.long_mm == pytest.approx(2 * TUMOUR[1], abs=3.0)
    absent = questionnaire().no_mass
    for seed in range(12):
        report = write_report(replace(patient, seed=seed)).kidney("left")
        assert all(report.stated[n - 1] == absent[n - 1] for n in UNKNOWN_IN_MASKS)
        read = read_answers(report.text["en"].findings, report.text["en"].impression)
        assert all(read[n - 1] in (None, absent[n - 1]) for n in (11, 14)), report.text["en"].findings


def test_a_single_kidney_is_painted_and_the_other_one_is_absent(folder):
    mask = read_mask(folder / "case_2.nii.gz")
    patient = paint_patient(SEED, mask)
    assert [kidney.side for kidney in patient.kidneys] == ["left"]
    assert patient.primary.side == "left"
    report = write_report(patient)
    assert report.right.stated == questionnaire().no_mass
    for language, words in (("en", ("absent", "not seen", "No right kidney")), ("zh", ("缺如", "未见右肾"))):
        assert any(word in report.right.text[language].findings for word in words)
    assert read_answers(report.right.text["en"].findings, "") == questionnaire().no_mass
    assert any("One kidney" in note for note in truth(patient).painted.notes)


def test_a_cohort_is_on_the_maps_own_voxels_and_flagged(cohort, folder):
    out, plan = cohort
    assert (out / "LICENCE-OF-MASKS.txt").read_text().strip() == LICENCE
    rows = read_cohort(out / "cohort.csv")
    assert {row.licence for row in rows} == {LICENCE}
    hidden = [path.stem.split(".")[0] for path in folder.iterdir()]
    assert not any(name in text for name in hidden for text in (out / "cohort.csv").read_text().splitlines())
    for row in rows:
        value = read_truth(out / row.patient / "truth.json")
        original = read_volume(folder / plan.masks[int(row.patient[-5:]) % 3].path.name).canonical()
        labels = read_volume(row.label_map)
        assert labels.geometry.spacing_mm == pytest.approx(original.geometry.spacing_mm)
        start = original.geometry.index(labels.geometry.origin_lps_mm)
        assert start == pytest.approx(np.rint(start), abs=1e-3)
        first = np.rint(start).astype(int)
        part = original.array[tuple(slice(a, a + n) for a, n in zip(first, labels.geometry.size, strict=True))]
        np.testing.assert_array_equal(labels.array, part)
        assert (labels.array > 0).sum() == (original.array > 0).sum()
        for path in row.volumes.values():
            volume = read_volume(path)
            assert volume.array.dtype == np.int16
            assert volume.geometry.same_grid(labels.geometry)
        assert labels.geometry.contains(row.centre_lps_mm)
        assert row.group == f"mask-{value.painted.mask_sha256[:16]}"
        assert not any(name.startswith("renal_") or name == "margin" for name in row.labels)


def test_labelled_rows_have_the_histologys_labels_and_absent_kidneys_no_row(cohort):
    out, plan = cohort
    rows = read_cohort(out / "cohort.csv")
    single = plan.masks[[file.path.name for file in plan.masks].index("case_2.nii.gz")].sha256
    assert len(rows) == 8 - sum(file.sha256 == single for file in (*plan.masks, plan.masks[0]))
    primary = [row for row in rows if row.labels]
    assert len(primary) == 4
    assert all({"malignancy", "aggressiveness", "density", "necrosis"} <= row.labels.keys() for row in primary)
    assert all(row.diameter_mm == pytest.approx(2 * TUMOUR[1], abs=7.0) for row in primary)


def test_patients_of_one_map_are_never_parted(cohort):
    out, _ = cohort
    rows = read_cohort(out / "cohort.csv")
    groups = {row.group for row in rows}
    assert len(groups) == 3
    for seed in range(5):
        split = assign_splits(rows, (1 / 3, 1 / 3, 1 / 3), seed)
        assert all(len({row.split for row in split if row.group == group}) == 1 for group in groups)


def test_the_same_seed_gives_the_same_files_whoever_makes_them(cohort, tmp_path):
    out, plan = cohort
    write_cohort(tmp_path / "again", plan, workers=Workers(2))
    assert hashes(tmp_path / "again") == hashes(out)


def test_a_folder_of_patients_of_other_masks_is_not_taken_up(cohort, tmp_path):
    out, plan = cohort
    swapped = replace(plan, masks=(plan.masks[1], plan.masks[0], plan.masks[2]))
    with pytest.raises(OutputError, match="another mask"):
        write_cohort(out, swapped)


def test_lesion_only_volumes_hold_the_region_of_interest(folder, tmp_path):
    plan = CohortPlan(1, 8, phases=(Phase.A,), masks=choose_masks(folder, 1, 1, 8), lesion_only=True)
    (row,) = read_cohort(write_cohort(tmp_path / "out", plan))
    low, high = read_volume(row.label_map).geometry.bounds_lps_mm
    assert np.all(low <= np.array(row.centre_lps_mm) - 50)
    assert np.all(high - low <= 170)


def bad_masks(kind):
    good = kits_labels()
    grid = good.geometry
    if kind == "labels":
        return Volume(np.where(good.array == 3, 7, good.array).astype(np.uint8), grid)
    if kind == "kidney":
        return Volume(np.where(good.array == 1, 0, good.array).astype(np.uint8), grid)
    if kind == "lesion":
        return kits_labels(tumour=False, cyst=False)
    spacing = {"slices": (12.0, 2.0, 2.0), "millimetres": (1.0, 0.5, 0.5)}[kind]
    return Volume(good.array, Geometry.from_components(grid.size, spacing, grid.origin_lps_mm, grid.direction_matrix))


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("labels", InputError, "expected are 0 background, 1 kidney"),
        ("kidney", NoKidneyError, "holds no kidney"),
        ("lesion", NoLesionError, "no tumour or cyst"),
        ("slices", GeometryError, "voxels measure 12 x 2 x 2 mm"),
        ("millimetres", GeometryError, "which nobody's does"),
    ],
)
def test_a_map_that_cannot_be_painted_is_told_by_its_place_before_anything_is_made(tmp_path, kind, error, message):
    masks = write_masks(tmp_path / "named-after-somebody", kits_labels(), bad_masks(kind))
    with pytest.raises(error, match=message) as caught:
        choose_masks(masks, 2, 1, 1)
    assert str(caught.value).startswith("Mask 2 of 2")
    assert "somebody" not in str(caught.value)


def test_the_command_paints_and_refuses(folder, tmp_path, capsys):
    out = tmp_path / "out"
    base = ["phantom", "cohort", "--seed", "8", "--phases", "V", "--out", str(out)]
    masks = ["--masks", str(folder)]
    for arguments, message in (
        (["--patients", "4", *masks], "4 patients need more than 3 masks"),
        (["--patients", "1", *masks, "--in-plane-mm", "2"], "leave out --in-plane-mm"),
        (["--patients", "1", "--per-mask", "2"], "belongs to --masks"),
        (["--patients", "1", "--masks", str(tmp_path)], "No label maps were found"),
    ):
        assert main([*base, *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()
    assert main([*base, "--patients", "1", *masks]) == 0
    (row,) = read_cohort(out / "cohort.csv")
    assert row.patient == "internal-painted-8-00000"
    assert json.loads((out / row.patient / "truth.json").read_text())["painted"]["licence"] == LICENCE


def test_the_kits_layout_of_folders_is_found(tmp_path):
    for case in ("case_00000", "case_00001"):
        (tmp_path / case).mkdir()
        write_volume(kits_labels(), tmp_path / case / "segmentation.nii.gz")
    assert len(choose_masks(tmp_path, 2, 1, 1)) == 2


def test_real_masks_keep_their_lesions_and_look_like_their_tissues():
    masks = REAL_DATA / "masks_kits23"
    if not masks.is_dir():
        pytest.skip("the real masks (KiTS23) are not there")
    mask = read_mask(masks / "case_00257_segmentation.nii.gz")
    patient = paint_patient(SEED, mask)
    tissues = TissueMap(patient, moved(mask.labels.geometry, -np.asarray(patient.painted.origin_lps_mm)))
    venous = phase(patient, tissues, Phase.V)
    assert truth(patient).primary.volume_ml == pytest.approx(6.58, abs=0.05)
    labels = mask.labels.array
    assert np.median(venous[labels == 1]) == pytest.approx(patient.tissues.hu("cortex", Phase.V), abs=25)
    assert np.median(venous[labels == 3]) == pytest.approx(patient.lesions[1].hu(Phase.V), abs=4)
    assert np.median(venous[labels == 0]) < -50
