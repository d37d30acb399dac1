"""What the image-text space says without trained heads."""

from __future__ import annotations

from html import escape

from RenalCLIPCore.review import Absent, ZeroShotReading
from RenalCLIPCore.review_reading import percent, present

from .Panel import Panel


class ZeroShotPanel(Panel):
    """Per task the score, and the prompts that match best."""

    listens = frozenset({"review", "lesion", "reading"})

    def show(self) -> None:
        """Show the readings, or why they are absent."""
        lesion = self.case.state.lesionReview()
        self.ui.zeroShotSection.setVisible(lesion is not None)
        reading = present(lesion.predicted) if lesion else None
        part = reading.zero_shot if reading else Absent("The network has not read this lesion.")
        if isinstance(part, Absent):
            self.ui.zeroShotLabel.setText(self.theme.soft(part.absent))
        else:
            self.ui.zeroShotLabel.setText("<br><br>".join(self._words(item) for item in part))

    def _words(self, item: ZeroShotReading) -> str:
        favoured = item.positive if item.score > 0 else item.negative
        head = (
            f"<b>{escape(item.positive)}</b> or {escape(item.negative)}: favours <b>{escape(favoured)}</b>, "
            f"score {item.score:+.3f}; {percent(item.share_positive)} of prompt draws for {escape(item.positive)}"
        )
        prompts = "".join(
            f"<br>{self.theme.soft(f'{match.similarity:.3f}  {match.class_name}: “{match.prompt}”')}"
            for match in item.best
        )
        return head + prompts
