"""Regions of interest of a whole cohort in one folder (see :mod:`RenalCLIPCore.cohort.phase_store`).

In the paper's window a stored level is 0.05 HU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import CentreError, CohortError
from ..imaging.roi import RoiSpec, extract_rois
from ..imaging.study import Phase
from ..imaging.volume import read_volume
from ..progress import Progress
from .phase_store import ALONE, LEVELS, PHASES, PhaseStore, StoreKind, build_store, check_same, keep
from .table import CohortRow
from .workers import Workers

__all__ = ("LEVELS", "PHASES", "RoiStore", "build_roi_store")

PAPER_SPEC: Final = RoiSpec()
_KIND: Final = StoreKind("ROI store", "cohort rois", "rois", RoiSpec, "regions")


class RoiStore(PhaseStore):
    """A finished store of regions.

    Attributes:
        spec: What was cut.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            InputError: There is no finished ROI store of a known version.
        """
        super().__init__(folder, _KIND)
        self.spec: RoiSpec = self._spec


def build_roi_store(
    rows: Sequence[CohortRow],
    out: Path,
    spec: RoiSpec = PAPER_SPEC,
    *,
    workers: Workers = ALONE,
    progress: Progress | None = None,
) -> RoiStore:
    """Cut every case of a cohort around its table's centre, all phases.

    The arterial grid is the common frame, else the venous one. Rows without a centre or without either of these phases
    are refused, not skipped.

    Args:
        rows: The cohort.
        out: Folder of the store.
        spec: What is cut.
        workers: Who cuts; all of them see the files under the same paths.
        progress: Told after every case.

    Raises:
        CohortError: A row cannot be cut, ``out`` holds other regions, or an unfinished store beside it belongs to
            another cohort.
        InputError: A volume cannot be read.
        SystemRefusal: A worker died; what is finished stays for the next run.
        Cancelled: From ``progress``; what is finished stays for the next run.
    """
    _check_rows(rows)
    if out.exists():
        store = RoiStore(out)
        check_same(store, rows, spec)
        return store
    build_store(rows, out, spec, spec.shape, _KIND, _cut_case, workers, progress)
    return RoiStore(out)


def _check_rows(rows: Sequence[CohortRow]) -> None:
    for number, row in enumerate(rows, 1):
        if row.centre_lps_mm is None:
            raise CohortError(
                f"Row {number} has no lesion centre; fill in centre_x_lps_mm, _y_ and _z_ or drop the row."
            )
        if Phase.A not in row.volumes and Phase.V not in row.volumes:
            raise CohortError(f"Row {number} has neither an arterial nor a venous volume; one of them is needed.")


def _cut_case(case: tuple[int, CohortRow], folder: Path, spec: RoiSpec) -> int:
    index, row = case
    volumes = {phase: read_volume(path) for phase, path in row.volumes.items()}
    reference = volumes[Phase.A if Phase.A in volumes else Phase.V].geometry
    try:
        rois = extract_rois(volumes, reference, row.centre_lps_mm, spec)  # type: ignore[arg-type]
    except CentreError as error:
        raise CohortError(f"Row {index + 1} cannot be cut: {error}") from error
    keep(folder, _KIND, index, {phase: roi.array for phase, roi in rois.items()}, row.centre_lps_mm)
    return index
