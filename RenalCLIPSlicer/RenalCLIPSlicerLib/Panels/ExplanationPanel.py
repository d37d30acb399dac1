"""The explanation map over the slices."""

from __future__ import annotations

import os
from html import escape
from typing import Any

from RenalCLIPCore.review import Absent, Explanation
from RenalCLIPCore.review_reading import percent, position_words, present

from .Panel import Panel

OFF = "No overlay"


class ExplanationPanel(Panel):
    """Chooses the map and its opacity."""

    listens = frozenset({"review", "lesion", "maps", "reading", "layout"})

    def build(self) -> None:
        """Connect."""
        self._maps: tuple[Explanation, ...] = ()
        self._nodes: dict[str, Any] = {}
        self._loaded = ""
        self.ui.mapComboBox.addItems([OFF])
        self.connections.onNamed(self.ui.mapComboBox, "currentIndexChanged(int)", self.onMap)
        self.connections.onNamed(self.ui.mapOpacitySlider, "valueChanged(double)", self.onOpacity)

    def show(self) -> None:
        """List the maps of the shown lesion."""
        lesion = self.case.state.lesionReview()
        self.ui.explanationSection.setVisible(lesion is not None)
        reading = present(lesion.predicted) if lesion else None
        part = reading.explanation if reading else Absent("The network has not read this lesion.")
        earlier = present(lesion.predecessor) if lesion else None
        self._maps = (*(present(part) or ()), *((present(earlier.explanation) if earlier else None) or ()))
        combo = self.ui.mapComboBox
        texts = [OFF, *(item.task for item in self._maps)]
        combo.blockSignals(True)
        combo.clear()
        combo.addItems(texts)
        wanted = self.scene.parameters.mapTask
        combo.setCurrentIndex(texts.index(wanted) if wanted in texts else 0)
        combo.blockSignals(False)
        combo.setEnabled(bool(self._maps))
        self.ui.mapOpacitySlider.setEnabled(bool(self._maps))
        if lesion and self.case.later.coming(lesion.lesion_id, "explanation"):
            part = Absent("The map is being computed…")
        self._words(part)
        self._apply()

    def onMap(self, *_: Any) -> None:
        """Another map was chosen."""
        if not self.updating:
            number = int(self.ui.mapComboBox.currentIndex)
            self.scene.parameters.mapTask = "" if number <= 0 else self._maps[number - 1].task
            self._apply()
            self._words(self._maps or Absent(""))

    def onOpacity(self, *_: Any) -> None:
        """Another opacity was chosen."""
        if not self.updating:
            self.scene.parameters.mapOpacity = float(self.ui.mapOpacitySlider.value)
            self._apply()

    def chosen(self) -> Explanation | None:
        """The map that is shown."""
        return next((item for item in self._maps if item.task == self.scene.parameters.mapTask), None)

    def _apply(self) -> None:
        item = self.chosen()
        node = self.scene.mapNode(item.file, self.case.state.mapsFolder, self._stamp(item)) if item else None
        self.scene.views.showMap(node, float(self.scene.parameters.mapOpacity))

    def _stamp(self, item: Explanation) -> str:
        """Changes when the map was written anew."""
        path = os.path.join(self.case.state.mapsFolder, item.file)
        return str(os.stat(path).st_mtime_ns) if self.case.state.mapsFolder and os.path.isfile(path) else ""

    def _words(self, part: Any) -> None:
        item = self.chosen()
        if isinstance(part, Absent):
            text = self.theme.soft(part.absent)
        elif item is None:
            text = self.theme.soft("The map shows where the network's answer is sensitive, not where disease is.")
        else:
            share = present(item.share_in_lesion)
            inside = (
                item.share_in_lesion.absent if share is None else f"{percent(share)} of the map lies inside the lesion."
            )
            text = f"{escape(item.task)}: strongest at {escape(position_words(item.peak_lps_mm))}. {escape(inside)}"
            text += f"<br>{self.theme.soft(item.method)}"
        self.ui.mapLabel.setText(text)
