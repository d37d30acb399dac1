"""Recall by hand; ties are no success."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.retrieval import ranks, recall_at, recalls

SIMILARITY = [[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.7, 0.6, 0.1]]


def test_ranks_and_recalls_by_hand():
    assert ranks(SIMILARITY).tolist() == [1, 2, 3]
    assert [recall_at(SIMILARITY, count) for count in (1, 2, 3)] == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1]


def test_equal_similarities_count_against_the_own_item():
    assert recall_at(np.ones((4, 4)), 3) == 0
    assert recall_at(np.ones((4, 4)), 4) == 1


def test_both_directions_are_told_apart():
    images = np.array([[1.0, 0], [0.8, 0.6]])
    texts = np.array([[1.0, 0], [0.9, np.sqrt(0.19)]])
    found = recalls(images, texts, (1,))
    assert found == {"image to text R@1": 1.0, "text to image R@1": 1.0}
    assert recalls(texts, texts[::-1], (1,)) == {"image to text R@1": 0.0, "text to image R@1": 0.0}


@pytest.mark.parametrize("values", [[], [[1.0], [2.0]], [[np.nan]]])
def test_what_has_no_own_item_is_refused(values):
    with pytest.raises(UndefinedMeasureError):
        ranks(values)
