"""Run in a process of its own: reviews that are killed or interrupted at moments spread over their writes.

Prints one JSON object per review: the signal, the moment, the exit code and what lies in the output folder afterwards.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path

from PIL import Image

MOMENTS = 10
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def touches(event: str, arguments: tuple[object, ...], out: str) -> bool:
    """Whether an audited call changes something below the output folder."""
    return event in EVENTS and any(
        isinstance(item, (str, bytes)) and out in os.fsdecode(item) for item in arguments[:2]
    )


def review(arguments: list[str], out: Path, moment: int | None, number: int) -> tuple[int, int]:
    """Review in a child that gets a signal at its ``moment``-th change; exit code and the number of changes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        count = [0]

        def watch(event: str, details: tuple[object, ...]) -> None:
            if touches(event, details, str(out)):
                count[0] += 1
                if count[0] == moment:
                    os.kill(os.getpid(), number)

        sys.addaudithook(watch)
        from RenalCLIPCore.cli import main

        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        code = main([*arguments, "--out", str(out)])
        os.write(writer, str(count[0]).encode())
        os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        count = stream.read()
    return os.waitstatus_to_exitcode(status), int(count or 0)


def listed(folder: Path) -> list[str]:
    """Relative paths of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def main() -> None:
    """The arguments are those of ``renalclip review`` but for the output, which comes first."""
    import RenalCLIPCore.exchange.pictures as pictures
    import RenalCLIPCore.imaging.segmentation
    import RenalCLIPCore.inference.prediction
    import RenalCLIPCore.models.bundle  # noqa: F401

    # drawing takes most of the time and writes nothing
    drawn = io.BytesIO()
    Image.new("L", (2, 2)).save(drawn, "PNG")
    names = ("axial-A", "axial-marks", "coronal-A", "sagittal-A")
    pictures.key_pictures = lambda *given, **options: dict.fromkeys(names, drawn.getvalue())  # type: ignore[assignment]
    out, arguments = Path(sys.argv[1]), ["review", *sys.argv[2:]]
    code, changes = review(arguments, out / "whole", None, 0)
    print(json.dumps({"signal": "none", "code": code, "moment": changes, "files": listed(out / "whole")}))
    moments = [1 + round(k * (changes - 2) / (MOMENTS - 1)) for k in range(MOMENTS)]
    for name, number in (("INT", signal.SIGINT), ("KILL", signal.SIGKILL)):
        for moment in moments:
            target = out / ("killed" if name == "KILL" else f"interrupted-{moment}")
            code, _ = review(arguments, target, moment, number)
            print(json.dumps({"signal": name, "code": code, "moment": moment, "files": listed(target)}))
    code, _ = review(arguments, out / "killed", None, 0)
    print(json.dumps({"signal": "none", "code": code, "moment": 0, "files": listed(out / "killed")}))


if __name__ == "__main__":
    main()
