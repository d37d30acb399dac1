"""The tasks of RenalCLIP: their names, their classes in the order of the label values, and R.E.N.A.L. points."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskDefinition:
    """One task.

    Attributes:
        name: As in cohort tables and bundles.
        classes: Names, in the order of the label values; empty for survival.
        points: R.E.N.A.L. points of the classes; empty where they carry none.
        component: Letter of the nephrometry component, or empty.
    """

    name: str
    classes: tuple[str, ...]
    points: tuple[int, ...] = ()
    component: str = ""


TASKS: dict[str, TaskDefinition] = {
    task.name: task
    for task in (
        TaskDefinition("renal_r", ("<=4 cm", ">4 to <7 cm", ">=7 cm"), (1, 2, 3), "R"),
        TaskDefinition("renal_e", (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"), (1, 2, 3), "E"),
        TaskDefinition("renal_n", (">=7 mm", ">4 to <7 mm", "<=4 mm"), (1, 2, 3), "N"),
        TaskDefinition("renal_a", ("anterior", "posterior", "neither"), (), "A"),
        TaskDefinition(
            "renal_l",
            (
                "outside the polar lines",
                "crosses a polar line",
                "over half across, between the lines or across the midline",
            ),
            (1, 2, 3),
            "L",
        ),
        TaskDefinition("renal_h", ("not hilar", "hilar"), (), "h"),
        TaskDefinition("malignancy", ("benign", "malignant")),
        TaskDefinition("aggressiveness", ("indolent", "aggressive")),
        TaskDefinition("rfs", ()),
    )
}
