"""A small study of everything: cohorts with clinical data, several models' predictions, reports and readings."""

import csv
from dataclasses import astuple, fields, replace

import numpy as np

from RenalCLIPCore.cohort.clinical import Clinical
from RenalCLIPCore.cohort.table import EVERY_TASK_CLASSES, CohortRow, FollowUp, write_cohort_table
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.protocol.prediction_table import GeneratedReport, Reading
from RenalCLIPCore.protocol.predictions import ALL_PHASES, ONE_PHASE, Prediction, write_predictions

TASKS = ("renal_r", "renal_e", "renal_n", "renal_a", "renal_l", "malignancy", "aggressiveness", "rfs")
STRENGTHS = {"ladder": 2.0, "scratch": 0.8}
SETTINGS = ("A", "AV", "NAV", "NAVD", ONE_PHASE, ALL_PHASES)


def cohort_rows(name, count, seed, split="test", phantom=True, **changes):
    """Rows with every label, stage, grade, follow-up of three endpoints and, of phantoms, the oracle."""
    g = np.random.default_rng(seed)
    return [replace(_row(g, f"{name}-{number:03d}", split, phantom), **changes) for number in range(count)]


def _row(g, patient, split, phantom):
    labels = {task: int(g.integers(0, len(classes))) for task, classes in EVERY_TASK_CLASSES.items()
              if task != "renal_h"}  # fmt: skip
    labels["malignancy"] = int(g.uniform() < 0.75)
    labels["aggressiveness"] = labels["malignancy"] * int(g.uniform() < 0.35)
    stage = int(g.choice([1, 1, 1, 2, 3, 4]))
    hazard = 0.7 * (stage - 1) + 1.5 * labels["aggressiveness"] + 0.5 * g.normal()
    times = {"rfs": 50.0, "dss": 120.0, "os": 90.0}
    follow_up = {}
    for endpoint, scale in times.items():
        hidden, censoring = g.exponential(scale * np.exp(-hazard)) + 0.3, g.uniform(6, 100)
        follow_up[endpoint] = FollowUp(float(min(hidden, censoring)), bool(hidden <= censoring))
    oracle = {"malignancy": 0.1 + 0.8 * labels["malignancy"] * g.uniform(0.6, 1), "rfs": hazard,
              "aggressiveness": 0.1 + 0.7 * labels["aggressiveness"] * g.uniform(0.5, 1)}  # fmt: skip
    phases = [phase for phase in Phase if phase is Phase.A or g.uniform() < 0.8]
    look = str(g.choice(["solid", "solid", "solid", "cystic"]))
    person = Clinical(float(g.integers(25, 85)), str(g.choice(["female", "male"])), "", look)
    return CohortRow(
        patient=patient,
        side=str(g.choice(["left", "right"])),
        site=str(g.choice(["north", "south"])),
        split=split,
        volumes={phase: _folder() / f"{phase.value}.nii.gz" for phase in phases},
        labels=labels,
        histology="clear cell RCC" if labels["malignancy"] else "oncocytoma",
        stage=f"pT{stage}a" if labels["malignancy"] else "",
        grade=int(g.integers(1, 5)) if labels["malignancy"] else None,
        diameter_mm=float(g.uniform(10, 100)),
        clinical=person,
        follow_up=follow_up if labels["malignancy"] else {},
        findings=f"A {look} mass of 3.{patient[-1]} cm is seen in the upper pole of the kidney.",
        impression="Suspicious for malignancy." if labels["malignancy"] else "Probably benign.",
        attributes=(0, 0, 0, 1, 4, 2 if look == "solid" else 0, 6, 2, 4, *(None,) * 5),
        oracle=oracle if phantom else {},
    )  # fmt: skip


def _folder():
    from pathlib import Path

    return Path("/data")


def predictions(rows, cohort, *, models=STRENGTHS, settings=SETTINGS, fractions=((1.0, (0,)),), tasks=TASKS, seed=0):
    """Calibrated probabilities of every class, better for stronger models, more phases and more labels."""
    g = np.random.default_rng(seed)
    found = []
    for model, strength in models.items():
        for phases in settings:
            for fraction, seeds in fractions:
                for number in seeds:
                    power = strength * (0.9 + 0.05 * len(phases) * (len(phases) < 5)) * np.sqrt(fraction)
                    for row in rows:
                        found += _outputs(g, row, cohort, model, phases, fraction, number, power, tasks)
    return found


def _outputs(g, row, cohort, model, phases, fraction, number, power, tasks):
    for task in tasks:
        if task == "rfs":
            score = 0.8 * power * row.oracle.get("rfs", row.labels["aggressiveness"]) + g.normal()
            outputs = [("rfs", float(score))]
        else:
            classes = EVERY_TASK_CLASSES[task]
            logits = g.normal(0, 1, len(classes)) + power * np.eye(len(classes))[row.labels[task]]
            shares = np.exp(logits) / np.exp(logits).sum()
            outputs = list(zip(classes, map(float, shares), strict=True))
        for name, score in outputs:
            yield Prediction(row.patient, row.side, "L1", cohort, row.split, task, model, phases, fraction, number,
                             name, score)  # fmt: skip


def generated_reports(rows, cohort):
    """A model that is mostly right and one that always writes the same."""
    found = []
    for place, row in enumerate(rows):
        findings = row.findings if place % 3 else row.findings.replace("upper", "lower")
        found.append(GeneratedReport(row.patient, row.side, cohort, "ladder", findings, row.impression))
        found.append(GeneratedReport(row.patient, row.side, cohort, "nearest neighbour", rows[0].findings, "Benign."))
    return found


def readings(rows, cohort, readers=3, seed=0):
    """Readers that are right in 70 % of the cases alone, and in 85 % with the model."""
    g = np.random.default_rng(seed)
    found = []
    for reader in range(readers):
        for row in rows:
            for helped, right in ((False, 0.7), (True, 0.85)):
                label = row.labels["malignancy"]
                call = bool(label) == (g.uniform() < right)
                seconds = float(g.uniform(40, 120) - 15 * helped)
                found.append(Reading(row.patient, row.side, cohort, f"reader {reader + 1}", "malignancy", helped, call,
                                     seconds))  # fmt: skip
    return found


def write_table(path, items):
    """A table of dataclasses as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(items[0])])
        for item in items:
            writer.writerow([int(v) if isinstance(v, bool) else "" if v is None else v for v in astuple(item)])
    return path


def write_study(folder, cases=60, fractions=((1.0, (0,)),), settings=SETTINGS, tasks=TASKS):
    """Two cohorts (one of them with a validation split) with predictions, reports and readings as files."""
    tables, made, reports, read = [], [], [], []
    for number, name in enumerate(("internal", "external")):
        rows = cohort_rows(name, cases, number)
        if name == "internal":
            rows += cohort_rows("valid", cases // 2, 9, split="validation")
        (folder / name).mkdir(parents=True)
        tables.append(folder / name / "cohort.csv")
        write_cohort_table(rows, tables[-1])
        made += predictions(rows, name, seed=number, fractions=fractions, settings=settings, tasks=tasks)
        test = [row for row in rows if row.split == "test"]
        reports += generated_reports(test, name)
        read += readings(test[:40], name, seed=number) if name == "internal" else []
    write_predictions(made, folder / "predictions.csv")
    write_table(folder / "reports.csv", reports)
    write_table(folder / "readings.csv", read)
    return tables
