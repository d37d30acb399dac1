"""Exceptions of the domain: a person's mistake or an unusable input, never a defect of the program.

Each message is one or two sentences that say what was wanted, what was found and what to do. No message
carries a patient's name, id or date. ``code`` is stable: the worker sends it, and hosts may branch on it.
"""

from __future__ import annotations

import errno

_REFUSALS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT,
}  # fmt: skip


class RenalCLIPError(Exception):
    """Base of every error that is shown to a person as one message (CLI: exit code 2)."""

    code = "error"


class InputError(RenalCLIPError):
    """A file or folder is missing, unreadable, truncated or not of a kind that can be used."""

    code = "input"


class NoReadableSeriesError(InputError):
    """Nothing in the source is a CT series that could be a phase."""

    code = "no_readable_series"


class ModalityError(InputError):
    """The images are not CT."""

    code = "modality"


class SliceGapError(InputError):
    """A series lacks slices, repeats them with different content, or spaces them unevenly."""

    code = "slice_gap"


class MixedPatientsError(InputError):
    """Series of more than one patient stand in one source."""

    code = "mixed_patients"


class MissingPhaseError(InputError):
    """Neither an arterial nor a venous phase was found, or a named phase does not exist."""

    code = "missing_phase"


class GeometryError(RenalCLIPError):
    """An image's geometry is unusable (spacing, direction, dimension, size)."""

    code = "geometry"


class GridMismatchError(GeometryError):
    """Two images that must overlap in patient space do not."""

    code = "grid_mismatch"


class CentreError(RenalCLIPError):
    """A lesion centre lies outside the volume, or its region of interest mostly does."""

    code = "centre"


class NoKidneyError(RenalCLIPError):
    """A segmentation holds no kidney."""

    code = "no_kidney"


class NoLesionError(RenalCLIPError):
    """A step needs a lesion and there is none, and no centre was given."""

    code = "no_lesion"


class SegmentationModelError(RenalCLIPError):
    """A folder or archive is no usable nnU-Net model."""

    code = "segmentation_model"


class BundleError(RenalCLIPError):
    """A model bundle is missing, malformed, or not what its manifest says."""

    code = "bundle"


class WeightsMismatchError(BundleError):
    """Weights and network disagree: a tensor is missing, left over or of another shape."""

    code = "weights_mismatch"


class ConfigurationError(RenalCLIPError):
    """A configuration or option has an unknown key or an impossible value."""

    code = "configuration"


class CohortError(RenalCLIPError):
    """A cohort table is invalid: missing columns, duplicate ids, a patient in two splits."""

    code = "cohort"


class WorklistError(RenalCLIPError):
    """A worklist's database cannot be used (locked, read-only, full, newer), or what is asked of it does not exist."""

    code = "worklist"


class BlindedError(RenalCLIPError):
    """Something was asked for that a reading without predictions, or before its wash-out is over, may not show."""

    code = "blinded"


class FilesMovedError(InputError):
    """A worklist's case is listed, but its files are not where the worklist says."""

    code = "files_moved"


class AuditError(RenalCLIPError):
    """The audit log is not what was written: an entry was changed, taken out or put in."""

    code = "audit"


class TrainingError(RenalCLIPError):
    """A training run cannot go on: the loss is not finite, or a run and its configuration do not belong together."""

    code = "training"


class UndefinedMeasureError(RenalCLIPError):
    """A measure is not defined for the data, for instance an AUROC where only one class occurs."""

    code = "undefined_measure"


class OutputError(RenalCLIPError):
    """Results cannot be written where they were asked for."""

    code = "output"


class SystemRefusal(RenalCLIPError):
    """The operating system refused something: no space, no permission, a name that is too long, too little memory."""

    code = "system"


class Cancelled(RenalCLIPError):
    """The user cancelled; nothing was left behind."""

    code = "cancelled"


def refusal(error: OSError | MemoryError) -> SystemRefusal | None:
    """One message for what the operating system refuses, without the file's name; None for anything else."""
    if isinstance(error, MemoryError):
        return SystemRefusal("There is too little memory for this; close other programs, or use a smaller image.")
    if error.errno not in _REFUSALS:
        return None
    return SystemRefusal(
        f"The operating system refused a file or folder ({error.strerror}). Check names, permissions and free space."
    )
