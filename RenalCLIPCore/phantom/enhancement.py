"""HU of the tissues in each phase, with a patient's own timing and contrast dose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..imaging.study import Phase
from .streams import stream

# Typical HU in the phases (N, A, V, D) after 100 to 120 ml of contrast at 120 kVp; arterial is corticomedullary (about
# 35 s), venous nephrographic (about 90 s), delayed excretory (about 5 min).
TYPICAL: Mapping[str, tuple[float, float, float, float]] = {
    "aorta": (40, 285, 160, 100),
    "cava": (40, 70, 145, 98),
    "renal vein": (40, 150, 165, 100),
    "cortex": (31, 170, 182, 130),
    "medulla": (31, 72, 162, 130),
    "urine": (7, 8, 14, 600),
    "liver": (56, 72, 112, 88),
    "spleen": (46, 130, 122, 88),
    "muscle": (52, 60, 66, 62),
    "bowel": (28, 45, 58, 50),
    "fat": (-104, -103, -101, -102),
    "skin": (10, 12, 18, 15),
    "vertebra": (190, 192, 198, 195),
    "cortical bone": (520, 520, 520, 520),
    "disc": (75, 76, 80, 80),
    "canal": (25, 26, 30, 28),
    "gas": (-950, -950, -950, -950),
    "air": (-1000, -1000, -1000, -1000),
    "table": (-120, -120, -120, -120),
    "simple cyst": (6, 7, 8, 8),
    "necrosis": (20, 22, 25, 25),
    "macroscopic fat": (-85, -78, -80, -82),
    "calcification": (380, 385, 385, 385),
}
_VASCULAR = ("aorta", "cava", "renal vein", "cortex", "medulla", "liver", "spleen")


@dataclass(frozen=True)
class TissueHU:
    """HU per tissue (keys of ``TYPICAL``) in the phases N, A, V, D, and the phases' delays in seconds."""

    table: Mapping[str, tuple[float, float, float, float]]
    delays_s: tuple[float, float, float, float]

    def hu(self, tissue: str, phase: Phase) -> float:
        """HU of a tissue in a phase."""
        return self.table[tissue]["NAVD".index(phase.value)]

    def delay_s(self, phase: Phase) -> float:
        """Seconds after the start of the injection; 0 for the non-contrast phase."""
        return self.delays_s["NAVD".index(phase.value)]


def draw_enhancement(seed: int, timing_sd: float = 1.0) -> TissueHU:
    """HU and delays of one patient; ``timing_sd`` scales how far they stray from the typical ones."""
    g = stream(seed, "enhancement")
    late = float(np.clip(g.normal(0, timing_sd, 3)[0], -2.5, 2.5))
    dose = float(np.clip(1.0 + 0.08 * g.normal(), 0.8, 1.2))
    timing = {
        "aorta": (-0.08 * late, -0.03 * late, 0.0), "cava": (0.12 * late, 0.02 * late, 0.0),
        "renal vein": (0.10 * late, 0.0, 0.0), "cortex": (0.05 * late, 0.0, -0.02 * late),
        "medulla": (0.30 * late, 0.02 * late, 0.0), "liver": (0.35 * late, 0.02 * late, 0.0),
        "spleen": (0.03 * late, 0.0, 0.0),
    }  # fmt: skip
    table: dict[str, tuple[float, float, float, float]] = {}
    for tissue, typical in TYPICAL.items():
        native = typical[0] + (g.normal(0, 2.0) if tissue in _VASCULAR else 0.0)
        gains = [dose * (1 + t) if tissue in _VASCULAR else 1.0 for t in timing.get(tissue, (0.0, 0.0, 0.0))]
        table[tissue] = (
            float(native), *(float(native + (hu - typical[0]) * k) for hu, k in zip(typical[1:], gains, strict=True)),
        )  # type: ignore[assignment]  # fmt: skip
    table["urine"] = (*table["urine"][:3], float(g.uniform(400, 800)))
    delays = (0.0, 34.0 + 3.0 * late, 85.0 + 6.0 * late + g.normal(0, 4), 300.0 + g.normal(0, 25))
    return TissueHU(table, (delays[0], float(delays[1]), float(delays[2]), float(delays[3])))
