"""Commands of the multi-phase 2-D network (Xiong et al. 2025): the slices of a cohort, and training."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .learning import add_workers, progress_bar


@dataclass(frozen=True)
class CohortSlices:
    """Cut the axial slice with the largest tumour area of every case of a cohort into one store.

    Each row is cut where the tumour (else the cyst) of its label map is largest, a row without a label map through the
    centre in the table; 140 x 140 mm, every phase on the arterial grid (else the venous one). An interrupted build goes
    on where it stopped when the same command is run again.
    """

    name: ClassVar[str] = "cohort slices"
    cohort: Path
    out: Path
    spacing_mm: float
    window_hu: list[float]
    processes: int
    dask: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="folder of the new store")
        parser.add_argument(
            "--spacing-mm",
            type=float,
            default=0.625,
            metavar="MM",
            help="distance of the pixels (default 0.625, the paper's: 224 x 224 of them)",
        )
        parser.add_argument(
            "--window-hu",
            type=float,
            nargs=2,
            default=[-500.0, 500.0],
            metavar=("LOW", "HIGH"),
            help="attenuation that becomes 0 and 1 (default -500 500)",
        )
        add_workers(parser)

    def run(self) -> None:
        """Cut, or go on."""
        from ..cohort.slice_store import build_slice_store
        from ..cohort.table import read_cohort
        from ..cohort.workers import Workers
        from ..imaging.lesion_slice import SliceSpec

        low, high = self.window_hu
        spec = SliceSpec.of_spacing(self.spacing_mm, (low, high))
        rows = read_cohort(self.cohort)
        with progress_bar("cutting slices") as progress:
            workers = Workers(self.processes, self.dask)
            store = build_slice_store(rows, self.out, spec, workers=workers, progress=progress)
        print(f"{len(store.case_ids)} cases in {store.folder}")


COMMANDS: list[Any] = [CohortSlices]
