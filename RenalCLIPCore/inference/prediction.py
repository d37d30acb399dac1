"""Regions of interest -> a reading: everything that follows from one pass of the networks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..review import Absent, Predicted
from .head_readings import binary, components, total
from .neighbours import neighbours
from .network_output import NetworkOutput, run_networks
from .out_of_distribution import out_of_distribution
from .risk import recurrence
from .zero_shot import zero_shot

if TYPE_CHECKING:
    from ..models.bundle import Bundle


@dataclass(frozen=True, eq=False)
class Reading:
    """One lesion as read.

    Attributes:
        output: Of the networks; explanation and uncertainty start from it.
        predicted: Heads, risk, zero-shot, neighbours and distance; explanation and uncertainty are absent.
    """

    output: NetworkOutput
    predicted: Predicted


def read(bundle: Bundle, rois: Mapping[str, npt.NDArray[np.float32]]) -> Reading:
    """Read one lesion.

    Args:
        bundle: Loaded model bundle.
        rois: By phase (``N``, ``A``, ``V``, ``D``): (x, y, z) in [0, 1], cut as the bundle's preprocessing says.

    Raises:
        MissingPhaseError: The bundle needs an arterial or venous phase and there is none, or there is no phase at all.
        ValueError: A region of interest has another shape than the bundle was trained on.
    """
    output = run_networks(bundle, rois)
    found = components(bundle, output)
    predicted = Predicted(
        phases_used=output.fused,
        fusion=output.fusion,
        components=found,
        total=total(found),
        malignancy=binary(bundle, output, "malignancy"),
        aggressiveness=binary(bundle, output, "aggressiveness"),
        recurrence=recurrence(bundle, output),
        zero_shot=zero_shot(bundle, output),
        neighbours=neighbours(bundle, output),
        out_of_distribution=out_of_distribution(bundle, output),
        explanation=Absent("The explanation has not been computed."),
        uncertainty=Absent("The uncertainty has not been computed."),
    )
    return Reading(output, predicted)
