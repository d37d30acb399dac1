"""Groups that were learnt from and are evaluated again are named, with how many kidneys it concerns."""

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.groups import group_digest
from RenalCLIPCore.cohort.table import CohortRow, read_cohort, write_cohort_table
from RenalCLIPCore.protocol.held_out import met_again, shared_between
from RenalCLIPCore.protocol.predictions import ONE_PHASE
from Testing.Core.protocol import study_toys as toys

COHORTS = {
    "north": [CohortRow("n1", "left", group="g1", split="training"), CohortRow("n2", "left", group="g2", split="test")],
    "south": [CohortRow("s1", "left", group="g1", split="test"), CohortRow("s2", "left", split="test")],
}


def test_a_model_that_meets_its_groups_again_is_named():
    models = {"old": frozenset(), "new": frozenset({group_digest("g1"), group_digest("other")})}
    (sentence,) = met_again(models, COHORTS, "test")
    assert sentence.startswith("1 of the 2 kidneys of south (test) belong to groups that new has learnt from")
    assert met_again({"new": frozenset({group_digest("g2")})}, COHORTS, "validation") == []


def test_cohorts_that_share_groups_across_learning_and_evaluation_are_named():
    (sentence,) = shared_between(COHORTS, "test")
    assert sentence.startswith("1 of the 2 kidneys of south (test) belong to groups that north has for learning")
    assert shared_between(COHORTS, "validation") == []


def test_the_page_and_stderr_say_it(tmp_path, capsys):
    toys.write_study(tmp_path, cases=16, settings=(ONE_PHASE,), tasks=("malignancy",))
    for name, split in (("internal", "training"), ("external", "test")):
        table = tmp_path / name / "cohort.csv"
        rows = list(read_cohort(table))
        patient = CohortRow(f"{name}-more", "left", group="mask-1", split=split)
        write_cohort_table([*rows, patient], table)
    tables = [str(tmp_path / name / "cohort.csv") for name in ("internal", "external")]
    command = ["evaluate", "predictions", "--predictions", str(tmp_path / "predictions.csv"), "--cohort", *tables]
    assert main([*command, "--resamples", "20", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert "of external (test) belong to groups that internal has for learning" in told
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("Not held out") == 1
