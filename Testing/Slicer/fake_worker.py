"""A worker without a process: tests see its requests and answer them."""

import itertools
from dataclasses import dataclass, field, replace

from RenalCLIPSlicerLib.WorkerProtocol import CANCELLED, ENDED, NEEDED_METHODS, WorkerError

from RenalCLIPCore.review import Absent, Centre, ReportDraft, encode
from Testing.Core.exchange.reviews import full_review

STUDY = {
    "study_id": "study-1",
    "folder": "/study",
    "reference": "A",
    "phases": [
        {"phase": phase, "file": f"/study/{phase}.nrrd", "confidence": 0.99, "reason": "named so", "notes": []}
        for phase in "AV"
    ],
    "notes": [],
}
MASKS = {"file": "/elsewhere/segmentation.nrrd", "model": "toy", "notes": [], "lesions": []}


def centre(x, source="segmentation"):
    return Centre((float(x), 20.0, -30.0), source, "", "2026-01-02T03:04:05+00:00", "")


def review(lesions=2):
    """A review of a few lesions with reports, each at its own place."""
    found = full_review()
    template = found.lesions[0]
    made = tuple(
        replace(
            template,
            lesion_id=f"L{number}",
            label="tumour",
            primary=number == 1,
            centre_proposed=centre(-60 - number),
            centre_used=centre(-60 - number),
            report=ReportDraft(f"Lesion {number}.", "1. A lesion.", "structured"),
        )
        for number in range(1, lesions + 1)
    )
    return replace(found, lesions=made, edits=(), sign_off=())


def lesionAt(lesion, x, source="manual"):
    """The answer to review.update."""
    found = next(item for item in review().lesions if item.lesion_id == lesion)
    return encode(replace(found, centre_used=centre(x, source)))


@dataclass
class Request:
    """One request as sent."""

    number: int
    method: str
    params: dict
    done: object
    failed: object
    progress: object


@dataclass
class FakeWorker:
    """What CaseLogic needs of a worker."""

    automatic: dict = field(default_factory=dict)
    problem: str = ""
    sent: list = field(default_factory=list)
    waiting: dict = field(default_factory=dict)
    cancelled: list = field(default_factory=list)
    starts: int = 0
    running: bool = False

    def __post_init__(self):
        self._numbers = itertools.count(1)
        self.notified = self.ended = None
        self.automatic = {
            "initialize": {"protocol": 1, "core": "0.1.0", "methods": list(NEEDED_METHODS)},
            "bundle.load": {"name": "toy", "version": "1", "intended_use": "Research only."},
            "study.open": STUDY,
            "study.import": STUDY,
            "segment": MASKS,
            "review": encode(review()),
            **{name: {} for name in ("explain", "uncertainty", "measure")},
            **self.automatic,
        }

    def start(self):
        if self.problem:
            return self.problem
        self.starts += not self.running
        self.running = True
        return None

    def stop(self):
        self.die(cancelled=True)

    def request(self, method, params, done, failed, progress=None):
        item = Request(next(self._numbers), method, dict(params), done, failed, progress)
        self.sent.append(item)
        answer = self.automatic.get(method)
        if isinstance(answer, WorkerError):
            failed(answer)
        elif answer is not None:
            done(answer)
        else:
            self.waiting[item.number] = item
        return item.number

    def cancel(self, number):
        self.cancelled.append(number)

    def advice(self):
        return "Install it with:  python -m pip install renalclip"

    def methods(self):
        """Names of the requests so far."""
        return [item.method for item in self.sent]

    def open(self, method):
        """The oldest unanswered request of a method."""
        return next(item for item in self.waiting.values() if item.method == method)

    def answer(self, method, result):
        """Answer the oldest unanswered request of a method."""
        item = self.open(method)
        del self.waiting[item.number]
        item.done(result)
        return item

    def fail(self, method, error):
        """Refuse the oldest unanswered request of a method."""
        item = self.open(method)
        del self.waiting[item.number]
        item.failed(error)

    def die(self, cancelled=False):
        """The process is gone."""
        self.running = False
        gone, self.waiting = self.waiting, {}
        self.ended("" if cancelled else "The calculation process ended unexpectedly.")
        code = CANCELLED if cancelled else ENDED
        for item in gone.values():
            item.failed(WorkerError(code, "The calculation process ended unexpectedly."))


class FakeFiles:
    """What CaseLogic needs of the scene."""

    def __init__(self, folder):
        self.folder, self.numbers, self.masks = folder, itertools.count(1), "/elsewhere/masks.nrrd"

    def phaseFiles(self):
        return {"A": "/files/A.nrrd", "V": "/files/V.nrrd"}

    def masksFile(self):
        if not self.masks:
            raise ValueError("Choose a segmentation with a kidney segment first.")
        return self.masks

    def newFolder(self, name):
        return str(self.folder / f"{name}-{next(self.numbers)}")


def absent(reason="not yet"):
    return Absent(reason)


def studyAnswer(study):
    """The answer to study.open for a study that is there."""
    phases = [
        {
            "phase": item.phase.value,
            "file": str(item.file),
            "confidence": item.confidence,
            "reason": item.reason,
            "notes": [],
        }
        for item in study.phases.values()
    ]
    reference = study.reference.phase.value
    answer = {"study_id": study.study_id, "folder": str(study.folder), "reference": reference}
    return {**answer, "phases": phases, "notes": []}


def placed(truth):
    """A review whose two lesions lie in a phantom: at its tumour, and 10 mm above."""
    x, y, z = (float(value) for value in truth.primary.centre_lps_mm)
    found = review()
    lesions = []
    for number, lesion in enumerate(found.lesions):
        at = Centre((x, y, z + 10 * number), "segmentation", "", "2026-01-02T03:04:05+00:00", "")
        lesions.append(replace(lesion, centre_proposed=at, centre_used=at))
    return replace(found, lesions=tuple(lesions))


def around(truth, lps, lesion="L1"):
    """The answer to review.update: the lesion around another centre."""
    found = next(item for item in placed(truth).lesions if item.lesion_id == lesion)
    used = Centre(tuple(float(value) for value in lps), "manual", "", "2026-01-02T03:04:05+00:00", "")
    return encode(replace(found, centre_used=used))
