"""The line over a review says what was read without contradicting the cards below it."""

from dataclasses import replace

import pytest

from RenalCLIPCore.inference.records import conclusion
from Testing.Core.exchange.reviews import full_lesion


@pytest.mark.parametrize(("threshold", "read"), [(0.5, "malignant"), (0.9, "benign")])
def test_the_line_gives_the_probability_and_the_side_of_the_threshold(threshold, read):
    lesion = full_lesion()
    prediction = replace(lesion.predicted.malignancy, probability=0.65, threshold=threshold)
    line = conclusion((replace(lesion, predicted=replace(lesion.predicted, malignancy=prediction)),))
    assert f"probability of malignancy 65 %, read as {read}" in line
    assert ("recurrence-risk group if malignant" in line) == (read == "benign")


def test_without_a_lesion_the_line_says_so():
    assert conclusion(()) == "No tumour or cyst was found in the segmented kidneys."


def test_further_lesions_are_counted():
    lesion = full_lesion()
    assert conclusion((lesion, lesion)).endswith("; 1 further lesion.")
    assert conclusion((lesion, lesion, lesion)).endswith("; 2 further lesions.")
