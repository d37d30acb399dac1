"""The lesion's slice of every case and phase of a cohort (see :mod:`RenalCLIPCore.cohort.phase_store`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import CentreError, CohortError, NoLesionError
from ..imaging.lesion_slice import PAPER_SLICE, SliceSpec, extract_slices, largest_slice_centre
from ..imaging.study import Phase
from ..imaging.volume import Float3, read_volume
from ..progress import Progress
from .phase_store import ALONE, PhaseStore, StoreKind, build_store, check_same, keep
from .table import CohortRow
from .workers import Workers

MINIMUM_INSIDE: Final = 0.5
_ORDER: Final = (Phase.A, Phase.V, Phase.N, Phase.D)
_KIND: Final = StoreKind("slice store", "cohort slices", "slices", SliceSpec, "slices")


class SliceStore(PhaseStore):
    """A finished store of slices.

    Attributes:
        spec: What was cut.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            InputError: There is no finished slice store of a known version.
        """
        super().__init__(folder, _KIND)
        self.spec: SliceSpec = self._spec


def build_slice_store(
    rows: Sequence[CohortRow],
    out: Path,
    spec: SliceSpec = PAPER_SLICE,
    *,
    workers: Workers = ALONE,
    progress: Progress | None = None,
) -> SliceStore:
    """Cut the slice on which the lesion is largest, from every phase of every case.

    A row with a label map has its slice where the tumour (else the cyst) nearest to the row's centre is largest, a row
    without one the slice through its centre. The arterial grid is the common frame, else the venous, non-contrast or
    delayed one. A phase that covers less than half of the slice counts as not acquired.

    Args:
        rows: The cohort.
        out: Folder of the store.
        spec: What is cut.
        workers: Who cuts; all of them see the files under the same paths.
        progress: Told after every case.

    Raises:
        CohortError: A row cannot be cut (no volume, no lesion on any slice of its label map, no centre), ``out`` holds
            something else, or an unfinished store beside it belongs to another cohort.
        InputError: A volume cannot be read.
        SystemRefusal: A worker died; what is finished stays for the next run.
        Cancelled: From ``progress``; what is finished stays for the next run.
    """
    for number, row in enumerate(rows, 1):
        if not row.volumes:
            raise CohortError(f"Row {number} has no volume of any phase; one is needed.")
        if row.label_map is None and row.centre_lps_mm is None:
            raise CohortError(f"Row {number} has neither a label map nor a lesion centre; fill in one or drop the row.")
    if out.exists():
        store = SliceStore(out)
        check_same(store, rows, spec)
        return store
    build_store(rows, out, spec, (spec.size, spec.size), _KIND, _cut_case, workers, progress)
    return SliceStore(out)


def _cut_case(case: tuple[int, CohortRow], folder: Path, spec: SliceSpec) -> int:
    index, row = case
    volumes = {phase: read_volume(path) for phase, path in row.volumes.items()}
    reference = next(volumes[phase] for phase in _ORDER if phase in volumes).geometry
    try:
        centre = _centre(row)
        slices = extract_slices(volumes, reference, centre, spec)
    except NoLesionError as error:
        raise CohortError(
            f"Row {index + 1} has a label map without a tumour (2) or cyst (3) on any slice; correct it, or leave the "
            "cell empty and give the lesion's centre."
        ) from error
    except CentreError as error:
        raise CohortError(f"Row {index + 1} cannot be cut: {error}") from error
    kept = {phase: item.array for phase, item in slices.items() if item.inside_fraction >= MINIMUM_INSIDE}
    if not kept:
        raise CohortError(f"Row {index + 1}: no phase covers half of the slice around the lesion; drop the row.")
    keep(folder, _KIND, index, kept, centre)
    return index


def _centre(row: CohortRow) -> Float3:
    if row.label_map is not None:
        return largest_slice_centre(read_volume(row.label_map), row.centre_lps_mm)
    if row.centre_lps_mm is None:
        raise ValueError("rows without either were refused")
    return row.centre_lps_mm
