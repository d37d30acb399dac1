"""Import: files of any kind and order to a study folder with one volume per phase and ``study.json``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import (
    ConfigurationError,
    GeometryError,
    GridMismatchError,
    InputError,
    MissingPhaseError,
    OutputError,
)
from ..output import beside
from ..progress import Progress, silent, span
from .candidates import DROP, Acquisition, Candidate, candidates_in, group_acquisitions, one_examination, select
from .enhancement import recognise_by_enhancement
from .phases import ORDER, PhaseClues, PhaseGuess, recognise
from .sources import find_sources
from .study import Phase, Study, StudyPhase, is_study, read_study, write_study
from .volume import Geometry, Volume, write_volume

MOST_READ = 8


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes:
        phase_overrides: For a phase, what a person named: a path, a series number, a series UID, a fragment of the
            series description, or ``none`` to leave the phase out.
        allow_gaps: Fill missing slices and even out uneven ones by interpolation, and record it, instead of refusing.
        keep_identifiers: Write patient name and id, study date and accession number into ``study.json``.
    """

    phase_overrides: Mapping[Phase, str] = field(default_factory=dict)
    allow_gaps: bool = False
    keep_identifiers: bool = False


@dataclass(frozen=True, eq=False)
class _Image:
    """An acquisition whose volume stands in the staging folder (or why it cannot)."""

    acquisition: Acquisition
    file: Path | None
    geometry: Geometry | None
    digest: str
    enhancement: PhaseGuess | None
    notes: tuple[str, ...]
    error: InputError | GeometryError | None


def parse_phase_overrides(texts: Sequence[str]) -> dict[Phase, str]:
    """``A=PATH_OR_SERIES`` texts to overrides.

    Raises:
        ConfigurationError: A text is not of that form, or names a phase twice.
    """
    result: dict[Phase, str] = {}
    for text in texts:
        letter, separator, value = text.partition("=")
        if not separator or letter.strip().upper() not in list(Phase) or not value.strip():
            raise ConfigurationError("--phase needs the form A=PATH_OR_SERIES, with one of N, A, V, D before the sign.")
        phase = Phase(letter.strip().upper())
        if phase in result:
            raise ConfigurationError(f"--phase names {phase.value} twice; name each phase once.")
        result[phase] = value.strip()
    return result


def import_study(
    source: Path | Sequence[Path],
    out: Path,
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Study:
    """Import CT files as a study folder, which appears whole or not at all.

    Args:
        source: A folder (nested, in any order, with unrelated files), a file, or several of both.
        out: Study folder to write; an earlier study there is replaced.
        options: See :class:`ImportOptions`.
        progress: Called with the fraction done and what is being done.

    Returns:
        The study as written: ``A.nrrd`` and so on in int16 Hounsfield units, axes nearest to L, P, S.

    Raises:
        InputError: Files are missing, truncated or damaged, or hold no Hounsfield units; its subclasses
            NoReadableSeriesError, ModalityError, SliceGapError, MixedPatientsError and MissingPhaseError say what else.
        GeometryError: A geometry is unusable, or the phases do not overlap (GridMismatchError).
        OutputError: ``out`` holds something else than a study, or cannot be written.
    """
    options = options or ImportOptions()
    report = progress or silent
    paths = [source] if isinstance(source, Path) else list(source)
    out = out.absolute()
    _check_target(out, paths)
    given = [*paths, *_override_paths(options)]
    sources = find_sources(given, out, span(report, 0.0, 0.2))
    candidates, notes = candidates_in(sources, given)
    fixed = {
        phase: select(text, phase, candidates)
        for phase, text in options.phase_overrides.items()
        if text.lower() != DROP
    }
    if len(set(fixed.values())) < len(fixed):
        raise ConfigurationError("--phase names one series for two phases; each phase needs a series of its own.")
    acquisitions = _acquisitions(candidates, fixed, options)
    acquisitions, more = one_examination(acquisitions, fixed)
    with _staging(out) as stage:
        images = _stage(acquisitions, fixed, stage, options, report)
        study = _choose(images, fixed, stage, options, (*notes, *more))
        write_study(study)
        report(0.98, "writing the study")
        _publish(stage, out)
    return read_study(out)


def _override_paths(options: ImportOptions) -> list[Path]:
    return [Path(text) for text in options.phase_overrides.values() if text.lower() != DROP and Path(text).exists()]


def _check_target(out: Path, paths: Sequence[Path]) -> None:
    if any(path.is_dir() and is_study(path) for path in paths):
        raise InputError("The source is a study that was already imported; it can be reviewed as it is.")
    if any(path.is_dir() and path.resolve() == out.resolve() for path in paths):
        raise OutputError("The study cannot be written into the source folder itself; give another folder with --out.")
    if out.exists() and not out.is_dir():
        raise OutputError("The output is a file; give a folder for the study with --out.")
    if out.is_dir() and not is_study(out) and any(out.iterdir()):
        raise OutputError("The output folder is not empty and holds no study; give another one with --out.")


def _acquisitions(
    candidates: Sequence[Candidate], fixed: Mapping[Phase, Candidate], options: ImportOptions
) -> tuple[Acquisition, ...]:
    """Acquisitions in order of time; what a person named stands on its own."""
    named = list(dict.fromkeys(fixed.values()))
    groups = group_acquisitions(candidates, options.allow_gaps)
    alone = [Acquisition(item) for item in named]
    rest = [group for group in groups if not {group.chosen, *group.others} & set(named)]
    return (*alone, *rest)


def _stage(
    acquisitions: Sequence[Acquisition],
    fixed: Mapping[Phase, Candidate],
    stage: Path,
    options: ImportOptions,
    report: Progress,
) -> list[_Image]:
    """Read the acquisitions that matter, write each into the staging folder, and look at its enhancement."""
    wanted = _worth_reading(acquisitions, fixed)
    images = []
    for count, item in enumerate(wanted):
        low, high = 0.2 + 0.75 * count / len(wanted), 0.2 + 0.75 * (count + 0.5) / len(wanted)

        def part(fraction: float, words: str, low: float = low, high: float = high) -> None:
            report(low + (high - low) * fraction, words)

        part(0.0, f"reading {item.chosen.label}")
        images.append(_stage_one(item, stage / f"image-{count}.nrrd", options, part))
    return images


def _stage_one(item: Acquisition, file: Path, options: ImportOptions, report: Progress) -> _Image:
    error = item.chosen.layout_error(options.allow_gaps)
    if error is not None:
        return _Image(item, None, None, "", None, (), error)
    try:
        volume, notes = item.chosen.load(options.allow_gaps, report)
    except (InputError, GeometryError) as found:
        if item.chosen.series is not None or item.chosen.named:
            raise
        return _Image(item, None, None, "", None, (), found)  # one of several volume files in a folder
    report(1.0, f"measuring the enhancement of {item.chosen.label}")
    guess = recognise_by_enhancement(volume)
    report(1.0, f"writing {item.chosen.label}")
    write_volume(volume, file)
    return _Image(item, file, volume.geometry, _digest(volume), guess, (*notes, *item.notes), None)


def _worth_reading(acquisitions: Sequence[Acquisition], fixed: Mapping[Phase, Candidate]) -> list[Acquisition]:
    """All acquisitions, or the most telling ones by their tags where there are many."""
    if len(acquisitions) <= MOST_READ:
        return list(acquisitions)
    guesses = recognise(_clues(acquisitions))
    named = set(fixed.values())
    order = sorted(
        range(len(acquisitions)),
        key=lambda k: (acquisitions[k].chosen in named, guesses[k].phase is not None, guesses[k].confidence),
        reverse=True,
    )
    return [acquisitions[k] for k in sorted(order[:MOST_READ])]


def _clues(acquisitions: Sequence[Acquisition]) -> list[PhaseClues]:
    series = [item.chosen.series for item in acquisitions]
    any_contrast = any(one.instance.contrast_agent for one in series if one is not None)
    return [item.chosen.clues(any_contrast) for item in acquisitions]


def _digest(volume: Volume) -> str:
    place = repr([np.round(np.asarray(part, dtype=float), 3).tolist() for part in (
        volume.geometry.size, volume.geometry.spacing_mm, volume.geometry.origin_lps_mm, volume.geometry.direction
    )])  # fmt: skip
    return hashlib.sha256(place.encode() + np.ascontiguousarray(volume.array.T).tobytes()).hexdigest()


def _choose(
    images: Sequence[_Image],
    fixed: Mapping[Phase, Candidate],
    stage: Path,
    options: ImportOptions,
    notes: Sequence[str],
) -> Study:
    """Recognise the phases, keep the best image of each, and describe the study (its files lie in the stage)."""
    places = {
        phase: k for phase, one in fixed.items() for k, image in enumerate(images) if image.acquisition.chosen is one
    }
    guesses = recognise(
        _clues([image.acquisition for image in images]),
        [image.enhancement for image in images],
        {place: phase for phase, place in places.items()},
    )
    dropped = {phase for phase, text in options.phase_overrides.items() if text.lower() == DROP}
    pools = {
        phase: [places[phase]] if phase in places else _pool(phase, images, guesses, set(places.values()))
        for phase in ORDER
        if phase not in dropped
    }
    chosen = {phase: pool[0] for phase, pool in pools.items() if pool}
    _raise_unusable(images, chosen)
    phases = {phase: _study_phase(phase, images[k], guesses[k], phase in places, stage) for phase, k in chosen.items()}
    for image in images:
        if image.file is not None:
            image.file.unlink(missing_ok=True)
    said = [*notes, *_left_out(images, guesses, chosen)]
    said += _frame_notes([images[k] for k in chosen.values()])
    _check_overlap(phases)
    digest = hashlib.sha256("".join(f"{phase}{images[k].digest}" for phase, k in chosen.items()).encode())
    identifiers = _identifiers([images[k] for k in chosen.values()]) if options.keep_identifiers else None
    return Study(stage, f"study-{digest.hexdigest()[:12]}", phases, tuple(said), identifiers)


def _pool(phase: Phase, images: Sequence[_Image], guesses: Sequence[PhaseGuess], taken: set[int]) -> list[int]:
    """Places of the images recognised as a phase, the best first."""

    def rank(k: int) -> tuple[bool, float, tuple[float, ...]]:
        series = images[k].acquisition.chosen.series
        return images[k].error is None, round(guesses[k].confidence, 1), series.preference if series else ()

    return sorted(
        (k for k in range(len(images)) if guesses[k].phase is phase and k not in taken), key=rank, reverse=True
    )


def _raise_unusable(images: Sequence[_Image], chosen: Mapping[Phase, int]) -> None:
    """Raise what is wrong with an image that is needed, or say that neither an arterial nor a venous phase is there."""
    needed = [images[k] for k in chosen.values()]
    complete = Phase.A in chosen or Phase.V in chosen
    readable = any(image.error is None for image in images)
    for image in images:
        # A mask beside the images is no reason to stop, a series that may be the missing phase is.
        series_or_all = image.acquisition.chosen.series is not None or not readable
        if image.error is not None and (image in needed or (not complete and series_or_all)):
            raise image.error
    if not needed:
        alone = images[0].enhancement if len(images) == 1 else None
        raise MissingPhaseError(
            f"An arterial or a venous phase is needed, but none of the {len(images)} image(s) was recognised as a "
            f"phase{f' ({alone.reason})' if alone else ''}. Name it with --phase A=SERIES_OR_FILE or --phase V=..."
        )


def _study_phase(phase: Phase, image: _Image, guess: PhaseGuess, named: bool, stage: Path) -> StudyPhase:
    file = stage / f"{phase.value}.nrrd"
    if image.file is None or image.geometry is None:
        raise InputError(f"{image.acquisition.chosen.label} could not be read.")
    image.file.rename(file)
    notes = list(image.notes)
    seen = image.enhancement
    if named:
        if seen is not None and seen.phase not in (None, phase) and seen.confidence >= 0.6:
            notes.append(f"The {seen.reason} speaks for the {seen.phase.words if seen.phase else ''} phase.")
        reason, confidence = "named by a person", 1.0
    else:
        reason, confidence = guess.reason, round(guess.confidence, 3)
        notes.extend(guess.notes)
        if seen is not None and guess.reason == seen.reason:
            notes.append("Recognised by its enhancement alone; check it, or name it with --phase.")
    label = image.acquisition.chosen.label
    return StudyPhase(phase, file, image.geometry, confidence, reason, named, tuple(notes), label)


def _left_out(images: Sequence[_Image], guesses: Sequence[PhaseGuess], chosen: Mapping[Phase, int]) -> Iterator[str]:
    kept = set(chosen.values())
    for k, (image, guess) in enumerate(zip(images, guesses, strict=True)):
        label = image.acquisition.chosen.label
        if k in kept:
            continue
        if image.error is not None:
            yield f"{label.capitalize()} left out: it cannot be used ({type(image.error).code})."
        elif guess.phase is None:
            yield f"{label.capitalize()} left out: not recognised as a phase ({guess.reason})."
        elif guess.phase in chosen:
            better = images[chosen[guess.phase]].acquisition.chosen.label
            yield f"{label.capitalize()} left out: {better} is preferred for the {guess.phase.words} phase."
        else:
            yield f"{label.capitalize()} left out: the {guess.phase.words} phase was not wanted."


def _frame_notes(images: Sequence[_Image]) -> list[str]:
    series = [image.acquisition.chosen.series for image in images]
    frames = {one.instance.frame_of_reference_uid for one in series if one is not None}
    if len(frames) < 2:
        return []
    return ["The phases have different frames of reference; check their alignment, or register them."]


def _check_overlap(phases: Mapping[Phase, StudyPhase]) -> None:
    reference = phases.get(Phase.A) or phases.get(Phase.V)
    if reference is None:
        return
    low, high = reference.geometry.bounds_lps_mm
    for item in phases.values():
        other_low, other_high = item.geometry.bounds_lps_mm
        if np.any(np.minimum(high, other_high) <= np.maximum(low, other_low)):
            raise GridMismatchError(
                f"The {item.phase.words} phase does not overlap the {reference.phase.words} phase in patient space; "
                f"check that both are of one examination, or leave it out with --phase {item.phase.value}=none."
            )


def _identifiers(images: Sequence[_Image]) -> dict[str, str] | None:
    for image in images:
        if image.acquisition.chosen.series is not None:
            patient = image.acquisition.chosen.series.instance.patient
            return {
                "patient_name": patient.name,
                "patient_id": patient.identifier,
                "study_date": patient.study_date,
                "accession_number": patient.accession_number,
            }
    return None


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside the target that is gone when the block ends, unless it was renamed."""
    made = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        with beside(out) as stage:
            yield stage
    except OSError as error:
        raise OutputError(f"The study cannot be written to its folder ({error.strerror or error}).") from error
    finally:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _publish(stage: Path, out: Path) -> None:
    """Rename the staged study to its place; an earlier study or an empty folder there gives way."""
    target = out.resolve()
    if not target.exists():
        os.rename(stage, target)
        return
    with beside(target) as aside:
        target.rename(aside / "old")
        try:
            os.rename(stage, target)
        except OSError:
            (aside / "old").rename(target)
            raise
