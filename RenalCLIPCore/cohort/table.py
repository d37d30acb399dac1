"""The cohort table: one row per patient and kidney, as a validated CSV or Parquet file.

========================= ========================================================= =====================
column                    meaning                                                   empty cell
========================= ========================================================= =====================
patient                   pseudonym of the patient                                  refused
site                      institution                                               unknown
split                     ``training``, ``validation`` or ``test``                  not assigned yet
group                     patients who must stay in one split, for instance of one  a group of one's own
                          family, or phantoms painted onto one mask
licence                   terms of others that the images are under; a bundle that  none
                          is learnt from them carries the words
side                      ``left`` or ``right`` kidney of the patient               refused
centre_x_lps_mm, _y_, _z_ lesion centre, LPS patient coordinates in millimetres     no centre (all three)
volume_n, _a, _v, _d      volume file per phase, relative to the table's folder     phase not acquired
label_map                 label map (kidney 1, tumour 2, cyst 3)                    none
renal_r ... renal_l       R.E.N.A.L. class (see :data:`TASK_CLASSES`), 0, 1 or 2    not known
renal_h                   suffix h: 1 touches the main renal vessels, else 0        not known
malignancy                0 benign, 1 malignant                                     not known
aggressiveness            0 indolent, 1 aggressive                                  indeterminate
density ... calcification what is seen of the lesion (see :data:`DESCRIPTOR_CLASSES`)     not described
histology, stage          words, for instance ``clear cell RCC``, ``pT1a``          not known
grade                     WHO/ISUP grade, 1 to 4                                    not graded
diameter_mm               largest diameter of the lesion in millimetres             not known
age_years, sex, race      of the patient; sex is ``female`` or ``male``             not known
appearance                ``solid`` or ``cystic`` lesion                            not known
coagulative_necrosis      1 found by pathology, else 0; the same ``sarcomatoid``    not known
rfs_months, rfs_event     follow-up in months (> 0) and 1 event / 0 censored;       no follow-up (both)
                          the same for ``dss`` and ``os``
findings, impression      report text of this kidney                                no report
attribute_01 ... _14      what the report says: option of each of the 14 questions  "don't know"
                          (:mod:`RenalCLIPCore.text.questionnaire`), 0 upwards
true_attribute_01 ... _14 phantoms: the same, as it truly is                        not a phantom
oracle_<task>             phantoms: score of an observer who knows every hidden     not a phantom
                          attribute (probability, or log relative hazard for rfs)
========================= ========================================================= =====================

Only ``patient`` and ``side`` must be there as columns; every other column may be left out. Unknown columns are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import CohortError
from .cells import format_row, parse_row
from .columns import (
    ATTRIBUTES,
    CENTRE,
    COLUMNS,
    DESCRIPTOR_CLASSES,
    ENDPOINTS,
    EVERY_TASK_CLASSES,
    LABEL_CLASSES,
    SIDES,
    SPLITS,
    SUFFIX_CLASSES,
    TASK_CLASSES,
    VOLUMES,
)
from .rows import CohortRow, FollowUp, validate
from .table_file import read_lines, write_lines

__all__ = [
    "ATTRIBUTES",
    "COLUMNS",
    "DESCRIPTOR_CLASSES",
    "ENDPOINTS",
    "EVERY_TASK_CLASSES",
    "LABEL_CLASSES",
    "SIDES",
    "SPLITS",
    "SUFFIX_CLASSES",
    "TASK_CLASSES",
    "CohortRow",
    "FollowUp",
    "read_cohort",
    "validate",
    "write_cohort_table",
]


def read_cohort(path: Path) -> tuple[CohortRow, ...]:
    """Read and validate a cohort table (Parquet by the name ``*.parquet``, else CSV); paths come out absolute.

    Raises:
        CohortError: The file is unreadable, a column is missing or unknown, a cell is malformed, a patient and side
            occur twice, or a patient or group stands in two splits. The message names the line, never the patient.
        ConfigurationError: Parquet needs a package that is not installed.
    """
    columns, lines = read_lines(path)
    _check_columns(path.name, columns)
    folder = path.resolve().parent
    rows = tuple(parse_row(line.cells, folder, line.place) for line in lines)
    validate(rows)
    return rows


def write_cohort_table(rows: Sequence[CohortRow], path: Path) -> None:
    """Write a cohort table, in the format of its name, by atomic rename; paths below its folder are written relative.

    Raises:
        CohortError: As for :func:`validate`.
        ConfigurationError: Parquet needs a package that is not installed.
    """
    validate(rows)
    folder = path.resolve().parent
    cells = [format_row(row, folder) for row in rows]
    always = {"patient", "site", "split", "side", *CENTRE, *VOLUMES.values()}
    write_lines([name for name in COLUMNS if name in always or any(item.get(name) for item in cells)], cells, path)


def _check_columns(name: str, found: Sequence[str] | None) -> None:
    columns = list(found or ())
    missing = [column for column in ("patient", "side") if column not in columns]
    unknown = [column for column in columns if column not in COLUMNS]
    if missing:
        raise CohortError(f"{name}: the column {missing[0]!r} is missing; found {', '.join(columns[:8]) or 'nothing'}.")
    if unknown or len(set(columns)) != len(columns):
        raise CohortError(
            f"{name}: unknown or repeated column {(unknown or columns)[0]!r}; see the documented columns."
        )
