"""What the reading rests on: phases, spread, distance from the training data, model, hash."""

from __future__ import annotations

from RenalCLIPCore.review import Absent, CaseReview, LesionReview
from RenalCLIPCore.review_reading import percent, present, spreads, task_words, when_words

from .Panel import Panel

PRECISIONS = {"exact": "float32 (exact)", "fast": "bfloat16 in the encoder (fast)"}


class QualityPanel(Panel):
    """Quality of the shown lesion's reading, then where everything comes from."""

    listens = frozenset({"review", "lesion", "reading", "study"})

    def show(self) -> None:
        """Show both."""
        review, lesion = self.case.state.review, self.case.state.lesionReview()
        self.ui.qualitySection.setVisible(review is not None)
        if review is not None:
            coming = lesion is not None and self.case.later.coming(lesion.lesion_id, "uncertainty")
            pairs = (quality(lesion, coming) if lesion else []) + provenance(review)
            self.ui.qualityLabel.setText(self.theme.rows(pairs))


def quality(lesion: LesionReview, coming: bool = False) -> list[tuple[str, str]]:
    """Phases, region, spread (perhaps still coming) and distance of a lesion's reading."""
    reading, inside = present(lesion.predicted), present(lesion.roi_inside)
    pairs = []
    if reading:
        pairs.append(("Phases used", f"{', '.join(reading.phases_used)}; {reading.fusion}"))
    if inside is not None:
        pairs.append(("Region in scan", f"{percent(inside)} of 140 × 140 × 160 mm"))
    if reading:
        pairs += [
            ("Spread (SD)", "being estimated…" if coming else _spread(reading.uncertainty)),
            ("Training data", _distance(reading.out_of_distribution)),
        ]
    elif isinstance(lesion.predicted, Absent):
        pairs.append(("Network reading", lesion.predicted.absent))
    return pairs


def provenance(review: CaseReview) -> list[tuple[str, str]]:
    """Model, hash, training data, masks, versions."""
    source = review.provenance
    bundle, digest, trained = present(source.bundle), present(source.bundle_sha256), present(source.trained_on)
    masks = present(review.segmentation)
    pairs = [("Use", source.intended_use)]
    pairs.append(("Model bundle", bundle or source.bundle.absent))
    if digest:
        pairs.append(("SHA-256", f"{digest[:16]}…{digest[-8:]}"))
    if trained:
        pairs.append(("Trained on", trained))
    if masks:
        pairs.append(("Masks", f"{masks.model} ({masks.sha256[:12]}…)"))
    pairs.append(("Precision", PRECISIONS.get(source.options.get("precision", ""), "–")))
    pairs.append(("Versions", f"RenalCLIP {source.core_version}, torch {source.libraries.get('torch', '–')}"))
    pairs.append(("Read", when_words(source.created)))
    return pairs


def _spread(part: object) -> str:
    if isinstance(part, Absent):
        return part.absent
    values = spreads(part)
    return ", ".join(f"{task_words(task)} {100 * value:.0f}" for task, value in values.items()) + " percentage points"


def _distance(part: object) -> str:
    if isinstance(part, Absent):
        return part.absent
    verdict = "unlike the training data" if part.flagged else "within its range"
    return f"{verdict}: distance {part.distance:.1f}, limit {part.threshold:.1f}"
