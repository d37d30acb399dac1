"""Small label maps like those of real patients: two kidneys whose sinus is left open, a tumour, a cyst."""

import numpy as np

from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume

SPACING = (2.0, 2.0, 5.0)
SIZE = (140, 100, 44)
KIDNEYS = {"left": (205.0, 120.0, -110.0), "right": (75.0, 124.0, -118.0)}
SEMI = (25.0, 29.0, 54.0)
TUMOUR = ((222.0, 112.0, -95.0), 17.0)
CYST = ((64.0, 138.0, -130.0), 9.0)


def kits_labels(kidneys=("left", "right"), tumour=True, cyst=True):
    """A map on the axes that KiTS stores: slices first, downwards; the origin at a corner."""
    columns = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    grid = Geometry.from_components(SIZE[::-1], SPACING[::-1], (0.0, 0.0, 0.0), columns)
    places = grid.lps(np.argwhere(np.ones(grid.size, bool))).reshape(*grid.size, 3)

    def ball(centre, semi):
        return (np.square((places - centre) / semi).sum(axis=-1) <= 1.0).reshape(grid.size)

    labels = np.zeros(grid.size, np.uint8)
    for side in kidneys:
        centre = np.array(KIDNEYS[side])
        inwards = (-14.0 if side == "left" else 14.0, -8.0, 0.0)
        sinus = ball(centre + np.array(inwards), (16.0, 9.0, 20.0))
        labels[ball(centre, SEMI) & ~sinus] = 1
    for there, (centre, radius), value in ((cyst, CYST, 3), (tumour, TUMOUR, 2)):
        if there:
            labels[ball(np.array(centre), radius)] = value
    return Volume(labels, grid)


def write_masks(folder, *volumes):
    """Maps as files ``case_0.nii.gz`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, volume in enumerate(volumes):
        write_volume(volume, folder / f"case_{number}.nii.gz")
    return folder
