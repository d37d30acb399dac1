"""What the mutants are made from: small, valid files of every kind, written once per run."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

COLUMNS, SLICE_MM = 64, 10.0


def write_seeds(folder: Path) -> None:
    """Write everything; imports the heavy libraries, so run it in a process of its own."""
    from RenalCLIPCore.cli import main
    from RenalCLIPCore.models.bundle import write_bundle
    from Testing.Core import phantom_case
    from Testing.Core.imaging.nnunet_toys import write_model
    from Testing.Core.models.bundle_toys import toy_contents

    phantom_case.COLUMNS, phantom_case.SLICE_MM = COLUMNS, SLICE_MM
    volumes, labels, _ = phantom_case.make_phantom(phases="AV")
    study, _ = phantom_case.write_phantom_study(folder / "study", volumes, labels)
    _write_volumes(folder / "volumes", volumes["A"], labels)
    _write_dicom(folder / "dicom")
    write_bundle(folder / "bundle", toy_contents())
    write_model(folder / "model")
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in (folder / "model").rglob("*") if path.is_file()):
            archive.write(
                file, f"Dataset900_Toy/nnUNetTrainer__nnUNetPlans__3d_fullres/{file.relative_to(folder / 'model')}"
            )
    arguments = ["--bundle", str(folder / "bundle"), "--segmentation", str(folder / "volumes" / "labels.nrrd")]
    if main(["review", str(study.folder), "--out", str(folder / "review"), "--quiet", *arguments]):
        raise RuntimeError("the seeds cannot be reviewed")


def _write_volumes(folder: Path, image, labels) -> None:
    import SimpleITK as sitk

    from RenalCLIPCore.imaging.volume import Volume

    folder.mkdir()
    real = Volume(image.array.astype(np.float32), image.geometry)
    for volume, name, packed in (
        (image, "a.nii", False), (image, "a.nii.gz", True), (real, "real.nii", False), (image, "a.nrrd", True),
        (image, "raw.nrrd", False), (image, "a.nhdr", False), (image, "a.mha", True), (image, "a.mhd", False),
        (labels, "labels.nrrd", True), (labels, "labels.nii.gz", True), (labels, "labels.nii", False),
    ):  # fmt: skip
        sitk.WriteImage(volume.to_sitk(), str(folder / name), packed)
    segmented = labels.to_sitk()
    for number, name in enumerate(("kidney", "tumour", "cyst")):
        for key, value in (("ID", f"S{number}"), ("Name", name), ("LabelValue", str(number + 1)), ("Layer", "0")):
            segmented.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(segmented, str(folder / "labels.seg.nrrd"), True)


def _write_dicom(folder: Path) -> None:
    from pydicom.uid import JPEGLSLossless, RLELossless

    from RenalCLIPCore.phantom.dicom import _compress_jpeg2000
    from Testing.Core.imaging import dicom_files

    dicom_files.arterial(folder / "plain")
    for name, syntax in (("rle", RLELossless), ("jpegls", JPEGLSLossless), ("jpeg2000", None)):
        values = np.pad(dicom_files.body(), ((0, 0), (6, 6), (4, 4)), constant_values=-1000)
        items = dicom_files.datasets(values, SeriesNumber=3, SeriesDescription="Abdomen arteriell")
        for item in items:
            if syntax is None:
                _compress_jpeg2000(item)
            else:
                item.compress(syntax, generate_instance_uid=False)
        dicom_files.save(items, folder / name)
    stacks = [(dicom_files.body(), dicom_files.positions(), 1, "20200102101010")]
    frames = dicom_files.enhanced(stacks, SeriesNumber=3, SeriesDescription="Abdomen arteriell")
    dicom_files.save([frames], folder / "enhanced")


def copy_seed(source: Path, target: Path) -> None:
    """Copy a seed file or folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def worker_script(seeds: Path) -> list[dict[str, object]]:
    """A session of a host with the worker."""
    point = json.loads((seeds / "review" / "review.json").read_text())["lesions"][0]["centre_used"]["lps_mm"]
    calls: list[tuple[str, dict[str, object]]] = [
        ("initialize", {"protocol": 1}),
        ("bundle.load", {"path": str(seeds / "bundle")}),
        ("study.open", {"path": str(seeds / "study")}),
        ("segment", {"file": str(seeds / "volumes" / "labels.nrrd")}),
        ("review", {}),
        ("review.update", {"lesion_id": "L1", "centre_lps_mm": point, "by": "reader", "why": "better"}),
        ("explain", {"lesion_id": "L1", "tasks": ["malignancy"]}),
        ("report.draft", {"lesion_id": "L1"}),
        ("review.save", {"out": "out"}),
    ]
    return [{"jsonrpc": "2.0", "id": k, "method": name, "params": params} for k, (name, params) in enumerate(calls)]
