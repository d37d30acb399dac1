"""Commands of pre-training: the image stage, the two text stages, text features, and image-text alignment.

All but the features run on one process or, under ``torchrun``, on several.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .learning import add_cohort, add_run, configuration_of, joined_run, progress_bar, tell_result

if TYPE_CHECKING:
    from ..training.learnt_from import LearntFrom
    from ..training.text_data import Reports

SHUFFLED_VERSIONS = 4


@dataclass(frozen=True)
class TrainImage:
    """Train the image encoder on the fourteen report attributes of a cohort table.

    Rows of the splits training and validation are used; answers that are not known do not count. The checkpoint with
    the best macro AUROC over the questions is kept.
    """

    name: ClassVar[str] = "train image"
    config: Path | None
    preset: str | None
    cohort: Path
    rois: Path
    out: Path
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_cohort(parser)
        add_run(parser)

    def run(self) -> None:
        """Train, or go on."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.image_stage import train_image

        settings = configuration_of("image", self.config, self.preset)
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with joined_run(settings) as (ranks, progress):
            result = train_image(settings, cohort, store, self.out, resume=self.resume, ranks=ranks, progress=progress)
            tell_result(ranks, result)


@dataclass(frozen=True)
class _TrainText:
    """What both text stages share."""

    stage: ClassVar[str]
    config: Path | None
    preset: str | None
    cohort: Path | None
    texts: Path | None
    base: Path | None
    out: Path
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--cohort", type=Path, metavar="CSV", help="cohort table whose reports are learnt from")
        source.add_argument("--texts", type=Path, metavar="FILE", help="text file, one report per line (UTF-8)")
        parser.add_argument(
            "--base", type=Path, metavar="FOLDER", help="checkpoint folder of a language model to start from"
        )
        add_run(parser)

    def run(self) -> None:
        """Train, or go on."""
        from ..training.text_stages import train_text

        settings = configuration_of(self.stage, self.config, self.preset)
        reports, sources = self._reports(settings)
        with joined_run(settings) as (ranks, progress):
            result = train_text(
                settings,
                reports,
                self.out,
                base=self.base,
                sources=sources,
                resume=self.resume,
                ranks=ranks,
                progress=progress,
            )
            tell_result(ranks, result)

    def _reports(self, settings: Any) -> tuple[Reports, LearntFrom]:
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.learnt_from import NOTHING, LearntFrom
        from ..training.text_data import read_reports, reports_of

        if self.texts is not None:
            return read_reports(self.texts, settings.validation_share, settings.seed), NOTHING
        if self.cohort is None:
            raise ValueError("the parser asks for one of the two")
        cohort = learning_cohort(read_cohort(self.cohort))
        return reports_of(cohort), LearntFrom.of((*cohort.training, *cohort.validation))


@dataclass(frozen=True)
class TrainMntp(_TrainText):
    """Train a language model to predict masked tokens of reports, reading in both directions.

    The result is the checkpoint folder RUN/encoder. Without --base a small model is built as the configuration says.
    """

    name: ClassVar[str] = "train mntp"
    stage: ClassVar[str] = "mntp"


@dataclass(frozen=True)
class TrainSimcse(_TrainText):
    """Train a language model to tell reports apart (SimCSE).

    The result is the checkpoint folder RUN/encoder. --base is the encoder of a finished mntp run, or any other.
    """

    name: ClassVar[str] = "train simcse"
    stage: ClassVar[str] = "simcse"


@dataclass(frozen=True)
class TrainTextFeatures:
    """Compute the features of every report with a frozen text encoder, and of versions with shuffled sentences.

    Reports of all splits are taken; training uses those of the training split only.
    """

    name: ClassVar[str] = "train text-features"
    encoder: Path
    cohort: Path
    out: Path
    shuffled: int
    max_tokens: int
    device: str
    seed: int

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--encoder", type=Path, required=True, metavar="FOLDER", help="checkpoint folder")
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="folder of the new store")
        parser.add_argument(
            "--shuffled", type=int, default=SHUFFLED_VERSIONS, metavar="N", help="shuffled versions (default 4)"
        )
        parser.add_argument("--max-tokens", type=int, default=224, metavar="N", help="texts are cut here (default 224)")
        parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
        parser.add_argument("--seed", type=int, default=0, help="of the order of the sentences")

    def run(self) -> None:
        """Compute; a finished store of the same is left as it is."""
        from ..cohort.table import read_cohort
        from ..errors import OutputError
        from ..models.text_encoder import load_text_encoder
        from ..models.text_features import read_text_features, write_text_features
        from ..training.distribution import ALONE
        from ..training.learnt_from import learnt_from
        from ..training.text_data import report_of
        from ..training.text_stages import folder_hash

        reports = [report_of(row) for row in read_cohort(self.cohort)]
        texts = {
            r.case_id: (r.text, *(r.shuffled((self.seed, number, place)) for number in range(1, self.shuffled + 1)))
            for place, r in enumerate(reports)
        }
        digest = folder_hash(self.encoder)
        if self.out.exists():
            old = read_text_features(self.out)
            if dict(old.texts) != texts or (old.encoder_sha256, old.max_tokens) != (digest, self.max_tokens):
                raise OutputError(
                    f"{self.out.name} holds features of something else; choose another name or remove it."
                )
        else:
            encoder = load_text_encoder(self.encoder, self.max_tokens).to(ALONE.device(self.device))
            with progress_bar("reading reports") as progress:
                write_text_features(encoder, digest, texts, self.out, progress=progress)
        learnt_from(self.encoder).keep(self.out)
        print(f"{len(texts)} cases, {1 + self.shuffled} versions each, in {self.out}")


@dataclass(frozen=True)
class TrainClip:
    """Align the image encoder with the features of the reports (CLIP).

    The checkpoint with the best retrieval on the validation split is kept.
    """

    name: ClassVar[str] = "train clip"
    config: Path | None
    preset: str | None
    cohort: Path
    rois: Path
    texts: Path
    initial: Path | None
    out: Path
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_cohort(parser)
        parser.add_argument("--texts", type=Path, required=True, metavar="STORE", help="store of text features")
        parser.add_argument(
            "--initial",
            type=Path,
            metavar="RUN",
            help="image or multi-task run, or bundle, to take the encoder from",
        )
        add_run(parser)

    def run(self) -> None:
        """Train, or go on."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.alignment import train_alignment

        settings = configuration_of("clip", self.config, self.preset)
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with joined_run(settings) as (ranks, progress):
            result = train_alignment(
                settings,
                cohort,
                store,
                self.texts,
                self.out,
                initial=self.initial,
                resume=self.resume,
                ranks=ranks,
                progress=progress,
            )
            tell_result(ranks, result)


COMMANDS: list[Any] = [TrainImage, TrainMntp, TrainSimcse, TrainTextFeatures, TrainClip]
