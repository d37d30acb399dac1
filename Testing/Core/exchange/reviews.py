"""Reviews for tests: one in which every part is there, ones in which parts are absent, and any at all."""

import dataclasses
import math
import types
import typing
from dataclasses import replace

from hypothesis import strategies as st

from RenalCLIPCore import review as r

NO_BUNDLE = r.Absent("No model bundle was given.")
AT = "2025-03-04T10:20:30Z"


def phase(letter, **changes):
    record = r.PhaseRecord(
        phase=letter,
        file=f"study/{letter}.nii.gz",
        confidence=0.97,
        reason="series description and enhancement of the cortex",
        overridden=False,
        size=(512, 512, 119),
        spacing_mm=(0.74, 0.74, 1.6),
        registration=r.Registration((0.4, -1.2, 3.5), (0.1, 0.0, -0.3), 2.4, 0.7),
    )
    return replace(record, **changes)


def component(letter, names, points, probabilities):
    classes = tuple(r.ClassProbability(*item) for item in zip(names, points, probabilities, strict=True))
    best = probabilities.index(max(probabilities))
    return r.ComponentPrediction(letter, classes, best, {"A": tuple(probabilities), "V": tuple(probabilities)})


COMPONENTS = (
    component("R", ("<=4 cm", ">4 to <7 cm", ">=7 cm"), (1, 2, 3), (0.86, 0.13, 0.01)),
    component("E", (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"), (1, 2, 3), (0.28, 0.61, 0.11)),
    component("N", (">=7 mm", ">4 to <7 mm", "<=4 mm"), (1, 2, 3), (0.22, 0.19, 0.59)),
    component("A", ("anterior", "posterior", "neither"), (0, 0, 0), (0.08, 0.81, 0.11)),
    component(
        "L",
        (
            "outside the polar lines",
            "crosses a polar line",
            "over half across, between the lines or across the midline",
        ),
        (1, 2, 3),
        (0.72, 0.2, 0.08),
    ),
)


def measured_component(letter, value, unit, points, label, margin):
    return r.MeasuredComponent(
        letter, value, unit, points, label, margin, {str(points): 0.9}, "masks", ("smoothed",), 0.8,
        {"in space": 40.0}, evidence(),
    )  # fmt: skip


def evidence():
    return r.Evidence(
        (r.EvidencePlane("upper polar line", (10.0, 20.0, 30.0), (0.0, 0.0, 1.0)),),
        (r.EvidenceSegment("shortest distance", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),),
        (r.EvidencePoint("centre of the lesion", (1.0, 2.0, 3.0)),),
        (r.EvidenceShell("part outside", ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), ((0, 1, 2),)),),
    )


def recurrence():
    months = tuple(float(month) for month in range(0, 85, 3))

    def curve(hazard):
        return tuple(math.exp(-hazard * month) for month in months)

    return r.RiskPrediction(
        -0.42,
        "low",
        0.1,
        "the phantom training cohort, 320 patients",
        months,
        curve(0.0011),
        curve(0.0009),
        curve(0.0055),
    )


def full_prediction():
    return r.Predicted(
        phases_used=("N", "A", "V", "D"),
        fusion="mean of the logits of all phases",
        components=COMPONENTS,
        total=r.NephrometryTotal(7, "7p", "moderate", {"low": 0.31, "moderate": 0.62, "high": 0.07}),
        malignancy=r.BinaryPrediction(
            "malignancy",
            "malignant",
            "benign",
            0.84,
            0.5,
            "temperature 1.31",
            {"N": 0.61, "A": 0.88, "V": 0.86, "D": 0.79},
        ),
        aggressiveness=r.BinaryPrediction(
            "aggressiveness",
            "aggressive",
            "indolent",
            0.31,
            0.45,
            "temperature 1.12",
            {"N": 0.35, "A": 0.24, "V": 0.33, "D": 0.3},
        ),
        recurrence=recurrence(),
        zero_shot=(
            r.ZeroShotReading(
                "malignancy",
                "malignant",
                "benign",
                0.043,
                0.87,
                (
                    r.PromptMatch("malignant", "CT shows clear cell renal cell carcinoma.", 0.312),
                    r.PromptMatch("benign", "CT shows an angiomyolipoma of the kidney.", 0.269),
                ),
            ),
        ),
        neighbours=tuple(
            r.Neighbour(f"phantom-{number:04d}", 0.95 - 0.02 * number, facts)
            for number, facts in enumerate(
                (
                    {"histology": "clear cell carcinoma", "R.E.N.A.L.": "7p", "diameter": "36 mm"},
                    {"histology": "papillary carcinoma", "R.E.N.A.L.": "6p", "diameter": "31 mm"},
                    {"histology": "oncocytoma", "side": "right"},
                )
            )
        ),
        out_of_distribution=r.OutOfDistribution(18.4, 24.0, False, "Mahalanobis distance of the features"),
        explanation=(
            r.Explanation("malignancy: malignant", "Grad-CAM, last stage", "cam.nii.gz", (-90.0, 80.0, -120.0), 0.58),
        ),
        uncertainty=r.Uncertainty(
            tuple(
                r.TaskSpread(task, r.Absent("only one phase") if task == "rfs" else 0.05, 0.02, 0.03)
                for task in (
                    "renal_r",
                    "renal_e",
                    "renal_n",
                    "renal_a",
                    "renal_l",
                    "malignancy",
                    "aggressiveness",
                    "rfs",
                )
            ),
            augmentations=8,
            centres=8,
            jitter_mm=3.0,
        ),
    )


def full_lesion():
    return r.LesionReview(
        lesion_id="L1",
        side="right",
        label="tumour",
        primary=True,
        volume_ml=24.1,
        largest_diameter_mm=38.2,
        axial_diameter_mm=35.0,
        centre_proposed=r.Centre((-94.0, 74.0, -120.8), "segmentation", "RenalCLIP", AT, "largest axial area"),
        centre_used=r.Centre((-96.3, 76.7, -120.8), "manual", "Reader 1", AT, "the mask misses the dorsal part"),
        roi_inside=0.983,
        predicted=full_prediction(),
        measured=r.Measured(
            (
                measured_component("R", 38.2, "mm", 1, "<=4 cm", 1.8),
                measured_component("E", 61.0, "%", 1, ">=50 % exophytic", 11.0),
                measured_component("N", 2.1, "mm", 3, "<=4 mm", 1.9),
                measured_component("A", 0.0, "", 0, "posterior", 0.0),
                measured_component("L", 0.0, "", 1, "outside the polar lines", 0.0),
                measured_component("h", 0.0, "", 0, "not hilar", 0.0),
            ),
            r.NephrometryTotal(6, "6p", "low", {"low": 0.7, "moderate": 0.3, "high": 0.0}),
            ("The lower pole is cut.",),
            r.PaduaScore(8, "8p", "intermediate", (r.ScoreItem("Renal rim", "lateral", 1),)),
            r.CentralityIndex(1.4, 20.0, 18.0, 19.1, evidence()),
            0.8,
            {"a_band_mm": "10"},
            evidence(),
        ),
        report=r.ReportDraft(
            "A 3.8 cm mass at the upper pole of the right kidney, posterior, less than 50 % exophytic.\n"
            "It enhances in the arterial phase. No mass in the left kidney.",
            "Right renal mass, R.E.N.A.L. 7p. The network reads it as malignant (84 %).",
            "structured",
        ),
        pictures={},
        predecessor=predecessor(),
    )


def predecessor(**changes):
    def binary(task, positive, negative, probability):
        return r.BinaryPrediction(task, positive, negative, probability, 0.5, "temperature 1.2", {"A": probability})

    found = r.Predecessor(
        phases_used=("N", "A", "V"),
        phases_missing=(),
        malignancy=binary("malignancy", "malignant", "benign", 0.79),
        aggressiveness=binary("aggressiveness", "aggressive", "indolent", 0.23),
        score=2.3,
        agreement={"malignancy": "agree", "aggressiveness": "agree"},
        slice_centre_lps_mm=(-96.3, 76.7, -120.8),
        explanation=(
            r.Explanation(
                "Predecessor, malignancy: malignant",
                "Grad-CAM on the axial slice, last stage, mean over N, A, V",
                "predecessor-L1-malignancy.nrrd",
                (-92.0, 79.0, -120.8),
                0.41,
            ),
        ),
    )
    return replace(found, **changes)


def absent_prediction(reason):
    gone = r.Absent(reason)
    return r.Predicted(("A",), "single phase", gone, gone, gone, gone, gone, gone, gone, gone, gone, gone)


def absent_lesion(**changes):
    gone = r.Absent("No lesion is segmented here.")
    lesion = r.LesionReview(
        "L1",
        "left",
        "point",
        True,
        gone,
        gone,
        gone,
        gone,
        gone,
        gone,
        NO_BUNDLE,
        r.Absent("There is no mask."),
        NO_BUNDLE,
    )
    return replace(lesion, **changes)


def full_review():
    return r.CaseReview(
        schema_version=r.SCHEMA_VERSION,
        study=r.StudyRecord(
            "RC-7f3a91c2",
            "study",
            "A",
            tuple(phase(letter) for letter in "NAVD"),
            r.Identifiers("Doe^Jane", "4711", "20250301", "A-9"),
            ("One localiser was left out.",),
        ),
        segmentation=r.SegmentationRecord(
            "labels.nii.gz", "model", "phantom-nnunet 1.0", "ab" * 32, {"left": 182.0, "right": 205.4}, ("Mirrored.",)
        ),
        conclusion="3.8 cm tumour of the right kidney, R.E.N.A.L. 7p, probably malignant (84 %), low recurrence risk.",
        lesions=(full_lesion(),),
        provenance=r.Provenance(
            created=AT,
            core_version="0.1.0",
            libraries={"torch": "2.13.0", "numpy": "2.4.6", "SimpleITK": "2.5.7"},
            bundle="phantom-demo 1.0",
            bundle_sha256="cd" * 32,
            trained_on="400 digital phantoms; no patient",
            intended_use="Research only. Not for clinical use.",
            options={"phases": "N A V D", "registration": "off"},
            seconds={"import": 2.1, "segment": 31.4, "read": 0.52},
        ),
        edits=(
            r.Edit("/lesions/0/centre_used", "null", '{"lps_mm": [1, 2, 3]}', "Reader 1", AT, "mask misses a part"),
        ),
        sign_off=(r.SignOff("malignancy", "accepted", "agrees with my reading", "Reader 1", AT),),
    )


def empty_review():
    gone = r.Absent("not asked for")
    return r.CaseReview(
        schema_version=r.SCHEMA_VERSION,
        study=r.StudyRecord("RC-0", "study", "V", (phase("V", registration=gone),), gone),
        segmentation=r.Absent("No segmentation model was given."),
        conclusion="No lesion was looked for.",
        lesions=(),
        provenance=r.Provenance(
            AT, "0.1.0", {}, NO_BUNDLE, NO_BUNDLE, NO_BUNDLE, "Research only. Not for clinical use.", {}, {}
        ),
    )


def absent_review():
    """A review with one lesion of which nothing is known."""
    return replace(empty_review(), lesions=(absent_lesion(),), conclusion="Nothing can be said.")


def values(kind):
    """A strategy for any annotated type of the review."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values(argument) for argument in arguments))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {item.name: values(hints[item.name]) for item in dataclasses.fields(kind)}
        return st.builds(kind, **fields)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(argument) for argument in arguments))
    if origin is dict:
        return st.dictionaries(st.text(max_size=4), values(arguments[1]), max_size=2)
    simple = {str: st.text(max_size=6), bool: st.booleans(), int: st.integers(-99, 99)}
    return simple[kind] if kind in simple else st.floats(allow_nan=False, allow_infinity=False)
