"""The rooms import one another only along the arrows of the design."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "RenalCLIPCore"
FREE = {"errors", "review", "review_reading", "output", "progress", "resources"}
ARROWS = {
    "imaging": set(),
    "text": set(),
    "models": set(),
    "evaluation": set(),
    "cohort": {"imaging", "text"},
    "training": {"cohort", "text", "models", "evaluation"},
    "inference": {"imaging", "text", "models"},
    "phantom": {"imaging", "text", "cohort"},
    "exchange": {"imaging"},
    "protocol": {"cohort", "text", "models", "inference", "evaluation"},
    "reading": set(),
}
HOSTS = {"slicer", "qt", "vtk", "ctk", "PySide6", "PythonQt"}
FORBIDDEN_NAMES = {"utils", "misc", "common", "helpers"}


def imported(path):
    """(core parts, top-level packages) that a module imports anywhere in its code."""
    parts, packages = set(), set()
    depth = len(path.relative_to(CORE).parts) - 1
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level - 1 == depth:
                parts |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
            continue
        else:
            continue
        for name in names:
            packages.add(name.split(".")[0])
            if name.startswith("RenalCLIPCore."):
                parts.add(name.split(".")[1])
    return parts, packages


def modules():
    return sorted(CORE.rglob("*.py"))


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_along_its_arrows(room):
    allowed = ARROWS[room] | FREE | {room}
    for path in (CORE / room).rglob("*.py"):
        parts, _ = imported(path)
        known = {part for part in parts if (CORE / part).is_dir() or (CORE / f"{part}.py").is_file()}
        assert known <= allowed, f"{path.relative_to(CORE)} imports {sorted(known - allowed)}"


def test_every_room_has_its_arrows_written_down():
    rooms = {path.name for path in CORE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms - {"commands"} == set(ARROWS)


def test_the_core_knows_no_host_and_no_vague_names():
    for path in modules():
        _, packages = imported(path)
        assert not packages & HOSTS, path
        assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("file", sorted({path.name for path in CORE.glob("review*.py")} | {"errors.py"}))
def test_what_ships_inside_slicer_needs_the_standard_library_alone(file):
    _, packages = imported(CORE / file)
    assert packages <= set(sys.stdlib_module_names) | {"__future__"}


def test_nnunet_and_unsafe_loading_stay_in_their_places():
    for path in modules():
        _, packages = imported(path)
        if "nnunetv2" in packages:
            assert path.parent.name == "imaging"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path


def test_importing_the_core_or_asking_for_help_loads_nothing_heavy():
    code = (
        "import sys; import RenalCLIPCore.cli as c; c.build_parser(); "
        "import RenalCLIPCore.review, RenalCLIPCore.imaging, RenalCLIPCore.models, RenalCLIPCore.inference;"
        "heavy = {'torch', 'monai', 'nnunetv2', 'numpy', 'SimpleITK', 'pandas', 'pydantic', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_wheel_ships_every_room_and_the_resources():
    project = tomllib.loads((CORE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = {f"RenalCLIPCore.{path.parent.name}" for path in CORE.glob("*/__init__.py")}
    others = {"RenalCLIPCore", "RenalCLIPResources", "RenalCLIPDesktop", "RenalCLIPDesktop.SlicerModule"}
    assert set(project["tool"]["setuptools"]["packages"]) == rooms | others
