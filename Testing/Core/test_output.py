"""Outputs appear whole or not at all."""

import pytest

from RenalCLIPCore.errors import OutputError
from RenalCLIPCore.output import staged, write_text


def test_all_files_appear_and_replace_earlier_ones(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("old")
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with staged(tmp_path / "out", last="a.txt") as stage:
        (stage / "a.txt").write_text("new")
        (stage / "folder").mkdir()
        (stage / "folder" / "b.txt").write_text("b")
    assert (tmp_path / "out" / "a.txt").read_text() == "new"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "folder", "kept.txt"]


def test_a_folder_replaces_an_earlier_folder_whole(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "stale.txt").write_text("stale")
    with staged(tmp_path) as stage:
        (stage / "study").mkdir()
        (stage / "study" / "fresh.txt").write_text("fresh")
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["fresh.txt"]


def test_an_error_leaves_nothing_behind(tmp_path):
    def write_half():
        with staged(tmp_path / "out") as stage:
            (stage / "a.txt").write_text("half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_half()
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folders_place_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="output folder cannot be written"), staged(tmp_path / "out"):
        pass


def test_text_is_replaced_by_rename(tmp_path):
    write_text(tmp_path / "t.txt", "Grüße 肾")
    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == "Grüße 肾"
    assert len(list(tmp_path.iterdir())) == 1
