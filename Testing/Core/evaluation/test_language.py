"""Measures of language equal NLTK's and rouge-score's, and cases worked by hand."""

import warnings

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.language import language_counts, weighted_bleu, weighted_mean, words

REFERENCES = [
    "Findings: a round solid mass of 3.5 cm in the upper pole of the left kidney. Impression: malignant.",
    "Findings: no mass is seen in the right kidney. Impression: no abnormality.",
    "Findings: a cystic lesion of 2 cm, without enhancement, in the lower pole. Impression: benign cyst.",
]
GENERATED = [
    "Findings: a solid mass of 4.0 cm in the upper pole of the left kidney. Impression: malignant mass.",
    "Findings: no mass is seen in the right kidney, and no abnormality. Impression: no abnormality.",
    "Findings: a large mass in the kidney.",
]


@pytest.mark.parametrize("order", [1, 2, 4])
def test_bleu_equals_nltk(order):
    from nltk.translate.bleu_score import corpus_bleu

    counts = language_counts(GENERATED, REFERENCES)
    expected = corpus_bleu(
        [[words(text)] for text in REFERENCES], [words(text) for text in GENERATED], weights=[1 / order] * order
    )
    assert float(weighted_bleu(counts, order, np.ones(3))) == pytest.approx(expected, abs=1e-9)


def test_bleu_by_hand():
    # "a b c d" against "a b d": 3 of 4 words, 1 of 3 pairs; no penalty for length
    counts = language_counts(["a b c d"], ["a b d"])
    assert float(weighted_bleu(counts, 1, np.ones(1))) == pytest.approx(0.75)
    assert float(weighted_bleu(counts, 2, np.ones(1))) == pytest.approx(np.sqrt(0.75 / 3))
    assert float(weighted_bleu(counts, 4, np.ones(1))) == 0
    # "a b" against "a b c d": both words, penalty exp(1 - 4 / 2)
    assert float(weighted_bleu(language_counts(["a b"], ["a b c d"]), 1, np.ones(1))) == pytest.approx(np.exp(-1))


def test_a_weight_is_a_number_of_repetitions():
    counts = language_counts(GENERATED, REFERENCES)
    again = language_counts([GENERATED[0]] * 2 + [GENERATED[2]], [REFERENCES[0]] * 2 + [REFERENCES[2]])
    weights = np.array([[2.0, 0.0, 1.0]])
    for order in (1, 2, 4):
        assert weighted_bleu(counts, order, weights)[0] == pytest.approx(
            float(weighted_bleu(again, order, np.ones(3))), abs=1e-12
        )
    assert weighted_mean(counts.meteor, weights)[0] == pytest.approx(again.meteor.mean(), abs=1e-12)


def test_rouge_l_equals_rouge_score_and_a_case_by_hand():
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    expected = [scorer.score(r, g)["rougeL"].fmeasure for r, g in zip(REFERENCES, GENERATED, strict=True)]
    np.testing.assert_allclose(language_counts(GENERATED, REFERENCES).rouge_l, expected, atol=1e-12)
    # longest common subsequence "a b d" of 3: precision 3/4, recall 1
    assert language_counts(["a b c d"], ["a b d"]).rouge_l[0] == pytest.approx(2 * 0.75 / 1.75)


def test_meteor_by_hand():
    # three matches in two chunks: precision 3/4, recall 1, F = 10 P R / (R + 9 P), penalty 0.5 (2/3)^3
    mean = 10 * 0.75 / (1 + 9 * 0.75)
    assert language_counts(["a b c d"], ["a b d"]).meteor[0] == pytest.approx(mean * (1 - 0.5 * (2 / 3) ** 3))


def test_meteor_counts_stems_without_any_data_of_wordnet():
    assert language_counts(["enhancing masses"], ["enhanced mass"]).meteor[0] > 0.9


def test_an_empty_report_scores_nothing_and_an_empty_reference_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = language_counts(["", "a b c d"], ["a b c d", "a b c d"])
    assert (counts.meteor[0], counts.rouge_l[0]) == (0, 0)
    assert float(weighted_bleu(language_counts([""], ["a b"]), 1, np.ones(1))) == 0
    with pytest.raises(UndefinedMeasureError, match="empty reference"):
        language_counts(["a"], [""])
    with pytest.raises(UndefinedMeasureError, match="at least one report"):
        language_counts([], [])


def test_words_keep_numbers_whole():
    assert words("A 3.5 cm mass, SOLID.") == ["a", "3.5", "cm", "mass", ",", "solid", "."]
