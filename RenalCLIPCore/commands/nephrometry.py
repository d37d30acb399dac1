"""Measured nephrometry of masks."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigurationError, InputError, NoLesionError

if TYPE_CHECKING:
    from ..imaging.lesions import Lesion
    from ..imaging.nephrometry_scores import NephrometryOptions
    from ..imaging.study import Study
    from ..imaging.volume import Volume
    from ..review import LesionReview, Measured

DATA_FILE, PAGE_FILE = "nephrometry.json", "nephrometry.html"


@dataclass(frozen=True)
class Nephrometry:
    """Measure R.E.N.A.L., PADUA and the C-index of every lesion from masks, with probabilities and evidence.

    SOURCE is a label map (0 background, 1 kidney, 2 tumour, 3 cyst) or a study folder, whose masks are given with
    --segmentation or made by a model. A study's excretory phase serves for nearness; for a label map it is given with
    --phase-d.
    """

    name: ClassVar[str] = "nephrometry"
    source: Path
    segmentation: Path | None
    segmentation_model: Path | None
    phase_d: Path | None
    vessels: Path | None
    sinus: Path | None
    lesion: str | None
    perturbations: int
    seed: int
    band_mm: float | None
    endophytic_tolerance: float | None
    diameter: str | None
    polar_axis: str | None
    contrast_hu: float | None
    contact_mm: float | None
    step_mm: float | None
    out: Path | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("source", type=Path, metavar="MASK|STUDY", help="label map, or study folder")
        parser.add_argument("--segmentation", type=Path, metavar="FILE", help="label map of a study")
        parser.add_argument("--segmentation-model", type=Path, help="nnU-Net model folder or exported zip for a study "
                            "without masks (default: the phantom-trained one that ships with the program)")  # fmt: skip
        parser.add_argument("--phase-d", type=Path, metavar="FILE", help="excretory phase (HU) in the mask's frame")
        parser.add_argument("--vessels", type=Path, metavar="FILE", help="mask of the main renal artery and vein")
        parser.add_argument("--sinus", type=Path, metavar="FILE", help="mask of the sinus or collecting system")
        parser.add_argument("--lesion", metavar="ID", help="only this lesion, for instance L1")
        parser.add_argument(
            "--perturbations", type=int, default=24, help="draws for probabilities (default: 24; 0: none)"
        )
        parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
        parser.add_argument("--band-mm", type=float, help="A: half width of the band that is neither (default: 10)")
        parser.add_argument("--endophytic-tolerance", type=float, help="E: share outside that still is entirely inside "
                            "(default: 0.05)")  # fmt: skip
        parser.add_argument("--diameter", help="R: plane, axial or space (default: plane)")
        parser.add_argument("--polar-axis", help="L: polar lines across the axis of the patient or kidney "
                            "(default: patient)")  # fmt: skip
        parser.add_argument("--contrast-hu", type=float, help="urine with contrast is brighter (default: 250)")
        parser.add_argument("--contact-mm", type=float, help="surfaces nearer than this touch (default: 1)")
        parser.add_argument("--step-mm", type=float, help="grid of the measurements (default: 1)")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write nephrometry.json and nephrometry.html there")

    def run(self) -> None:
        """Measure, print and write."""
        from ..imaging.lesions import find_lesions
        from ..imaging.nephrometry import measure
        from ..imaging.volume import read_volume

        if not 0 <= self.perturbations <= 1000:
            raise ConfigurationError(f"--perturbations must lie between 0 and 1000, but it is {self.perturbations}.")
        options = self._options()
        labels, excretory = self._inputs()
        vessels, sinus = (None if path is None else read_volume(path) for path in (self.vessels, self.sinus))
        findings = find_lesions(labels)
        found = [
            (lesion, measure(labels, findings, lesion, excretory=excretory, vessels=vessels, sinus=sinus,
                             options=options, perturbations=self.perturbations, seed=self.seed))
            for lesion in self._chosen(findings.lesions)
        ]  # fmt: skip
        print("\n\n".join(table(lesion, item) for lesion, item in found))
        if self.out is not None:
            _write(self.out, found, labels, findings.notes, excretory)

    def _chosen(self, lesions: tuple[Lesion, ...]) -> tuple[Lesion, ...]:
        if not lesions:
            raise NoLesionError(
                "The masks hold kidneys but no tumour (2) or cyst (3) of 0.05 ml or more; there is nothing to measure."
            )
        if self.lesion is None:
            return lesions
        chosen = tuple(item for item in lesions if item.lesion_id == self.lesion)
        if not chosen:
            known = ", ".join(item.lesion_id for item in lesions[:12])
            raise NoLesionError(f"There is no lesion {self.lesion!r}; the masks hold {known}.")
        return chosen

    def _options(self) -> NephrometryOptions:
        from ..imaging.nephrometry_scores import NephrometryOptions

        given = {item.name: getattr(self, item.name) for item in fields(NephrometryOptions)}
        return NephrometryOptions(**{name: value for name, value in given.items() if value is not None})

    def _inputs(self) -> tuple[Volume, Volume | None]:
        """The label map and the excretory phase."""
        from ..imaging.segmentation_file import load_segmentation
        from ..imaging.study import Phase, is_study, read_study
        from ..imaging.volume import read_geometry, read_volume

        excretory = None if self.phase_d is None else read_volume(self.phase_d)
        if not self.source.is_dir():
            if self.segmentation is not None or self.segmentation_model is not None:
                raise ConfigurationError(
                    "--segmentation and --segmentation-model go with a study folder; a label map is given as it is."
                )
            return load_segmentation(self.source, read_geometry(self.source)).labels, excretory
        if not is_study(self.source):
            raise InputError(f"{self.source.name} is neither a label map nor a study folder ('renalclip import').")
        if self.segmentation is not None and self.segmentation_model is not None:
            raise ConfigurationError("Give either --segmentation or --segmentation-model, not both.")
        study = read_study(self.source)
        if self.segmentation is None:
            labels = self._segmented(study)
        else:
            labels = load_segmentation(self.segmentation, study.reference.geometry).labels
        if excretory is None and Phase.D in study.phases:
            excretory = study.phases[Phase.D].read()
        return labels, excretory

    def _segmented(self, study: Study) -> Volume:
        """Masks that a model makes of a study."""
        import sys

        from ..progress import ProgressLine
        from ..session import Session, SessionOptions, demo_bundle

        session, tell = Session(SessionOptions()), ProgressLine()
        if self.segmentation_model is None:
            session.load_bundle(demo_bundle())
            print("The masks come from the model that ships with the program, which learned from digital phantoms, "
                  "not from patients; check them.", file=sys.stderr)  # fmt: skip
        session.open(study)
        labels = session.segment_with_model(self.segmentation_model, tell).labels
        tell(1.0, "")
        return labels


def table(lesion: Lesion, found: Measured) -> str:
    """A measurement as text."""
    from ..review import Absent

    lines = [f"{lesion.lesion_id}  {lesion.side} {lesion.label}, {lesion.volume_ml:.1f} ml"]
    for item in found.components:
        unit = f" {item.unit}" if item.unit else ""
        number = f"{item.value:.1f}{unit}" if item.unit else ""
        points = f"{item.points} points" if item.points > 1 else "1 point" if item.points else ""
        said = ", ".join(f"{name}: {share:.2f}" for name, share in item.point_probabilities.items())
        margin = f"margin {item.margin:.1f}{unit}; " if item.unit else ""
        lines.append(f"  {item.component}  {number:>9}  {item.label}{f', {points}' if points else ''}")
        lines.append(f"     {margin}{f'probabilities {said}; ' if said else ''}{item.source}")
    if isinstance(found.total, Absent):
        lines.append(f"  no total: {found.total.absent}")
    else:
        shares = ", ".join(f"{name} {value:.2f}" for name, value in found.total.complexity_probabilities.items())
        said = f" ({shares})" if shares else ""
        lines.append(f"  R.E.N.A.L. {found.total.text}, {found.total.complexity} complexity{said}")
    if not isinstance(found.padua, Absent):
        items = "; ".join(f"{item.name.lower()} {item.label} {item.points}" for item in found.padua.items)
        lines.append(f"  PADUA {found.padua.text}, {found.padua.complexity}: {items}")
    if not isinstance(found.centrality, Absent):
        lines.append(f"  C-index {found.centrality.value:.2f}")
    lines += [f"  confidence {found.confidence:.2f}", *(f"  note: {note}" for note in found.notes)]
    lines.append("  definitions: " + ", ".join(f"{name} {value}" for name, value in found.options.items()))
    return "\n".join(lines)


def _write(
    folder: Path, found: list[tuple[Lesion, Measured]], labels: Volume, notes: tuple[str, ...], scan: Volume | None
) -> None:
    """The measurements as JSON, and a page that shows what was measured."""
    import json
    from dataclasses import asdict

    from ..exchange.evidence_pictures import evidence_pictures
    from ..exchange.html import render_nephrometry
    from ..output import staged, write_text
    from ..review import encode

    document = [{"lesion": asdict(lesion), "measured": encode(item)} for lesion, item in found]
    title = "" if scan is None else "delayed"
    pictures = {lesion.lesion_id: evidence_pictures(item, labels, scan, title) for lesion, item in found}
    page = render_nephrometry([_reviewed(lesion, item) for lesion, item in found], notes, pictures)
    with staged(folder, last=DATA_FILE) as stage:
        write_text(stage / PAGE_FILE, page)
        write_text(stage / DATA_FILE, json.dumps({"version": "1.0", "lesions": document}) + "\n")


def _reviewed(lesion: Lesion, found: Measured) -> LesionReview:
    from ..review import Absent, Centre, LesionReview

    unread = Absent("only the masks were measured")
    centre = Centre(lesion.centre_lps_mm, "segmentation", "RenalCLIP", "", "largest axial area")
    return LesionReview(
        lesion.lesion_id, lesion.side, lesion.label, False, lesion.volume_ml, lesion.largest_diameter_mm,
        lesion.axial_diameter_mm, centre, centre, unread, unread, found, unread,
    )  # fmt: skip


COMMANDS: list[Any] = [Nephrometry]
