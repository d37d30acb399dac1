"""What a reading may not show: in a study some cases are read without the model, and nothing of it may come through.

What is withheld is never computed: a session that withholds predictions reads lesions as if it had no model bundle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from .errors import BlindedError, ConfigurationError
from .review import Absent, LesionReview

MASKS: Final = "masks"
NEPHROMETRY: Final = "nephrometry"
CHOICES: Final = (MASKS, NEPHROMETRY)  # what a study may withhold beside the predictions
REASON: Final = "withheld: this case is read without predictions"


@dataclass(frozen=True)
class Withheld:
    """What is withheld from a reader.

    Attributes:
        predictions: Everything that a model bundle says of a lesion: components, probabilities, risk, prompts, similar
            cases, maps, spread, the drafted or generated report and what a check of the report knows from them.
        masks: Segmentations, and the centre that is proposed from them.
        nephrometry: What is measured from the masks.
    """

    predictions: bool = False
    masks: bool = False
    nephrometry: bool = False

    @staticmethod
    def of_study(with_ai: bool, names: Iterable[str]) -> Withheld:
        """What a reading withholds, without predictions or with them, by a study's choice among :data:`CHOICES`.

        Raises:
            ConfigurationError: Another name. Without masks nothing can be measured, so they take nephrometry along.
        """
        chosen = set(names)
        if not chosen <= set(CHOICES):
            raise ConfigurationError(f"A study can withhold {' and '.join(CHOICES)}; {min(chosen - set(CHOICES))!r} "
                                     "was named.")  # fmt: skip
        if with_ai:
            return Withheld()
        return Withheld(True, MASKS in chosen, bool(chosen))

    @property
    def names(self) -> list[str]:
        """What is withheld, in words."""
        parts = (("predictions", self.predictions), (MASKS, self.masks), (NEPHROMETRY, self.nephrometry))
        return [name for name, withheld in parts if withheld]

    def refuse(self, withheld: bool, what: str) -> None:
        """Stop where something is asked for that is withheld.

        Raises:
            BlindedError: It is.
        """
        if withheld:
            raise BlindedError(f"This case is read without predictions, so {what}.")

    def shown(self, lesion: LesionReview) -> LesionReview:
        """A lesion's review, with the reason where a part is withheld."""
        if self.predictions:
            lesion = replace(lesion, predicted=Absent(REASON), report=Absent(REASON), predecessor=Absent(REASON))
        return replace(lesion, measured=Absent(REASON)) if self.nephrometry else lesion


NOTHING: Final = Withheld()
ALL: Final = Withheld(True, True, True)
