"""``renalclip workstation``: clear messages where something is missing, and a picture of the real window."""

import pytest
from RenalCLIPDesktop import requirements
from RenalCLIPDesktop.command import Workstation

from RenalCLIPCore.cli import build_parser, main
from RenalCLIPCore.errors import InputError


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
