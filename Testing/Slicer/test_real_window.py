"""A real window on an X display, driven from outside by xdotool: mouse and keyboard reach views, panel and menu."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from RenalCLIPDesktop.requirements import missing_libraries

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).parent / "TemplateModule" / "TemplateModule.py"


@pytest.fixture
def display(tmp_path):
    """An X display without a screen."""
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None] + missing_libraries(on_screen=True)
    if missing:
        pytest.skip(f"missing for a real window: {' '.join(missing)}")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with open(reader) as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(10)


def next_line(process, seconds=120):
    """The next JSON line of a process."""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "the window said nothing"
    line = process.stdout.readline()
    assert line, "the window is gone"
    return json.loads(line)


def ask(process):
    """What the window says of its state."""
    process.stdin.write(b"state\n")
    process.stdin.flush()
    return next_line(process)


def test_mouse_and_keyboard_reach_a_real_window(display, tmp_path):
    environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "Testing.Slicer.real_window", str(TEMPLATE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def xdotool(*arguments):
        subprocess.run(["xdotool", *map(str, arguments)], env=environment, check=True, timeout=30, capture_output=True)
        time.sleep(0.1)

    with subprocess.Popen(command, env=environment, cwd=ROOT, bufsize=0, **pipes) as process:
        try:
            places = next_line(process)
            before = ask(process)
            assert before == {"ras": [10.0, 5.0, 0.0], "inverted": False, "volume": "CT"}
            x, y = places["point"]
            xdotool("mousemove", x + 12, y + 12)
            xdotool("mousemove", x + 5, y + 5)
            xdotool("mousemove", x, y)
            xdotool("mousedown", 1)
            for step in range(5, 31, 5):
                xdotool("mousemove", x + step, y + step // 2)
            xdotool("mouseup", 1)
            xdotool("mousemove", *places["box"])
            xdotool("click", 1)
            after = ask(process)
            assert after["ras"][0] < before["ras"][0] - 3
            assert after["ras"][1] < before["ras"][1] - 1
            assert after["inverted"] is True
            xdotool("key", "ctrl+q")
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
