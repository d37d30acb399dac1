"""Agreement of answers with references."""

import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.agreement import UNKNOWN, agreement


def test_agreement_is_the_share_of_equal_answers_where_the_reference_is_known():
    found = agreement([0, 1, 2, UNKNOWN, 0], [0, 1, 1, 1, UNKNOWN], [1, 1, 2, 3, 4], resamples=200)
    assert found.share.value == 0.5
    assert (found.samples, found.commonest) == (4, 0.75)
    assert 0 <= found.share.low <= 0.5 <= found.share.high <= 1


def test_patients_are_resampled_as_a_whole():
    one = agreement([0, 0, 1, 1] * 10, [0, 0, 0, 0] * 10, ["a", "a", "b", "b"] * 10, resamples=500)
    many = agreement([0, 0, 1, 1] * 10, [0, 0, 0, 0] * 10, list(range(40)), resamples=500)
    assert one.share.high - one.share.low > 2 * (many.share.high - many.share.low)


def test_without_a_known_reference_there_is_no_agreement():
    with pytest.raises(UndefinedMeasureError):
        agreement([0], [UNKNOWN], [1])
