"""Finding CT files: any name, any nesting, quick among unrelated files; damaged ones are named."""

import os
import time

import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from RenalCLIPCore.errors import GeometryError, InputError
from RenalCLIPCore.imaging.dicom import NotCt, Preamble, preamble, read_pixels, read_slices
from RenalCLIPCore.imaging.sources import find_sources
from Testing.Core.imaging import dicom_files as files


def test_headers_are_read_without_pixels_and_without_a_suffix(tmp_path):
    folder = files.arterial(tmp_path)
    (one,) = read_slices(folder / "A0002")
    assert one.position_lps_mm == (-12.0, -30.0, 105.0)
    assert one.spacing_mm == files.SPACING
    assert one.normal == (0.0, 0.0, 1.0)
    assert (one.slope, one.intercept, one.kernel) == (1.0, -1024.0, "B30f")
    assert one.instance.series_number == 3


def test_a_slice_shows_no_patient_in_its_text(tmp_path):
    text = repr(read_slices(files.arterial(tmp_path) / "A0000"))
    assert "SECRET" not in text
    assert "4711" not in text


def test_nested_folders_unrelated_files_and_names_without_suffix_are_searched(tmp_path):
    files.arterial(tmp_path / "a" / "b" / "c")
    files.save(files.datasets(SeriesNumber=4), tmp_path / "x y", suffix=".dcm")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").touch()
    (tmp_path / "a" / "picture.png").write_bytes(b"\x89PNG" + bytes(500))
    found = find_sources([tmp_path])
    assert len(found.slices) == 2 * files.SLICES
    assert found.files == 2 * files.SLICES + 3


def test_links_that_form_a_loop_end_and_count_once(tmp_path):
    files.arterial(tmp_path / "a")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "a", tmp_path / "again")
    assert len(find_sources([tmp_path]).slices) == files.SLICES


def test_a_link_to_a_file_keeps_its_own_name_and_counts_once(tmp_path):
    (tmp_path / "case_venous.nii").touch()
    os.symlink(tmp_path / "case_venous.nii", tmp_path / "image.nii")
    (file,) = find_sources([tmp_path / "image.nii"]).volume_files
    assert file.name == "image.nii"
    assert len(find_sources([tmp_path / "image.nii", tmp_path]).volume_files) == 1


def test_an_imported_study_among_the_images_and_the_target_are_not_entered(tmp_path):
    files.arterial(tmp_path / "images")
    files.arterial(tmp_path / "study")
    (tmp_path / "study" / "study.json").write_text("{}")
    files.arterial(tmp_path / "target")
    assert len(find_sources([tmp_path], leave_out=tmp_path / "target").slices) == files.SLICES


def test_ten_thousand_unrelated_files_are_quick(tmp_path):
    for n in range(10_000):
        (tmp_path / f"{n}").write_bytes(b"unrelated" * 30)
    files.arterial(tmp_path / "ct")
    start = time.process_time()
    assert len(find_sources([tmp_path]).slices) == files.SLICES
    assert time.process_time() - start < 6.0


def test_a_file_without_preamble_is_read_when_it_is_ct(tmp_path):
    source = files.arterial(tmp_path / "with") / "A0000"
    bare = tmp_path / "bare"
    content = source.read_bytes()
    bare.write_bytes(content[132:])
    assert preamble(bare) is Preamble.PERHAPS
    assert len(find_sources([bare]).slices) == 1


def test_what_only_begins_like_dicom_is_passed_over(tmp_path):
    (tmp_path / "odd").write_bytes(b"\x08\x00\x05\x00\x02\x00\x00\x00" + bytes(range(256)))
    assert find_sources([tmp_path]).slices == ()


def test_another_modality_is_told_apart(tmp_path):
    ds = files.datasets()[0]
    ds.Modality, ds.SOPClassUID = "MR", MRImageStorage
    ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    files.save([ds], tmp_path)
    assert read_slices(tmp_path / "IM0000") == NotCt("MR", True)
    assert find_sources([tmp_path]).other_modalities == {"MR"}


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_from_its_header_alone(tmp_path, keep):
    path = files.arterial(tmp_path) / "A0004"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"^File 5 of 10 \(in the order of their paths\) is a truncated or damaged"):
        find_sources([tmp_path])


def test_a_huge_announced_size_is_refused_before_anything_is_allocated(tmp_path):
    ds = files.dataset(1, files.ORIGIN, files.body()[0], Rows=60_000, Columns=60_000)
    files.save([ds], tmp_path)
    with pytest.raises(GeometryError, match="more than can be held"):
        read_slices(tmp_path / "IM0000")


def test_a_malformed_position_is_a_message_not_a_traceback(tmp_path):
    path = files.arterial(tmp_path) / "A0000"
    path.write_bytes(path.read_bytes().replace(b"-12.0\\-30.0\\100.0", b"abcde\\-30.0\\100.0"))
    with pytest.raises(InputError, match="damaged"):
        read_slices(path)


def test_a_missing_source_is_a_message(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources([tmp_path / "nothing"])


def test_an_unknown_compression_is_a_message(tmp_path):
    ds = files.datasets()[0]
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    ds.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\x01\x02\x03\x04"
    ds["PixelData"].is_undefined_length = True
    files.save([ds], tmp_path)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_pixels(tmp_path / "IM0000", [0])


def test_frames_of_a_multi_frame_file_come_in_the_order_asked_for(tmp_path):
    values = files.body()
    files.save([files.enhanced([(values, files.positions(), 1, "20200102100000")])], tmp_path)
    second, first = read_pixels(tmp_path / "IM0000", [3, 1])
    assert np.array_equal(second, values[3].astype(int) + 1024)
    assert np.array_equal(first, values[1].astype(int) + 1024)
