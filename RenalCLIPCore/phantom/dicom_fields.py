"""Pixels and decimal strings as DICOM stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .shapes import Array

if TYPE_CHECKING:
    from pydicom import Dataset


def set_pixels(dataset: Dataset, hu: Array, *, signed: bool) -> None:
    """Store HU (rows, columns) or (frames, rows, columns) as 16-bit pixels with their rescale values."""
    intercept = 0 if signed else -1024
    stored = np.clip(hu.astype(np.int32) - intercept, -1024 - intercept, 3071 - intercept)
    stored = stored.astype("<i2" if signed else "<u2")
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(intercept), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "50", "400"
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()


def decimals(values: Any) -> list[str]:
    """Decimal strings of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [str(format_number_as_ds(float(v) + 0.0)) for v in np.ravel(values)]
