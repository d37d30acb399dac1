"""Measured nephrometry: R.E.N.A.L., PADUA and C-index of a lesion from masks, each value with what it rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict, Unpack

from ..errors import NoKidneyError
from ..progress import Progress
from ..review import Measured
from .kidney_fields import KidneyFields, kidney_fields
from .kidney_frame import KidneyFrame, kidney_frame
from .lesions import Lesion, LesionFindings
from .nephrometry_components import Context, measured, size_alone
from .nephrometry_perturbation import draws
from .nephrometry_quality import quality
from .nephrometry_readings import read, touches
from .nephrometry_scores import NephrometryOptions
from .renal_sinus import excretory_sinus, given_sinus, on_grid
from .volume import Volume

PERTURBATIONS = 24


class Given(TypedDict, total=False):
    """What a measurement may take beside the masks.

    Attributes:
        excretory: Excretory phase in HU, in the frame of the label map, on any grid.
        vessels: Mask of the main renal artery and vein (non-zero), on any grid.
        sinus: Mask of the sinus or collecting system (non-zero), on any grid.
        perturbations: Draws for the probabilities (24); 0 leaves them out.
        seed: Of the draws (0).
        progress: Called with fraction and words; raising cancels.
    """

    excretory: Volume | None
    vessels: Volume | None
    sinus: Volume | None
    perturbations: int
    seed: int
    progress: Progress | None


def measure(
    labels: Volume,
    findings: LesionFindings,
    lesion: Lesion,
    *,
    options: NephrometryOptions | None = None,
    **given: Unpack[Given],
) -> Measured:
    """Measure a lesion.

    Args:
        labels: Label map (0 background, 1 kidney, 2 tumour, 3 cyst) in any storage orientation.
        findings: Lesions of that label map.
        lesion: One of them.
        options: Definitions; the defaults when None.
        **given: What else is known, and how the probabilities are found.

    Returns:
        Where no kidney is near the lesion, its size alone, and a total that says why it is absent.
    """
    options = options or NephrometryOptions()
    try:
        context = measure_context(labels, findings, lesion, options=options, **given)
    except NoKidneyError as error:
        return size_alone(lesion, options, str(error))
    return measured(context, options)


def measure_context(
    labels: Volume,
    findings: LesionFindings,
    lesion: Lesion,
    *,
    options: NephrometryOptions | None = None,
    **given: Unpack[Given],
) -> Context:
    """The frame, readings and draws behind :func:`measure`, with the same arguments.

    Raises:
        NoKidneyError: No parenchyma lies within 60 mm of the lesion.
    """
    options = options or NephrometryOptions()
    report = given.get("progress") or (lambda _fraction, _words: None)
    report(0.0, "finding the lesion's kidney")
    fields = kidney_fields(labels, findings, lesion, options.step_mm)
    report(0.1, "reconstructing the native outline")
    frame, notes = _framed(fields, given.get("excretory"), given.get("sinus"), options)
    readings = read(frame)
    count, seed = given.get("perturbations", PERTURBATIONS), given.get("seed", 0)
    moved = draws(frame, readings, count, seed, lambda f, words: report(0.25 + 0.75 * f, words))
    touching = None
    if (vessels := given.get("vessels")) is not None:
        values = on_grid(fields, vessels)
        touching = (False, readings.near) if values is None else touches(frame, values, options.contact_mm)
        if values is None:
            notes = (*notes, "The vessel mask is empty near the kidney.")
    return Context(frame, readings, moved, quality(frame, lesion, findings), touching, notes)


def _framed(
    fields: KidneyFields, excretory: Volume | None, sinus: Volume | None, options: NephrometryOptions
) -> tuple[KidneyFrame, tuple[str, ...]]:
    given = None if sinus is None else given_sinus(fields, sinus)
    notes: tuple[str, ...] = ()
    if sinus is not None and given is None:
        notes = ("The given sinus mask is empty near this kidney.",)
    frame = kidney_frame(fields, sinus=given)
    if excretory is not None and given is None:
        lumen = excretory_sinus(fields, frame.outline, excretory, options.contrast_hu)
        if lumen is None:
            return frame, (*notes, f"The excretory phase shows no contrast over {options.contrast_hu:g} HU in this "
                                   "kidney; the sinus of the masks was used.")  # fmt: skip
        frame = replace(frame, sinus=lumen, given_sinus=lumen)
    return frame, notes
