"""Radiomic features of a whole cohort in one table: a row per patient and kidney, a column per feature.

========================= ==================================================================== =====================
column                    meaning                                                              empty cell
========================= ==================================================================== =====================
patient, side             as in the cohort table                                               refused
settings                  how features were extracted, the same in every row                   refused
shape.slice.<feature>     shape on the largest axial slice                                     undefined
shape.space.<feature>     shape in space                                                       undefined
N.slice.<feature> ...     intensities and texture of a phase (N, A, V, D) on that slice        phase not acquired, or
N.space.<feature> ...     the same in space                                                    undefined
========================= ==================================================================== =====================

Features have their IBSI tags (:mod:`RenalCLIPCore.imaging.radiomics`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import CohortError, NoLesionError
from ..imaging.lesion_slice import meant_lesion
from ..imaging.radiomics import SHAPE, RadiomicsSpec, lesion_features
from ..imaging.study import Phase
from ..imaging.volume import Volume, read_volume
from ..output import write_text
from ..progress import Progress
from .columns import SIDES
from .table import CohortRow
from .table_file import Line, read_lines, write_lines
from .workers import Workers

KEYS: Final = ("patient", "side", "settings")
FARTHEST_MM: Final = 20.0
ALONE: Final = Workers()
PLAN_FILE: Final = "plan.json"


@dataclass(frozen=True)
class RadiomicsRow:
    """Features of one lesion.

    Attributes:
        patient: Pseudonym.
        side: ``left`` or ``right``.
        features: By column name; undefined ones and those of phases that were not acquired are absent.
    """

    patient: str
    side: str
    features: Mapping[str, float]

    @property
    def phases(self) -> frozenset[str]:
        """Letters of the phases that any feature is of."""
        return frozenset(name[0] for name in self.features if not name.startswith(f"{SHAPE}."))


@dataclass(frozen=True)
class RadiomicsTable:
    """Features of a cohort.

    Attributes:
        settings: How they were extracted.
        names: Columns of features, in the file's order.
        rows: By patient and side.
    """

    settings: str
    names: tuple[str, ...]
    rows: Mapping[tuple[str, str], RadiomicsRow]

    def of(self, row: CohortRow) -> RadiomicsRow:
        """The features of a row of the cohort.

        Raises:
            CohortError: There are none.
        """
        found = self.rows.get((row.patient, row.side))
        if found is None:
            raise CohortError(
                "A case of the cohort is not in the table of radiomic features; extract them with "
                "'renalclip cohort radiomics'."
            )
        return found


def build_radiomics_table(
    rows: Sequence[CohortRow],
    out: Path,
    spec: RadiomicsSpec | None = None,
    *,
    workers: Workers = ALONE,
    progress: Progress | None = None,
) -> RadiomicsTable:
    """Extract the features of every row's lesion, all phases, and write the table by atomic rename.

    A run that was broken off goes on where it stopped.

    Args:
        rows: The cohort; each row has a label map, a lesion centre and a volume.
        out: The table, CSV or Parquet.
        spec: How; the defaults when None.
        workers: Who works; all of them see the files under the same paths.
        progress: Told after every case.

    Raises:
        CohortError: A row cannot be used, or an unfinished table beside it is of another cohort or settings.
        InputError: A volume cannot be read.
        SystemRefusal: A worker died; what is finished stays for the next run.
        Cancelled: From ``progress``; what is finished stays for the next run.
    """
    spec = spec or RadiomicsSpec()
    _check_rows(rows)
    stage = out.with_name(f".partial-{out.name}.cases")
    _prepare(rows, stage, spec)
    pending = [(i, row) for i, row in enumerate(rows) if not (stage / f"{i}.json").is_file()]
    one = partial(_extract, folder=stage.resolve(), spec=spec)
    with closing(workers.each(one, pending)) as finished:
        for number, _ in enumerate(finished, 1):
            if progress:
                progress((len(rows) - len(pending) + number) / len(rows), "extracting features")
    found = [json.loads((stage / f"{i}.json").read_text(encoding="utf-8")) for i in range(len(rows))]
    names = sorted(dict.fromkeys(name for item in found for name in item), key=_order)
    cells = [
        {"patient": row.patient, "side": row.side, "settings": spec.words}
        | {name: repr(value) for name, value in item.items()}
        for row, item in zip(rows, found, strict=True)
    ]
    write_lines([*KEYS, *names], cells, out)
    shutil.rmtree(stage, ignore_errors=True)
    return read_radiomics_table(out)


def read_radiomics_table(path: Path) -> RadiomicsTable:
    """Read and check a table of features.

    Raises:
        CohortError: It is unreadable, a column is missing, a cell is no finite number, a lesion occurs twice, or its
            rows were extracted with different settings.
    """
    columns, lines = read_lines(path)
    missing = [name for name in KEYS if name not in columns]
    if missing or not lines or len(set(columns)) != len(columns):
        what = f"the column {missing[0]!r} is missing" if missing else "it has no rows, or a column twice"
        raise CohortError(f"{path.name} is no table of radiomic features ({what}); make one with 'cohort radiomics'.")
    names = tuple(name for name in columns if name not in KEYS)
    found: dict[tuple[str, str], RadiomicsRow] = {}
    for line in lines:
        row = _row(line, names)
        if (row.patient, row.side) in found:
            raise CohortError(f"{line.place}: the lesion stands in a line above as well.")
        found[row.patient, row.side] = row
    settings = {line.cells["settings"] for line in lines}
    if len(settings) > 1 or "" in settings:
        raise CohortError(f"{path.name} holds features of different settings; extract them all in one run.")
    return RadiomicsTable(settings.pop(), names, found)


def _row(line: Line, names: Sequence[str]) -> RadiomicsRow:
    patient, side = line.cells["patient"], line.cells["side"]
    if not patient or side not in SIDES:
        raise CohortError(f"{line.place}: a patient and the side left or right are needed.")
    features = {}
    for name in names:
        if text := line.cells[name]:
            try:
                value = float(text)
            except ValueError:
                value = math.inf
            if not math.isfinite(value):
                raise CohortError(f"{line.place}: {name} must be a finite number or empty.")
            features[name] = value
    return RadiomicsRow(patient, side, features)


def _check_rows(rows: Sequence[CohortRow]) -> None:
    for number, row in enumerate(rows, 1):
        lacking = (
            "label map" if row.label_map is None
            else "lesion centre" if row.centre_lps_mm is None
            else "volume" if not row.volumes
            else ""
        )  # fmt: skip
        if lacking:
            raise CohortError(f"Row {number} has no {lacking}, which radiomics needs; fill it in or drop the row.")


def _prepare(rows: Sequence[CohortRow], stage: Path, spec: RadiomicsSpec) -> None:
    content = [
        [row.case_id, row.centre_lps_mm, str(row.label_map), {p.value: str(path) for p, path in row.volumes.items()}]
        for row in rows
    ]
    plan = hashlib.sha256(json.dumps([content, asdict(spec)], sort_keys=True).encode()).hexdigest()
    if (stage / PLAN_FILE).is_file():
        if (stage / PLAN_FILE).read_text(encoding="utf-8") != plan:
            raise CohortError(
                f"{stage.name} is the unfinished table of another cohort or other settings; remove it or finish that "
                f"first."
            )
        return
    stage.mkdir(parents=True, exist_ok=True)
    write_text(stage / PLAN_FILE, plan)


def _extract(case: tuple[int, CohortRow], folder: Path, spec: RadiomicsSpec) -> int:
    index, row = case
    if row.label_map is None or row.centre_lps_mm is None:  # checked before
        raise CohortError(f"Row {index + 1} has no label map or centre.")
    labels = read_volume(row.label_map, "The label map")
    try:
        _check_place(labels, row.centre_lps_mm, index)
        volumes: dict[Phase, Volume] = {phase: read_volume(path) for phase, path in row.volumes.items()}
        found = lesion_features(labels, volumes, row.centre_lps_mm, spec)
    except NoLesionError as error:
        raise CohortError(f"Row {index + 1}: {error}") from error
    known = {name: value for name, value in found.items() if math.isfinite(value)}
    target = folder / f"{index}.json"
    partial_file = target.with_suffix(".partial")
    partial_file.write_text(json.dumps(known), encoding="utf-8")
    os.replace(partial_file, target)
    return index


def _check_place(labels: Volume, centre_lps_mm: tuple[float, float, float], index: int) -> None:
    mask = meant_lesion(labels, centre_lps_mm)
    away = np.linalg.norm(mask.geometry.lps(np.argwhere(mask.array)) - np.asarray(centre_lps_mm), axis=1).min()
    if away > FARTHEST_MM:
        raise CohortError(
            f"Row {index + 1}: the nearest lesion of its label map is {away:.0f} mm away from its lesion centre; check "
            f"that both are of the same lesion."
        )


def _order(name: str) -> tuple[int, str]:
    heads = (SHAPE, *(phase.value for phase in Phase))
    head = name.split(".", 1)[0]
    return (heads.index(head) if head in heads else len(heads), name)
