"""What stores of a cohort's image parts share: one zarr (v3) folder, one chunk per case and phase.

Values in [0, 1] are kept as integers of 1 / 10000, so reading gives them back within half of that. The folder is built
beside its final name and renamed when every case is in it; a build that was interrupted goes on with the cases that are
missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import CohortError, InputError
from ..imaging.study import Phase
from ..progress import Progress
from .table import CohortRow
from .workers import Workers

PHASES: Final = tuple(Phase)
LEVELS: Final = 10000
ALONE: Final = Workers()
VERSION: Final = 1
_PENDING: Final = 255

Cut = Callable[..., int]
Spec = TypeVar("Spec")


@dataclass(frozen=True)
class StoreKind:
    """What tells one kind of store from another.

    Attributes:
        words: What it is called, for instance ``ROI store``.
        command: What makes it.
        array: Name of its voxels in the folder.
        spec: Class of what was cut; built from the stored values.
        parts: What is in it, in messages.
    """

    words: str
    command: str
    array: str
    spec: type[Any]
    parts: str


class PhaseStore:
    """A finished store, opened for random access.

    It may be handed to other processes: each opens the files on its first read.

    Attributes:
        kind: Kind of store.
        folder: Folder of the store.
        case_ids: Case of each row.
    """

    def __init__(self, folder: Path, kind: StoreKind) -> None:
        """Open a store.

        Raises:
            InputError: There is no finished store of a known version and of this kind.
        """
        try:
            attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
            version = attributes["version"]
            self.case_ids: tuple[str, ...] = tuple(attributes["case_ids"])
            self._spec = decode_spec(kind.spec, attributes["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder.name} is no finished {kind.words}; make one with 'renalclip {kind.command}'."
            ) from error
        if version != VERSION:
            raise InputError(f"{folder.name} is a store of version {version}; this program reads {VERSION}.")
        self.kind = kind
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
        """One part, float32 in [0, 1]: a region (x, y, z), or a slice (x, y).

        Raises:
            CohortError: The store lacks the case or the phase.
        """
        row = self._find(case_id)
        if not self._present[row, PHASES.index(phase)]:
            raise CohortError(f"A case has no {phase.words} phase in the {self.kind.words}.")
        stored = self._open()[self.kind.array][row, PHASES.index(phase)]
        return np.asarray(stored, dtype=np.float32) * np.float32(1 / LEVELS)

    def read_levels(self, case_id: str, phases: Sequence[Phase]) -> npt.NDArray[np.uint16]:
        """Several phases of a case at once, as stored (in units of 1 / :data:`LEVELS`); 0 where a phase is absent."""
        stored = np.asarray(self._open()[self.kind.array][self._find(case_id)], dtype=np.uint16)
        return stored[[PHASES.index(phase) for phase in phases]]

    def _find(self, case_id: str) -> int:
        if case_id not in self._row:
            raise CohortError(
                f"A case of the cohort is not in the {self.kind.words} {self.folder.name}; build the store again."
            )
        return self._row[case_id]

    def _open(self) -> Any:
        if self._group is None:
            import zarr

            self._group = zarr.open_group(str(self.folder), mode="r")
        return self._group


def build_store(
    rows: Sequence[CohortRow],
    out: Path,
    spec: Any,
    shape: Sequence[int],
    kind: StoreKind,
    cut: Cut,
    workers: Workers,
    progress: Progress | None,
) -> None:
    """Cut every case of a cohort that is not cut yet.

    Args:
        rows: The cohort.
        out: Folder of the store; not there yet.
        spec: What is cut, a dataclass.
        shape: Of one part, in voxels.
        kind: Kind of store.
        cut: Called with (index, row), ``folder`` and ``spec``; writes with :func:`keep` and returns the index.
        workers: Who cuts; all of them see the files under the same paths.
        progress: Told after every case.

    Raises:
        CohortError: An unfinished store beside ``out`` belongs to another cohort; or as ``cut`` says.
        SystemRefusal: A worker died; what is finished stays for the next run.
        Cancelled: From ``progress``; what is finished stays for the next run.
    """
    unfinished = out.with_name(f".partial-{out.name}")
    pending = _prepare(rows, unfinished, spec, shape, kind)
    # absolute, as workers elsewhere have folders of their own
    work = partial(cut, folder=unfinished.resolve(), spec=spec)
    with closing(workers.each(work, [(i, rows[i]) for i in pending])) as finished:
        for number, _ in enumerate(finished, 1):
            if progress:
                progress((len(rows) - len(pending) + number) / len(rows), f"cutting {kind.parts}")
    os.replace(unfinished, out)


def check_same(store: PhaseStore, rows: Sequence[CohortRow], spec: Any) -> None:
    """Whether a finished store is the one that is asked for.

    Raises:
        CohortError: It holds another cohort, or parts that were cut otherwise.
    """
    name = store.folder.name
    if store.case_ids != tuple(row.case_id for row in rows):
        raise CohortError(f"{name} already holds another cohort; give another name or remove it.")
    if store._spec != spec:
        raise CohortError(f"{name} holds {store.kind.parts} of another size; give another name or remove it.")


def keep(
    folder: Path, kind: StoreKind, index: int, parts: Mapping[Phase, npt.NDArray[np.float32]], centre_lps_mm: Any
) -> None:
    """Write a case's parts, and last of all the mark that it is finished."""
    import zarr

    group: Any = zarr.open_group(str(folder), mode="r+")
    for phase, array in parts.items():
        group[kind.array][index, PHASES.index(phase)] = np.rint(array * LEVELS).astype(np.uint16)
    group["centre_lps_mm"][index] = np.asarray(centre_lps_mm, dtype=np.float64)
    group["present"][index] = np.array([phase in parts for phase in PHASES], dtype=np.uint8)


def decode_spec(spec: type[Spec], values: Mapping[str, Any]) -> Spec:
    """What was cut, from its stored values.

    Raises:
        TypeError: They are of something else.
    """
    return spec(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _prepare(rows: Sequence[CohortRow], folder: Path, spec: Any, shape: Sequence[int], kind: StoreKind) -> list[int]:
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
    count = len(rows)
    codec = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
    group.create_array(
        kind.array, shape=(count, 4, *shape), chunks=(1, 1, *shape), dtype="uint16", fill_value=0, compressors=codec
    )
    group.create_array("centre_lps_mm", shape=(count, 3), chunks=(1, 3), dtype="float64", fill_value=np.nan)
    # made last: it marks that the layout is complete
    group.create_array("present", shape=(count, 4), chunks=(1, 4), dtype="uint8", fill_value=_PENDING)
    return list(range(count))


def _fingerprint(rows: Sequence[CohortRow], spec: Any) -> str:
    content = [
        [
            row.case_id,
            row.centre_lps_mm,
            {phase.value: str(path) for phase, path in row.volumes.items()},
            str(row.label_map or ""),
        ]
        for row in rows
    ]
    return hashlib.sha256(json.dumps([content, asdict(spec)], sort_keys=True).encode()).hexdigest()
