"""What a phantom patient is made of: frozen parts in LPS millimetres.

x grows towards the patient's left, y towards posterior, z towards superior; z = 0 lies near the kidneys' hila. Lesions
displace nothing: where a lesion is, it replaces what would be there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging.lesions import LesionFindings
from ..imaging.study import Phase
from .enhancement import TissueHU
from .histology import Attributes, Histology, Oracle, Recurrence
from .shapes import Array, Blob, Cylinder, Ellipsoid, Float3, Shape, Tube, Waves, as_point, local

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class Kidney:
    """One kidney.

    Attributes:
        side: ``"left"`` or ``"right"``, the patient's.
        outline: Native outline including the sinus; its axes are (long, hilar, anterior), unit vectors in LPS.
        sinus: Fatty cavity, open medially; only its part inside the outline counts.
        collecting: Pelvis and calyces (lumen).
        ureter, artery, vein: Stubs of the ureter and the main vessels.
        cortex_mm: Thickness of the cortex.
        pyramids: Numbers and phases (around, along) of the medullary pyramids.
    """

    side: str
    outline: Ellipsoid
    sinus: Ellipsoid
    collecting: tuple[Shape, ...]
    ureter: Tube
    artery: Tube
    vein: Tube
    cortex_mm: float
    pyramids: tuple[float, float, float, float]

    def capsule(self, by_mm: float) -> Shape:
        """The outline grown by some millimetres: what the kidney keeps clear of other organs."""
        return replace(self.outline, semi_axes_mm=as_point(np.asarray(self.outline.semi_axes_mm) + by_mm))

    def parenchyma(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance of cortex and medulla (outline without sinus)."""
        return np.maximum(self.outline.distance(x, y, z), -self.sinus.distance(x, y, z))

    def sinus_inside(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance of the sinus and collecting system within the outline."""
        return np.maximum(self.outline.distance(x, y, z), self.sinus.distance(x, y, z))

    def local(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Coordinates along the long, hilar and anterior axes around the kidney's centre, in mm."""
        return local(self.outline.centre_lps_mm, self.outline.axes, x, y, z)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        side: Kidney it belongs to.
        label: ``"tumour"`` or ``"cyst"``.
        shape: Its surface.
        native_hu: HU without contrast.
        enhancement_hu: HU above native in the phases (A, V, D).
        texture_hu: Standard deviation of its texture in the enhanced phases.
        necrosis_fraction, fat_fraction: Shares of the volume.
        calcification: A calcified focus, or None.
        septa: Whether thin enhancing walls are seen (complex cysts).
        texture: Fields for the texture, the fat and the necrosis' edge.
    """

    side: str
    label: str
    shape: Blob
    native_hu: float
    enhancement_hu: Float3
    texture_hu: float = 0.0
    necrosis_fraction: float = 0.0
    fat_fraction: float = 0.0
    calcification: Ellipsoid | None = None
    septa: bool = False
    texture: tuple[Waves, Waves] | None = None

    def hu(self, phase: Phase) -> float:
        """HU of the solid part in a phase."""
        return self.native_hu + (0.0 if phase is Phase.N else self.enhancement_hu["AVD".index(phase.value)])


@dataclass(frozen=True)
class Tumour:
    """What is known about the primary lesion beyond its shape: histology, attributes, course, and the oracle."""

    histology: Histology
    attributes: Attributes
    recurrence: Recurrence | None
    oracle: Oracle


@dataclass(frozen=True)
class Torso:
    """Everything but kidneys and lesions; see the names.

    ``wall`` is the outer surface of the muscle wall, ``level_mm`` the distance between vertebral discs.
    """

    body: Cylinder
    wall: Cylinder
    cavity: Cylinder
    muscles: tuple[Cylinder | Tube, ...]
    spine: Cylinder
    canal: Cylinder
    processes: tuple[Ellipsoid, ...]
    disc_offset_mm: float
    aorta: Cylinder
    cava: Cylinder
    liver: tuple[Ellipsoid, ...]
    spleen: Ellipsoid
    bowel: tuple[Tube, ...]
    gas: tuple[Ellipsoid, ...]
    ribs: tuple[Tube, ...]
    level_mm: float = 36.0


@dataclass(frozen=True, eq=False)
class Painted:
    """The label map that a patient is painted onto.

    Attributes:
        mask_sha256: Hash of its file.
        origin_lps_mm: Where the patient's origin lies in the map's own frame, which its files are written in.
        found: What the map shows: lesions with sides and sizes, primary first, and the kidneys' volumes.
    """

    mask_sha256: str
    origin_lps_mm: Float3
    found: LesionFindings


@dataclass(frozen=True)
class PhantomPatient:
    """A patient: shapes, HU per tissue and phase, lesions (primary first) and what is known of the primary.

    Attributes:
        seed: Seed of every draw.
        torso: Body, spine, vessels, other organs.
        kidneys: Left and right; a patient painted onto a mask may have one.
        lesions: Primary first; empty for a study without a lesion.
        tumour: Truth of the primary lesion, None without one.
        tissues: HU per tissue and phase.
        painted: Where kidneys and lesions come from, if not from a seed.
    """

    seed: int
    torso: Torso
    kidneys: tuple[Kidney, ...]
    lesions: tuple[Lesion, ...]
    tumour: Tumour | None
    tissues: TissueHU
    painted: Painted | None = None

    def kidney(self, side: str) -> Kidney:
        """The kidney of a side."""
        return next(k for k in self.kidneys if k.side == side)

    def has_kidney(self, side: str) -> bool:
        """Whether there is a kidney on a side."""
        return any(k.side == side for k in self.kidneys)

    @property
    def primary(self) -> Lesion | None:
        """The primary lesion, if any."""
        return self.lesions[0] if self.lesions else None

    def with_lesions(self, *lesions: Lesion) -> PhantomPatient:
        """The same patient with other lesions (primary first) and nothing known about them."""
        return replace(self, lesions=tuple(lesions), tumour=None)
