"""Step 2: segment, or take an existing segmentation."""

from __future__ import annotations

from html import escape
from typing import Any

from RenalCLIPCore.review_reading import present

from .Panel import Panel


class SegmentationPanel(Panel):
    """Runs the model or takes a node."""

    listens = frozenset({"study", "masks", "busy", "review", "nodes"})

    def build(self) -> None:
        """Connect."""
        on = self.connections.on
        on(self.ui.segmentButton.clicked, self.onSegment)
        on(self.ui.readButton.clicked, self.onRead)
        on(self.ui.useMasksButton.clicked, self.onUse)
        self.connections.onNamed(self.ui.masksSelector, "currentNodeChanged(vtkMRMLNode*)", self.onChosen)

    def show(self) -> None:
        """Show where the masks come from."""
        ui, state = self.ui, self.case.state
        if ui.masksSelector.currentNode() is not self.scene.parameters.masks:
            ui.masksSelector.setCurrentNode(self.scene.parameters.masks)
        ready = self.case.task is None and bool(state.study)
        ui.segmentButton.setEnabled(ready)
        ui.readButton.setEnabled(ready and bool(state.masks.kind))
        ui.useMasksButton.setEnabled(ready and self.scene.parameters.masks is not None)
        taken = self.scene.masks.words()
        ui.masksLabel.setText(self._words() + (f"<br>{self.theme.soft(escape(f'Segments: {taken}'))}" if taken else ""))

    def onSegment(self, *_: Any) -> None:
        """Segment with the model."""
        self.case.segment()

    def onRead(self, *_: Any) -> None:
        """Read the lesions anew."""
        self.case.read()

    def onUse(self, *_: Any) -> None:
        """Take the chosen segmentation."""
        self.case.useMasks()

    def onChosen(self, node: Any = None, *_: Any) -> None:
        """A person chose a segmentation."""
        if not self.updating:
            self.scene.parameters.masks = self.ui.masksSelector.currentNode()
            self.show()

    def _words(self) -> str:
        state = self.case.state
        if not state.masks.kind:
            return self.theme.soft("Nothing is segmented yet." if state.study else "Open a study first.")
        source = "Model" if state.masks.kind == "model" else "Given segmentation"
        record = present(state.review.segmentation) if state.review else None
        volumes = record.kidney_volumes_ml if record else {}
        kidneys = ", ".join(f"{side} kidney {volume:.0f} ml" for side, volume in volumes.items())
        notes = "".join(f"<br>{self.theme.soft(note)}" for note in state.masks.notes)
        return f"{escape(source)} {escape(state.masks.model)}{': ' + escape(kidneys) if kidneys else ''}{notes}"
