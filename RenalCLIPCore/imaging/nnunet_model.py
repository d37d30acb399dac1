"""Trained nnU-Net models: folders and archives to networks' weights, checked, with nothing in them executed.

torch and nnunetv2 are imported inside the functions.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import SegmentationModelError
from .mask_labels import label_meaning
from .nnunet_plans import check_dataset, check_plans, resolved_configuration
from .orientation import is_orientation

if TYPE_CHECKING:
    from .nnunet_predictor import Runner

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
LOWRES = "3d_lowres"
MAX_ARCHIVE_BYTES = 20 << 30
MAX_ARCHIVE_MEMBERS = 10000
MAX_JSON_BYTES = 64 << 20
_FREE_BYTES = 256 << 20
_MOST_PACKED = 50  # weights hardly pack at all
_SUFFIXES = (".json", ".pth")


@dataclass(frozen=True, eq=False)
class TrainedConfiguration:
    """One configuration of a model with the weights of its folds.

    Attributes:
        name: Such as ``3d_fullres``.
        plans: Content of ``plans.json``.
        dataset: Content of ``dataset.json``.
        folds: State dict per fold.
        mirror_axes: Axes that may be mirrored at inference, or ``None``.
        meaning: For each output value of nnU-Net the label it stands for here (1, 2, 3); others are background.
        orientation: Patient directions of the index axes (i, j, k) of the training files, such as ``LPS``.
    """

    name: str
    plans: dict[str, Any]
    dataset: dict[str, Any]
    folds: tuple[Mapping[str, Any], ...]
    mirror_axes: tuple[int, ...] | None
    meaning: Mapping[int, int]
    orientation: str


@dataclass(frozen=True, eq=False)
class SegmentationModel:
    """A trained nnU-Net model: one or more configurations, ready for :func:`segmentation.segment`.

    Attributes:
        name: Dataset name of the plans.
        sha256: Hash over the files that were read, with their names.
        configurations: By name.
        device: Where it runs.
        notes: What loading had to say.
    """

    name: str
    sha256: str
    configurations: Mapping[str, TrainedConfiguration]
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    _runners: dict[str, Runner] = field(default_factory=dict, repr=False)

    def runner(self, configuration: TrainedConfiguration) -> Runner:
        """The configuration's network, built at first use and kept warm.

        Raises:
            SegmentationModelError: Weights and plans do not fit.
        """
        from .nnunet_predictor import Runner

        if configuration.name not in self._runners:
            self._runners[configuration.name] = Runner(configuration, self.device)
        return self._runners[configuration.name]

    @property
    def fine(self) -> TrainedConfiguration:
        """The configuration that segments: 3d_fullres, else another one, 3d_lowres and 2d last."""
        last = {LOWRES: 1, "2d": 2}
        order = sorted(self.configurations, key=lambda name: (name != "3d_fullres", last.get(name, 0), name))
        return self.configurations[order[0]]

    @property
    def finder(self) -> TrainedConfiguration | None:
        """The low-resolution configuration, when there is one beside the fine one."""
        found = self.configurations.get(LOWRES)
        return None if found is self.fine else found

    @staticmethod
    def load(path: Path, device: str = "cpu") -> SegmentationModel:
        """Load a trained model folder (of one configuration or of several) or an exported zip.

        Raises:
            SegmentationModelError: It is no nnU-Net model, is damaged or unsafe, or knows no kidney.
        """
        if path.is_file() and zipfile.is_zipfile(path):
            with tempfile.TemporaryDirectory(prefix="renalclip-model-") as folder:
                _extract(path, Path(folder))
                return _load_folder(Path(folder), path.name, device)
        if not path.is_dir():
            raise SegmentationModelError(
                f"{path.name} is neither a folder nor a zip of a trained nnU-Net v2 model; give the folder that holds "
                "dataset.json, plans.json and fold_0."
            )
        return _load_folder(path, path.name, device)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Content of an nnU-Net checkpoint; only tensors, plain values and numpy scalars are let in.

    Raises:
        SegmentationModelError: It is damaged, no nnU-Net checkpoint, or holds objects that would run code.
    """
    import torch

    if not zipfile.is_zipfile(path):
        raise SegmentationModelError(
            f"{path.name} is damaged, or no checkpoint as nnU-Net v2 writes it, and was refused."
        )
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SegmentationModelError(
            f"{path.name} holds objects other than weights and plain values, or is damaged, and was refused; "
            "use a checkpoint as nnU-Net v2 writes it."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise SegmentationModelError(f"{path.name} cannot be read; it may be truncated or damaged.") from error
    if not isinstance(content, dict) or not {"network_weights", "init_args", "trainer_name"} <= set(content):
        raise SegmentationModelError(f"{path.name} is no nnU-Net v2 checkpoint (network_weights or init_args missing).")
    return content


def network_weights(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """State dict of a checkpoint without the prefixes that torch.compile and DataParallel leave.

    Raises:
        SegmentationModelError: It holds something that is no tensor.
    """
    import torch

    weights = content["network_weights"]
    plain = isinstance(weights, dict) and all(_is_plain(value) for value in weights.values())
    if not plain:
        raise SegmentationModelError(f"{file} is no nnU-Net v2 checkpoint (its weights are no plain tensors).")
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise SegmentationModelError(f"{file} holds weights that are not finite; take an undamaged copy of the model.")
    return {re.sub(r"^(?:module\.|_orig_mod\.)+", "", str(key)): value for key, value in weights.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is a dense tensor with all its elements in the file (one element can pose as many)."""
    import torch

    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        SegmentationModelError: The file is missing or holds none.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise SegmentationModelError(f"{path.name} of the model is larger than {MAX_JSON_BYTES >> 20} MB.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SegmentationModelError(f"{path.name} of the model is missing or no valid JSON.") from error
    if not isinstance(content, dict):
        raise SegmentationModelError(f"{path.name} of the model is no JSON object.")
    return content


def training_orientation(plans: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    """Directions of the index axes of the files that a model was trained on.

    nnU-Net's readers take files as they are stored, so this matters. In order: ``orientation`` in ``dataset.json``
    (written by this program); RAS for the reorienting readers; ``IPL`` when the plan's slice axis is the first index
    axis, as in the KiTS files; else ``LPS``, how DICOM converters store CT.
    """
    declared = dataset.get("orientation")
    if isinstance(declared, str):
        if is_orientation(declared):
            return declared
        raise SegmentationModelError(
            f"dataset.json of the model names the orientation {declared!r}; LPS is an example."
        )
    if str(plans.get("image_reader_writer", "")).endswith("WithReorient"):
        return "RAS"
    try:
        spacing = [float(value) for value in plans["original_median_spacing_after_transp"]]
        stored = [spacing[int(axis)] for axis in plans["transpose_backward"]]
    except (KeyError, TypeError, ValueError, IndexError):
        return "LPS"
    slices_first = len(stored) == 3 and stored[2] > 1.2 * max(stored[0], stored[1])
    return "IPL" if slices_first else "LPS"


def _numpy_scalars() -> list[Any]:
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    types = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *types]


def _extract(archive: Path, folder: Path) -> None:
    """Unpack the JSON files and checkpoints of an exported model, and nothing that could land elsewhere."""
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            if len(members) > MAX_ARCHIVE_MEMBERS or sum(item.file_size for item in members) > MAX_ARCHIVE_BYTES:
                raise SegmentationModelError(f"{archive.name} announces more than a model needs and was refused.")
            if sum(item.file_size for item in members) > max(_FREE_BYTES, _MOST_PACKED * archive.stat().st_size):
                raise SegmentationModelError(
                    f"{archive.name} would unpack to far more than weights do and was refused."
                )
            for member in members:
                _check_member(member.filename, archive.name)
            for member in members:
                if PurePosixPath(member.filename).suffix in _SUFFIXES and not member.is_dir():
                    content.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SegmentationModelError(f"{archive.name} is damaged or cannot be unpacked.") from error


def _check_member(name: str, archive: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise SegmentationModelError(f"{archive} names files outside itself and was refused.")


def _load_folder(folder: Path, name: str, device: str) -> SegmentationModel:
    found = [item.parent for item in sorted(folder.glob("**/plans.json")) if len(item.relative_to(folder).parts) <= 4]
    found = [item for item in found if _checkpoints(item)]
    if not found:
        raise SegmentationModelError(
            f"{name} is no trained nnU-Net v2 model: a folder with dataset.json, plans.json and "
            "fold_0/checkpoint_final.pth is needed."
        )
    digest = hashlib.sha256()
    configurations: dict[str, TrainedConfiguration] = {}
    notes = []
    for item in found:
        loaded = _load_configuration(item)
        _hash_files(digest, folder, [item / "dataset.json", item / "plans.json", *_checkpoints(item)])
        if resolved_configuration(loaded.plans, loaded.name).get("previous_stage"):
            notes.append(f"The cascade {loaded.name} is not used.")
        elif loaded.name in configurations:
            raise SegmentationModelError(f"{name} holds {loaded.name} twice; give the folder of one model.")
        else:
            configurations[loaded.name] = loaded
    if not configurations:
        raise SegmentationModelError(
            f"{name} holds only a cascade stage; a model with 3d_fullres or 3d_lowres is needed."
        )
    dataset_name = next(iter(configurations.values())).plans.get("dataset_name", name)
    return SegmentationModel(str(dataset_name), digest.hexdigest(), configurations, device, tuple(notes))


def _checkpoints(folder: Path) -> list[Path]:
    folds = [item for item in sorted(folder.glob("fold_*")) if item.is_dir()]
    numbered = [item for item in folds if item.name != "fold_all"] or folds
    found = (next((fold / name for name in CHECKPOINTS if (fold / name).is_file()), None) for fold in numbered)
    return [item for item in found if item is not None]


def _hash_files(digest: Any, root: Path, files: Iterable[Path]) -> None:
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())


def _load_configuration(folder: Path) -> TrainedConfiguration:
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    channels = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        raise SegmentationModelError(
            f"The model in {folder.name} does not take one CT image; models of several channels cannot be used."
        )
    contents = [(path, read_checkpoint(path)) for path in _checkpoints(folder)]
    names = {
        str(content["init_args"].get("configuration")) for _, content in contents if _is_dict(content["init_args"])
    }
    if len(names) != 1:
        raise SegmentationModelError(f"The folds in {folder.name} belong to different configurations.")
    name = names.pop()
    if not resolved_configuration(plans, name).get("previous_stage"):  # a cascade stage is not run
        check_plans(plans, name)
    check_dataset(dataset)
    return TrainedConfiguration(
        name,
        plans,
        dataset,
        tuple(network_weights(content, path.name) for path, content in contents),
        _mirror_axes(contents[0][1].get("inference_allowed_mirroring_axes")),
        label_meaning(dataset),
        training_orientation(plans, dataset),
    )


def _mirror_axes(axes: Any) -> tuple[int, ...] | None:
    if not axes:
        return None
    if not isinstance(axes, (list, tuple)) or not all(axis in (0, 1, 2) for axis in axes):
        raise SegmentationModelError("The checkpoint names axes to mirror that do not exist; it may be damaged.")
    return tuple(int(axis) for axis in axes)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
