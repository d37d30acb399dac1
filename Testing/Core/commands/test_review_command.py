"""``renalclip review`` as a person uses it: DICOM to pages by one command, and one clear message for each bad input."""

import contextlib
import re
import shutil

import numpy as np
import pydicom
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from RenalCLIPCore.cli import main
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from RenalCLIPCore.models.bundle import file_hash, write_bundle
from RenalCLIPCore.phantom.dicom import write_dicom
from RenalCLIPCore.review import read_review
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom

PATIENT = ("DOE^JANE", "MRN-4711")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(phases="NAV")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "toy"
    write_bundle(folder, toy_contents())
    return folder


@pytest.fixture(scope="module")
def dicom(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom") / "study"
    return write_dicom(phantom[0], folder, patient_name=PATIENT[0], patient_id=PATIENT[1], reverse=True)


@pytest.fixture(scope="module")
def masks(phantom, tmp_path_factory):
    file = tmp_path_factory.mktemp("masks") / "labels.nii.gz"
    write_volume(phantom[1], file)
    return file


def review(out, *arguments):
    return main(["review", "--out", str(out), "--quiet", *map(str, arguments)])


def refused(capsys, out, *arguments):
    """The one message of a refused review; nothing may be left behind and no patient named."""
    assert review(out, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("renalclip: ")
    assert "Traceback" not in error
    assert not any(word in error for word in ("DOE", "JANE", "4711"))
    assert not out.exists()
    return error


def test_dicom_becomes_a_review_without_patient_data(dicom, masks, bundle, phantom, tmp_path, capsys):
    assert review(tmp_path / "out", dicom, "--bundle", bundle, "--segmentation", masks, "--no-uncertainty") == 0
    printed = capsys.readouterr().out
    assert "review.json" in printed
    assert "review.html" in printed
    result = read_review(tmp_path / "out" / "review.json")
    assert {item.phase for item in result.study.phases} == {"N", "A", "V"}
    assert result.primary.side == phantom[2].primary.side
    assert np.linalg.norm(np.subtract(result.primary.centre_used.lps_mm, phantom[2].primary.centre_lps_mm)) < 5
    for item in result.study.phases:
        assert (tmp_path / "out" / item.file).is_file()
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".json", ".html"):
            text = re.sub("base64,[A-Za-z0-9+/=]+", "", path.read_text(encoding="utf-8"))  # any letters occur in there
            assert not re.search("DOE|JANE|4711", text)
    again = review(tmp_path / "again", tmp_path / "out" / "study", "--bundle", bundle, "--segmentation", masks)
    assert again == 0
    assert read_review(tmp_path / "again" / "review.json").primary.centre_used.lps_mm == pytest.approx(
        result.primary.centre_used.lps_mm
    )


def test_the_files_that_a_review_names_lie_beside_it_when_the_output_is_given_relatively(
    dicom, masks, bundle, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = ("--no-uncertainty", "--no-explanation", "--no-nephrometry")
    assert review("out", dicom, "--bundle", bundle, "--segmentation", masks, *options) == 0
    study = read_review(tmp_path / "out" / "review.json").study
    assert study.folder == "study"
    assert all((tmp_path / "out" / item.file).is_file() for item in study.phases)


def test_identifiers_are_kept_only_when_asked_for(dicom, masks, bundle, tmp_path):
    arguments = (dicom, "--bundle", bundle, "--segmentation", masks, "--no-uncertainty", "--no-explanation")
    assert review(tmp_path / "out", *arguments, "--keep-identifiers") == 0
    assert read_review(tmp_path / "out" / "review.json").study.identifiers.patient_id == PATIENT[1]


def test_a_folder_without_images(tmp_path, bundle, capsys):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("nothing here")
    assert "CT" in refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)
    refused(capsys, tmp_path / "out", tmp_path / "no such folder", "--bundle", bundle)


def test_only_a_localiser(dicom, bundle, tmp_path, capsys):
    (tmp_path / "source").mkdir()
    for path in dicom.rglob("*"):
        if path.is_file() and "LOCALIZER" in pydicom.dcmread(path, stop_before_pixels=True).ImageType:
            shutil.copy(path, tmp_path / "source")
    assert "localiser" in refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)


def test_a_missing_slice_is_refused_with_its_place_and_accepted_with_allow_gaps(
    phantom, masks, bundle, tmp_path, capsys
):
    write_dicom({Phase.A: phantom[0][Phase.A]}, tmp_path / "gap", missing_slice=20)
    error = refused(capsys, tmp_path / "out", tmp_path / "gap", "--bundle", bundle)
    place = phantom[0][Phase.A].geometry.lps((0, 0, 20))[2]
    assert f"{place:.1f}" in error
    assert "--allow-gaps" in error
    arguments = ("--bundle", bundle, "--segmentation", masks, "--allow-gaps", "--no-uncertainty", "--no-explanation")
    assert review(tmp_path / "out", tmp_path / "gap", *arguments) == 0
    notes = read_review(tmp_path / "out" / "review.json").study.phases[0].notes
    assert any("interpolated" in note or "missing" in note for note in notes)


def test_two_patients(phantom, bundle, tmp_path, capsys):
    write_dicom(
        {Phase.A: phantom[0][Phase.A]}, tmp_path / "source" / "one", patient_name="DOE^JANE", patient_id="1-4711"
    )
    write_dicom({Phase.V: phantom[0][Phase.V]}, tmp_path / "source" / "two", seed=1, patient_id="2")
    assert "patient" in refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)


def test_neither_arterial_nor_venous(phantom, bundle, tmp_path, capsys):
    write_dicom({Phase.N: phantom[0][Phase.N]}, tmp_path / "source")
    assert "arterial or a venous" in refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)


def test_not_ct(dicom, bundle, tmp_path, capsys):
    (tmp_path / "source").mkdir()
    for number, path in enumerate(sorted(p for p in dicom.rglob("*") if p.is_file())[:20]):
        dataset = pydicom.dcmread(path)
        dataset.Modality = "MR"
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        dataset.save_as(tmp_path / "source" / str(number))
    assert "MR" in refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)


def test_truncated_files(dicom, phantom, bundle, tmp_path, capsys):
    shutil.copytree(dicom, tmp_path / "source")
    for path in sorted(p for p in (tmp_path / "source").rglob("*") if p.is_file()):
        path.write_bytes(path.read_bytes()[:-9000])
    refused(capsys, tmp_path / "out", tmp_path / "source", "--bundle", bundle)
    write_volume(phantom[0][Phase.A], tmp_path / "a.nrrd")
    whole = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(whole[: len(whole) // 2])
    error = refused(
        capsys, tmp_path / "out", tmp_path / "a.nrrd", "--phase", f"A={tmp_path / 'a.nrrd'}", "--bundle", bundle
    )
    assert "truncated" in error


@pytest.fixture(scope="module")
def study(dicom, masks, bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "study"
    assert main(["import", str(dicom), "--out", str(out)]) == 0
    return out


def test_a_centre_outside_and_one_whose_region_is_mostly_outside(study, masks, bundle, phantom, tmp_path, capsys):
    given = (study, "--bundle", bundle, "--segmentation", masks, "--centre-lps-mm")
    assert "LPS" in refused(capsys, tmp_path / "out", *given, "5000", "0", "0")
    corner = [str(value) for value in phantom[0][Phase.A].geometry.lps((1, 1, 1))]
    assert "inside the scan" in refused(capsys, tmp_path / "out", *given, *corner)


@pytest.mark.parametrize(("keep", "words"), [((2, 3), "kidney"), ((1,), "--centre-lps-mm")])
def test_masks_without_kidney_or_without_lesion(study, bundle, phantom, tmp_path, capsys, keep, words):
    labels = phantom[1]
    kept = np.where(np.isin(labels.array, keep), labels.array, 0).astype(np.uint8)
    write_volume(Volume(kept, labels.geometry), tmp_path / "masks.nrrd")
    assert words in refused(
        capsys, tmp_path / "out", study, "--bundle", bundle, "--segmentation", tmp_path / "masks.nrrd"
    )


def test_masks_on_another_grid_are_resampled_where_they_overlap_and_refused_elsewhere(
    study, bundle, phantom, tmp_path, capsys
):
    labels = phantom[1]
    finer = Geometry.from_components(
        [n * 2 for n in labels.geometry.size],
        np.divide(labels.geometry.spacing_mm, 2),
        labels.geometry.origin_lps_mm,
        np.eye(3),
    )
    write_volume(labels.resample_to(finer, nearest=True, fill=0), tmp_path / "finer.nrrd")
    arguments = (study, "--bundle", bundle, "--no-uncertainty", "--no-explanation", "--segmentation")
    assert review(tmp_path / "out", *arguments, tmp_path / "finer.nrrd") == 0
    result = read_review(tmp_path / "out" / "review.json")
    assert "resampled" in " ".join(result.segmentation.notes)
    assert result.primary.side == phantom[2].primary.side
    far = Geometry.from_components(labels.geometry.size, labels.geometry.spacing_mm, (2000, 0, 0), np.eye(3))
    write_volume(Volume(labels.array, far), tmp_path / "far.nrrd")
    refused(capsys, tmp_path / "elsewhere", *arguments, tmp_path / "far.nrrd")


def test_a_folder_that_is_no_nnunet_model(study, bundle, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    error = refused(capsys, tmp_path / "out", study, "--bundle", bundle, "--segmentation-model", tmp_path / "model")
    assert "nnU-Net" in error


def test_a_bundle_with_a_wrong_hash_or_tensors(study, masks, bundle, tmp_path, capsys):
    arguments = (study, "--segmentation", masks, "--bundle")

    def damaged(name, change):
        folder = tmp_path / name
        shutil.copytree(bundle, folder)
        tensors = load_file(folder / "encoder.safetensors")
        change(tensors)
        save_file(tensors, folder / "encoder.safetensors")
        manifest = yaml.safe_load((folder / "bundle.yaml").read_text())
        manifest["files"]["encoder.safetensors"] = file_hash(folder / "encoder.safetensors")
        (folder / "bundle.yaml").write_text(yaml.safe_dump(manifest))
        return folder

    shutil.copytree(bundle, tmp_path / "flipped")
    data = bytearray((tmp_path / "flipped" / "heads.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "flipped" / "heads.safetensors").write_bytes(bytes(data))
    assert "SHA-256" in refused(capsys, tmp_path / "out", *arguments, tmp_path / "flipped")
    missing = damaged("missing", lambda tensors: tensors.pop("conv1.weight"))
    assert "conv1.weight" in refused(capsys, tmp_path / "out", *arguments, missing)
    extra = damaged("extra", lambda tensors: tensors.update(more=torch.zeros(2)))
    assert "more" in refused(capsys, tmp_path / "out", *arguments, extra)


def test_both_masks_and_model_and_an_unknown_option(study, masks, bundle, tmp_path, capsys):
    error = refused(
        capsys, tmp_path / "out", study, "--bundle", bundle, "--segmentation", masks, "--segmentation-model", masks
    )
    assert "not both" in error
    with contextlib.suppress(SystemExit):
        main(["review", str(study), "--no-such-option"])
    assert "unrecognized" in capsys.readouterr().err


def test_an_output_that_is_a_file(study, masks, bundle, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert review(tmp_path / "out", study, "--bundle", bundle, "--segmentation", masks) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"
