"""``renalclip workstation``: clear messages where something is missing, and a picture of the real window."""

from dataclasses import replace

import pytest
from RenalCLIPDesktop import requirements
from RenalCLIPDesktop.command import Workstation
from RenalCLIPSlicerLib.WorkerProtocol import withoutEvidence

from RenalCLIPCore.cli import build_parser, main
from RenalCLIPCore.errors import InputError
from RenalCLIPCore.review import Absent, Measured, decode, encode
from Testing.Core.phantom_case import make_phantom, write_phantom_study
from Testing.Slicer.fake_worker import MASKS, FakeWorker, placed, studyAnswer


def test_command_is_contributed_by_the_entry_point():
    values = build_parser().parse_args(["workstation", "somewhere", "--size", "1000x700"])
    assert values.command_class is Workstation
    assert values.size == (1000, 700)


@pytest.mark.parametrize("size", ["big", "10x10", "1000", "-1x900"])
def test_odd_sizes_are_refused(size, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["workstation", f"--size={size}"])
    assert "no size such as" in capsys.readouterr().err


def test_missing_packages_are_named_with_the_pip_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(requirements, "missing_packages", lambda: ["PySide6", "trame_slicer"])
    assert main(["workstation", str(tmp_path), "--screenshot", str(tmp_path / "w.png")]) == 2
    message = capsys.readouterr().err
    assert "PySide6, trame_slicer" in message
    assert "pip install 'renalclip[workstation]'" in message


def test_missing_libraries_are_named_with_the_apt_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(requirements, "_loads", lambda library: library not in ("libEGL.so.1", "libGL.so.1"))
    monkeypatch.setattr(requirements, "missing_packages", list)
    assert main(["workstation", str(tmp_path), "--screenshot", str(tmp_path / "w.png")]) == 2
    assert "sudo apt-get install libegl1 libgl1" in capsys.readouterr().err


def test_driver_for_drawing_is_looked_for(monkeypatch):
    monkeypatch.setattr(requirements, "_DRIVER_FOLDERS", ())
    assert "libgl1-mesa-dri" in requirements.missing_libraries(on_screen=False)


def test_window_without_a_display_is_refused(monkeypatch, capsys, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["workstation", str(tmp_path)]) == 2
    assert "no display" in capsys.readouterr().err


def test_study_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no study at"):
        Workstation(tmp_path / "nothing", None, (1000, 700)).run()
    with pytest.raises(InputError, match="needs a study"):
        Workstation(None, tmp_path / "w.png", (1000, 700)).run()


def test_folder_without_a_study_gives_the_window_s_message(driver, tmp_path):
    from RenalCLIPDesktop.session import ReadingFailedError, read_study

    widget = driver.open_module()
    with pytest.raises(ReadingFailedError):
        read_study(driver.host, widget, tmp_path)


def test_picture_waits_for_everything_that_follows_a_reading(driver, tmp_path, monkeypatch):
    import importlib

    from PySide6 import QtCore
    from RenalCLIPDesktop.session import read_study

    volumes, labels, truth = make_phantom(phases="AV")
    study, masks = write_phantom_study(tmp_path / "study", volumes, labels)
    full = placed(truth)
    measured = full.lesions[0].measured
    bare = replace(full, lesions=(replace(full.lesions[0], measured=Absent("not yet")),))
    worker = FakeWorker({"study.open": studyAnswer(study), "segment": {**MASKS, "file": str(masks)}})
    worker.automatic["review"] = encode(bare)
    monkeypatch.setattr(importlib.import_module("RenalCLIPSlicerLib.Widget"), "CoreProcess", lambda *_: worker)
    widget = driver.open_module()
    case = widget.logic.case

    def answer():
        if case.later.coming("L1", "measured"):
            number = case.latest["L1"]
            worker.notified("review.measured", {"id": number, "lesion_id": "L1", "measured": encode(measured)})

    timer = QtCore.QTimer()
    timer.setInterval(1500)
    timer.timeout.connect(answer)
    timer.start()
    read_study(driver.host, widget, study.folder)
    timer.stop()
    assert case.state.lesionReview().measured == decode(Measured, withoutEvidence(encode(measured)))
    assert f"measured <b>{measured.total.text}</b>" in str(widget.parts.ui.nephrometryTotalLabel.text)
