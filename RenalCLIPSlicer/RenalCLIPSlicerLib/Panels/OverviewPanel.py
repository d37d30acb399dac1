"""The reading of the shown lesion in a glance, and what to check first."""

from __future__ import annotations

from html import escape
from typing import Any

import qt

from RenalCLIPCore.review import LesionReview
from RenalCLIPCore.review_reading import lesion_checks, percent, present, study_checks, verdict

from .Panel import Panel

TILES = ("R.E.N.A.L.", "Malignancy", "Aggressiveness", "Recurrence")


class OverviewPanel(Panel):
    """Side, size, four headline findings, and warnings."""

    listens = frozenset({"review", "lesion", "reading", "centre", "busy"})

    def build(self) -> None:
        """Make the tiles."""
        layout = self.ui.overviewFrame.layout()
        self.title = qt.QLabel()
        self.title.setWordWrap(True)
        self.facts = qt.QLabel()
        self.facts.setWordWrap(True)
        self.tiles = [qt.QLabel() for _ in TILES]
        self.checks = qt.QLabel()
        self.checks.setWordWrap(True)
        layout.addWidget(self.title)
        layout.addWidget(self.facts)
        row = qt.QHBoxLayout()
        row.setSpacing(5)
        for tile in self.tiles:
            tile.setWordWrap(True)
            tile.setAlignment(qt.Qt.AlignTop)
            tile.setMinimumWidth(80)
            tile.setStyleSheet(
                f"background:{self.theme.tile};border-left:3px solid {self.theme.bar};padding:4px 4px 4px 6px"
            )
            row.addWidget(tile, 1)
        layout.addLayout(row)
        layout.addWidget(self.checks)
        self.checks.setStyleSheet(
            f"background:{self.theme.alertBack};border:1px solid {self.theme.alertEdge};border-radius:3px;padding:5px"
        )

    def show(self) -> None:
        """Show the lesion, or what is missing."""
        review, lesion = self.case.state.review, self.case.state.lesionReview()
        self.ui.overviewFrame.setVisible(review is not None)
        if review is None:
            return
        for tile in self.tiles:
            tile.setVisible(lesion is not None)
        if lesion is None:
            self.title.setText(f"<b>{escape(review.conclusion)}</b>")
        else:
            self._showLesion(lesion)
        warnings = study_checks(review) + (lesion_checks(lesion) if lesion else [])
        self.facts.setVisible(lesion is not None)
        self.checks.setVisible(bool(warnings))
        self.checks.setText(f"<b>Check first</b>{self.theme.lines(warnings)}")

    def _showLesion(self, lesion: LesionReview) -> None:
        self.title.setText(f'<span style="font-size:large"><b>{escape(titleOf(lesion))}</b></span>')
        self.facts.setText(self.theme.soft(" · ".join(factsOf(lesion))))
        stale = self.case.centres.stale(lesion.lesion_id)
        values = headlinesOf(lesion)
        for tile, name in zip(self.tiles, TILES):
            value, remark = values.get(name, ("–", "not in this reading"))
            colour = self.theme.quiet if stale or name not in values else self.theme.ink
            tile.setText(
                f'<span style="font-size:small">{self.theme.soft(name)}</span><br>'
                f'<span style="font-size:x-large;color:{colour}"><b>{escape(value)}</b></span><br>'
                f'<span style="font-size:small">{self.theme.soft(remark)}</span>'
            )


def titleOf(lesion: LesionReview) -> str:
    """``L1  Right renal tumour, 64 mm``."""
    diameter = present(lesion.largest_diameter_mm)
    kind = {"point": "point chosen by hand", "cyst": "renal cyst", "tumour": "renal tumour"}.get(
        lesion.label, lesion.label
    )
    size = "" if diameter is None else f", {diameter:.0f} mm"
    return f"{lesion.lesion_id}  {lesion.side.capitalize()} {kind}{size}"


def factsOf(lesion: LesionReview) -> list[str]:
    """Volume, diameters and attenuation per phase."""
    volume, space, axial = (
        present(value) for value in (lesion.volume_ml, lesion.largest_diameter_mm, lesion.axial_diameter_mm)
    )
    facts = []
    if volume is not None:
        facts.append(f"{volume:.1f} ml")
    # R is scored by the largest diameter in one plane, which is neither of the two
    if space is not None:
        facts.append(f"{space:.0f} mm in space")
    if axial is not None:
        facts.append(f"{axial:.0f} mm axial")
    if lesion.attenuation_hu:
        facts.append("attenuation " + ", ".join(f"{p} {hu:.0f}" for p, hu in lesion.attenuation_hu.items()) + " HU")
    return facts


def headlinesOf(lesion: LesionReview) -> dict[str, tuple[str, str]]:
    """Value and remark of the findings that are there."""
    found: dict[str, tuple[str, str]] = {}
    reading, masks = present(lesion.predicted), present(lesion.measured)
    predicted = present(reading.total) if reading else None
    measured = present(masks.total) if masks else None
    if predicted:
        remark = f"{predicted.complexity} complexity" + (f"; measured {measured.text}" if measured else "")
        found["R.E.N.A.L."] = (predicted.text, remark)
    elif measured:
        found["R.E.N.A.L."] = (measured.text, f"{measured.complexity} complexity, measured")
    if reading:
        found.update(_probabilities(reading))
    return found


def _probabilities(reading: Any) -> dict[str, tuple[str, str]]:
    found = {}
    for name, part in (("Malignancy", reading.malignancy), ("Aggressiveness", reading.aggressiveness)):
        binary = present(part)
        if binary:
            remark = f"read as {verdict(binary)}, threshold {percent(binary.threshold)}"
            found[name] = (percent(binary.probability), remark)
    risk = present(reading.recurrence)
    if risk:
        found["Recurrence"] = (risk.group, "risk, against the cohort's median")
    return found
