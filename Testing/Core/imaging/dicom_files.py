"""A small, independent writer of CT files for the tests of import; every tag can be overridden or left out (None)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

ROWS, COLUMNS, SLICES = 20, 24, 10
SPACING = (0.8, 1.2)  # along a row (columns), along a column (rows)
STEP = 2.5
ORIGIN = (-12.0, -30.0, 100.0)


def uid(*parts):
    return generate_uid(entropy_srcs=["import tests", *map(str, parts)])


def body(seed=0, slices=SLICES):
    """(slices, rows, columns) int16 HU: air around a block of noise, different in every voxel and slice."""
    generator = np.random.default_rng(seed)
    values = np.full((slices, ROWS, COLUMNS), -1000, dtype=np.int16)
    values[:, 4:-4, 4:-4] = generator.integers(-100, 200, (slices, ROWS - 8, COLUMNS - 8))
    return values


def dataset(number, position, pixels, **tags):
    """One CT image; ``pixels`` in HU, stored unsigned with intercept -1024."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid("instance", tags.get("SeriesNumber", 1), number, position)
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientName, ds.PatientID, ds.PatientBirthDate = "CT", "SECRET^PERSON", "ID-4711", "19500101"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series", tags.get("SeriesNumber", 1))
    ds.FrameOfReferenceUID, ds.StudyDate, ds.AccessionNumber = uid("frame"), "20200102", "ACC-99"
    ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = 1, number, ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ConvolutionKernel, ds.SliceThickness = "B30f", STEP
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], list(map(float, position))
    ds.PixelSpacing = [SPACING[1], SPACING[0]]
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = (pixels.astype(np.int32) + 1024).astype(np.uint16).tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def positions(slices=SLICES, step=STEP, shear=0.0):
    """Positions of the slices, ascending; ``shear`` mm of shift towards P per slice."""
    return [(ORIGIN[0], ORIGIN[1] + shear * k, ORIGIN[2] + step * k) for k in range(slices)]


def datasets(values=None, places=None, edit=None, **tags):
    """A series as datasets, in ascending position; ``edit(k, dataset)`` changes single ones."""
    values = body() if values is None else values
    places = positions(len(values)) if places is None else places
    found = []
    for k, (place, pixels) in enumerate(zip(places, values, strict=True)):
        ds = dataset(k + 1, place, pixels, **tags)
        if edit is not None:
            edit(k, ds)
        found.append(ds)
    return found


def save(items, folder, prefix="IM", suffix="", order=None):
    """Write datasets as files; ``order`` permutes the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(range(len(items))) if order is None else list(order)
    for name, item in zip(names, items, strict=True):
        item.save_as(folder / f"{prefix}{name:04d}{suffix}", enforce_file_format=True)
    return folder


def arterial(folder, **options):
    """A complete arterial series, series number 3."""
    return save(datasets(SeriesNumber=3, SeriesDescription="Abdomen arteriell", **options), folder, prefix="A")


def enhanced(stacks, **tags):
    """One multi-frame file with the frames of several (values, places, temporal index, time) stacks, interleaved."""
    frames, groups = [], []
    for k in range(max(len(values) for values, *_ in stacks)):
        for values, places, index, time in stacks:
            if k >= len(values):
                continue
            frames.append(values[k])
            group = Dataset()
            plane, content = Dataset(), Dataset()
            plane.ImagePositionPatient = list(places[k])
            content.TemporalPositionIndex, content.FrameAcquisitionDateTime = index, time
            group.PlanePositionSequence, group.FrameContentSequence = [plane], [content]
            groups.append(group)
    pixels = np.stack(frames)
    ds = dataset(1, stacks[0][1][0], pixels[0], **tags)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    orientation, measures, scale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], STEP
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [scale]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(ds, name)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], groups
    ds.NumberOfFrames = len(frames)
    ds.PixelData = (pixels.astype(np.int32) + 1024).astype(np.uint16).tobytes()
    return ds
