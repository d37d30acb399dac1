"""The kinds of input, how a mutant of each is made, and through which entry it is run."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import dicom_mutants, model_mutants, volume_mutants
from .judge import verdict, worker_verdict
from .seeds import copy_seed, worker_script
from .trees import as_json, mutate_bytes, mutate_tree

Call = Callable[[], int]
Make = Callable[[Path, Path, random.Random], Call]

QUICK = ("--quiet", "--no-uncertainty", "--no-explanation", "--no-nephrometry")
OUT = "out"


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: In the table.
        make: Makes a mutant in a box (seeds, box, generator) and returns what is to be run in ``box/nest``.
        weight: Share of the mutants.
    """

    name: str
    make: Make
    weight: float


def _command(*arguments: object) -> Call:
    def call() -> int:
        from RenalCLIPCore.cli import main

        return main([str(argument) for argument in arguments])

    return call


def _review(seeds: Path, *arguments: object, bundle: Path | None = None, masks: Path | None = None) -> Call:
    masks = masks or seeds / "volumes" / "labels.nrrd"
    return _command(
        "review", *arguments, "--out", OUT, "--bundle", bundle or seeds / "bundle", "--segmentation", masks, *QUICK
    )


def _dicom(seeds: Path, box: Path, rng: random.Random) -> Call:
    dicom_mutants.mutate_dicom(seeds, box / "in", rng)
    more = ["--allow-gaps"] if rng.random() < 0.3 else []
    return _command("import", box / "in", "--out", OUT, *more)


def _nifti(seeds: Path, box: Path, rng: random.Random) -> Call:
    if rng.random() < 0.3:
        masks = volume_mutants.mutate_nifti(seeds, box / "in", rng, ("labels.nii", "labels.nii.gz"))
        return _review(seeds, seeds / "study", masks=masks)
    image = volume_mutants.mutate_nifti(seeds, box / "in", rng, ("a.nii", "a.nii.gz", "real.nii"))
    return _review(seeds, image, "--phase", f"A={image}")


def _nrrd(seeds: Path, box: Path, rng: random.Random) -> Call:
    os.makedirs(box / "in")
    os.mkfifo(box / "in" / "pipe")
    if rng.random() < 0.3:
        masks = volume_mutants.mutate_nrrd(seeds, box / "in", rng, ("labels.nrrd", "labels.seg.nrrd"))
        return _review(seeds, seeds / "study", masks=masks)
    names = ("a.nrrd", "a.nrrd", "raw.nrrd", "a.nhdr", "a.mha", "a.mhd")
    image = volume_mutants.mutate_nrrd(seeds, box / "in", rng, names)
    return _review(seeds, image, "--phase", f"A={image}")


def _study(seeds: Path, box: Path, rng: random.Random) -> Call:
    copy_seed(seeds / "study", box / "in")
    _mutate_json(box / "in" / "study.json", rng)
    more = ["--keep-identifiers"] if rng.random() < 0.3 else []
    return _review(seeds, box / "in", *more)


def _case_review(seeds: Path, box: Path, rng: random.Random) -> Call:
    copy_seed(seeds / "review", box / "in")
    _mutate_json(box / "in" / "review.json", rng)
    return lambda: _read_and_show(box / "in")


def _read_and_show(folder: Path) -> int:
    """Read a review and draw its page, as a host does."""
    from RenalCLIPCore.exchange.html import write_html
    from RenalCLIPCore.review import ReviewFormatError, read_review, write_review

    try:
        review = read_review(folder / "review.json")
    except ReviewFormatError as error:
        print(f"renalclip: {error}", file=sys.stderr)
        return 2
    os.mkdir(OUT)
    write_html(review, folder, Path(OUT) / "review.html")
    write_review(review, Path(OUT) / "review.json")
    if read_review(Path(OUT) / "review.json") != review:
        raise AssertionError("the review changed when it was written")
    return 0


def _manifest(seeds: Path, box: Path, rng: random.Random) -> Call:
    return _review(seeds, seeds / "study", bundle=model_mutants.mutate_manifest(seeds, box / "in", rng))


def _tensors(seeds: Path, box: Path, rng: random.Random) -> Call:
    return _review(seeds, seeds / "study", bundle=model_mutants.mutate_tensors(seeds, box / "in", rng))


def _model(seeds: Path, box: Path, rng: random.Random) -> Call:
    model = model_mutants.mutate_model(seeds, box / "in", rng)
    return _command("segment", "run", seeds / "volumes" / "a.nrrd", "--model", model, "--out", f"{OUT}/labels.nrrd")


def _worker(seeds: Path, box: Path, rng: random.Random) -> Call:
    lines = [_message(message, rng) for message in _scrambled(worker_script(seeds), rng)]
    waits = [rng.random() < 0.9 for _ in lines]
    (box / "nest" / "messages").write_bytes(b"\n".join(lines))

    def call() -> int:
        from RenalCLIPCore.cli import main

        source, feed = os.pipe()
        os.dup2(source, 0)
        answers = os.open("answers", os.O_WRONLY | os.O_CREAT)
        os.dup2(answers, 1)
        sys.stdin = os.fdopen(0, "r")
        threading.Thread(target=_feed, args=(feed, lines, waits, Path("answers").absolute()), daemon=True).start()
        return main(["worker", "--work", "work", "--precision", "exact"])

    return call


def _scrambled(script: list[dict[str, object]], rng: random.Random) -> list[dict[str, object]]:
    """The session with messages changed, doubled, lost, out of order, or cancelled."""
    for _ in range(rng.choice([1, 2, 4])):
        place = rng.randrange(len(script))
        act = rng.randrange(8)
        if act == 0:
            script.insert(place, dict(script[place]))
        elif act == 1:
            del script[place]
        elif act == 2:
            script.append(script.pop(place))
        elif act == 3:
            script.insert(place + 1, {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": place}})
        else:
            script[place] = mutate_tree(script[place], rng, 1)  # type: ignore[assignment]
        if not script:
            break
    return script


def _message(message: object, rng: random.Random) -> bytes:
    text = as_json(message, rng)
    return mutate_bytes(text, rng).replace(b"\n", b" ") if rng.random() < 0.07 else text


def _feed(feed: int, lines: list[bytes], waits: list[bool], answers: Path) -> None:
    started = time.monotonic()
    for line, wait in zip(lines, waits, strict=True):
        before = answers.read_bytes().count(b"\n")
        try:
            os.write(feed, line + b"\n")
        except OSError:
            break
        deadline = min(time.monotonic() + (3.0 if wait else 0.0), started + 15.0)
        while time.monotonic() < deadline and answers.read_bytes().count(b"\n") == before:
            time.sleep(0.01)
    os.close(feed)


def _mutate_json(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    if rng.random() < 0.25:
        path.write_bytes(mutate_bytes(data, rng))
        return
    tree = mutate_tree(json.loads(data), rng)
    path.write_bytes(as_json(tree, rng))


KINDS = (
    Kind("DICOM", _dicom, 3),
    Kind("NIfTI", _nifti, 2),
    Kind("NRRD, MetaImage", _nrrd, 2),
    Kind("study.json", _study, 1.5),
    Kind("review.json", _case_review, 1.5),
    Kind("bundle.yaml", _manifest, 1.5),
    Kind("safetensors", _tensors, 1.5),
    Kind("nnU-Net", _model, 2),
    Kind("worker messages", _worker, 1.5),
)


def judged(kind: Kind, ending: object, box: Path) -> str:
    """The verdict on a mutant of a kind."""
    if kind.make is not _worker:
        return verdict(ending)  # type: ignore[arg-type]
    answers = box / "nest" / "answers"
    text = answers.read_text(encoding="utf-8", errors="replace") if answers.exists() else ""
    return worker_verdict(ending, text)  # type: ignore[arg-type]
