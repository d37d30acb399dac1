"""Images of a source that could be phases: series and volume files, told apart, grouped by acquisition, selectable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GeometryError, InputError, MixedPatientsError, ModalityError, NoReadableSeriesError, SliceGapError
from ..progress import Progress
from .hounsfield import check_hounsfield, to_hounsfield
from .phases import PhaseClues
from .series import Kind, Series, group_series, same_acquisition
from .sources import MAX_VOLUME_FILES, Sources
from .stacking import build_volume, check_layout
from .study import Phase
from .volume import Volume, read_volume

DROP = "none"


@dataclass(frozen=True, eq=False)
class Candidate:
    """An image that could be a phase: a DICOM series or a volume file.

    Attributes:
        label: ``series 4`` or ``file 2``; holds no name.
        series: The series; None for a volume file.
        file: The volume file; None for a series.
        named: Whether a person gave this very file.
    """

    label: str
    series: Series | None = None
    file: Path | None = None
    named: bool = False

    def clues(self, any_contrast: bool) -> PhaseClues:
        """What tags or the file's name say; no agent counts as none given only where another series names one."""
        if self.series is None:
            name = self.file.name.split(".")[0] if self.file else ""
            return PhaseClues(description=name, described_by="file name")
        first = self.series.instance
        time, start = self.series.acquired_s, first.bolus_start_s
        return PhaseClues(
            description=first.description,
            protocol=first.protocol,
            contrast=True if first.contrast_agent else False if any_contrast else None,
            delay_s=time - start if time is not None and start is not None else None,
            time_s=time,
            sequence=self.series.sequence,
        )

    def layout_error(self, allow_gaps: bool) -> InputError | GeometryError | None:
        """Why the image cannot be used, as far as its headers tell."""
        if self.series is None:
            return None
        try:
            check_layout(self.series, allow_gaps)
        except (SliceGapError, GeometryError) as error:
            return error
        return None

    def load(self, allow_gaps: bool, progress: Progress | None = None) -> tuple[Volume, tuple[str, ...]]:
        """The volume in Hounsfield units (int16, axes nearest to L, P, S), and what was done to it.

        Raises:
            InputError: It cannot be read, or does not hold Hounsfield units.
            GeometryError: Its geometry is unusable.
        """
        if self.series is not None:
            volume, notes = build_volume(self.series, allow_gaps, progress)
        else:
            what = self.label.capitalize()
            stored = read_volume(self.file or Path(), what)
            check_hounsfield(stored.array, what)
            array, notes = to_hounsfield(stored.array)
            volume = Volume(array, stored.geometry)
        return volume.canonical(), notes

    def lies_in(self, path: Path) -> bool:
        """Whether the image was read from a file or from below a folder (a resolved path)."""
        files = [self.file] if self.file else [item.instance.file for item in self.series.slices] if self.series else []
        return any(path in (file, *file.parents) or file.resolve() == path for file in files)


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Reconstructions of one acquisition, the preferred one first, and what there is to say about the choice."""

    chosen: Candidate
    others: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()


def candidates_in(sources: Sources, given: Iterable[Path] = ()) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Usable images of a source and notes on those that were left out.

    Args:
        sources: What was found.
        given: Files that a person gave by name (volume files among DICOM are used only then).

    Raises:
        MixedPatientsError: CT of more than one patient.
        ModalityError: Images, but no CT.
        NoReadableSeriesError: Nothing usable; the message says what was found.
        InputError: Too many volume files to choose from.
    """
    series = group_series(sources.slices)
    _check_patients(series)
    usable = [item for item in series if item.kind is Kind.AXIAL]
    notes = [f"Series {item.label} left out: {item.kind}." for item in series if item.kind is not Kind.AXIAL]
    named = {path.resolve() for path in given}
    files = [file for file in sources.volume_files if not usable or file.resolve() in named]
    if len(files) < len(sources.volume_files):
        notes.append(f"{len(sources.volume_files) - len(files)} volume file(s) beside the DICOM series left out.")
    if sources.other_modalities:
        notes.append(f"Images of another modality left out: {', '.join(sorted(sources.other_modalities))}.")
    if len(files) > MAX_VOLUME_FILES:
        raise InputError(
            f"The source holds {len(files)} volume files, which cannot be the phases of one study. Give the phases' "
            "files, for instance with --phase A=FILE."
        )
    found = [Candidate(f"series {item.label}", series=item) for item in usable]
    found += [Candidate(f"file {n}", file=file, named=file.resolve() in named) for n, file in enumerate(files, start=1)]
    if not found:
        raise _nothing_usable(sources, series)
    return tuple(found), tuple(notes)


def _check_patients(series: Sequence[Series]) -> None:
    patients = list({item.instance.patient for one in series for item in one.slices})
    for place, patient in enumerate(patients):
        if any(patient.differs(other) for other in patients[:place]):
            raise MixedPatientsError(
                "The source holds CT of more than one patient. Import one patient at a time, from a folder that holds "
                "only that patient's images."
            )


def _nothing_usable(sources: Sources, series: Sequence[Series]) -> InputError:
    kinds = {item.kind for item in series}
    if kinds == {Kind.LOCALISER}:
        return NoReadableSeriesError(
            "The source holds only a localiser; the axial CT series of at least one contrast phase are needed."
        )
    if kinds:
        return NoReadableSeriesError(
            f"The source holds no axial CT series, only: {', '.join(sorted(kinds))}. Give the folder with the axial "
            "series of the contrast phases."
        )
    if sources.other_modalities:
        return ModalityError(
            f"CT is needed, but the images have the modality {', '.join(sorted(sources.other_modalities))}."
        )
    rest = f", {sources.without_pixels} of them DICOM files without images" if sources.without_pixels else ""
    return NoReadableSeriesError(
        f"No CT series was found among {sources.files} file(s){rest}. Give a folder with DICOM CT, or NIfTI, NRRD or "
        "MetaImage volumes."
    )


def select(text: str, phase: Phase, candidates: Sequence[Candidate]) -> Candidate:
    """The image that a person means: by path, series number, series UID or a fragment of the description.

    Raises:
        InputError: Nothing, or more than one acquisition, fits; the message lists the numbers.
    """
    matches = _matches(text, candidates)
    groups = group_acquisitions(matches, allow_gaps=True)
    if len(groups) == 1:
        return groups[0].chosen
    known = ", ".join(item.label for item in (matches or candidates))
    what = "fits more than one series" if matches else "fits no usable series"
    raise InputError(f"--phase {phase.value}=... {what}; give a series number or a path. To choose from: {known}.")


def _matches(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    path = Path(text)
    if path.exists():
        below = [item for item in candidates if item.lies_in(path.resolve())]
        if below:
            return below
    series = [(item, item.series) for item in candidates if item.series is not None]
    tests: tuple[Callable[[Series], bool], ...] = (
        lambda one: one.label == text,
        lambda one: str(one.instance.series_number) == text,
        lambda one: one.instance.series_uid == text,
        lambda one: bool(text.strip()) and text.lower() in one.instance.description.lower(),
    )
    for fits in tests:
        found = [item for item, one in series if fits(one)]
        if found:
            return found
    return [item for item in candidates if item.label == text]


def group_acquisitions(candidates: Iterable[Candidate], allow_gaps: bool) -> tuple[Acquisition, ...]:
    """One group per acquisition: its preferred reconstruction that is complete, and the others."""
    groups: list[list[Candidate]] = []
    for item in sorted(candidates, key=_preference, reverse=True):
        for group in groups:
            head = group[0].series
            if item.series is not None and head is not None and same_acquisition(head, item.series):
                group.append(item)
                break
        else:
            groups.append([item])
    return tuple(_acquisition(group, allow_gaps) for group in sorted(groups, key=_time))


def _acquisition(group: Sequence[Candidate], allow_gaps: bool) -> Acquisition:
    complete = [item for item in group if item.layout_error(allow_gaps) is None]
    chosen = complete[0] if complete else group[0]
    others = tuple(item for item in group if item is not chosen)
    notes = []
    if others:
        listed = ", ".join(_reconstruction(item) for item in others)
        notes.append(f"Other reconstructions of this acquisition left out: {listed}.")
    if chosen is not group[0]:
        notes.append(f"The preferred {group[0].label} has missing or uneven slices.")
    return Acquisition(chosen, others, tuple(notes))


def _reconstruction(item: Candidate) -> str:
    if item.series is None:
        return item.label
    words = [f"{item.series.spacing_mm:.3g} mm"]
    words += ["sharp kernel"] if item.series.is_sharp else []
    words += ["derived"] if not item.series.is_original else []
    return f"{item.label} ({', '.join(words)})"


def _preference(item: Candidate) -> tuple[float, ...]:
    return item.series.preference if item.series is not None else ()


def _time(group: Sequence[Candidate]) -> tuple[float, str]:
    series = group[0].series
    time = series.acquired_s if series is not None else None
    return (float("inf") if time is None else time), group[0].label


def one_examination(
    acquisitions: Sequence[Acquisition], fixed: Mapping[Phase, Candidate]
) -> tuple[tuple[Acquisition, ...], tuple[str, ...]]:
    """The acquisitions of one day: the day a person named series of, else the one with most, else the latest.

    Volume files carry no day and are always kept.
    """
    days: dict[str, list[Acquisition]] = {}
    for item in acquisitions:
        if item.chosen.series is not None:
            days.setdefault(item.chosen.series.instance.patient.study_date, []).append(item)
    if len(days) < 2:
        return tuple(acquisitions), ()
    chosen = set(fixed.values())
    best = max(days, key=lambda day: (sum(item.chosen in chosen for item in days[day]), len(days[day]), day))
    others = {item for day, items in days.items() if day != best for item in items if item.chosen not in chosen}
    kept = tuple(item for item in acquisitions if item not in others)
    return kept, (f"{len(others)} acquisition(s) of another examination of the patient left out.",) if others else ()
