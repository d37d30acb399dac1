"""Measured nephrometry of KiTS masks against the clinical table, and three annotators of one case.

    python -m Testing.Benchmarks.nephrometry_kits KITS23 --table kits23.json --out DIR --jobs 8
    python -m Testing.Benchmarks.nephrometry_kits MASKS --table kits23.json --instances INSTANCES --case case_00236

KITS23 is the repository's ``dataset`` folder (``case_00000/segmentation.nii.gz`` ...) or a folder of
``case_00000_segmentation.nii.gz``. Measurements are kept in ``DIR/measured.json`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from RenalCLIPCore.errors import RenalCLIPError
from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.nephrometry import PERTURBATIONS, measure
from RenalCLIPCore.imaging.volume import Volume, read_volume
from RenalCLIPCore.review import Absent, Measured
from Testing.Benchmarks.nephrometry_association import associations

OUTLIER_CM, FITS_CM = 1.0, 0.6
SURE = 0.9


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
    row["others_mm"] = [item.largest_diameter_mm for item in findings.lesions[1:] if item.label == "tumour"]
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
                print(f"   {name}: measured {measured:.1f} ({variants}), table {stated:.1f}: "
                      f"{_why(rows[name], stated)}")  # fmt: skip


def _why(row: dict[str, Any], stated_cm: float) -> str:
    """What of the masks the table's size fits."""
    variants = {name: value / 10 for name, value in row["R"]["variants"].items()}
    sphere = 2 * (3 * row["volume_ml"] / (4 * np.pi)) ** (1 / 3)
    if any(abs(other / 10 - stated_cm) <= FITS_CM for other in row.get("others_mm", ())):
        return "fits another tumour of the patient, not the largest"
    fits = [name for name in ("axial", "coronal", "sagittal") if abs(variants[name] - stated_cm) <= FITS_CM]
    if fits:
        return f"fits the {' and '.join(fits)} diameter; the mask is longer in another plane"
    if abs(sphere - stated_cm) <= FITS_CM:
        return f"fits a ball of the mask's volume ({sphere:.1f} cm); the mask is elongated or has spurs"
    if min(variants.values()) < stated_cm:
        return "between the diameters in different planes; the mask is longer in one of them"
    return f"the mask is larger than the table in every plane ({row['volume_ml']:.0f} ml, ball of {sphere:.1f} cm)"


def agreement(rows: list[dict[str, Any]]) -> None:
    """Whether annotators give the same points, and else whether a stated probability is below 0.9."""
    for letter in "RENAL":
        found = [str(row[letter]["points"] or row[letter]["label"]) for row in rows]
        least = min(row[letter]["p"] or 0.0 for row in rows)
        said = "" if len(set(found)) == 1 else f"; least stated probability {least:.2f}, {_said(least)}"
        print(f"   {letter}: {', '.join(found)}{said}")


def _said(least: float) -> str:
    return "so it was said to be close" if least < SURE else "so it was NOT said to be close"


def published(row: dict[str, Any], file: Path) -> None:
    """A measurement beside the published result of the same case (seg-to-nephrometry's JSON)."""
    theirs = json.loads(file.read_text(encoding="utf-8"))
    renal = theirs["renal"]
    print(f"case_00000 published {renal['composite']}, PADUA {theirs['padua']['composite']}, C-index "
          f"{theirs['cindex']['composite']:.2f}; measured {row['text']}, PADUA {row['padua']}, C-index "
          f"{row['c_index']:.2f}")  # fmt: skip
    for letter in "RENAL":
        own = row[letter]
        print(f"   {letter}: published {renal[letter]} ({renal[letter + '_cont']:.2f}), measured "
              f"{own['points'] or own['label']} ({own['value']:.2f}; {own['source']})")  # fmt: skip


def annotators(folder: Path, case: str, perturbations: int) -> None:
    """Measure the kidneys and the tumours that each annotator of a case drew."""
    rows = []
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
        rows.append(row)
    agreement(rows)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, required=True, help="kits23.json")
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    parser.add_argument("--instances", type=Path, help="folder of masks per annotator")
    parser.add_argument("--case", default="case_00236", help="case of --instances")
    parser.add_argument("--published", type=Path, help="published result of case_00000 (JSON)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table = {row["case_id"]: row for row in json.loads(arguments.table.read_text(encoding="utf-8"))}
    kept = None if arguments.out is None else arguments.out / "measured.json"
    rows: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.is_file() else {}
    todo = [(name, path) for name, path in cases(arguments.folder) if name not in rows]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = pool.map(measure_case, [path for _, path in todo], [arguments.perturbations] * len(todo))
        for (name, _), row in zip(todo, found, strict=True):
            rows[name] = row
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for name in sorted(rows):
        print(line(name, rows[name], table.get(name, {})))
    if arguments.published:
        published(rows["case_00000"], arguments.published)
    sizes(rows, table)
    associations(rows, table)
    if arguments.instances:
        annotators(arguments.instances, arguments.case, arguments.perturbations)


if __name__ == "__main__":
    main()
