"""Regions of interest of a whole cohort in one zarr (v3) folder, one chunk per case and phase.

Values in [0, 1] are kept as integers of 1 / 10000 (0.05 HU in the paper's window), so reading gives them back within
half of that. The folder is built beside its final name and renamed when every case is in it; a build that was
interrupted goes on with the cases that are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import CentreError, CohortError, InputError
from ..imaging.roi import RoiSpec, extract_rois
from ..imaging.study import Phase
from ..imaging.volume import read_volume
from .table import CohortRow
from .workers import Workers

PHASES: Final = tuple(Phase)
LEVELS: Final = 10000
PAPER_SPEC: Final = RoiSpec()
ALONE: Final = Workers()
VERSION: Final = 1
_PENDING: Final = 255

Progress = Callable[[float, str], None]


class RoiStore:
    """A finished store, opened for random access.

    It may be handed to other processes: each opens the files on its first read.

    Attributes:
        folder: Folder of the store.
        case_ids: Case of each row.
        spec: What was cut.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            InputError: There is no finished store of a known version.
        """
        try:
            attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
            version = attributes["version"]
            self.case_ids: tuple[str, ...] = tuple(attributes["case_ids"])
            self.spec = _decode_spec(attributes["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder.name} is no finished ROI store; make one with 'renalclip cohort rois'."
            ) from error
        if version != VERSION:
            raise InputError(f"{folder.name} is an ROI store of version {version}; this program reads {VERSION}.")
        self.folder = folder
        self._row = {case_id: row for row, case_id in enumerate(self.case_ids)}
        self._group: Any = None
        group = self._open()
        self._present = np.asarray(group["present"][:]).astype(bool)
        self._centres = np.asarray(group["centre_lps_mm"][:])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_group": None}

    def __contains__(self, case_id: str) -> bool:
        return case_id in self._row

    def phases(self, case_id: str) -> tuple[Phase, ...]:
        """Phases that a case has, in the order N, A, V, D.

        Raises:
            CohortError: The store lacks the case.
        """
        return tuple(phase for phase, there in zip(PHASES, self._present[self._find(case_id)], strict=True) if there)

    def centre_lps_mm(self, case_id: str) -> npt.NDArray[np.float64]:
        """The centre (3,) that a case was cut around, LPS mm."""
        return np.array(self._centres[self._find(case_id)])

    def read(self, case_id: str, phase: Phase) -> npt.NDArray[np.float32]:
        """One region (x, y, z), float32 in [0, 1].

        Raises:
            CohortError: The store lacks the case or the phase.
        """
        row = self._find(case_id)
        if not self._present[row, PHASES.index(phase)]:
            raise CohortError(f"A case has no {phase.words} phase in the ROI store.")
        stored = self._open()["rois"][row, PHASES.index(phase)]
        return np.asarray(stored, dtype=np.float32) * np.float32(1 / LEVELS)

    def _find(self, case_id: str) -> int:
        if case_id not in self._row:
            raise CohortError(
                f"A case of the cohort is not in the ROI store {self.folder.name}; build the store again."
            )
        return self._row[case_id]

    def _open(self) -> Any:
        if self._group is None:
            import zarr

            self._group = zarr.open_group(str(self.folder), mode="r")
        return self._group


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
        if store.case_ids != tuple(row.case_id for row in rows):
            raise CohortError(f"{out.name} already holds another cohort; give another name or remove it.")
        if store.spec != spec:
            raise CohortError(f"{out.name} holds regions of another size; give another name or remove it.")
        return store
    unfinished = out.with_name(f".partial-{out.name}")
    pending = _prepare(rows, unfinished, spec)
    # absolute, as workers elsewhere have folders of their own
    cut = partial(_cut_case, folder=unfinished.resolve(), spec=spec)
    with closing(workers.each(cut, [(i, rows[i]) for i in pending])) as finished:
        for number, _ in enumerate(finished, 1):
            if progress:
                progress((len(rows) - len(pending) + number) / len(rows), "cutting regions of interest")
    os.replace(unfinished, out)
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
    import zarr

    index, row = case
    volumes = {phase: read_volume(path) for phase, path in row.volumes.items()}
    reference = volumes[Phase.A if Phase.A in volumes else Phase.V].geometry
    try:
        rois = extract_rois(volumes, reference, row.centre_lps_mm, spec)  # type: ignore[arg-type]
    except CentreError as error:
        raise CohortError(f"Row {index + 1} cannot be cut: {error}") from error
    group: Any = zarr.open_group(str(folder), mode="r+")
    for phase, roi in rois.items():
        group["rois"][index, PHASES.index(phase)] = np.rint(roi.array * LEVELS).astype(np.uint16)
    # written last: the mark that the case is finished
    group["present"][index] = np.array([phase in rois for phase in PHASES], dtype=np.uint8)
    return index


def _prepare(rows: Sequence[CohortRow], folder: Path, spec: RoiSpec) -> list[int]:
    """Make the unfinished store or take up an old one; indices of the cases that are still to be cut."""
    import zarr

    fingerprint = _fingerprint(rows, spec)
    if (folder / "present" / "zarr.json").is_file():
        old: Any = zarr.open_group(str(folder), mode="r")
        if old.attrs.get("fingerprint") != fingerprint:
            raise CohortError(
                f"{folder.name} is the unfinished store of another cohort; remove it or finish that first."
            )
        return [int(i) for i in np.flatnonzero(np.all(old["present"][:] == _PENDING, axis=1))]
    group: Any = zarr.create_group(str(folder), overwrite=True)
    group.attrs.update(
        version=VERSION, case_ids=[row.case_id for row in rows], spec=asdict(spec), fingerprint=fingerprint
    )
    count, shape = len(rows), spec.shape
    codec = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
    group.create_array(
        "rois", shape=(count, 4, *shape), chunks=(1, 1, *shape), dtype="uint16", fill_value=0, compressors=codec
    )
    group.create_array(
        "centre_lps_mm", data=np.array([row.centre_lps_mm for row in rows], dtype=np.float64), chunks=(count, 3)
    )
    # made last: it marks that the layout is complete
    group.create_array("present", shape=(count, 4), chunks=(1, 4), dtype="uint8", fill_value=_PENDING)
    return list(range(count))


def _fingerprint(rows: Sequence[CohortRow], spec: RoiSpec) -> str:
    content = [
        [row.case_id, row.centre_lps_mm, {phase.value: str(path) for phase, path in row.volumes.items()}]
        for row in rows
    ]
    return hashlib.sha256(json.dumps([content, asdict(spec)], sort_keys=True).encode()).hexdigest()


def _decode_spec(values: dict[str, Any]) -> RoiSpec:
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return RoiSpec(**arguments)
