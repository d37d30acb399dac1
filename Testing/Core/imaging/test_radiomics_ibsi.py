"""Features against the reference values that the IBSI publishes for its digital phantom.

The phantom (5 x 4 x 4 voxels of 2 mm) and its values are those of the IBSI reference manual (arXiv:1612.07003, chapters
"Reference data sets" and "Image features"; Zwanenburg et al., Radiology 2020). ``code`` is the manual's code of a
feature. As the IBSI compares: at three significant digits, within the tolerance that it states.
"""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from RenalCLIPCore.imaging.radiomic_matrices import texture_features
from RenalCLIPCore.imaging.radiomic_shape import (
    histogram_features,
    intensity_features,
    located_intensities,
    shape_features,
)

# slices along z, rows along y, x to the right; 0 is outside the region
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
).transpose(2, 1, 0)
SPACING_MM = (2.0, 2.0, 2.0)
# not extracted: spatial autocorrelation, local peaks, intensity-volume histograms
NOT_EXTRACTED = ("morph_moran_i", "morph_geary_c", "loc_", "ivh_")
MERGED = ("2D, slice-merged", "2.5D, direction-merged", "2.5D, merged", "3D, merged", "2.5D")


def references():
    path = Path(__file__).parents[2] / "Data" / "ibsi_digital_phantom.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def compared():
    return [line for line in references()
            if not line["tag"].startswith(NOT_EXTRACTED) and line["aggregation"] not in MERGED]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    mask = PHANTOM > 0
    shape = shape_features(mask, SPACING_MM)
    whole = shape | located_intensities(PHANTOM.astype(float), mask, SPACING_MM, shape["morph_volume"])
    whole |= intensity_features(PHANTOM[mask].astype(float)) | histogram_features(PHANTOM[mask])
    slices = [texture_features(PHANTOM[:, :, k : k + 1]) for k in range(4)]
    return {
        "": whole,
        "3D": texture_features(PHANTOM),
        "2D": {name: float(np.mean([item[name] for item in slices])) for name in slices[0]},
    }


def three_digits(value):
    return round(value, 2 - math.floor(math.log10(abs(value)))) if value else 0.0


@pytest.mark.parametrize("line", compared(), ids=lambda line: f"{line['code']}-{line['tag']}-{line['aggregation']}")
def test_a_feature_of_the_digital_phantom_is_within_the_published_tolerance(found, line):
    value = found[line["aggregation"].split(",")[0]][line["tag"]]
    assert abs(three_digits(value) - float(line["value"])) <= float(line["tolerance"]) + 1e-12, value


def test_every_extracted_feature_that_has_a_reference_value_is_compared(found):
    wanted = {(line["aggregation"].split(",")[0], line["tag"]) for line in compared()}
    assert wanted == {(place, name) for place, values in found.items() for name in values}
    assert len(compared()) == 254
