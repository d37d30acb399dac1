"""Similar cases of the bundle's index."""

from __future__ import annotations

from RenalCLIPCore.review import Absent
from RenalCLIPCore.review_reading import present, readable

from .Panel import Panel
from .Tables import fitHeight, item, prepare


class NeighboursPanel(Panel):
    """A row per case, most similar first."""

    listens = frozenset({"review", "lesion", "reading"})

    def show(self) -> None:
        """Show the cases, or why there are none."""
        lesion = self.case.state.lesionReview()
        self.ui.neighboursSection.setVisible(lesion is not None)
        reading = present(lesion.predicted) if lesion else None
        part = reading.neighbours if reading else Absent("The network has not read this lesion.")
        cases = () if isinstance(part, Absent) else part
        table = self.ui.neighboursTable
        table.setVisible(bool(cases))
        names = list(dict.fromkeys(name for case in cases for name in case.facts))
        prepare(table, ("Similarity", *(name.capitalize() for name in names)), tuple(range(1, len(names) + 1)))
        table.setRowCount(len(cases))
        for number, case in enumerate(cases):
            table.setItem(number, 0, item(f"{case.similarity:.3f}", case.case_id))
            for column, name in enumerate(names, start=1):
                table.setItem(number, column, item(readable(case.facts.get(name, "–")), case.case_id))
        fitHeight(table)
        note = "Cosine similarity with cases of the bundle's training data; no patient data."
        self.ui.neighboursLabel.setText(self.theme.soft(part.absent if isinstance(part, Absent) else note))
