"""Commands on cohorts: tables from elsewhere, splits, and the ROI store."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .learning import add_workers, progress_bar


@dataclass(frozen=True)
class CohortImport:
    """Turn a table from elsewhere into a cohort table, as a mapping file says.

    The mapping (TOML or JSON) names for each column of a cohort table where it comes from: a column, with values, units
    and missing cells translated; two dates; or a constant. Without a mapping the table must have our columns;
    CSV becomes Parquet or the other way round by the names of the files.
    """

    name: ClassVar[str] = "cohort import"
    table: Path
    mapping: Path | None
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("table", type=Path, metavar="TABLE", help="CSV or Parquet file (*.parquet)")
        parser.add_argument("--mapping", type=Path, metavar="FILE", help="TOML or JSON file that names the columns")
        parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="cohort table: CSV or *.parquet")

    def run(self) -> None:
        """Read, validate, write."""
        from ..cohort.importing import import_cohort
        from ..cohort.mapping import load_mapping
        from ..cohort.table import read_cohort, write_cohort_table

        left_out: tuple[str, ...] = ()
        if self.mapping is None:
            rows = read_cohort(self.table)
        else:
            imported = import_cohort(self.table, load_mapping(self.mapping))
            rows, left_out = imported.rows, imported.left_out
        write_cohort_table(rows, self.out)
        print(f"{len(rows)} rows of {len({row.patient for row in rows})} patients in {self.out}")
        if left_out:
            print(f"columns left out: {', '.join(left_out)}")


@dataclass(frozen=True)
class CohortSplit:
    """Assign training, validation and test to the patients of a cohort table, at random.

    Patients of one group (a family; phantoms painted onto one mask) go together. Groups that other tables have assigned
    already (--beside) keep that split, so that nobody is learnt from in one cohort and held out in another.
    """

    name: ClassVar[str] = "cohort split"
    cohort: Path
    beside: list[Path]
    out: Path
    fractions: list[float]
    seed: int

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument(
            "--beside", type=Path, nargs="+", default=[], metavar="CSV", help="tables whose groups keep their split"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="new table")
        parser.add_argument(
            "--fractions", type=float, nargs=3, required=True, metavar="F", help="shares of training, validation, test"
        )
        parser.add_argument("--seed", type=int, required=True, help="of the assignment")

    def run(self) -> None:
        """Read, assign, write."""
        from collections import Counter

        from ..cohort.groups import splits_of_groups
        from ..cohort.splits import assign_splits, split_sha256
        from ..cohort.table import read_cohort, write_cohort_table

        training, validation, test = self.fractions
        given = read_cohort(self.cohort)
        fixed = splits_of_groups(map(read_cohort, self.beside))
        rows = assign_splits(given, (training, validation, test), self.seed, fixed)
        write_cohort_table(rows, self.out)
        counts = ", ".join(f"{count} {name}" for name, count in Counter(row.split for row in rows).items())
        print(f"{counts} rows; split SHA-256 {split_sha256(rows)}")
        if self.beside:
            shared = [row.group for row in rows if row.group in fixed]
            print(f"{len(shared)} rows of {len(set(shared))} groups keep the split that they have in another table")


@dataclass(frozen=True)
class CohortRois:
    """Cut the regions of interest of a cohort into one store.

    Each row is cut around the centre in the table, every phase on the arterial grid (else the venous one). An
    interrupted build goes on where it stopped when the same command is run again.
    """

    name: ClassVar[str] = "cohort rois"
    cohort: Path
    out: Path
    input_mm: list[float]
    processes: int
    dask: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="folder of the new store")
        parser.add_argument(
            "--input-mm",
            type=float,
            nargs=3,
            default=[128.0, 128.0, 160.0],
            metavar="MM",
            help="size of what the network sees along x, y, z; whole voxels of 1 x 1 x 5 mm (default 128 128 160, the "
            "paper's); 12 mm more are kept along x and y for augmentation",
        )
        add_workers(parser)

    def run(self) -> None:
        """Cut, or go on."""
        from ..cohort.roi_store import build_roi_store
        from ..cohort.table import read_cohort
        from ..cohort.workers import Workers
        from ..imaging.roi import RoiSpec

        spec = RoiSpec.of_input(self.input_mm)
        rows = read_cohort(self.cohort)
        with progress_bar("cutting regions of interest") as progress:
            workers = Workers(self.processes, self.dask)
            store = build_roi_store(rows, self.out, spec, workers=workers, progress=progress)
        print(f"{len(store.case_ids)} cases in {store.folder}")


COMMANDS: list[Any] = [CohortImport, CohortSplit, CohortRois]
