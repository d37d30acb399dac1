"""Parts of a reading that the worker brings later: maps, uncertainty, measured nephrometry. Plain Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Union

from RenalCLIPCore.review import Absent, Explanation, LesionReview, Measured, Uncertainty, decode
from RenalCLIPCore.review_reading import present

from .WorkerPlan import PARTS, Level, held
from .WorkerProtocol import ENDED, WorkerError, withoutEvidence

if TYPE_CHECKING:
    from .CaseLogic import CaseLogic

ExplanationPart = Union[tuple[Explanation, ...], Absent]
UncertaintyPart = Union[Uncertainty, Absent]
MeasuredPart = Union[Measured, Absent]


class LaterParts:
    """Takes the parts as they come, and asks for those that a lesion lacks.

    Args:
        case: The case.
    """

    def __init__(self, case: CaseLogic) -> None:
        self._case = case
        self._coming: set[tuple[str, str]] = set()
        self._take: dict[str, Callable[[Any], None]] = {
            "explanation": self._explained,
            "uncertainty": self._uncertain,
            "measured": self._measured,
        }

    @property
    def underWay(self) -> bool:
        """Whether anything is still to come."""
        return bool(self._coming)

    def coming(self, lesion: str, part: str) -> bool:
        """Whether ``explanation``, ``uncertainty`` or ``measured`` of a lesion is on its way."""
        return (lesion, part) in self._coming

    def expect(self, lesion: LesionReview) -> None:
        """A lesion was read, so its parts follow; those of readings before it were dropped by the worker."""
        self._coming = {(lesion.lesion_id, part) for part in lacking(lesion)}

    def forget(self) -> None:
        """Nothing comes any more."""
        self._coming = set()

    def askForRest(self) -> None:
        """Ask for what the shown lesion lacks, without long work's display."""
        case, review = self._case, self._case.state.lesionReview()
        if review is None or case.task or case.plan.level < Level.READING or review.lesion_id in case.latest:
            return
        case.latest[review.lesion_id] = 0
        for part in lacking(review):
            self._ask(review.lesion_id, part)
        case.tell("reading")

    def take(self, method: str, params: Mapping[str, Any]) -> None:
        """Take a notification that follows a reading, unless a newer reading of its lesion is on its way."""
        part, lesion = method.partition("review.")[2], str(params.get("lesion_id"))
        if part not in self._take or self._case.latest.get(lesion) != params.get("id"):
            return
        self._arrived(lesion, part, None if "error" in params else params)

    def _ask(self, lesion: str, part: str) -> None:
        case, state = self._case, self._case.state
        self._coming.add((lesion, part))

        def done(result: Any) -> None:
            if case.state is state:  # another case may have a lesion of that name
                self._arrived(lesion, part, result)

        def failed(error: WorkerError) -> None:
            if error.code == ENDED:
                case.latest.pop(lesion, None)
            done(None)

        case.worker.request(PARTS[part], {"lesion_id": lesion}, done, failed)

    def _arrived(self, lesion: str, part: str, data: Any) -> None:
        self._coming.discard((lesion, part))
        if data is not None:
            self._take[part](data)
            self._case.plan.broughtPart(lesion, part)
        self._case.tell("reading")

    def _explained(self, data: Any) -> None:
        self._case.state.mapsFolder = data["folder"]
        lesion = str(data["lesion_id"])
        self._case.amendReading(lesion, explanation=decode(ExplanationPart, data["explanation"]))
        review = self._case.state.lesionReview(lesion)
        earlier = present(review.predecessor) if review else None
        if earlier and "predecessor" in data:
            maps = decode(ExplanationPart, data["predecessor"])
            self._case.amend(lesion, predecessor=replace(earlier, explanation=maps))
        self._case.tell("maps")

    def _uncertain(self, data: Any) -> None:
        self._case.amendReading(data["lesion_id"], uncertainty=decode(UncertaintyPart, data["uncertainty"]))

    def _measured(self, data: Any) -> None:
        self._case.amend(data["lesion_id"], measured=decode(MeasuredPart, withoutEvidence(data["measured"])))
        self._case.notes.withdrawOutdated(data["lesion_id"])
        self._case.tell("verdicts")


def lacking(lesion: LesionReview) -> list[str]:
    """The parts that a lesion's reading does not hold yet, but can."""
    read = present(lesion.predicted) is not None
    possible = {"explanation": read, "uncertainty": read, "measured": lesion.label != "point"}
    return [part for part in PARTS if possible[part] and part not in held(lesion)]
