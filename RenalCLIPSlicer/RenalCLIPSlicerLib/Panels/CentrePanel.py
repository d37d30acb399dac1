"""Step 3: which lesion, and where its centre lies."""

from __future__ import annotations

from html import escape
from typing import Any

import qt

from RenalCLIPCore.review_reading import position_words, present, when_words

from ..Words import lesionWords
from .Panel import Panel


class CentrePanel(Panel):
    """Chooses the lesion; unlocks, places, moves back and accepts its centre."""

    listens = frozenset({"review", "lesion", "reading", "centre", "busy", "study"})

    def build(self) -> None:
        """Connect."""
        ui, on = self.ui, self.connections.on
        self._listed: tuple[str, ...] = ()
        ui.lesionComboBox.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        for button in (ui.previousButton, ui.nextButton):
            button.setMaximumWidth(36)
        self.connections.onNamed(ui.lesionComboBox, "currentIndexChanged(int)", self.onLesion)
        on(ui.previousButton.clicked, self.onPrevious)
        on(ui.nextButton.clicked, self.onNext)
        on(ui.jumpButton.clicked, self.onJump)
        on(ui.correctButton.toggled, self.onCorrect)
        on(ui.placeButton.clicked, self.onPlace)
        on(ui.acceptButton.clicked, self.onAccept)
        on(ui.undoButton.clicked, self.onUndo)
        on(ui.redoButton.clicked, self.onRedo)
        on(ui.proposalButton.clicked, self.onProposal)
        on(ui.refreshButton.clicked, self.onRefresh)
        self.scene.marks.placingEnded = self.onPlacingEnded

    def show(self) -> None:
        """Show the lesion, its centre and what can be done with it."""
        ui, history = self.ui, self.case.centres.history
        self._showLesions()
        review = self.case.state.review
        several = bool(review and len(review.lesions) > 1)
        ui.previousButton.setEnabled(several)
        ui.nextButton.setEnabled(several)
        ui.jumpButton.setEnabled(history is not None)
        if history is None and ui.correctButton.checked:
            ui.correctButton.setChecked(False)
        unlocked = bool(ui.correctButton.checked)
        ui.correctButton.setEnabled(history is not None)
        ui.placeButton.setEnabled(bool(self.case.state.study) and (unlocked or history is None))
        ui.placeButton.setChecked(self.scene.marks.placing)
        ui.acceptButton.setEnabled(history is not None and not history.accepted)
        ui.undoButton.setEnabled(history is not None and history.canUndo)
        ui.redoButton.setEnabled(history is not None and history.canRedo)
        ui.proposalButton.setEnabled(history is not None and history.current != history.centres[0])
        ui.reasonEdit.setVisible(unlocked)
        ui.centreLabel.setText(self._centreWords())
        self._showStale()

    def setUnlocked(self, unlocked: bool) -> None:
        """Let the centre be moved, or not."""
        self.ui.correctButton.setChecked(unlocked)

    def onLesion(self, index: int = -1, *_: Any) -> None:
        """Another lesion was chosen."""
        index = int(self.ui.lesionComboBox.currentIndex)
        if not self.updating and 0 <= index < len(self._listed):
            self.setUnlocked(False)
            self.case.selectLesion(self._listed[index])

    def onPrevious(self, *_: Any) -> None:
        """The lesion before."""
        self.setUnlocked(False)
        self.case.stepLesion(-1)

    def onNext(self, *_: Any) -> None:
        """The lesion after."""
        self.setUnlocked(False)
        self.case.stepLesion(1)

    def onJump(self, *_: Any) -> None:
        """Centre the views on the lesion."""
        history = self.case.centres.history
        if history:
            self.scene.views.jump(history.current.lps_mm)

    def onCorrect(self, *_: Any) -> None:
        """The lock changed."""
        if not self.ui.correctButton.checked:
            self.scene.marks.stopPlacing()
        self.case.tell("centre")

    def onPlace(self, *_: Any) -> None:
        """The next click in a view chooses the centre; a second press gives that up."""
        if self.scene.marks.placing:
            self.scene.marks.stopPlacing()
        else:
            self.scene.marks.startPlacing()
        self.showNow()

    def onPlaceKey(self, *_: Any) -> None:
        """The key for *Place*, where that can be pressed."""
        if self.ui.placeButton.enabled:
            self.onPlace()

    def onPlacingEnded(self) -> None:
        """The click came."""
        self.scene.marks.stopPlacing()
        self.showNow()

    def onAccept(self, *_: Any) -> None:
        """Lock the centre as it is."""
        self.case.centres.accept()
        self.setUnlocked(False)

    def onUndo(self, *_: Any) -> None:
        """The centre before."""
        self.case.centres.undo()

    def onRedo(self, *_: Any) -> None:
        """The undone centre."""
        self.case.centres.redo()

    def onProposal(self, *_: Any) -> None:
        """The proposed centre."""
        self.case.centres.backToProposal()

    def onRefresh(self, *_: Any) -> None:
        """Read around the centre in use."""
        self.case.centres.refresh()

    def _showLesions(self) -> None:
        review, combo = self.case.state.review, self.ui.lesionComboBox
        lesions = review.lesions if review else ()
        texts = [lesionWords(item) for item in lesions]
        if texts != [combo.itemText(number) for number in range(int(combo.count))]:
            combo.blockSignals(True)
            combo.clear()
            combo.addItems(texts)
            combo.blockSignals(False)
        self._listed = tuple(item.lesion_id for item in lesions)
        combo.setEnabled(bool(lesions))
        if self.case.state.lesion in self._listed:
            combo.blockSignals(True)
            combo.setCurrentIndex(self._listed.index(self.case.state.lesion))
            combo.blockSignals(False)

    def _centreWords(self) -> str:
        history, lesion = self.case.centres.history, self.case.state.lesionReview()
        if history is None or lesion is None:
            empty = "No lesion is known here; press Place and click one in a view."
            return self.theme.soft(empty if self.case.state.masks.kind else "")
        centre = history.current
        if centre.source == "manual":
            origin = f"chosen by {centre.by or 'a reader'}, {when_words(centre.at)}"
        else:
            origin = "proposed by the segmentation"
        words = f"<b>{escape(position_words(centre.lps_mm))}</b>  {self.theme.soft(origin)}"
        first = present(lesion.centre_proposed)
        if first and centre.source == "manual":
            distance = sum((a - b) ** 2 for a, b in zip(first.lps_mm, centre.lps_mm)) ** 0.5
            words += f"<br>{self.theme.soft(f'{distance:.1f} mm from the proposed centre')}"
        if history.accepted:
            words += f"<br>{self.theme.soft('accepted')}"
        elif self.ui.correctButton.checked:
            keys = (
                "Drag the point, or nudge it by 1 mm: arrow keys in the axial plane, Page Up and Down along the body."
            )
            words += f"<br>{self.theme.soft(keys)}"
        return words

    def _showStale(self) -> None:
        lesion = self.case.state.lesion
        stale = self.case.centres.stale(lesion)
        working = self.case.busy
        self.ui.staleLabel.setVisible(stale)
        self.ui.refreshButton.setVisible(stale and not working)
        text = "Reading around the new centre…" if working else "The reading below belongs to the centre before."
        self.ui.staleLabel.setText(self.theme.warn(text) if stale else "")
