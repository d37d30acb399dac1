"""The worker as a host meets it: a child process, one case, moved centres, and parameters that do not fit."""

import json
import subprocess
import sys

import jsonschema
import pytest

from RenalCLIPCore.imaging.segmentation_file import Segmentation, origin_of
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.review import CaseReview, LesionReview, decode, encode
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker import InvalidParams
from RenalCLIPCore.worker_methods import SessionMethods, worker_schema
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom, write_phantom_study


class Host:
    """A host that talks to a worker process."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "RenalCLIPCore.cli", "worker", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.notifications = []
        self.next_id = 0

    def call(self, method, **params):
        self.next_id += 1
        message = {"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}
        self.process.stdin.write((json.dumps(message) + "\n").encode())
        self.process.stdin.flush()
        while True:
            answer = self.read()
            if answer.get("id") == self.next_id:
                return answer

    def read(self):
        answer = json.loads(self.process.stdout.readline())
        if "method" in answer:
            self.notifications.append(answer)
        return answer

    def wait_for(self, method):
        while not any(item["method"] == method for item in self.notifications):
            self.read()
        return next(item["params"] for item in self.notifications if item["method"] == method)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    volumes, labels, truth = make_phantom(phases="AV")
    study, masks = write_phantom_study(folder / "study", volumes, labels)
    write_bundle(folder / "bundle", toy_contents())
    return study.folder, masks, folder / "bundle", truth


@pytest.fixture
def host(tmp_path):
    host = Host("--work", str(tmp_path / "work"), "--precision", "exact")
    yield host
    if host.process.poll() is None:
        host.close()


def valid(method, answer):
    """The result, held to the method's schema."""
    schema = worker_schema()
    jsonschema.validate(answer["result"], {**schema["methods"][method]["result"], "$defs": schema["$defs"]})
    return answer["result"]


def test_a_host_works_through_a_case(host, case, tmp_path):
    study, masks, bundle, truth = case
    assert "review.update" in valid("initialize", host.call("initialize", protocol=1))["methods"]
    assert valid("bundle.load", host.call("bundle.load", path=str(bundle)))["name"] == "toy"
    assert valid("study.open", host.call("study.open", path=str(study)))["reference"] == "A"
    lesions = valid("segment", host.call("segment", file=str(masks)))["lesions"]
    assert lesions[0]["side"] == truth.primary.side
    review = decode(CaseReview, host.call("review")["result"])
    explanation = host.wait_for("review.explanation")
    assert explanation["explanation"][0]["file"] == "explanation-L1-malignancy.nrrd"
    assert (tmp_path / "work" / explanation["explanation"][0]["file"]).is_file()
    assert host.wait_for("review.uncertainty")["uncertainty"]["centres"] > 1
    assert {item["component"] for item in host.wait_for("review.measured")["measured"]["components"]} >= set("RENAL")
    x, y, z = review.primary.centre_used.lps_mm
    answer = host.call("review.update", lesion_id="L1", centre_lps_mm=[x + 6, y, z], by="reader", why="seen better")
    moved = decode(LesionReview, answer["result"])
    assert moved.centre_used.source == "manual"
    assert moved.centre_used.lps_mm[0] == pytest.approx(x + 6)
    assert moved.predicted.out_of_distribution != review.primary.predicted.out_of_distribution
    refused = host.call("review.update", lesion_id="L1", centre_lps_mm=[9e3, y, z])
    assert refused["error"]["data"]["code"] == "centre"
    assert "Findings" not in host.call("report.draft", lesion_id="L1")["result"]["impression"]
    files = valid("review.save", host.call("review.save", out=str(tmp_path / "out")))["files"]
    assert all((tmp_path / "out").samefile(file.rsplit("/", 1)[0]) for file in files)
    assert host.close() == 0


def test_masks_of_a_model_stay_the_models_when_a_host_gives_them_back(case, tmp_path):
    study, masks, _, _ = case
    methods = SessionMethods(SessionOptions(), tmp_path)
    methods.call("study.open", {"path": str(study)}, lambda *_: None)
    labels = methods.session.segment_from_file(masks).labels
    origin = encode(origin_of(Segmentation(labels, "model", "toy", "a" * 64)))
    answer = methods.call("segment", {"file": str(masks), "origin": origin}, lambda *_: None).result
    valid("segment", {"result": answer})
    assert answer["origin"] == origin
    record = methods.session.build().segmentation
    assert (record.source, record.model, record.sha256) == ("model", "toy", "a" * 64)
    with pytest.raises(InvalidParams):
        methods.call("segment", {"origin": origin}, lambda *_: None)


def test_another_protocol_version_is_refused_with_what_to_do(host):
    error = host.call("initialize", protocol=99)["error"]
    assert "matching versions" in error["message"]


def test_nothing_is_left_in_the_work_folder_by_a_vanished_host(case, tmp_path):
    host = Host("--work", str(tmp_path / "work"))
    host.call("study.open", path=str(case[0]))
    assert host.close() == 0
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("initialize", {}),
        ("study.open", {"path": 5}),
        ("study.open", {"path": "x", "extra": 1}),
        ("segment", {"file": "a", "model": "b"}),
        ("review", {"centre_lps_mm": [1, 2]}),
        ("review.update", {"lesion_id": "../L1", "centre_lps_mm": [1, 2, 3]}),
        ("review.update", {"lesion_id": "L1", "centre_lps_mm": ["1", 2, 3]}),
        ("review.save", {"out": ""}),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_anything_runs(tmp_path, method, params):
    methods = SessionMethods(SessionOptions(), tmp_path)
    with pytest.raises(InvalidParams, match=method):
        methods.call(method, params, lambda *_: None)


def test_every_method_has_a_schema_and_every_schema_a_method(tmp_path):
    assert set(worker_schema()["methods"]) == set(SessionMethods(SessionOptions(), tmp_path).names())
    for method in worker_schema()["methods"].values():
        jsonschema.Draft202012Validator.check_schema(method["params"])
        jsonschema.Draft202012Validator.check_schema(method["result"])
