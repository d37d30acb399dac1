"""A review under rough use: interrupted, killed, on a full disk, into folders that are somebody else's."""

import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.errors import OutputError
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume, write_volume
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.output import PARTIAL, clear_abandoned, staged
from RenalCLIPCore.review import read_review
from Testing.Core import phantom_case
from Testing.Core.models.bundle_toys import toy_contents

QUICK = ("--quiet", "--no-uncertainty", "--no-explanation", "--no-nephrometry")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A small study, its masks and a bundle, as arguments of the review."""
    folder = tmp_path_factory.mktemp("rough")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_case, "COLUMNS", 64)
        patch.setattr(phantom_case, "SLICE_MM", 10.0)
        volumes, labels, _ = phantom_case.make_phantom(phases="A")
    study, masks = phantom_case.write_phantom_study(folder / "study", volumes, labels)
    write_bundle(folder / "bundle", toy_contents())
    return [str(study.folder), "--bundle", str(folder / "bundle"), "--segmentation", str(masks), *QUICK]


@pytest.fixture(scope="module")
def interrupted(case, tmp_path_factory):
    """Reviews with a signal at ten moments, and one to the end after the killed ones."""
    out = tmp_path_factory.mktemp("interrupted")
    command = [sys.executable, "-m", "Testing.Core.interrupted_reviews", str(out), *case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], out


def whole(files):
    """Whether a listing is that of a finished review with nothing beside it."""
    return {"review.json", "review.html", "segmentation.nrrd", "pictures"} <= set(files) and not any(
        PARTIAL in name or ".old-" in name for name in files
    )


@pytest.mark.timeout(900)
def test_an_interrupt_at_ten_moments_leaves_nothing(interrupted):
    runs = [run for run in interrupted[0] if run["signal"] == "INT"]
    assert len(runs) == 10
    for run in runs:
        # the last changes are the clearing up of a review that is already whole
        assert (run["code"] == 130 and not run["files"]) or whole(run["files"]), run


@pytest.mark.timeout(900)
def test_a_review_killed_at_ten_moments_is_never_half_there_and_the_next_one_clears_up(interrupted):
    runs, out = interrupted
    killed = [run for run in runs if run["signal"] == "KILL"]
    assert len(killed) == 10
    assert {run["code"] for run in killed} == {-9}
    for run in killed:
        stages = {name.split("/")[0] for name in run["files"] if name.startswith(PARTIAL)}
        assert len(stages) <= 1, "an earlier run's remains were not cleared"
        if "review.json" in run["files"]:
            assert {"review.html", "segmentation.nrrd", "pictures"} <= set(run["files"])
    assert runs[-1]["code"] == 0
    assert runs[-1]["files"] == runs[0]["files"]
    assert whole(runs[-1]["files"])
    assert read_review(out / "killed" / "review.json").primary is not None


def test_a_run_that_lives_is_not_cleared_by_another(tmp_path):
    with staged(tmp_path) as stage:
        (stage / "a.txt").write_text("a")
        assert clear_abandoned(tmp_path) == []
        with staged(tmp_path) as other:
            (other / "b.txt").write_text("b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_a_failing_move_puts_everything_back(tmp_path, monkeypatch):
    for name in ("a.txt", "z.txt", "review.json"):
        (tmp_path / name).write_text("old")
    replace = os.replace

    def fail(source, target):
        if str(target).endswith("z.txt") and PARTIAL in str(source):
            raise OSError(28, "No space left on device")
        replace(source, target)

    def write():
        with staged(tmp_path, last="review.json") as stage:
            for name in ("a.txt", "z.txt", "review.json"):
                (stage / name).write_text("new")
            monkeypatch.setattr(os, "replace", fail)

    with pytest.raises(OutputError, match="No space left"):
        write()
    assert (tmp_path / "z.txt").read_text() == (tmp_path / "review.json").read_text() == "old"
    assert not list(tmp_path.glob(f"{PARTIAL}*"))


def limited(bytes_per_file, function, *arguments):
    """Call with the size of files limited, which the file system answers as it does a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, before[1]))
    try:
        return function(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["x.nrrd", "x.nii.gz", "x.nii", "x.mha"])
def test_a_volume_that_does_not_fit_on_the_disk_is_told_and_no_part_of_it_stays(tmp_path, name):
    values = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    volume = Volume(values, Geometry.from_components((20, 20, 20), (1, 1, 1), (0, 0, 0), np.eye(3)))
    write_volume(volume, tmp_path / name)
    size = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    for limit in (size - 1, size - 9, size // 2, 400, 0):
        with pytest.raises(OutputError, match="space left"):
            limited(limit, write_volume, volume, tmp_path / name)
        assert list(tmp_path.iterdir()) == []
    write_volume(volume, tmp_path / name)
    assert np.array_equal(read_volume(tmp_path / name).array, values)


def test_a_header_apart_from_its_voxels_is_not_written(tmp_path):
    volume = Volume(np.zeros((2, 2, 2), np.int16), Geometry.from_components((2, 2, 2), (1, 1, 1), (0, 0, 0), np.eye(3)))
    for name in ("x.nhdr", "x.mhd", "x"):
        with pytest.raises(OutputError, match="nrrd"):
            write_volume(volume, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [60_000, 3_000, 0])
def test_a_review_on_a_full_disk_is_one_message_and_keeps_the_earlier_review(case, tmp_path, capsys, limit):
    out = tmp_path / "out"
    out.mkdir()
    (out / "review.json").write_text("earlier")
    assert limited(limit, main, ["review", *case, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("renalclip: ")
    assert error.count("\n") == 1
    assert [path.name for path in out.iterdir()] == ["review.json"]
    assert (out / "review.json").read_text() == "earlier"


def test_an_output_that_cannot_be_written_is_one_message(case, capsys):
    assert main(["review", *case, "--out", "/proc/renalclip"]) == 2
    error = capsys.readouterr().err
    assert "output folder cannot be written" in error
    assert error.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_one_message(case, tmp_path, capsys):
    (tmp_path / "out").mkdir(mode=0o500)
    assert main(["review", *case, "--out", str(tmp_path / "out")]) == 2
    assert "output folder cannot be written" in capsys.readouterr().err


def test_a_source_in_the_folder_that_would_be_replaced_is_refused_and_kept(case, tmp_path, capsys):
    source = tmp_path / "patient" / "study"
    shutil.copytree(case[0], source)
    (source / "study.json").unlink()
    assert main(["review", str(source), *case[1:], "--out", str(tmp_path / "patient")]) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert (source / "A.nrrd").is_file()


@pytest.mark.parametrize("name", ["pictures", "study"])
def test_somebody_elses_folder_in_the_output_is_refused_and_kept(case, tmp_path, capsys, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "holiday.png").write_text("mine")
    assert main(["review", *case, "--out", str(tmp_path)]) == 2
    assert "another origin" in capsys.readouterr().err
    assert (tmp_path / name / "holiday.png").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_names_that_are_no_text_are_one_message(case, tmp_path, capsys):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff-odd")
    assert main(["review", *case, "--out", odd]) == 2
    os.mkdir(odd)
    shutil.copy(f"{case[0]}/A.nrrd", f"{odd}/A.nrrd")
    assert (
        main(["review", f"{odd}/A.nrrd", "--phase", f"A={odd}/A.nrrd", *case[1:], "--out", str(tmp_path / "out")]) == 2
    )
    error = capsys.readouterr().err
    assert error.count("UTF-8") == error.count("\n") == 2


def test_an_output_whose_name_the_terminal_lacks_is_printed_with_escapes(tmp_path):
    command = [sys.executable, "-m", "RenalCLIPCore.cli", "bundle", "show", str(tmp_path / "肾")]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=200)
    assert done.returncode == 2
    assert b"\\u80be" in done.stderr
