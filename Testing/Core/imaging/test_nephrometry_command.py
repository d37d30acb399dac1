"""``renalclip nephrometry``: a label map in, a table and a file out; a person's mistakes are told."""

import argparse
import gzip
import json
import math
import struct

import numpy as np
import pytest

from RenalCLIPCore.commands.nephrometry import COMMANDS, Nephrometry
from RenalCLIPCore.errors import ConfigurationError, GeometryError, InputError, NoKidneyError, NoLesionError
from RenalCLIPCore.imaging.segmentation_file import Segmentation
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Volume, read_volume, write_volume
from RenalCLIPCore.review import Measured, decode
from RenalCLIPCore.session import Session
from Testing.Core.imaging.nephrometry_toys import box, left_kidney
from Testing.Core.phantom_case import write_phantom_study

GRID = box((52, 48, 66), (52, 48, 66), (1.5, 1.5, 3.0))


def command(*arguments):
    parser = argparse.ArgumentParser()
    Nephrometry.add_arguments(parser)
    return Nephrometry(**vars(parser.parse_args([str(item) for item in arguments])))


@pytest.fixture
def mask(tmp_path):
    path = tmp_path / "mask.nii.gz"
    write_volume(left_kidney([((30.0, 0.0, -34.0), 12.0, 2), ((0.0, 20.0, 30.0), 8.0, 3)], GRID), path)
    return path


def test_every_lesion_is_printed_with_its_definitions_and_written(mask, tmp_path, capsys):
    command(mask, "--perturbations", 2, "--out", tmp_path / "out").run()
    shown = capsys.readouterr().out
    assert "R.E.N.A.L." in shown
    assert "PADUA" in shown
    assert "C-index" in shown
    assert "band_mm 10" in shown
    assert "not assessed" in shown
    document = json.loads((tmp_path / "out" / "nephrometry.json").read_text())
    assert [item["lesion"]["lesion_id"] for item in document["lesions"]] == ["L1", "L2"]
    assert decode(Measured, document["lesions"][0]["measured"]).components[0].component == "R"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"nephrometry.json", "nephrometry.html"}
    assert (tmp_path / "out" / "nephrometry.html").read_text(encoding="utf-8").count("data:image/jpeg") == 12


def test_one_lesion_can_be_chosen_and_definitions_changed(mask, capsys):
    command(mask, "--perturbations", 0, "--lesion", "L2", "--band-mm", 5).run()
    shown = capsys.readouterr().out
    assert "L2  " in shown
    assert "L1  " not in shown
    assert "band_mm 5" in shown
    with pytest.raises(NoLesionError, match="L1, L2"):
        command(mask, "--lesion", "L9", "--perturbations", 0).run()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--perturbations", "-1"), ConfigurationError),
        (("--band-mm", "-3"), ConfigurationError),
        (("--diameter", "longest"), ConfigurationError),
        (("--segmentation", "other.nii.gz"), ConfigurationError),
        (("--vessels", "missing.nii.gz"), InputError),
    ],
)
def test_impossible_arguments_are_refused(mask, arguments, error):
    with pytest.raises(error):
        command(mask, *arguments).run()


def test_masks_that_cannot_be_measured_are_refused(tmp_path):
    labels = left_kidney([], GRID)
    speck = labels.array.copy()
    speck[tuple(np.argwhere(speck == 1)[400])] = 2
    cases = {
        "no_lesion": (labels.array, NoLesionError),
        "one_voxel": (speck, NoLesionError),
        "empty": (labels.array * 0, NoKidneyError),
        "only_tumour": (labels.array * 2, NoKidneyError),
        "unknown": (labels.array * 7, InputError),
    }
    for name, (array, error) in cases.items():
        path = tmp_path / f"{name}.nii.gz"
        write_volume(Volume(array.astype(np.uint8), GRID), path)
        with pytest.raises(error):
            command(path, "--perturbations", 0, "--out", tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def edited(path, changes):
    """The bytes of a NIfTI-1 file with fields of its header replaced: (offset, format, values)."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    for offset, form, values in changes:
        struct.pack_into(form, data, offset, *values)
    return gzip.compress(bytes(data))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([(80, "<3f", (0, 0, 0)), (252, "<2h", (0, 0))], "0 x 0 x 0 mm"),
        ([(88, "<f", (0,))], "1.5 x 1.5 x 0 mm"),
        ([(88, "<f", (math.nan,))], "1.5 x 1.5 x nan mm"),
        ([(252, "<2h", (0, 1)), (280, "<12f", (-1.5, 0.6, 0, 10, 0, -1.5, 0, 10, 0, 0, 3, -60))], "not orthogonal"),
    ],
    ids=["missing", "zero", "no number", "sheared"],
)
def test_a_file_without_spacing_or_with_sheared_axes_is_refused(mask, changes, words):
    mask.write_bytes(edited(mask, changes))
    with pytest.raises(GeometryError, match=words):
        command(mask, "--perturbations", 0).run()


def test_a_nrrd_file_without_spacing_is_refused(tmp_path):
    path = tmp_path / "mask.nrrd"
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n"
    path.write_bytes(header.encode() + bytes(64))
    with pytest.raises(GeometryError, match="declares no voxel spacing"):
        command(path, "--perturbations", 0).run()


def test_a_metaimage_file_without_spacing_is_refused(mask, tmp_path):
    path = tmp_path / "mask.mha"
    write_volume(read_volume(mask), path)
    head, separator, voxels = path.read_bytes().partition(b"ElementDataFile")
    lines = [line for line in head.split(b"\n") if not line.startswith((b"ElementSpacing", b"ElementSize"))]
    path.write_bytes(b"\n".join(lines) + separator + voxels)
    with pytest.raises(GeometryError, match="declares no voxel spacing"):
        command(path, "--perturbations", 0).run()


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither a label map nor a study"):
        command(tmp_path).run()
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="either"):
        command(tmp_path, "--segmentation", "a.nii.gz", "--segmentation-model", "b").run()
    with pytest.raises(InputError, match="no such file"):
        command(tmp_path / "nothing.nii.gz").run()


def test_a_study_is_measured_with_given_masks_or_with_those_of_a_model(tmp_path, monkeypatch, capsys):
    labels = left_kidney([((30.0, 0.0, -34.0), 12.0, 2)], GRID)
    scan = Volume(np.where(labels.array > 0, 150, -80).astype(np.int16), GRID)
    study, masks = write_phantom_study(tmp_path / "study", {Phase.A: scan}, labels)
    command(study.folder, "--segmentation", masks, "--perturbations", 0).run()
    given = capsys.readouterr()
    assert "R.E.N.A.L." in given.out
    assert "phantoms" not in given.err
    monkeypatch.setattr(Session, "segment_with_model", lambda self, folder, tell: Segmentation(labels, "model", "", ""))
    command(study.folder, "--perturbations", 0).run()
    modelled = capsys.readouterr()
    assert modelled.out == given.out
    assert "learned from digital phantoms" in modelled.err


def test_the_command_is_offered():
    assert [Nephrometry] == COMMANDS
    assert Nephrometry.name == "nephrometry"
