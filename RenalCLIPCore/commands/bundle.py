"""Model bundles: import of foreign checkpoints, contents, verification."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..models.manifest import Fusion

FUSIONS = ("arterial-else-venous", "random-phase")
KINDS = ("clip", "image", "survival")


@dataclass(frozen=True)
class BundleImport:
    """Turn checkpoints of the public RenalCLIP training code into a model bundle.

    CHECKPOINT gives the main encoder. Each --task adds a fine-tuned task with its own encoder; its classes are taken
    in the order of the paper's label values. The numbers of imported heads are not calibrated.
    """

    checkpoint: Path
    out: Path
    bundle_name: str | None
    bundle_version: str
    kind: str | None
    task: Sequence[str]
    fusion: str
    segmentation_model: Path | None
    licence: str
    training_data: str
    overwrite: bool
    name: ClassVar[str] = "bundle import"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("checkpoint", type=Path, help="checkpoint file (torch.save of {'model': ...})")
        parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
        parser.add_argument("--name", dest="bundle_name", help="name of the bundle (default: the folder's name)")
        parser.add_argument("--bundle-version", default="1", help="version of the bundle (default: 1)")
        parser.add_argument("--kind", choices=KINDS, help="layout of the checkpoint (default: recognised)")
        parser.add_argument(
            "--task",
            action="append",
            default=[],
            metavar="TASK=FILE",
            help="fine-tuned checkpoint of a task; repeatable",
        )
        parser.add_argument(
            "--fusion",
            choices=FUSIONS,
            default=FUSIONS[0],
            help="phases the tasks were fine-tuned on (default: %(default)s)",
        )
        parser.add_argument("--segmentation-model", type=Path, help="nnU-Net model folder to include")
        parser.add_argument("--licence", default="MIT", help="licence of the weights (default: %(default)s)")
        parser.add_argument(
            "--training-data", default="Not stated by the checkpoint.", help="training data in one sentence"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")

    def run(self) -> None:
        """Write the bundle and say what it can do."""
        from pydantic import ValidationError

        from ..models.bundle import write_bundle
        from ..models.bundle_import import contents_from_checkpoints
        from ..models.checkpoints import CheckpointKind

        try:
            contents, left_out = contents_from_checkpoints(
                self.checkpoint,
                _task_files(self.task),
                name=self.bundle_name or self.out.name,
                version=self.bundle_version,
                fusion=cast("Fusion", self.fusion),
                licence=self.licence,
                training_data=self.training_data,
                kind=CheckpointKind(self.kind) if self.kind else None,
                segmentation=self.segmentation_model,
            )
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"The bundle's {place} cannot be used: {first['msg']}.") from error
        manifest = write_bundle(self.out, contents, overwrite=self.overwrite)
        print(f"{self.out}: {', '.join(manifest.capabilities) or 'encoder only'}")
        if left_out:
            print(f"left out, as their classes are not known: {', '.join(left_out)}")
        print(f"sha256 {manifest.sha256}")


@dataclass(frozen=True)
class BundleShow:
    """Print a bundle's manifest, capabilities and hashes."""

    bundle: Path
    name: ClassVar[str] = "bundle show"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("bundle", type=Path, help="folder of the bundle")

    def run(self) -> None:
        """Print; the files are not checked."""
        from ..models.manifest import read_manifest

        manifest = read_manifest(self.bundle)
        print(manifest.to_yaml(), end="")
        print(f"# capabilities: {', '.join(manifest.capabilities) or 'encoder only'}")
        print(f"# sha256: {manifest.sha256}")


@dataclass(frozen=True)
class BundleVerify:
    """Check a bundle: files, hashes, tensor names, shapes and values."""

    bundle: Path
    name: ClassVar[str] = "bundle verify"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("bundle", type=Path, help="folder of the bundle")

    def run(self) -> None:
        """Load it strictly and say so."""
        from ..models.bundle import Bundle

        bundle = Bundle.load(self.bundle)
        print(f"{bundle.manifest.name} {bundle.manifest.version}: {len(bundle.manifest.files)} files agree")
        print(f"sha256 {bundle.sha256}")


def _task_files(items: Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for item in items:
        task, separator, file = item.partition("=")
        if not separator or not task or not file:
            raise ConfigurationError(f"--task needs TASK=FILE, but {item!r} was given.")
        if task in files:
            raise ConfigurationError(f"--task names {task!r} twice; give each task once.")
        files[task] = Path(file)
    return files


COMMANDS: list[Any] = [BundleImport, BundleShow, BundleVerify]
