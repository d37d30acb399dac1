"""The extension is complete: every file is in a CMake list, and what runs inside Slicer 5.8 reads on its Python 3.9."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "RenalCLIPSlicer"
LIBRARY = MODULE / "RenalCLIPSlicerLib"
LIGHT = (
    "__init__.py",
    "errors.py",
    "review.py",
    "review_json.py",
    "review_measured.py",
    "review_predicted.py",
    "review_reading.py",
    "review_study.py",
)
SCRIPTS = sorted(path for path in [MODULE / "RenalCLIPSlicer.py", *LIBRARY.rglob("*.py")])
INSIDE = [*SCRIPTS, *(ROOT / "RenalCLIPCore" / name for name in LIGHT)]


def cmakeList(text, name):
    """The entries of set(NAME ...), with the module's name filled in."""
    body = re.search(rf"set\({name}\s+(.*?)\)", text, re.DOTALL)[1]
    return {entry.replace("${MODULE_NAME}", "RenalCLIPSlicer") for entry in body.split()}


@pytest.fixture(scope="module")
def cmake():
    return (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")


def test_every_script_is_listed_and_every_listed_script_exists(cmake):
    listed = {name for name in cmakeList(cmake, "MODULE_PYTHON_SCRIPTS") if not name.startswith("${")}
    assert listed == {str(path.relative_to(MODULE)) for path in SCRIPTS}


def test_every_resource_is_listed_and_every_listed_resource_exists(cmake):
    there = {str(path.relative_to(MODULE)) for path in (MODULE / "Resources").rglob("*") if path.is_file()}
    assert cmakeList(cmake, "MODULE_PYTHON_RESOURCES") == there


def test_the_light_core_files_ship_and_import_nothing_but_the_standard_library(cmake):
    shipped = re.search(r"foreach\(script\s+(.*?)\)", cmake, re.DOTALL)[1].split()
    assert tuple(shipped) == LIGHT
    for name in shipped:
        tree = ast.parse((ROOT / "RenalCLIPCore" / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {item.split(".")[0] for item in names} <= set(sys.stdlib_module_names) | {"__future__"}, name


def test_the_extension_says_what_slicers_catalogue_asks_for():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    wanted = {"HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"}
    values = dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"$]+)"\)', text, re.MULTILINE))
    assert set(values) == wanted, "the Extensions Index reads literal values"
    assert values["DEPENDS"] == "PyTorch"
    addresses = [values[name] for name in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS")]
    assert all(address == "NA" or address.startswith("https://") for address in addresses)
    assert "example.com" not in text
    assert "not for clinical use" in text.lower()
    assert (ROOT / "LICENSE.txt").is_file()


def test_the_self_test_is_registered(cmake):
    assert "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py)" in cmake


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: path.name)
def test_a_script_reads_on_python_39(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "zip":
            assert not call.keywords, "zip(strict=...) needs Python 3.10"
        if isinstance(call.func, ast.Name) and call.func.id == "dataclass":
            assert not {item.arg for item in call.keywords} & {"slots", "kw_only"}
    later = {"UTC", "StrEnum", "UnionType", "TypeAlias", "Self", "override"}
    taken = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not taken & later


def test_the_shell_stays_a_shell():
    assert len((MODULE / "RenalCLIPSlicer.py").read_text(encoding="utf-8").splitlines()) < 150


def test_mrml_is_in_the_scene_files_alone_and_frames_are_turned_in_one_place():
    nodes = re.compile(r"AddNewNodeByClass|GetNthControlPoint|vtkMatrix4x4|GetIJKToRAS|SetBackgroundVolumeID")
    for path in SCRIPTS:
        if not path.name.startswith("Scene"):
            assert not nodes.search(path.read_text(encoding="utf-8")), path.name
    turning = [path.name for path in SCRIPTS if "return -x, -y, z" in path.read_text(encoding="utf-8")]
    assert turning == ["SceneMarks.py"]


def test_no_script_starts_a_thread_or_imports_what_is_heavy():
    heavy = {"torch", "monai", "nnunetv2", "SimpleITK", "pydicom", "threading", "concurrent", "multiprocessing"}
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            assert not {name.split(".")[0] for name in names} & heavy, path.name


def test_the_case_is_plain_python():
    code = (
        "import sys; import RenalCLIPSlicerLib.CaseLogic, RenalCLIPSlicerLib.Words, RenalCLIPSlicerLib.Requirements;"
        "print(sorted({'qt', 'slicer', 'vtk', 'PySide6', 'numpy', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=MODULE, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_form_names_every_widget_that_the_panels_use():
    form = ElementTree.parse(MODULE / "Resources" / "UI" / "RenalCLIPSlicer.ui")
    names = {widget.get("name") for widget in form.iter("widget")}
    used = set()
    for path in SCRIPTS:
        used |= set(re.findall(r"\bui\.([a-z]\w+)", path.read_text(encoding="utf-8")))
    assert used <= names | {"RenalCLIPSlicer"}
    assert {f"phase{phase}{kind}" for phase in "NAVD" for kind in ("Selector", "Label")} <= names


def test_the_worklists_form_names_every_widget_that_its_panel_uses():
    form = ElementTree.parse(MODULE / "Resources" / "UI" / "Worklist.ui")
    names = {widget.get("name") for widget in form.iter("widget")}
    used = set(re.findall(r"\bform\.([a-z]\w+)", (LIBRARY / "Panels" / "WorklistPanel.py").read_text(encoding="utf-8")))
    assert used
    assert used <= names


@pytest.mark.parametrize("form", ["RenalCLIPSlicer.ui", "Worklist.ui"])
def test_a_key_that_a_tool_tip_names_is_a_key_of_the_module(form):
    text = (MODULE / "Resources" / "UI" / form).read_text(encoding="utf-8")
    named = set(re.findall(r"<string>[^<]*\(((?:\w+\+)*(?:[A-Z]|[A-Z][a-z]+))\)</string>", text))
    keys = set(re.findall(r'"([\w+]+)": \w+\.on', (LIBRARY / "Shortcuts.py").read_text(encoding="utf-8")))
    assert named
    assert named <= keys


def test_every_selector_of_the_form_follows_the_scene():
    form = ElementTree.parse(MODULE / "Resources" / "UI" / "RenalCLIPSlicer.ui")
    boxes = {widget.get("name") for widget in form.iter("widget") if widget.get("class") == "qMRMLNodeComboBox"}
    wired = {
        item.find("receiver").text for item in form.iter("connection") if item.find("slot").text.startswith("setMRML")
    }
    assert boxes == wired


FAKE_SLICER = """
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/Use.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
"""
FAKE_USE = """
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    set(name ${file})
    if(IS_ABSOLUTE ${file})
      file(RELATIVE_PATH name ${CMAKE_CURRENT_BINARY_DIR} ${file})
    endif()
    get_filename_component(folder ${name} DIRECTORY)
    install(FILES ${file} DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder})
  endforeach()
endfunction()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The extension as CMake installs it, with a stand-in for Slicer's own CMake files."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    folder = tmp_path_factory.mktemp("cmake")
    (folder / "SlicerConfig.cmake").write_text(FAKE_SLICER)
    (folder / "Use.cmake").write_text(FAKE_USE)
    (folder / "Nothing.cmake").write_text("")
    source = ["-S", str(ROOT), "-B", str(folder / "build"), f"-DSlicer_DIR={folder}"]
    subprocess.run(["cmake", *source], check=True, capture_output=True)
    subprocess.run(["cmake", "--install", folder / "build", "--prefix", folder / "at"], check=True, capture_output=True)
    return folder / "at" / "lib" / "qt-scripted-modules"


def test_the_installed_module_runs_on_the_light_copy_beside_it(installed):
    code = "import RenalCLIPSlicerLib.CaseLogic, RenalCLIPCore.review; print(RenalCLIPCore.review.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=installed, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == installed / "RenalCLIPCore" / "review.py"


def test_the_core_ships_as_a_source_that_pip_can_install(installed):
    shipped = installed / "RenalCLIPSource"
    settings = tomllib.loads((shipped / "pyproject.toml").read_text(encoding="utf-8"))
    places = settings["tool"]["setuptools"]["package-dir"]
    for package in settings["tool"]["setuptools"]["packages"]:
        top = next(name for name in sorted(places, key=len, reverse=True) if f"{package}.".startswith(f"{name}."))
        folder = shipped / places[top] / package[len(top) :].replace(".", "/").lstrip("/")
        assert folder.is_dir(), package
    assert all((shipped / name).is_file() for name in ("README.md", "LICENSE.txt", "RenalCLIPCore/cli.py"))
    assert (shipped / "Resources" / "bundles" / "phantom-demo" / "encoder.safetensors").is_file()
    assert not list(shipped.rglob("__pycache__"))
