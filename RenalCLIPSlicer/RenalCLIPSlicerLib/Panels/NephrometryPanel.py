"""R.E.N.A.L. components, predicted beside measured."""

from __future__ import annotations

from html import escape

from RenalCLIPCore.review import Absent, ComponentPrediction, LesionReview, MeasuredComponent
from RenalCLIPCore.review_reading import ComponentRow, component_rows, percent, predicted_class, present, readable

from ..Words import measuredWords
from .Panel import Panel
from .Tables import fitHeight, item, prepare

HEADERS = ("", "Predicted", "Prob.", "Measured", "Points")


class NephrometryPanel(Panel):
    """A row per component; a disagreement in points is marked."""

    listens = frozenset({"review", "lesion", "reading", "centre"})

    def build(self) -> None:
        """Lay out the table."""
        prepare(self.ui.nephrometryTable, HEADERS, (1, 3))

    def show(self) -> None:
        """Show the shown lesion's components, or why there are none."""
        lesion = self.case.state.lesionReview()
        rows = component_rows(lesion) if lesion else []
        self.ui.nephrometrySection.setVisible(lesion is not None)
        self.ui.nephrometryTable.setVisible(bool(rows))
        self._fill(rows)
        self.ui.nephrometryTotalLabel.setText(self._totals(lesion) if lesion else "")
        self.ui.nephrometryNotesLabel.setText(self._notes(lesion) if lesion else "")

    def _fill(self, rows: list[ComponentRow]) -> None:
        table = self.ui.nephrometryTable
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            apart = row.agrees is False
            colour = self.theme.high if apart else ""
            predicted, measured = row.predicted, row.measured
            chosen = predicted_class(predicted)
            points = f"{chosen.points} " if chosen and chosen.points else ""
            table.setItem(number, 0, item(row.letter, row.title, "", True))
            words = readable(chosen.name) if chosen else "–"
            table.setItem(number, 1, item(words, _classesTip(predicted), colour))
            probability = percent(chosen.probability) if chosen else ""
            table.setItem(number, 2, item(probability, _classesTip(predicted), self.theme.quiet))
            table.setItem(number, 3, item(measuredWords(measured) if measured else "–", _measuredTip(measured), colour))
            marks = f"{points}≠ {measured.points or ''}" if apart and measured else points
            table.setItem(number, 4, item(marks.strip(), "Points; ≠ marks a disagreement", colour, apart))
        fitHeight(table)

    def _totals(self, lesion: LesionReview) -> str:
        reading, masks = present(lesion.predicted), present(lesion.measured)
        parts = []
        for name, total in (
            ("Predicted", present(reading.total) if reading else None),
            ("measured", present(masks.total) if masks else None),
        ):
            if total:
                # masks that were not varied give no probabilities
                share = total.complexity_probabilities.get(total.complexity)
                told = "" if share is None else f" ({percent(share)})"
                parts.append(f"{name} <b>{escape(total.text)}</b>, {escape(total.complexity)} complexity{told}")
        return "; ".join(parts)

    def _notes(self, lesion: LesionReview) -> str:
        if isinstance(lesion.measured, Absent):
            coming = self.case.later.coming(lesion.lesion_id, "measured")
            return self.theme.soft(
                "Being measured from the masks…" if coming else f"Measured: {lesion.measured.absent}"
            )
        notes = list(lesion.measured.notes)
        padua, index = present(lesion.measured.padua), present(lesion.measured.centrality)
        others = [f"PADUA {padua.text}, {padua.complexity} complexity"] if padua else []
        others += [f"C-index {index.value:.2f}"] if index else []
        text = " · ".join(others)
        return (escape(text) + "<br>" if text else "") + self.theme.soft(" ".join(notes))


def _classesTip(component: ComponentPrediction | None) -> str:
    if component is None:
        return ""
    lines = [f"{readable(one.name)}: {percent(one.probability)}" for one in component.classes]
    for phase, values in component.per_phase.items():
        lines.append(f"{phase} alone: {', '.join(percent(value) for value in values)}")
    return "\n".join(lines)


def _measuredTip(component: MeasuredComponent | None) -> str:
    if component is None:
        return ""
    shares = ", ".join(f"{name}: {percent(share)}" for name, share in component.point_probabilities.items())
    lines = [component.source, *component.notes]
    if component.unit:
        lines.append(f"{component.margin:.3g} {component.unit} from the nearest cut-off")
    if shares:
        lines.append(f"as annotators vary: {shares}")
    return "\n".join(lines)
