"""The truth file and its parts."""

import pytest

from RenalCLIPCore.errors import InputError
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.histology import Histology
from RenalCLIPCore.phantom.truth import read_truth, truth, write_truth


@pytest.mark.parametrize("lesion", [True, False])
def test_truth_survives_its_file(tmp_path, lesion):
    value = truth(draw_patient(3, lesion=lesion))
    write_truth(value, tmp_path / "truth.json")
    assert read_truth(tmp_path / "truth.json") == value
    assert [p.name for p in tmp_path.iterdir()] == ["truth.json"]


def test_a_study_without_lesion_has_kidneys_but_neither_renal_nor_tumour():
    value = truth(draw_patient(3, lesion=False))
    assert value.primary is None
    assert value.renal is None
    assert value.tumour is None
    assert all(90 < volume < 260 for volume in value.kidney_volumes_ml.values())


def test_benign_lesions_have_no_follow_up_and_malignant_ones_do():
    benign = truth(draw_patient(4, histology=Histology.ONCOCYTOMA)).tumour
    assert (benign.malignancy, benign.aggressiveness) == (0, 0)
    assert benign.rfs_months is None
    assert benign.oracle_log_hazard is None
    high = truth(draw_patient(4, histology=Histology.PAPILLARY_HIGH)).tumour
    assert (high.malignancy, high.aggressiveness) == (1, 1)
    assert high.rfs_months > 0
    assert high.rfs_event in (0, 1)


@pytest.mark.parametrize("text", ["", "{}", '{"version": "0.1"}', '{"version": "1.0", "seed": 1}'])
def test_a_broken_truth_file_is_refused(tmp_path, text):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(InputError):
        read_truth(tmp_path / "truth.json")


def test_a_missing_truth_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        read_truth(tmp_path / "truth.json")
