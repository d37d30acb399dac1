"""Statistics: time of the bootstrap against a loop, and coverage of its intervals on simulated data.

Run as ``python -m Testing.Benchmarks.evaluation``; ``--simulations`` and ``--resamples`` make it shorter or longer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from RenalCLIPCore.evaluation import classification as c
from RenalCLIPCore.evaluation.bootstrap import Measure, interval, patient_resamples
from RenalCLIPCore.evaluation.survival import weighted_concordance
from Testing.Benchmarks.rows import Row

Array = npt.NDArray[np.float64]
PATIENTS, RESAMPLES = 2000, 1000
NAIVE_RESAMPLES = 10  # of the loop, whose time is scaled up
SEPARATION = 1.2  # distance of the classes' scores in standard deviations


def five_measures(seed: int, count: int) -> dict[str, Measure]:
    """AUROC, macro AUROC, average precision, sensitivity and Harrell's C of drawn cases."""
    g = np.random.default_rng(seed)
    labels, classes = g.integers(0, 2, count), g.integers(0, 3, count)
    scores = labels + g.normal(0, 1, count)
    shares = np.eye(3)[classes] + g.normal(0, 1, (count, 3))
    hidden, censoring = g.exponential(30 * np.exp(-scores)), g.uniform(1, 100, count)
    months, event = np.minimum(hidden, censoring), hidden <= censoring
    return {
        "AUROC": lambda w: c.weighted_auroc(labels, scores, w),
        "macro AUROC": lambda w: c.weighted_macro_auroc(classes, shares, w),
        "average precision": lambda w: c.weighted_average_precision(labels, scores, w),
        "sensitivity": lambda w: c.weighted_at_threshold(labels, scores, w, 0.5)["sensitivity"],
        "Harrell's C": lambda w: weighted_concordance(months, event, scores, w),
    }


def naive_measures(seed: int, count: int) -> dict[str, Callable[[npt.NDArray[np.int64]], float]]:
    """The same by scikit-learn and lifelines, of the drawn cases themselves."""
    from lifelines.utils import concordance_index
    from sklearn import metrics

    g = np.random.default_rng(seed)
    labels, classes = g.integers(0, 2, count), g.integers(0, 3, count)
    scores = labels + g.normal(0, 1, count)
    shares = np.eye(3)[classes] + g.normal(0, 1, (count, 3))
    hidden, censoring = g.exponential(30 * np.exp(-scores)), g.uniform(1, 100, count)
    months, event = np.minimum(hidden, censoring), hidden <= censoring
    return {
        "AUROC": lambda k: metrics.roc_auc_score(labels[k], scores[k]),
        "macro AUROC": lambda k: float(
            np.mean([metrics.roc_auc_score(classes[k] == j, shares[k, j]) for j in range(3)])
        ),
        "average precision": lambda k: metrics.average_precision_score(labels[k], scores[k]),
        "sensitivity": lambda k: metrics.recall_score(labels[k], scores[k] >= 0.5),
        "Harrell's C": lambda k: concordance_index(months[k], -scores[k], event[k]),
    }


def bench_bootstrap(count: int = PATIENTS, resamples: int = RESAMPLES) -> Row:
    """Intervals of five measures against a loop over resamples; both must give the same values."""
    start, own = time.perf_counter(), time.process_time()
    weights = patient_resamples(range(count), resamples, seed=0)
    found = {name: interval(measure, weights) for name, measure in five_measures(0, count).items()}
    fast, fast_own = time.perf_counter() - start, time.process_time() - own
    picked = [np.repeat(np.arange(count), row.astype(int)) for row in weights[:NAIVE_RESAMPLES]]
    start, own = time.perf_counter(), time.process_time()
    naive = {name: [measure(k) for k in picked] for name, measure in naive_measures(0, count).items()}
    slow, slow_own = (
        np.array([time.perf_counter() - start, time.process_time() - own]) * resamples / len(picked)
    ).tolist()
    for name, measure in five_measures(0, count).items():
        np.testing.assert_allclose(measure(weights[: len(picked)]), naive[name], atol=1e-9)
        assert found[name].low < found[name].value < found[name].high
    words = (
        f"{fast:.1f} s ({fast_own:.1f} s of processor time); loop {slow:.0f} s ({slow_own:.0f} s): "
        f"{slow_own / fast_own:.0f} times"
    )
    return Row(f"{resamples} bootstrap resamples of 5 measures for {count} patients", words, "<= 20 s")


def coverage(simulations: int, count: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """Share of simulated studies whose 95 % interval holds the true value.

    Scores of two normal classes one half of the cases each: the true AUROC is Phi(d / sqrt 2). Sensitivity at a fixed
    threshold and the Brier score of a calibrated probability have closed or numerical true values. Patients bring one
    or two cases, alike in label and correlated in score.
    """
    truths = true_values()
    hits = dict.fromkeys(truths, 0)
    for number in range(simulations):
        g = np.random.default_rng((seed, number))
        for name, measure in drawn_measures(g, count).items():
            measure_of, patients = measure
            found = interval(measure_of, patient_resamples(patients, resamples, seed=number))
            hits[name] += found.low <= truths[name] <= found.high
    return {name: count_hits / simulations for name, count_hits in hits.items()}


def true_values() -> Mapping[str, float]:
    """What the simulated measures truly are."""
    grid = np.linspace(-8, 10, 200_001)
    step = grid[1] - grid[0]
    positive, negative = norm.pdf(grid, SEPARATION), norm.pdf(grid)
    p = positive / (positive + negative)
    error = 0.5 * (positive * (1 - p) ** 2 + negative * p**2)
    return {
        "AUROC": float(norm.cdf(SEPARATION / np.sqrt(2))),
        "AUROC, two kidneys a patient": float(norm.cdf(SEPARATION / np.sqrt(2))),
        "sensitivity": float(norm.sf(SEPARATION / 2, SEPARATION)),
        "Brier": float(error.sum() * step),
        "Harrell's C": _true_concordance(),
    }


def drawn_measures(g: np.random.Generator, count: int) -> dict[str, tuple[Measure, list[int]]]:
    """Measures of one simulated study, and the patient of each case."""
    labels = g.integers(0, 2, count)
    scores = SEPARATION * labels + g.normal(0, 1, count)
    p = norm.pdf(scores, SEPARATION) / (norm.pdf(scores, SEPARATION) + norm.pdf(scores))
    shared = np.repeat(g.integers(0, 2, count // 2), 2)
    common = np.repeat(g.normal(0, 1, count // 2), 2)
    paired = SEPARATION * shared + np.sqrt(0.6) * common + np.sqrt(0.4) * g.normal(0, 1, len(shared))
    risk = g.normal(0, 1, count)
    hidden, end = g.exponential(np.exp(-risk)), np.inf
    months, event = np.minimum(hidden, end), np.ones(count, dtype=bool)
    alone, two = list(range(count)), np.repeat(np.arange(count // 2), 2).tolist()
    return {
        "AUROC": (lambda w: c.weighted_auroc(labels, scores, w), alone),
        "AUROC, two kidneys a patient": (lambda w: c.weighted_auroc(shared, paired, w), two),
        "sensitivity": (
            lambda w: c.weighted_at_threshold(labels, scores, w, SEPARATION / 2)["sensitivity"], alone
        ),
        "Brier": (lambda w: c.weighted_brier(labels, p, w), alone),
        "Harrell's C": (lambda w: weighted_concordance(months, event, risk, w), alone),
    }  # fmt: skip


def _true_concordance() -> float:
    """P(the earlier event has the higher risk) for proportional hazards: E of 1 / (1 + exp(-|d|)), d of N(0, 2)."""
    grid = np.linspace(-12, 12, 200_001)
    density = norm.pdf(grid, 0, np.sqrt(2)) * (grid[1] - grid[0])
    return float((density / (1 + np.exp(-np.abs(grid)))).sum())


def bench_coverage(simulations: int, count: int, resamples: int) -> list[Row]:
    """A row per measure, with the binomial standard error of the share."""
    found = coverage(simulations, count, resamples)
    rows = []
    for name, share in found.items():
        error = 100 * np.sqrt(share * (1 - share) / simulations)
        what = f"coverage of 95 % bootstrap intervals, {name}, {count} cases"
        rows.append(Row(what, f"{100 * share:.1f} % of {simulations} (standard error {error:.1f})", "93-97 %"))
    return rows


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    rows = [bench_bootstrap(), *bench_coverage(arguments.simulations, arguments.cases, arguments.resamples)]
    print("| what | measured | reach |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.reach} |")


if __name__ == "__main__":
    main()
