"""Small files that announce, or unpack to, far more than they hold; and models that name code."""

import io
import json
import os
import resource
import struct
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from pydicom.encaps import encapsulate

from RenalCLIPCore.errors import GeometryError, InputError, OutputError, SegmentationModelError
from RenalCLIPCore.imaging.dicom import read_pixels, read_slices
from RenalCLIPCore.imaging.hounsfield import check_hounsfield, to_hounsfield
from RenalCLIPCore.imaging.nnunet_model import SegmentationModel
from RenalCLIPCore.imaging.volume import read_geometry, read_volume
from RenalCLIPCore.output import staged
from RenalCLIPCore.worker import Answer, FollowUp, Worker
from Testing.Core.imaging import dicom_files as files
from Testing.Core.imaging.nnunet_toys import plans, write_model


@pytest.fixture(autouse=True)
def little_memory():
    """Nothing here may need more than 2 GB beyond what the tests hold already."""
    with open("/proc/self/statm") as stream:
        held = int(stream.read().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def nrrd(path, *lines, body=b""):
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + body)
    return path


HEADER = ("type: double", "dimension: 3", "encoding: gzip", "endian: little", "spacings: 1 1 1")


@pytest.mark.parametrize("sizes", ["800 800 800", "2000 2000 2000", "100000 100000 100000"])
def test_a_volume_larger_than_its_file_can_hold_is_refused(tmp_path, sizes):
    path = nrrd(tmp_path / "a.nrrd", *HEADER, f"sizes: {sizes}", body=zlib.compress(bytes(1000)))
    with pytest.raises((GeometryError, InputError), match="announces"):
        read_volume(path)


@pytest.mark.parametrize("line", ["sizes: " + "x" * 10000, "sizes: 4 4", "type: " + "y" * 5000, "dimension: many"])
def test_a_header_that_would_overrun_the_image_library_is_a_message(tmp_path, line):
    with pytest.raises(InputError, match="no image that can be read"):
        read_geometry(nrrd(tmp_path / "a.nrrd", *HEADER, line))


@pytest.mark.parametrize(
    "name", ["/dev/zero", "../a.raw", "/etc/passwd", "gone.raw", "pipe", "a%03d.raw 1 9 1", "LIST"]
)
def test_voxels_that_lie_elsewhere_or_are_no_plain_file_are_refused(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="voxels"):
        read_volume(nrrd(tmp_path / "a.nhdr", *HEADER, "sizes: 4 4 4", f"data file: {name}"))


def test_a_header_with_its_voxels_beside_it_is_read(tmp_path):
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    for name in ("a.nhdr", "b.mhd"):
        sitk.WriteImage(image, str(tmp_path / name))
        assert read_volume(tmp_path / name).array[4, 3, 2] == 59


def test_a_deflated_dicom_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = files.arterial(tmp_path) / "A0000"
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert read_slices(path)
    data = path.read_bytes()
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(zlib.decompress(data[start:], -15)) + packer.compress(bytes(300 << 20)) + packer.flush()
    path.write_bytes(data[:start] + body)
    with pytest.raises(GeometryError, match="unpack"):
        read_slices(path)


def test_a_compressed_image_of_another_size_than_its_header_is_refused_before_it_is_decoded(tmp_path):
    path = files.arterial(tmp_path) / "A0000"
    dataset = pydicom.dcmread(path)
    size = struct.pack(">8I", 60000, 60000, 0, 0, 60000, 60000, 0, 0)
    stream = b"\xff\x4f\xff\x51" + struct.pack(">2H", 41, 0) + size + b"\0\1\x0f\1\1" + b"\xff\xd9"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(path)
    with pytest.raises(GeometryError, match="another image size"):
        read_pixels(path, [0])


def test_private_elements_nested_thousands_deep_and_names_in_any_script_are_read(tmp_path):
    path = files.arterial(tmp_path, PatientName="Прокофьев^患者", SpecificCharacterSet="ISO_IR 192") / "A0000"
    data = path.read_bytes()
    nested = b""
    for _ in range(3000):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(nested)) + nested
        nested = b"\x09\0\x02\x10SQ\0\0" + struct.pack("<I", len(item)) + item
    place = data.index(b"\x10\0\x10\0PN")
    path.write_bytes(data[:place] + b"\x09\0\x10\0LO\x04\0ABCD" + nested + data[place:])
    try:
        slices = read_slices(path)
    except InputError:  # what a reader that gives up at this depth comes to
        return
    assert slices[0].instance.series_number == 3


def test_values_in_slabs_are_those_of_the_whole():
    values = np.random.default_rng(1).normal(0, 9000, (40, 400, 300)).astype(np.float32)
    values[3, 2, 1], values[30, 2, 1], values[39, 399, 299] = np.nan, np.inf, -np.inf
    for array in (values, values.transpose(2, 0, 1), values[::-1, ::2]):
        plain = np.clip(np.rint(np.where(np.isfinite(array), array, -1000)), -1024, 3071)
        found, notes = to_hounsfield(array)
        assert np.array_equal(found, plain)
        assert notes[0].startswith(f"{np.count_nonzero(~np.isfinite(array))} voxels")
        check_hounsfield(array, "It")


@pytest.mark.parametrize(
    "name",
    [
        "dynamic_network_architectures.architectures.unet.torch.hub.load",
        "dynamic_network_architectures.architectures.unet.nn.Module",
        "dynamic_network_architectures.architectures.unet.np.load",
        "os.system",
        5,
    ],
)
@pytest.mark.parametrize("key", ["network_class_name", "conv_op"])
def test_plans_that_reach_other_code_through_a_library_are_refused(tmp_path, name, key):
    content = plans()
    architecture = content["configurations"]["3d_fullres"]["architecture"]
    (architecture if key == "network_class_name" else architecture["arch_kwargs"])[key] = name
    folder = write_model(tmp_path / "model")
    (folder / "plans.json").write_text(json.dumps(content))
    with pytest.raises(SegmentationModelError, match="names code outside"):
        SegmentationModel.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patch_size", [10**5] * 3),
        ("patch_size", [1, 1, 1]),
        ("patch_size", "16"),
        ("spacing", [1e-5] * 3),
        ("spacing", [float("nan")] * 3),
        ("spacing", [1, 1]),
        ("normalization_schemes", ["os"]),
        ("resampling_fn_data", "/etc/passwd"),
        ("resampling_fn_seg_kwargs", None),
        ("resampling_fn_probabilities_kwargs", {"is_seg": True, "order": 1}),
        ("preprocessor_name", "x"),
        ("inherits_from", "3d_fullres"),
    ],
)
def test_plans_that_cannot_be_run_are_refused_when_they_are_loaded(tmp_path, key, value):
    content = plans()
    content["configurations"]["3d_fullres"][key] = value
    folder = write_model(tmp_path / "model")
    (folder / "plans.json").write_text(json.dumps(content))
    with pytest.raises(SegmentationModelError, match=r"plans\.json"):
        SegmentationModel.load(folder)


@pytest.mark.parametrize("weight", [torch.zeros(1).expand(10**6, 10**4), torch.tensor([float("nan")])])
def test_weights_that_pose_as_more_than_they_are_or_are_not_finite_are_refused(tmp_path, weight):
    path = write_model(tmp_path / "model") / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    content["network_weights"][next(iter(content["network_weights"]))] = weight
    torch.save(content, path)
    with pytest.raises(SegmentationModelError, match=r"plain tensors|not finite"):
        SegmentationModel.load(tmp_path / "model")


def test_an_archive_that_unpacks_to_far_more_than_weights_do_is_refused(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("fold_0/checkpoint_final.pth", "w") as member,
    ):
        for _ in range(20):
            member.write(bytes(16 << 20))
    with pytest.raises(SegmentationModelError, match="far more"):
        SegmentationModel.load(tmp_path / "model.zip")


class Odd:
    """Methods whose results are no JSON."""

    def names(self):
        return ("nan", "later", "name")

    def makes_stale(self, method):
        return False

    def call(self, method, params, progress):
        if method == "later":
            return Answer({}, (FollowUp("late", lambda progress: {"value": float("inf")}),))
        return Answer(float("nan") if method == "nan" else "\ud800")


def test_results_that_are_no_json_are_answered_as_a_defect_and_the_worker_lives_on():
    class Waiting(io.BytesIO):
        """Ends only when four answers came."""

        def readline(self, size=-1):
            line = super().readline(size)
            while not line and sink.getvalue().count(b"\n") < 4:
                pass
            return line

    names = ("nan", "later", "name")
    requests = [json.dumps({"jsonrpc": "2.0", "id": k, "method": name}) for k, name in enumerate(names)]
    sink = io.BytesIO()
    Worker(Waiting("\n".join([*requests, ""]).encode()), sink, Odd()).serve()
    answers = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32603]
    assert {"method": "late", "jsonrpc": "2.0", "params": {"id": 1, "error": answers[0]["error"]}} in answers
    assert {"jsonrpc": "2.0", "id": 2, "result": "\ud800"} in answers


@pytest.mark.parametrize("identifier", ["NaN", "1e400", "true", "[1]", '{"a": NaN}'])
def test_an_id_that_is_no_id_is_answered_with_none(identifier):
    sink = io.BytesIO()
    line = f'{{"jsonrpc": "2.0", "id": {identifier}, "method": "nan"}}\n'
    Worker(io.BytesIO(line.encode()), sink, Odd()).serve()
    answer = json.loads(sink.getvalue())
    assert answer["id"] is None
    assert answer["error"]["code"] == -32600


def test_an_output_folder_whose_name_is_no_text_is_refused(tmp_path):
    with pytest.raises(OutputError, match="UTF-8"), staged(tmp_path / "\udcff"):
        pass
