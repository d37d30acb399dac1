"""The worker's methods cancelled at every stage that they report, and two hosts' mistakes with several requests."""

import pytest

from RenalCLIPCore.errors import Cancelled, ConfigurationError
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.output import PARTIAL
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker_methods import SessionMethods
from Testing.Core import phantom_case
from Testing.Core.imaging.nnunet_toys import write_model
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.test_worker import Bench, Client


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Paths of a small study, its masks, a bundle and an nnU-Net model."""
    folder = tmp_path_factory.mktemp("cancel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_case, "COLUMNS", 64)
        patch.setattr(phantom_case, "SLICE_MM", 10.0)
        volumes, labels, _ = phantom_case.make_phantom(phases="AV")
    study, masks = phantom_case.write_phantom_study(folder / "study", volumes, labels)
    write_bundle(folder / "bundle", toy_contents())
    return study.folder, masks, folder / "bundle", write_model(folder / "model")


def cancel_at(stage):
    """A progress that cancels at its ``stage``-th report, and the list of what it was told."""
    told = []

    def progress(fraction, words):
        told.append(words)
        if len(told) == stage:
            raise Cancelled("The request was cancelled.")

    return progress, told


def stages(methods, name, params):
    """Cancel a method at the first, middle and last of its reports; it then runs to its end."""
    progress, told = cancel_at(0)
    methods.call(name, params, progress)
    for stage in sorted({1, (len(told) + 1) // 2, len(told)} - {0}):
        progress, _ = cancel_at(stage)
        with pytest.raises(Cancelled):
            methods.call(name, params, progress)
    return methods.call(name, params, cancel_at(0)[0]), len(told)


def test_every_long_method_can_be_cancelled_at_each_stage_and_then_repeated(case, tmp_path):
    study, masks, bundle, model = case
    work = tmp_path / "work"
    work.mkdir()
    methods = SessionMethods(SessionOptions(), work)
    methods.call("bundle.load", {"path": str(bundle)}, cancel_at(0)[0])
    sources = {"sources": [str(study / "A.nrrd"), str(study / "V.nrrd")], "out": str(tmp_path / "imported")}
    phases = [f"{phase}={study / phase}.nrrd" for phase in "AV"]
    _, count = stages(methods, "study.import", {**sources, "phases": phases})
    assert count > 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imported", "work"]
    progress, told = cancel_at(1)
    with pytest.raises(Cancelled):
        methods.call("segment", {"model": str(model)}, progress)
    assert not list(work.iterdir())
    methods.call("segment", {"file": str(masks)}, cancel_at(0)[0])
    answer, count = stages(methods, "review", {})
    assert count >= 1
    lesion = answer.result["lesions"][0]["lesion_id"]
    for follow_up in answer.follow_ups:
        progress, told = cancel_at(0)
        follow_up.compute(progress)
        for stage in sorted({1, len(told)} - {0}):
            if follow_up.method == "review.measured":
                methods.session._measured.clear()
            with pytest.raises(Cancelled):
                follow_up.compute(cancel_at(stage)[0])
    assert methods.call("report.draft", {"lesion_id": lesion}, cancel_at(0)[0])
    assert not list(tmp_path.rglob(f"{PARTIAL}*"))


def test_methods_out_of_order_are_refused_in_words(tmp_path):
    methods = SessionMethods(SessionOptions(), tmp_path)
    point = {"lesion_id": "L1", "centre_lps_mm": [0, 0, 0]}
    calls = [
        ("review", {}),
        ("review.update", point),
        ("segment", {}),
        ("register", {}),
        ("report.draft", {"lesion_id": "L1"}),
    ]
    for name, params in [*calls, ("explain", {"lesion_id": "L1"}), ("measure", {"lesion_id": "L1"})]:
        with pytest.raises(ConfigurationError, match=r"study|lesion|segmentation"):
            methods.call(name, params, cancel_at(0)[0])
    with pytest.raises(ConfigurationError):
        methods.call("review.save", {"out": str(tmp_path / "out")}, cancel_at(0)[0])
    assert not (tmp_path / "out").exists()


def test_cancelling_an_answered_request_drops_its_slow_parts():
    methods = Bench()
    client = Client(methods)
    try:
        client.send(id=1, method="review", params={"lesion": "L1"})
        assert client.next()["result"] == {"lesion": "L1"}
        assert methods.started.wait(5)
        client.send(method="$/cancelRequest", params={"id": 1})
        client.send(id=2, method="echo", params={})
        assert client.next()["id"] == 2  # the slow part ended without a word, though its gate is shut
    finally:
        methods.gate.set()
        client.close()
