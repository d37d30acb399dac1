"""Who is evaluated: the flow of cases and the table of baseline characteristics (both papers' Table 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..cohort.staging import STAGES, stage_group
from ..cohort.table import ENDPOINTS, SPLITS, CohortRow
from ..evaluation.summary_figures import FlowStep, flow_figure
from ..review_reading import phase_words
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, count_words
from .study_data import StudyData, task_words

Rows = Sequence[CohortRow]
Lines = list[tuple[str, list[str]]]
PHASES = "NAVD"
HISTOLOGIC_GROUPS = (
    "Benign and indolent",
    "Malignant and indolent",
    "Malignant and aggressive",
    "Malignant and indeterminate",
)


def baseline_section(data: StudyData) -> Section:
    """Flow chart and baseline characteristics."""
    caption = (
        f"Flow of cases. A case is one kidney with its primary lesion; evaluated is the split {data.settings.split!r}."
    )
    words = ("Medians with quartiles; counts with per cent of the cases in the column. An attribute that no table "
             "states is left out.",)  # fmt: skip
    flow = EvidenceFigure("flow-chart", caption, flow_figure(flow_steps(data)))
    return Section("cohorts", "Cohorts", words, (flow,), (baseline_table(data),))


def flow_steps(data: StudyData) -> dict[str, list[FlowStep]]:
    """The boxes of the flow chart, by cohort."""
    return {name: _flow(data, name, rows) for name, rows in data.cohorts.items()}


def baseline_table(data: StudyData) -> EvidenceTable:
    """Characteristics per cohort and split, in the papers' order."""
    groups = {
        (name, split): chosen
        for name, rows in data.cohorts.items()
        for split in (*SPLITS, "")
        if (chosen := [row for row in rows if row.split == split and is_lesion(row)])
    }
    lines: Lines = []
    for block in (_patients, _phases, _lesions, _stage, _grade, _pathology, _histology, _follow_up):
        lines += block(list(groups.values()))
    heads = [f"{name}, {split or 'no split'} (N\u00a0=\u00a0{len(rows)})" for (name, split), rows in groups.items()]
    shown = [(label, *cells) if any(cells) else (label,) for label, cells in lines]
    records: list[tuple[Cell, ...]] = []
    for place, (name, split) in enumerate(groups):
        heading = ""
        for label, cells in lines:
            heading = label if not any(cells) else heading
            if any(cells):
                records.append((name, split, heading if label.startswith(" ") else "", label.strip(), cells[place]))
    return EvidenceTable(
        "baseline",
        "Baseline characteristics",
        ("Characteristic", *heads),
        tuple(shown),
        ("cohort", "split", "group", "characteristic", "value"),
        tuple(records),
        ("TNM stage and WHO/ISUP grade of malignant lesions; lesions without them are not applicable or not known.",),
    )


def is_lesion(row: CohortRow) -> bool:
    """Whether the row is of a kidney with a lesion that any task is about."""
    return bool(row.labels or row.follow_up)


def phase_set(row: CohortRow) -> str:
    """Letters of the phases that were acquired, in the order N, A, V, D; empty where the table names no volume."""
    there = {phase.value for phase in row.volumes}
    return "".join(letter for letter in PHASES if letter in there)


def _flow(data: StudyData, name: str, rows: Rows) -> list[FlowStep]:
    split = data.settings.split
    here = [row for row in rows if row.split in (split, "")]
    lesions = [row for row in here if is_lesion(row)]
    predicted = {row.case_id for item in data.scores if (item.cohort, item.split) == (name, split) for row in item.rows}
    evaluated = [row for row in lesions if row.case_id in predicted or not data.scores]
    others = Counter(row.split for row in rows if row.split not in (split, ""))
    leaving = [f"{count} in the {other} split" for other, count in others.items()]
    leaving += [f"{len(here) - len(lesions)} without a labelled lesion"] if len(here) > len(lesions) else []
    patients = len({row.patient for row in rows})
    missing = len(lesions) - len(evaluated)
    without = f"{missing} without prediction" if missing else ""
    steps = [FlowStep(f"{len(rows)} kidneys of\n{patients} patients", "\n".join(leaving) or without)]
    if leaving:
        steps.append(FlowStep(f"{len(lesions)} lesions in the\n{split} split", without))
    return [*steps, FlowStep(_evaluated_words(evaluated))]


def _evaluated_words(rows: Rows) -> str:
    counts = {"R.E.N.A.L.": sum("renal_r" in row.labels for row in rows)}
    counts |= {task: sum(task in row.labels for row in rows) for task in ("malignancy", "aggressiveness")}
    followed = [row for row in rows if row.labels.get("malignancy") == 1]
    counts |= {name.upper(): sum(name in row.follow_up for row in followed) for name in ENDPOINTS}
    said = [f"{name} {count}" for name, count in counts.items() if count]
    parts = [", ".join(said[k : k + 2]) for k in range(0, len(said), 2)]
    return "\n".join([f"{len(rows)} evaluated", *parts])


def _patients(groups: Sequence[Rows]) -> Lines:
    lines: Lines = [("Patients", [str(len({row.patient for row in rows})) for rows in groups])]
    volumes = [sum(len(row.volumes) for row in rows) for rows in groups]
    lines += [("CT volumes", [str(count) for count in volumes])] if any(volumes) else []
    lines += _quartiles("Median age in years (IQR)", groups, lambda row: row.clinical.age_years)
    lines += _shares("", {"Male sex (%)": lambda row: row.clinical.sex == "male"}, groups, lambda row: row.clinical.sex)
    races = dict.fromkeys(row.clinical.race for rows in groups for row in rows if row.clinical.race)
    return lines + _shares(
        "Race (%)", {race: _of("race", race) for race in races}, groups, lambda row: row.clinical.race
    )


def _phases(groups: Sequence[Rows]) -> Lines:
    chosen: dict[str, Callable[[CohortRow], bool]] = {
        f"{phase_words(letter).capitalize()} phase": (lambda row, p=letter: p in phase_set(row))  # type: ignore[misc]
        for letter in PHASES
    }
    return _shares("CT phases (%)", chosen, groups, phase_set)


def _lesions(groups: Sequence[Rows]) -> Lines:
    lines = _quartiles("Median tumour size in cm (IQR)", groups, lambda row: row.diameter_mm and row.diameter_mm / 10)
    looks = {word.capitalize(): _of("appearance", word) for word in ("cystic", "solid")}
    return lines + _shares("Imaging appearance (%)", looks, groups, lambda row: row.clinical.appearance)


def _stage(groups: Sequence[Rows]) -> Lines:
    chosen: dict[str, Callable[[CohortRow], bool]] = {
        STAGES[k - 1]: (lambda row, k=k: stage_group(row.stage) == k)  # type: ignore[misc]
        for k in range(1, 5)
    }
    chosen["Not applicable or not known"] = lambda row: stage_group(row.stage) is None
    return _shares("TNM stage (%)", chosen, groups, lambda row: stage_group(row.stage))


def _grade(groups: Sequence[Rows]) -> Lines:
    chosen: dict[str, Callable[[CohortRow], bool]] = {
        "Low (1 and 2)": lambda row: row.grade in (1, 2),
        "High (3 and 4)": lambda row: row.grade in (3, 4),
        "Not applicable or not known": lambda row: row.grade is None,
    }
    return _shares("WHO/ISUP grade (%)", chosen, groups, lambda row: row.grade)


def _pathology(groups: Sequence[Rows]) -> Lines:
    necrosis = _shares("", {"Necrosis (%)": lambda row: row.clinical.coagulative_necrosis is True}, groups,
                       lambda row: row.clinical.coagulative_necrosis is not None)  # fmt: skip
    return necrosis + _shares("", {"Sarcomatoid differentiation (%)": lambda row: row.clinical.sarcomatoid is True},
                              groups, lambda row: row.clinical.sarcomatoid is not None)  # fmt: skip


def _histology(groups: Sequence[Rows]) -> Lines:
    lines: Lines = []
    if not any("malignancy" in row.labels for rows in groups for row in rows):
        return lines
    lines.append(("Histologic classification (%)", [""] * len(groups)))
    for name in HISTOLOGIC_GROUPS:
        members = [[row for row in rows if histologic_group(row) == name] for rows in groups]
        if any(members):
            lines.append((f" {name}", _counts(members, groups)))
            common = Counter(row.histology for rows in members for row in rows if row.histology)
            for histology, _ in common.most_common():
                cells = [[row for row in rows if row.histology == histology] for rows in members]
                lines.append((f"  {histology[0].upper()}{histology[1:]}", _counts(cells, groups)))
    return lines


def histologic_group(row: CohortRow) -> str:
    """The papers' group of a lesion by its labels; empty where malignancy is not known."""
    malignancy, aggressiveness = row.labels.get("malignancy"), row.labels.get("aggressiveness")
    if malignancy is None:
        return ""
    if malignancy == 0:
        return HISTOLOGIC_GROUPS[0]
    return HISTOLOGIC_GROUPS[3 if aggressiveness is None else 1 + aggressiveness]


def _follow_up(groups: Sequence[Rows]) -> Lines:
    lines: Lines = []
    for endpoint in ENDPOINTS:
        seen = [[r.follow_up[endpoint] for r in rows if endpoint in r.follow_up and r.labels.get("malignancy") == 1]
                for rows in groups]  # fmt: skip
        if any(seen):
            words = [f"{sum(f.event for f in part)} of {len(part)}" if part else "-" for part in seen]
            lines.append((f"{task_words(endpoint)}: events of malignant cases", words))
            cells = [_median([f.months for f in part if not f.event]) for part in seen]
            lines.append((f" Median follow-up of the event-free in months, {endpoint.upper()} (IQR)", cells))
    return lines


def _shares(
    heading: str,
    chosen: Mapping[str, Callable[[CohortRow], bool]],
    groups: Sequence[Rows],
    known: Callable[[CohortRow], object],
) -> Lines:
    """Counts with per cent; nothing where no row knows the attribute."""
    if not any(known(row) for rows in groups for row in rows):
        return []
    indent = " " if heading else ""
    lines: Lines = [(heading, [""] * len(groups))] if heading else []
    for name, holds in chosen.items():
        cells = ["-" if not any(known(row) for row in rows) else count_words(sum(map(holds, rows)), len(rows))
                 for rows in groups]  # fmt: skip
        lines.append((indent + name, cells))
    return lines


def _quartiles(label: str, groups: Sequence[Rows], value: Callable[[CohortRow], float | None]) -> Lines:
    values = [[v for row in rows if (v := value(row)) is not None] for rows in groups]
    return [(label, [_median(part) for part in values])] if any(values) else []


def _median(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.1f} ({low:.1f}, {high:.1f})"


def _counts(members: Sequence[Rows], groups: Sequence[Rows]) -> list[str]:
    return [count_words(len(part), len(rows)) for part, rows in zip(members, groups, strict=True)]


def _of(name: str, value: str) -> Callable[[CohortRow], bool]:
    return lambda row: getattr(row.clinical, name) == value
