"""What the worker serves: a session's steps as JSON-RPC methods, with the schema that their parameters are held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from . import __version__
from .errors import ConfigurationError
from .imaging.segmentation_file import Origin, origin_of
from .imaging.study import Phase, Study, read_study
from .imaging.volume import write_volume
from .inference.case import now
from .inference.records import registration_record
from .progress import Progress
from .reader_changes import with_reader_changes
from .reading_methods import ReadingMethods
from .resources import resources
from .review import Absent, CaseReview, Centre, Edit, SignOff, decode, encode
from .session import SEGMENTATION_FILE, Session, SessionOptions, demo_bundle
from .worker import PROTOCOL_VERSION, Answer, FollowUp, InvalidParams

Params = Mapping[str, Any]
STALE = frozenset(
    {
        "bundle.load", "study.import", "study.open", "segment", "register", "review", "review.update",
        "worklist.open", "worklist.step", "worklist.close",
    }
)  # fmt: skip


@lru_cache(maxsize=1)
def worker_schema() -> dict[str, Any]:
    """The schema of the protocol: methods with ``params`` and ``result``, and notifications."""
    text = (resources() / "schemas" / "worker.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def _validator(method: str) -> Draft202012Validator:
    """Of a method's parameters. The schema itself is checked by a test, not at every call."""
    schema = worker_schema()
    return Draft202012Validator({**schema["methods"][method]["params"], "$defs": schema["$defs"]})


class SessionMethods:
    """The worker's methods over one session.

    Args:
        options: Of the session.
        work: Folder for the volumes that answers name by path.
    """

    def __init__(self, options: SessionOptions, work: Path) -> None:
        self.session = Session(options)
        self.work = work
        self._reading = ReadingMethods(self.session)
        self._methods: dict[str, Callable[[Params, Progress], Answer]] = {
            "initialize": self._initialize,
            "bundle.load": self._load_bundle,
            "study.import": self._import_study,
            "study.open": self._open_study,
            "segment": self._segment,
            "register": self._register,
            "review": self._review,
            "review.update": self._update,
            "explain": self._explain,
            "uncertainty": self._uncertainty,
            "measure": self._measure,
            "report.draft": self._report,
            "review.save": self._save,
            "phantom.study": self._phantom,
            **self._reading.methods(),
        }

    def names(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self._methods)

    def makes_stale(self, method: str) -> bool:
        """Whatever changes the case makes explanations and uncertainties on their way stale."""
        return method in STALE

    def call(self, method: str, params: Params, progress: Progress) -> Answer:
        """Run one method.

        Raises:
            InvalidParams: The parameters do not fit the method's schema.
            RenalCLIPError: As the method says.
        """
        try:
            error = best_match(_validator(method).iter_errors(dict(params)))
        except RecursionError:
            raise InvalidParams(f"{method}: the parameters are nested too deeply") from None
        if error is not None:
            # the message itself would repeat what was given, and paths can hold patients' names
            raise InvalidParams(f"{method}: {error.json_path} does not fit the schema ({error.validator})")
        if not _usable(params):
            raise InvalidParams(f"{method}: a text holds what no name or note can, or a number is not finite")
        return self._methods[method](params, progress)

    def _initialize(self, params: Params, progress: Progress) -> Answer:
        if params["protocol"] != PROTOCOL_VERSION:
            raise ConfigurationError(
                f"This worker speaks protocol {PROTOCOL_VERSION}, the host {params['protocol']}; "
                "install matching versions of the extension and of RenalCLIPCore."
            )
        return Answer({"protocol": PROTOCOL_VERSION, "core": __version__, "methods": list(self.names())})

    def _load_bundle(self, params: Params, progress: Progress) -> Answer:
        bundle = self.session.load_bundle(Path(params["path"]) if "path" in params else demo_bundle())
        manifest = bundle.manifest
        return Answer(
            {
                "name": manifest.name,
                "version": manifest.version,
                "sha256": bundle.sha256,
                "capabilities": list(bundle.capabilities),
                "phantom_trained": manifest.phantom_trained,
                "intended_use": manifest.intended_use,
            }
        )

    def _import_study(self, params: Params, progress: Progress) -> Answer:
        from .imaging.importing import ImportOptions, import_study, parse_phase_overrides

        options = ImportOptions(parse_phase_overrides(params.get("phases", ())), params.get("allow_gaps", False))
        sources = [Path(source) for source in params["sources"]]
        self._reading.check_import(sources)
        study = import_study(sources, Path(params["out"]), options, progress=progress)
        self._reading.note_import(study.folder)
        return self._opened(study)

    def _open_study(self, params: Params, progress: Progress) -> Answer:
        self._reading.check_open(Path(params["path"]))
        return self._opened(read_study(Path(params["path"])))

    def _opened(self, study: Study) -> Answer:
        self.session.open(study)
        phases = [
            {
                "phase": item.phase.value,
                "file": str(item.file),
                "confidence": item.confidence,
                "reason": item.reason,
                "notes": list(item.notes),
            }
            for item in study.phases.values()
        ]
        reference = study.reference.phase.value
        return Answer(
            {
                "study_id": study.study_id,
                "folder": str(study.folder),
                "reference": reference,
                "phases": phases,
                "notes": list(study.notes),
            }
        )

    def _segment(self, params: Params, progress: Progress) -> Answer:
        if "file" in params:
            origin = decode(Origin, params["origin"]) if "origin" in params else None
            segmentation = self.session.segment_from_file(Path(params["file"]), origin)
        else:
            folder = Path(params["model"]) if "model" in params else None
            segmentation = self.session.segment_with_model(folder, progress)
        self._reading.note_masks()
        path = self.work / SEGMENTATION_FILE
        write_volume(segmentation.labels, path)
        findings = self.session.case.findings if self.session.case else None
        lesions = findings.lesions if findings else ()
        return Answer(
            {
                "file": str(path),
                "model": segmentation.model,
                "notes": list(segmentation.notes),
                **({"origin": encode(origin_of(segmentation))} if segmentation.source == "model" else {}),
                "lesions": [
                    {
                        "lesion_id": lesion.lesion_id,
                        "side": lesion.side,
                        "label": lesion.label,
                        "volume_ml": lesion.volume_ml,
                        "largest_diameter_mm": lesion.largest_diameter_mm,
                        "centre_lps_mm": list(lesion.centre_lps_mm),
                    }
                    for lesion in lesions
                ],
            }
        )

    def _register(self, params: Params, progress: Progress) -> Answer:
        self.session.register(progress)
        found = self.session.registrations.items()
        records = {phase.value: encode(registration_record(result)) for phase, result in found}
        return Answer({"registrations": records})

    def _review(self, params: Params, progress: Progress) -> Answer:
        review = self.session.review(_point(params) if "centre_lps_mm" in params else None, progress)
        primary = review.primary
        return Answer(encode(review), self._follow_ups(primary.lesion_id) if primary else ())

    def _update(self, params: Params, progress: Progress) -> Answer:
        before = self.session.reading(params["lesion_id"]).review
        lesion = self.session.move(params["lesion_id"], _point(params))
        self._reading.note_move(before, lesion)
        return Answer(encode(lesion), self._follow_ups(params["lesion_id"]))

    def _explain(self, params: Params, progress: Progress) -> Answer:
        return Answer(self._explanation(params["lesion_id"], tuple(params.get("tasks", ())) or None))

    def _uncertainty(self, params: Params, progress: Progress) -> Answer:
        return Answer(self._uncertainty_of(params["lesion_id"], progress))

    def _measure(self, params: Params, progress: Progress) -> Answer:
        return Answer(self._measurement(params["lesion_id"], progress))

    def _report(self, params: Params, progress: Progress) -> Answer:
        return Answer(encode(self.session.report(params["lesion_id"], generated=params.get("generated", False))))

    def _save(self, params: Params, progress: Progress) -> Answer:
        edits = decode(tuple[Edit, ...], list(params.get("edits", ())))
        sign_off = decode(tuple[SignOff, ...], list(params.get("sign_off", ())))

        def amend(review: CaseReview) -> CaseReview:
            return with_reader_changes(review, edits, sign_off)

        files = self.session.save(Path(params["out"]), amend)
        self._reading.note_review(amend(self.session.build()))
        return Answer({"files": [str(path) for path in files.values()]})

    def _phantom(self, params: Params, progress: Progress) -> Answer:
        from .phantom.anatomy import draw_patient
        from .phantom.dicom import write_phantom_study

        progress(0.0, "drawing the patient")
        folder = Path(params["out"])
        write_phantom_study(draw_patient(params["seed"]), folder, tuple(Phase))
        progress(1.0, "written")
        return Answer({"folder": str(folder)})

    def _follow_ups(self, lesion_id: str) -> tuple[FollowUp, ...]:
        def measurement(progress: Progress) -> Params:
            return self._measurement(lesion_id, progress)

        measured = FollowUp("review.measured", measurement)
        if self.session.reader_bundle is None:
            return (measured,)

        def explanation(progress: Progress) -> Params:
            progress(0.0, "explaining")
            return self._explanation(lesion_id, None)

        def uncertainty(progress: Progress) -> Params:
            return self._uncertainty_of(lesion_id, progress)

        return (FollowUp("review.explanation", explanation), FollowUp("review.uncertainty", uncertainty), measured)

    def _uncertainty_of(self, lesion_id: str, progress: Progress) -> dict[str, Any]:
        found = self.session.estimate_uncertainty(lesion_id, progress)
        return {"lesion_id": lesion_id, "uncertainty": encode(found)}

    def _measurement(self, lesion_id: str, progress: Progress) -> dict[str, Any]:
        found = self.session.measure(lesion_id, progress)
        return {"lesion_id": lesion_id, "measured": encode(found)}

    def _explanation(self, lesion_id: str, tasks: tuple[str, ...] | None) -> dict[str, Any]:
        for name, volume in self.session.explain(lesion_id, tasks).items():
            write_volume(volume, self.work / name)
        predicted = self.session.reading(lesion_id).review.predicted
        found = predicted.explanation if not isinstance(predicted, Absent) else predicted
        answer = {"lesion_id": lesion_id, "folder": str(self.work), "explanation": encode(found)}
        earlier = self.session.reading(lesion_id).review.predecessor
        return answer if isinstance(earlier, Absent) else {**answer, "predecessor": encode(earlier.explanation)}


def _usable(value: Any) -> bool:
    """Whether all texts have a UTF-8 form without NUL, and all numbers are finite and of a size that floats hold."""
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    if isinstance(value, Mapping):
        return all(_usable(key) and _usable(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_usable, value))
    return not isinstance(value, (int, float)) or -1e300 < value < 1e300


def _point(params: Params) -> Centre:
    x, y, z = (float(value) for value in params["centre_lps_mm"])
    return Centre((x, y, z), "manual", params.get("by", ""), now(), params.get("why", ""))
