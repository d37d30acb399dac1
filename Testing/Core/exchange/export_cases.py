"""A small phantom study as DICOM in several storages, imported, with a review of it written beside its label map."""

from dataclasses import replace

import numpy as np

from RenalCLIPCore import review as r
from RenalCLIPCore.imaging.importing import ImportOptions, import_study
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.dicom import write_dicom
from RenalCLIPCore.phantom.grids import study_geometry
from RenalCLIPCore.phantom.render import TissueMap, render_labels, render_phase
from Testing.Core.exchange.reviews import full_lesion, full_review, phase

SEED, COLUMNS, SLICE_MM = 11, 64, 9.0
NO_IDENTIFIERS = r.Absent("identifiers are left out unless asked for")


def grid(patient, *, oblique=False, feet_first=False):
    """A coarse grid; oblique by some degrees about two axes, or with slices that run from head to feet."""
    plain = study_geometry(patient, columns=COLUMNS, slice_mm=SLICE_MM)
    if feet_first:
        columns = np.diag([1.0, -1.0, -1.0])
        origin = plain.lps((0, plain.size[1] - 1, plain.size[2] - 1))
        return Geometry.from_components(plain.size, plain.spacing_mm, origin, columns)
    if not oblique:
        return plain
    a, b = np.radians(9.0), np.radians(6.0)
    turn = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    )
    middle = plain.lps([(n - 1) / 2 for n in plain.size])
    half = turn @ (np.array(plain.spacing_mm) * (np.array(plain.size) - 1) / 2)
    return Geometry.from_components(plain.size, plain.spacing_mm, middle - half, turn)


def phantom_volumes(phases="A", **shape):
    """(volumes by phase, label map) of the phantom on :func:`grid`."""
    patient = draw_patient(SEED)
    geometry = grid(patient, **shape)
    tissues = TissueMap(patient, geometry)
    volumes = {Phase(p): render_phase(patient, Phase(p), geometry, SEED, tissues=tissues) for p in phases}
    return volumes, render_labels(patient, geometry)


def lesion_of(found, primary):
    """The review of a found lesion: sizes and place as found, all other parts those of a full review."""
    centre = r.Centre(found.centre_lps_mm, "segmentation", "RenalCLIP", "2025-03-04T10:20:30Z", "largest axial area")
    return replace(
        full_lesion(),
        lesion_id=found.lesion_id,
        side=found.side,
        label=found.label,
        primary=primary,
        volume_ml=found.volume_ml,
        largest_diameter_mm=found.largest_diameter_mm,
        axial_diameter_mm=found.axial_diameter_mm,
        centre_proposed=centre,
        centre_used=centre,
        attenuation_hu={"A": 101.0 / 3, "V": 88.125},
    )


def write_case(folder, dicom, labels, *, allow_gaps=False, identifiers=NO_IDENTIFIERS):
    """Import a DICOM folder, and write a review of it with the labels on the study's grid; the review."""
    folder.mkdir(parents=True, exist_ok=True)
    study = import_study(dicom, folder / "study", ImportOptions(allow_gaps=allow_gaps))
    reference = study.reference
    masks = labels.resample_to(reference.geometry, nearest=True, fill=0)
    masks = Volume(masks.array.astype(np.uint8), reference.geometry)
    write_volume(masks, folder / "segmentation.nrrd")
    found = find_lesions(masks)
    phases = tuple(
        replace(
            phase(p.value, registration=r.Absent("not asked for")),
            file=f"study/{p.value}.nrrd",
            size=item.geometry.size,
        )
        for p, item in study.phases.items()
    )
    base = full_review()
    review = replace(
        base,
        study=replace(
            base.study,
            study_id=study.study_id,
            reference_phase=reference.phase.value,
            phases=phases,
            identifiers=identifiers,
        ),
        segmentation=replace(
            base.segmentation, file="segmentation.nrrd", kidney_volumes_ml=dict(found.kidney_volumes_ml)
        ),
        lesions=tuple(lesion_of(item, n == 0) for n, item in enumerate(found.lesions)),
    )
    r.write_review(review, folder / "review.json")
    return review


STORAGES = {
    "axial": ({}, {}),
    "reversed": ({}, {"reverse": True}),
    "feet first": ({"feet_first": True}, {}),
    "oblique": ({"oblique": True}, {}),
    "enhanced": ({}, {"enhanced": True}),
    "compressed": ({}, {"transfer_syntax": "jpegls", "signed": True}),
    "tilted": ({}, {"gantry_tilt_deg": 8.0}),
}


def stored_case(folder, storage):
    """(review, folder of the review, folder of the DICOM) of the phantom in one of the storages."""
    shape, options = STORAGES[storage]
    volumes, labels = phantom_volumes(**shape)
    dicom = write_dicom(volumes, folder / "dicom", localiser=False, **options)
    return write_case(folder / "review", dicom, labels), folder / "review", dicom
