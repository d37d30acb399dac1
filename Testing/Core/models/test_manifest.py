import pytest

from RenalCLIPCore.errors import BundleError
from RenalCLIPCore.imaging.roi import RoiSpec
from RenalCLIPCore.models.manifest import BundleManifest, Preprocessing, Risk, is_inside
from Testing.Core.models.bundle_toys import task, toy_manifest


def text(old, new):
    manifest = toy_manifest((task("malignancy"), task("rfs")))
    changed = manifest.to_yaml().replace(old, new)
    assert changed != manifest.to_yaml()
    return changed


def test_manifest_round_trips_through_yaml():
    manifest = toy_manifest((task("renal_r", temperature=1.5), task("rfs")), phantom_trained=True)
    again = BundleManifest.from_yaml(manifest.to_yaml())
    assert again == manifest
    assert again.sha256 == manifest.sha256
    assert again.sha256 != manifest.model_copy(update={"version": "2"}).sha256


def test_preprocessing_has_the_fields_and_defaults_of_the_region_of_interest():
    assert RoiSpec(**Preprocessing().model_dump()) == RoiSpec()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("licence:", "license:", "license|licence"),
        ("fusion: random-phase", "fusion: early", "fusion"),
        ("fusion: random-phase", "fusion: random-phase\nsurprise: 1", "surprise"),
        ("width: 2", "width: 0", "width"),
        ("temperature: 1.0", "temperature: 0.0", "temperature"),
        ("threshold: 0.5", "threshold: 1.5", "threshold"),
        ("- malignant", "- benign", "class names must differ"),
        ("name: rfs", "name: malignancy", "listed twice"),
        ("name: rfs", "name: ../rfs", "name"),
        ("kind: survival", "kind: classification", "two classes"),
        ("input_shape:\n  - 128", "input_shape:\n  - 141", "input_shape"),
        ("files: {}", "files: {../a: " + "a" * 64 + "}", "leaves the bundle"),
        ("files: {}", "files: {a: abc}", "files"),
        ("files: {}", "files: &x {}\nother: *x", "YAML"),
        ("files: {}", "files: {", "YAML"),
        ("files: {}", "risk: {cohort: c, median: .nan, months: [0.0], baseline_cumulative_hazard: [0.0], "
         "survival_low: [1.0], survival_high: [1.0]}", "risk"),
    ],
)  # fmt: skip
def test_unusable_manifests_are_refused_by_name(old, new, words):
    source = text(old, new).replace("risk: null\n", "") if "risk: {" in new else text(old, new)
    with pytest.raises(BundleError, match=words):
        BundleManifest.from_yaml(source)


def test_deep_nesting_is_refused():
    with pytest.raises(BundleError):
        BundleManifest.from_yaml("[" * 5000)


def test_a_text_that_is_no_mapping_is_refused():
    with pytest.raises(BundleError):
        BundleManifest.from_yaml("just words")


def risk(**changes):
    fields = {
        "cohort": "c", "median": 0.0, "months": (0.0, 12.0), "baseline_cumulative_hazard": (0.0, 0.1),
        "survival_low": (1.0, 0.9), "survival_high": (1.0, 0.8),
    }  # fmt: skip
    return Risk(**{**fields, **changes})


def test_risk_needs_the_survival_task():
    assert toy_manifest((task("rfs"),), risk=risk()).risk is not None
    with pytest.raises(ValueError, match="survival task 'rfs'"):
        toy_manifest((task("malignancy"),), risk=risk())


@pytest.mark.parametrize(
    "changes",
    [
        {"months": (12.0, 12.0)},
        {"months": (12.0,)},
        {"baseline_cumulative_hazard": (0.2, 0.1)},
        {"survival_low": (0.9, 1.0)},
        {"survival_high": (1.0, 1.2)},
    ],
)
def test_impossible_risk_curves_are_refused(changes):
    with pytest.raises(ValueError, match=r"months|hazard|survival|value"):
        risk(**changes)


def test_prompts_need_a_projection():
    from RenalCLIPCore.models.manifest import Architecture

    with pytest.raises(ValueError, match="projection"):
        toy_manifest((), prompts=True).model_validate(
            {**toy_manifest((), prompts=True).model_dump(), "architecture": Architecture(embedding_dim=0).model_dump()}
        )


def test_capabilities_name_tasks_and_parts():
    manifest = toy_manifest((task("malignancy"), task("rfs")), risk=risk(), prompts=True)
    assert manifest.capabilities == ("malignancy", "rfs", "recurrence_curve", "zero_shot")


@pytest.mark.parametrize(("path", "inside"), [
    ("a", True), ("a/b.c", True), ("", False), ("/a", False), ("../a", False), ("a/../b", False), ("a//b", False),
    ("./a", False), ("a\\b", False), ("C:/a", False), ("a/", False),
])  # fmt: skip
def test_only_plain_relative_paths_are_inside(path, inside):
    assert is_inside(path) is inside
