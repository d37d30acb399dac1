"""Scores of alignment and probes against cases that a reader can check."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.models.bundle_parts import TaskPrompts
from RenalCLIPCore.protocol.alignment_scores import (
    AlignmentScore,
    gallery_of,
    read_alignment,
    score_alignment,
    score_retrieval,
    score_zero_shot,
    to_markdown,
    write_alignment,
)
from RenalCLIPCore.protocol.probe import probe_attributes


def row(number, label=None, answers=None, **fields):
    labels = {} if label is None else {"malignancy": label}
    attributes = tuple(answers or ()) + (None,) * (14 - len(answers or ()))
    return CohortRow(f"p{number}", "left", labels=labels, attributes=attributes, **fields)


def test_the_gallery_holds_kidneys_with_a_lesion_and_stays_the_same():
    rows = [row(number, number % 2 if number % 3 else None) for number in range(30)]
    first = gallery_of(rows, 10, 4)
    assert first == gallery_of(rows, 10, 4)
    assert len(first) == 10
    assert all(rows[place].labels for place in first)
    assert len(gallery_of(rows, 200, 4)) == 20
    with pytest.raises(CohortError, match="no row carries a label"):
        gallery_of(rows[::3], 10, 4)


def test_recall_stands_beside_chance():
    embeddings = np.eye(8)
    scores = score_retrieval("toy", embeddings, embeddings, [f"p{i}" for i in range(8)], resamples=50)
    assert [score.value for score in scores] == [1.0] * 6
    assert [score.reference for score in scores] == [1 / 8, 3 / 8, 5 / 8] * 2
    assert "| toy | retrieval | image to text R@5 | 8 | 1.000 (1.000 to 1.000) | 0.625 | 1.60 |" in to_markdown(
        scores, "t"
    )


def test_zero_shot_reads_the_nearer_prompts_and_has_the_oracle_beside_it():
    prompts = TaskPrompts(("benign", "malignant"), (("a",), ("b",)), (np.array([[1.0, 0]]), np.array([[0, 1.0]])))
    images = np.array([[1.0, 0], [0.8, 0.6], [0.6, 0.8], [0, 1.0]])
    rows = [row(i, label, oracle={"malignancy": float(i in (1, 3))}) for i, label in enumerate((0, 0, 1, 1))]
    largest, drawn = score_zero_shot("toy", "malignancy", prompts, images, rows, resamples=50)
    assert (largest.value, largest.reference, largest.cases) == (1.0, 0.5, 4)
    assert (drawn.value, drawn.low, drawn.high) == (1.0, 1.0, 1.0)
    assert score_zero_shot("toy", "malignancy", prompts, images[:2], rows[:2]) == []


def test_a_probe_finds_what_the_features_hold_and_prefers_true_answers():
    generator = np.random.default_rng(0)
    answers = generator.integers(0, 3, 240)
    rows = [row(i, answers=(2, 0), true_attributes=(int(a), 0, *[None] * 12)) for i, a in enumerate(answers)]
    good = np.eye(3)[answers] + generator.normal(0, 0.1, (240, 3))
    noise = generator.normal(size=(240, 3))
    parts = [(x[:160], x[160:]) for x in (good, noise)]
    (score,) = probe_attributes(["first", "second"], *parts, (rows[:160], rows[160:]))
    assert (score.attribute, score.cases, score.answers) == ("first", 80, 3)
    assert score.trained > 0.99
    assert score.untrained < 0.7


def test_tables_of_one_and_of_several_models_are_read_back(tmp_path):
    scores = [
        AlignmentScore("north", "malignancy", "AUROC, maximum similarity", 9, 0.7, 0.6, 0.8, 0.9, model)
        for model in ("a 1", "b 1")
    ]
    assert "| b 1 | north |" in write_alignment(scores, tmp_path, "t")
    assert read_alignment(tmp_path / "alignment.csv") == scores
    lines = (tmp_path / "alignment.csv").read_text().splitlines()
    older = "\n".join(line.rpartition(",")[0] for line in lines[:2]) + "\n"
    (tmp_path / "older.csv").write_text(older)
    assert read_alignment(tmp_path / "older.csv") == [replace(scores[0], model="")]
    assert "| model |" not in to_markdown(scores[:1], "t")


def test_features_of_another_text_encoder_are_refused():
    bundle = SimpleNamespace(
        prompts={}, manifest=SimpleNamespace(name="a", version="1"), encoder=SimpleNamespace(embedding_dim=8)
    )
    texts = SimpleNamespace(features={"p0-left": np.zeros((1, 4))}, embedding_dim=4)
    with pytest.raises(CohortError, match="have 4 values, but a 1 was aligned with features of 8"):
        score_alignment(bundle, "north", [row(0)], None, texts)
