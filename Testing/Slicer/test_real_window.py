"""The product's window on an X display, driven from outside by xdotool: mouse and keys reach views, panel and menu."""

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


def test_the_centre_is_dragged_and_nudged_in_a_real_window(display, tmp_path):
    own = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_CONFIG_HOME": str(tmp_path)}
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT / "RenalCLIPSlicer")}
    command = [sys.executable, "-m", "Testing.Slicer.real_window", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def xdotool(*arguments):
        subprocess.run(["xdotool", *map(str, arguments)], env=environment, check=True, timeout=30, capture_output=True)
        time.sleep(0.1)

    def drag(x, y):
        for near in (12, 5, 0):
            xdotool("mousemove", x + near, y + near)
        xdotool("mousedown", 1)
        for step in range(5, 31, 5):
            xdotool("mousemove", x + step, y + step // 2)
        xdotool("mouseup", 1)

    def until(process, condition):
        end = time.monotonic() + 60
        while not condition(state := ask(process)):
            assert time.monotonic() < end, state
            time.sleep(0.1)
        return state

    with subprocess.Popen(command, env=environment, cwd=ROOT, bufsize=0, **pipes) as process:
        try:
            places, before = next_line(process), ask(process)
            assert not before["unlocked"]
            drag(*places["point"])
            assert ask(process)["lps"] == before["lps"], "a locked point stays"
            xdotool("mousemove", *places["correct"])
            xdotool("click", 1)
            until(process, lambda state: state["unlocked"])
            drag(*places["point"])
            dragged = until(process, lambda state: state["lps"] != before["lps"])
            assert dragged["lps"][0] > before["lps"][0] + 3, "the screen's right is the patient's left"
            assert dragged["lps"][1] > before["lps"][1] + 1, "down is posterior"
            until(process, lambda state: state["read_at"] == state["lps"] and "mm from the proposed" in state["shown"])
            xdotool("key", "Left")
            nudged = until(process, lambda state: state["lps"] != dragged["lps"])
            assert dragged["lps"][0] - nudged["lps"][0] == pytest.approx(1.0)
            xdotool("key", "ctrl+q")
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
