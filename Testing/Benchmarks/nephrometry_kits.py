"""Measured nephrometry of KiTS masks against the clinical table, and three annotators of one case.

    python -m Testing.Benchmarks.nephrometry_kits KITS23 --table kits23.json --out DIR
    python -m Testing.Benchmarks.nephrometry_kits MASKS --table kits23.json --instances INSTANCES --case case_00236

KITS23 is the repository's ``dataset`` folder (``case_00000/segmentation.nii.gz`` ...) or a folder of
``case_00000_segmentation.nii.gz``. Measurements are kept in ``DIR/measured.json`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from RenalCLIPCore.errors import RenalCLIPError, UndefinedMeasureError
from RenalCLIPCore.evaluation.bootstrap import interval, patient_resamples
from RenalCLIPCore.evaluation.classification import weighted_auroc
from RenalCLIPCore.evaluation.survival import weighted_concordance
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.nephrometry import PERTURBATIONS, measure
from RenalCLIPCore.imaging.volume import Volume, read_volume
from RenalCLIPCore.review import Absent, Measured

COMPLEXITY = {"low": 0, "moderate": 1, "high": 2}
OUTLIER_CM = 1.0


def cases(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and mask files."""
    for path in sorted([*folder.glob("case_*/segmentation.nii.gz"), *folder.glob("case_*_segmentation.nii.gz")]):
        yield (path.parent.name if path.name == "segmentation.nii.gz" else path.name[:10]), path


def measure_case(path: Path, perturbations: int) -> dict[str, Any]:
    """The primary lesion's measurement as plain values, or the refusal."""
    labels = read_volume(path)
    return measure_labels(labels, perturbations)


def measure_labels(labels: Volume, perturbations: int) -> dict[str, Any]:
    """The primary lesion's measurement of a label map as plain values, or the refusal."""
    start = time.process_time()
    try:
        findings = find_lesions(labels)
        if findings.primary is None:
            return {"refused": "The masks hold no lesion."}
        found = measure(labels, findings, findings.primary, perturbations=perturbations)
    except RenalCLIPError as error:
        return {"refused": str(error)}
    row = plain(found)
    row["side"], row["volume_ml"] = findings.primary.side, findings.primary.volume_ml
    row["lesions"], row["seconds"] = len(findings.lesions), time.process_time() - start
    return row


def plain(found: Measured) -> dict[str, Any]:
    """Values, points, probabilities, scores and notes."""
    row: dict[str, Any] = {"notes": list(found.notes), "confidence": found.confidence}
    for item in found.components:
        own = item.point_probabilities.get(str(item.points), item.point_probabilities.get(item.label))
        row[item.component] = {"value": item.value, "points": item.points, "label": item.label, "p": own,
                               "confidence": item.confidence, "margin": item.margin, "source": item.source,
                               "variants": item.variants}  # fmt: skip
    if isinstance(found.total, Absent):
        row["refused"] = found.total.absent
        return row
    row |= {"total": found.total.score, "text": found.total.text, "complexity": found.total.complexity}
    if not isinstance(found.padua, Absent) and not isinstance(found.centrality, Absent):
        row |= {"padua": found.padua.text, "c_index": found.centrality.value}
    return row


def line(name: str, row: dict[str, Any], clinical: dict[str, Any]) -> str:
    """One line of the table."""
    if "total" not in row:
        return f"{name}  refused: {row['refused']}"
    parts = [
        f"{k} {row[k]['value']:6.1f} {row[k]['points'] or row[k]['label'][0]} ({row[k]['p'] or 0:.2f})" for k in "RENAL"
    ]
    size = clinical.get("radiographic_size")
    return (
        f"{name} {row['side']:5} {row['text']:4} {row['complexity']:8} PADUA {row['padua']:4} C {row['c_index']:.2f}  "
        + "  ".join(parts)
        + f"  table {size if size is not None else '-'} cm  {row['N']['source'][12:40]}  {row['seconds']:.1f} s"
    )


def sizes(rows: dict[str, Any], table: dict[str, Any]) -> None:
    """R against the table's radiographic and pathologic sizes."""
    for field in ("radiographic_size", "pathologic_size"):
        pairs = [(n, row["R"]["value"] / 10, table[n][field]) for n, row in rows.items()
                 if "R" in row and n in table and isinstance(table[n].get(field), int | float)]  # fmt: skip
        if len(pairs) < 3:
            continue
        gap = np.array([measured - stated for _, measured, stated in pairs])
        print(f"R against {field}: n {len(gap)}, median difference {np.median(gap):+.2f} cm, median absolute "
              f"{np.median(np.abs(gap)):.2f}, within 0.5 cm {np.mean(np.abs(gap) <= 0.5):.0%}")  # fmt: skip
        for (name, measured, stated), apart in zip(pairs, gap, strict=True):
            if abs(apart) > OUTLIER_CM:
                variants = ", ".join(f"{k} {v / 10:.1f}" for k, v in rows[name]["R"]["variants"].items())
                print(f"   {name}: measured {measured:.1f} ({variants}), table {stated:.1f}; "
                      f"{rows[name]['volume_ml']:.0f} ml, {rows[name]['lesions']} lesions")  # fmt: skip


def associations(rows: dict[str, Any], table: dict[str, Any]) -> None:
    """AUC and C-index with 95 % bootstrap intervals of the total, complexity and size alone."""
    names = [name for name, row in rows.items() if "total" in row and name in table]
    predictors: dict[str, Callable[[str], float]] = {
        "total": lambda n: float(rows[n]["total"]),
        "complexity": lambda n: float(COMPLEXITY[rows[n]["complexity"]]),
        "size alone": lambda n: float(rows[n]["R"]["value"]),
    }
    grades = {"1": 0, "2": 0, "3": 1, "4": 1}
    procedures = {"partial_nephrectomy": 0, "radical_nephrectomy": 1}
    endpoints: dict[str, Callable[[str], int | None]] = {
        "radical against partial nephrectomy": lambda n: procedures.get(table[n].get("surgical_procedure")),
        "malignant": lambda n: None if table[n].get("malignant") is None else int(table[n]["malignant"]),
        "ISUP grade 3 or 4": lambda n: grades.get(str(table[n].get("tumor_isup_grade"))),
    }
    for title, outcome in endpoints.items():
        kept = [name for name in names if outcome(name) is not None]
        truth = np.array([outcome(name) for name in kept])
        print(f"{title}: n {len(kept)}, {int(truth.sum())} yes; AUC")
        weights = patient_resamples(kept)
        for predictor, value in predictors.items():
            scores = np.array([value(name) for name in kept])
            _print(predictor, lambda w, t=truth, s=scores: weighted_auroc(t, s, w), weights)
    kept = [name for name in names if table[name].get("vital_days_after_surgery") is not None]
    months = np.array([table[name]["vital_days_after_surgery"] / 30.44 for name in kept])
    died = np.array([table[name].get("vital_status") == "dead" for name in kept])
    print(f"survival: n {len(kept)}, {int(died.sum())} died; C-index")
    weights = patient_resamples(kept)
    for predictor, value in predictors.items():
        scores = np.array([value(name) for name in kept])
        _print(predictor, lambda w, s=scores: weighted_concordance(months, died, s, w), weights)


def _print(name: str, of: Callable[..., np.ndarray], weights: np.ndarray) -> None:
    try:
        found = interval(of, weights)
    except UndefinedMeasureError as error:
        print(f"   {name}: {error}")
        return
    print(f"   {name}: {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]")


def annotators(folder: Path, case: str, perturbations: int) -> None:
    """Measure the kidneys and the tumours that each annotator of a case drew."""
    for number in (1, 2, 3):
        parts = sorted(folder.glob(f"{case}__*_annotation-{number}.nii.gz"))
        if not parts:
            continue
        first = read_volume(parts[0])
        array = np.zeros(first.array.shape, np.uint8)
        for value, kind in ((1, "kidney"), (3, "cyst"), (2, "tumor")):
            for path in parts:
                if f"__{kind}_" in path.name:
                    array[read_volume(path).array > 0] = value
        row = measure_labels(Volume(array, first.geometry), perturbations)
        print(line(f"{case} annotator {number}", row, {}))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, required=True, help="kits23.json")
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    parser.add_argument("--instances", type=Path, help="folder of masks per annotator")
    parser.add_argument("--case", default="case_00236", help="case of --instances")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table = {row["case_id"]: row for row in json.loads(arguments.table.read_text(encoding="utf-8"))}
    kept = None if arguments.out is None else arguments.out / "measured.json"
    rows: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.is_file() else {}
    for name, path in cases(arguments.folder):
        if name not in rows:
            rows[name] = measure_case(path, arguments.perturbations)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(line(name, rows[name], table.get(name, {})), flush=True)
    sizes(rows, table)
    associations(rows, table)
    if arguments.instances:
        annotators(arguments.instances, arguments.case, arguments.perturbations)


if __name__ == "__main__":
    main()
