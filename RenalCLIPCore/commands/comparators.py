"""Commands of the comparators of Xiong et al. 2025: radiomics and the nephrometry nomogram."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .learning import add_workers, progress_bar


@dataclass(frozen=True)
class CohortRadiomics:
    """Extract radiomic features of every row's lesion, per phase, on its largest slice and in space.

    Definitions are the IBSI's. A run that was broken off goes on where it stopped. Phases are read in the frame of
    the label map.
    """

    name: ClassVar[str] = "cohort radiomics"
    cohort: Path
    out: Path
    slice_mm: float
    space_mm: float
    range_hu: list[float]
    bin_hu: float
    processes: int
    dask: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="features: CSV or *.parquet")
        parser.add_argument("--slice-mm", type=float, default=1.0, metavar="MM", help="pixels of the slice (default 1)")
        parser.add_argument("--space-mm", type=float, default=2.0, metavar="MM", help="voxels in space (default 2)")
        parser.add_argument(
            "--range-hu", type=float, nargs=2, default=[-500.0, 500.0], metavar="HU",
            help="attenuation that belongs to the lesion (default -500 500)",
        )  # fmt: skip
        parser.add_argument("--bin-hu", type=float, default=25.0, metavar="HU", help="width of the bins (default 25)")
        add_workers(parser)

    def run(self) -> None:
        """Extract."""
        from ..cohort.radiomics_table import build_radiomics_table
        from ..cohort.table import read_cohort
        from ..cohort.workers import Workers
        from ..errors import OutputError
        from ..imaging.radiomics import RadiomicsSpec

        if self.out.exists():
            raise OutputError(f"{self.out.name} exists already; choose another name or remove it.")
        spec = RadiomicsSpec(self.slice_mm, self.space_mm, (self.range_hu[0], self.range_hu[1]), self.bin_hu)
        rows = read_cohort(self.cohort)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar("extracting features") as progress:
            workers = Workers(self.processes, self.dask)
            table = build_radiomics_table(rows, self.out, spec, workers=workers, progress=progress)
        print(f"{len(table.names)} features of {len(table.rows)} lesions in {self.out}")


COMMANDS: list[Any] = [CohortRadiomics]
