"""The worker as the module's child process: its environment, cancels, crashes, wrong Pythons, and a whole case."""

import os
import signal
import stat
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path

import pytest

from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.review import Absent
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom, write_phantom_study

LONG_S = 240.0

ECHO = """#!{python}
import json, os, sys, time
os.setsid()
child = os.fork()
if child == 0:
    time.sleep(600)
open(os.environ["PIDS"], "w").write(f"{{os.getpid()}} {{child}}")
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "wait":
        continue
    if "id" in message:
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": dict(os.environ)}}), flush=True)
"""


WORKER = """#!{python}
import json, os, sys, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import StartWorker
StartWorker.stepAside()
child = os.fork()
if child == 0:
    time.sleep(600)
open(os.environ["PIDS"], "w").write(f"{{os.getpid()}} {{child}}")
while True:
    time.sleep(1)
"""
LAUNCHER = '#!/bin/sh\n"{worker}" "$@"\nexit $?\n'  # as PythonSlicer: starts the real Python and waits for it


def running(pid):
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def make(driver, tmp_path, monkeypatch):
    """Makes a CoreProcess whose Python is a script."""
    from RenalCLIPSlicerLib import CoreProcess as module

    made = []
    monkeypatch.setattr(module, "PATIENCE_MS", 300)

    def build(script, **variables):
        python = tmp_path / "python"
        python.write_text(script)
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        environment = {"PATH": os.environ["PATH"], "PIDS": str(tmp_path / "pids"), **variables}
        process = module.CoreProcess(
            lambda: str(python), str(tmp_path / "work"), lambda: environment, lambda path: f"Install it in {path}."
        )
        process.told = []
        process.ended = process.told.append
        made.append(process)
        return process

    yield build
    for process in made:
        process.stop()


def echo():
    return ECHO.format(python=sys.executable)


def pids(tmp_path):
    return [int(text) for text in (tmp_path / "pids").read_text().split()]


def test_the_child_gets_a_clean_environment(driver, make):
    process = make(
        echo(),
        PYTHONHOME="/opt/Slicer/lib/Python",
        PYTHONPATH="/opt/Slicer/bin/Python",
        SLICER_HOME="/opt/Slicer",
        LD_LIBRARY_PATH="/opt/Slicer/lib:/usr/local/cuda/lib64:/opt/SlicerOther",
    )
    assert process.start() is None
    answers = []
    process.request("hello", {}, answers.append, answers.append)
    driver.wait(lambda: answers, 20, "the answer")
    assert "PYTHONHOME" not in answers[0]
    assert "PYTHONPATH" not in answers[0]
    assert answers[0]["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64:/opt/SlicerOther"


def test_a_request_that_does_not_listen_to_a_cancel_is_ended_with_its_children(driver, make, tmp_path):
    process = make(echo())
    process.start()
    ready, failed = [], []
    process.request("hello", {}, ready.append, failed.append)
    driver.wait(lambda: ready, 20, "the process")
    number = process.request("wait", {}, ready.append, failed.append)
    process.cancel(number)
    driver.wait(lambda: failed, 20, "the end")
    assert failed[0].cancelled
    assert process.told == [""], "a cancel is no crash"
    driver.wait(lambda: not any(running(pid) for pid in pids(tmp_path)), 20, "the processes to go")
    assert not process.running


@pytest.fixture
def launched(driver, make, tmp_path):
    """A process whose Python is a launcher of the real one."""
    worker = tmp_path / "python-real"
    worker.write_text(WORKER.format(python=sys.executable))
    worker.chmod(0o755)
    process = make(LAUNCHER.format(worker=worker))
    assert process.start() is None
    driver.wait(lambda: (tmp_path / "pids").is_file() and len(pids(tmp_path)) == 2, 20, "the worker")
    return process


@pytest.mark.parametrize("end", ["cancel", "stop"])
def test_a_worker_behind_a_launcher_is_ended_too(driver, launched, tmp_path, end):
    launcher, failed = launched.processId, []
    assert launcher not in pids(tmp_path)
    number = launched.request("wait", {}, failed.append, failed.append)
    launched.cancel(number) if end == "cancel" else launched.stop()
    driver.wait(lambda: failed, 20, "the end")
    assert failed[0].cancelled
    driver.wait(lambda: not any(running(pid) for pid in [launcher, *pids(tmp_path)]), 20, "the processes to go")


def test_a_worker_whose_launcher_is_killed_goes_too(driver, launched, tmp_path):
    os.kill(launched.processId, signal.SIGKILL)
    driver.wait(lambda: launched.told, 20, "the message")
    driver.wait(lambda: not any(running(pid) for pid in pids(tmp_path)), 20, "the processes to go")


def test_a_killed_process_is_said_and_can_be_started_again(driver, make, tmp_path):
    process = make(echo())
    process.start()
    answers, failed = [], []
    process.request("hello", {}, answers.append, failed.append)
    driver.wait(lambda: answers, 20, "the process")
    process.request("wait", {}, answers.append, failed.append)
    first = pids(tmp_path)
    os.kill(process.processId, signal.SIGKILL)
    driver.wait(lambda: failed, 20, "the message")
    driver.wait(lambda: not any(running(pid) for pid in first), 20, "its children to go")
    assert "ended unexpectedly" in failed[0].message
    assert process.told == [failed[0].message]
    assert process.start() is None
    process.request("hello", {}, answers.append, failed.append)
    driver.wait(lambda: len(answers) == 2, 20, "the new process")


def test_a_python_that_does_not_exist_is_named_with_the_command(driver, tmp_path):
    from RenalCLIPSlicerLib import Requirements
    from RenalCLIPSlicerLib.CoreProcess import CoreProcess

    process = CoreProcess(lambda: "/no/such/python", str(tmp_path), dict, Requirements.advice)
    assert "/no/such/python -m pip install" in process.start()
    failed = []
    process.request("hello", {}, failed.append, failed.append)
    assert len(failed) == 1


@pytest.mark.parametrize(
    ("code", "said"), [(81, "RenalCLIP is not installed"), (82, "it lacks torch"), (2, "is of another version")]
)
def test_a_python_without_the_core_is_said_with_the_command(driver, make, code, said):
    process = make(f"#!/bin/sh\necho '{said} in this Python.' >&2\nexit {code}\n")
    process.start()
    failed = []
    process.request("initialize", {}, failed.append, failed.append)
    driver.wait(lambda: failed, 20, "the message")
    assert said in failed[0].message
    assert "Install it in" in failed[0].message


def test_the_install_command_quotes_and_names_the_checkout(driver):
    from RenalCLIPSlicerLib import Requirements

    command = Requirements.installCommand("/opt/my python/bin/python")
    assert command.startswith('"/opt/my python/bin/python" -m pip install ')
    assert command.endswith(str(Path(__file__).resolve().parents[2]))
    Requirements.nameSource("/opt/renalclip.whl")
    assert Requirements.installCommand("").endswith("-m pip install /opt/renalclip.whl")


def test_the_source_that_the_extension_ships_is_found_and_without_one_a_place_is_asked_for(
    driver, monkeypatch, tmp_path
):
    from RenalCLIPSlicerLib import Requirements

    modules = tmp_path / "lib" / "qt-scripted-modules"
    (modules / "RenalCLIPSlicerLib").mkdir(parents=True)
    monkeypatch.setattr(Requirements, "__file__", str(modules / "RenalCLIPSlicerLib" / "Requirements.py"))
    assert Requirements.installSource() == ""
    assert Requirements.PLACE in Requirements.advice("/opt/python")
    assert "Install from" in Requirements.installIntoOwnPython()
    (modules / Requirements.SHIPPED).mkdir()
    (modules / Requirements.SHIPPED / "pyproject.toml").write_text("")
    assert Requirements.installSource() == str(modules / Requirements.SHIPPED)
    assert Requirements.PLACE not in Requirements.advice("/opt/python")


def test_a_chosen_python_is_remembered_and_the_variable_comes_first(driver, monkeypatch):
    from RenalCLIPSlicerLib import Requirements

    monkeypatch.delenv(Requirements.VARIABLE, raising=False)
    assert Requirements.chosenPython() == Requirements.ownPython()
    Requirements.choosePython("/opt/python")
    assert Requirements.chosenPython() == "/opt/python"
    monkeypatch.setenv(Requirements.VARIABLE, "/other/python")
    assert Requirements.chosenPython() == "/other/python"


def test_without_the_pytorch_extension_nothing_is_installed(driver):
    from RenalCLIPSlicerLib import Requirements

    assert "PyTorch extension" in Requirements.installIntoOwnPython()


@pytest.mark.parametrize("installed", [True, False])
def test_the_installed_core_is_found_behind_the_extensions_light_copy(tmp_path, installed):
    from RenalCLIPSlicerLib import Requirements

    light, site = tmp_path / "qt-scripted-modules", tmp_path / "site-packages"
    for package in (light / "RenalCLIPCore", *(site / name for name in ("RenalCLIPCore", "torch", "monai"))):
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
    (site / "RenalCLIPCore" / "cli.py").write_text("")
    if installed:
        (site / "renalclip-0.1.0.dist-info").mkdir()
        (site / "renalclip-0.1.0.dist-info" / "METADATA").write_text("Name: renalclip\nVersion: 0.1.0\n")
    module = Path(Requirements.__file__).parents[1]
    code = (
        f"import sys; sys.path[:] = ['{light}', '{module}', *sys.path, '{site}']; "
        "from RenalCLIPSlicerLib.Requirements import ownPythonHasCore; print(ownPythonHasCore())"
    )
    command = [sys.executable, "-S", "-E", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(installed)


@pytest.fixture
def oldSlicer(driver, monkeypatch):
    """A Slicer without slicer.packaging, whose person agrees; what its pip was asked for, with the constraints."""
    import slicer

    asked = []

    def pip_install(requirements):
        asked.append((requirements[-1], Path(requirements[requirements.index("-c") + 1]).read_text().split()))

    torch = types.SimpleNamespace(torchInstalled=lambda: True)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: torch))
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: True)
    monkeypatch.setattr(slicer.util, "pip_install", pip_install, raising=False)
    return asked


def test_an_older_slicer_keeps_the_packages_that_it_brings(oldSlicer):
    from RenalCLIPSlicerLib import Requirements

    assert Requirements.installIntoOwnPython() == ""
    (source, constraints), *others = oldSlicer
    assert not others
    assert source == Requirements.installSource()
    for name in ("SimpleITK", "numpy", "torch"):
        assert f"{name}=={version(name)}" in constraints


def test_a_package_whose_version_pip_cannot_see_is_not_put_at_risk(oldSlicer, monkeypatch):
    from RenalCLIPSlicerLib import Requirements

    seen = Requirements._version
    monkeypatch.setattr(Requirements, "_version", lambda name: "" if name == "SimpleITK" else seen(name))
    said = Requirements.installIntoOwnPython()
    assert "SimpleITK" in said
    assert "another Python" in said
    assert oldSlicer == []


def test_a_pip_that_fails_is_said(oldSlicer, monkeypatch):
    import slicer
    from RenalCLIPSlicerLib import Requirements

    def fails(requirements):
        raise subprocess.CalledProcessError(1, requirements)

    monkeypatch.setattr(slicer.util, "pip_install", fails)
    assert "another Python" in Requirements.installIntoOwnPython()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small study, its masks and a toy bundle."""
    folder = tmp_path_factory.mktemp("case")
    volumes, labels, truth = make_phantom(phases="AV")
    study, masks = write_phantom_study(folder / "study", volumes, labels)
    write_bundle(folder / "bundle", toy_contents())
    return study.folder, masks, folder / "bundle", truth


@pytest.mark.timeout(600)
def test_one_phase_alone_is_read_by_the_real_worker(driver, small, tmp_path):
    """The venous volume alone, chosen in the panel: imported, read, moved."""
    import slicer

    study, masks, bundle, _ = small
    widget = driver.open_module()
    case, parts = widget.logic.case, widget.parts
    case.bundle = str(bundle)
    parts.ui.phaseVSelector.setCurrentNode(slicer.util.loadVolume(str(next(study.glob("*V*.nrrd")))))
    driver.settle(0.05)
    parts.ui.usePhasesButton.click()
    driver.wait(lambda: not case.busy, LONG_S, "the study")
    assert case.message[1] == "", case.message
    assert [item["phase"] for item in case.state.study["phases"]] == ["V"]
    labelmap = slicer.util.loadLabelVolume(str(masks))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labelmap, node)
    for number, name in enumerate(("kidney", "tumour", "cyst")[: node.GetSegmentation().GetNumberOfSegments()]):
        node.GetSegmentation().GetNthSegment(number).SetName(name)
    parts.ui.masksSelector.setCurrentNode(node)
    driver.settle(0.05)
    parts.ui.useMasksButton.click()
    driver.wait(lambda: not case.busy, LONG_S, "the reading")
    assert case.state.lesionReview().predicted.phases_used == ("V",)
    driver.wait(lambda: not case.later.underWay, LONG_S, "the parts that follow")
    driver.wait(lambda: parts.settled, 60, "the window")
    assert "Phases used" in str(parts.ui.qualityLabel.text)
    case.centres.nudge(3.0, 0.0, 0.0)
    driver.wait(lambda: not case.busy, LONG_S, "the moved centre")
    assert case.state.lesionReview().centre_used.source == "manual"


@pytest.mark.timeout(600)
def test_a_whole_case_with_the_real_worker(driver, small, tmp_path):
    """Open, take masks, read, move, lose the worker, go on, save; the window handles events meanwhile."""
    import slicer

    study, masks, bundle, truth = small
    widget = driver.open_module()
    case, parts = widget.logic.case, widget.parts
    case.bundle = str(bundle)
    turns = []
    case.listeners.append(turns.append)

    def idle(what):
        driver.wait(lambda: not case.busy, LONG_S, what)
        driver.wait(lambda: parts.settled, 60, "the window")

    widget.openStudy(str(study))
    idle("the study")
    assert set(parts.scene.phaseNodes()) == {"A", "V"}
    labelmap = slicer.util.loadLabelVolume(str(masks))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    node.SetReferenceImageGeometryParameterFromVolumeNode(parts.scene.phaseNode("A"))
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labelmap, node)
    for number, name in enumerate(("kidney", "tumour", "cyst")[: node.GetSegmentation().GetNumberOfSegments()]):
        node.GetSegmentation().GetNthSegment(number).SetName(name)
    slicer.mrmlScene.RemoveNode(labelmap)
    parts.ui.masksSelector.setCurrentNode(node)
    driver.settle(0.05)
    parts.ui.useMasksButton.click()
    idle("the reading")
    assert case.message[1] == "", case.message
    lesion = case.state.lesionReview()
    assert lesion.side == truth.primary.side
    assert lesion.predicted.malignancy.probability >= 0
    driver.wait(lambda: not isinstance(case.state.lesionReview().measured, Absent), LONG_S, "the measurement")

    first = case.centres.history.current.lps_mm
    case.centres.nudge(4.0, 0.0, 0.0)
    idle("the moved centre")
    assert case.state.lesionReview().centre_used.lps_mm[0] == pytest.approx(first[0] + 4)
    case.centres.move((9000.0, 0.0, 0.0))
    idle("the refusal")
    assert case.message[0] == "warning"
    assert parts.scene.marks.position()[0] == pytest.approx(first[0] + 4, abs=1e-3)

    pid = parts.worker.processId
    os.kill(pid, signal.SIGKILL)
    driver.wait(lambda: case.message[0] == "error", 20, "the message")
    assert "ended unexpectedly" in case.message[1]
    case.notes.decide("malignancy", "accepted", "agreed")
    parts.ui.savePathEdit.currentPath = str(tmp_path / "saved")
    parts.ui.saveButton.click()
    idle("the saved review")
    text = (tmp_path / "saved" / "review.json").read_text(encoding="utf-8")
    assert '"agreed"' in text
    assert "L1 malignancy" in (tmp_path / "saved" / "review.html").read_text(encoding="utf-8")
    pid = parts.worker.processId
    driver.host.close_module()
    driver.wait(lambda: not running(pid), 20, "the worker to go")
