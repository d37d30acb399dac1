"""Mutants of what carries models: bundles, safetensors, nnU-Net folders and exported archives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

from .seeds import copy_seed
from .trees import as_json, mutate_bytes, mutate_tree, written_out

ARCHIVE_ROOT = "Dataset900_Toy/nnUNetTrainer__nnUNetPlans__3d_fullres"


class Payload:
    """Code in a pickle: it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


def mutate_manifest(seeds: Path, folder: Path, rng: random.Random) -> Path:
    """A bundle whose ``bundle.yaml`` or list of files is wrong."""
    import yaml

    copy_seed(seeds / "bundle", folder)
    path = folder / "bundle.yaml"
    act = rng.randrange(10)
    if act < 2:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
    elif act < 8:
        path.write_bytes(_yaml(mutate_tree(yaml.safe_load(path.read_text()), rng)))
    elif act == 8:
        traps = ("!!python/object/apply:os.system ['touch ../executed']\n", "a: &a [1]\nb: [*a, *a]\n", "- " * 5000)
        path.write_text(rng.choice(traps) + path.read_text())
    else:
        extra = rng.choice(["../escape", "/etc/passwd", "encoder.safetensors/x", "..", "a\\b", "C:x"])
        content = yaml.safe_load(path.read_text())
        content["files"][extra] = hashlib.sha256(b"").hexdigest()
        path.write_bytes(_yaml(content))
        (folder / "link").symlink_to("/etc")
    return folder


def mutate_tensors(seeds: Path, folder: Path, rng: random.Random) -> Path:
    """A bundle with a safetensors or JSON file that is wrong, under a manifest that lists the wrong one's hash."""
    import yaml

    copy_seed(seeds / "bundle", folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))
    path = rng.choice(files)
    data = path.read_bytes()
    if path.suffix == ".json":
        data = mutate_bytes(data, rng) if rng.random() < 0.3 else as_json(mutate_tree(json.loads(data), rng), rng)
    elif rng.random() < 0.4:
        data = mutate_bytes(data, rng, head=600)
    else:
        (length,) = struct.unpack("<Q", data[:8])
        header = as_json(mutate_tree(json.loads(data[8 : 8 + length]), rng), rng)
        body = data[8 + length :]
        if rng.random() < 0.3:
            body = mutate_bytes(body, rng)
        size = rng.choice([len(header)] * 8 + [0, 2**63, 2**40, len(header) + 9])
        data = struct.pack("<Q", size) + header + body
    path.write_bytes(data)
    content = yaml.safe_load((folder / "bundle.yaml").read_text())
    content["files"][path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    (folder / "bundle.yaml").write_bytes(_yaml(content))
    return folder


def mutate_model(seeds: Path, folder: Path, rng: random.Random) -> Path:
    """An nnU-Net folder or archive in which something is wrong."""
    copy_seed(seeds / "model", folder)
    act = rng.randrange(10)
    if act < 5:
        path = folder / rng.choice(["plans.json", "plans.json", "plans.json", "dataset.json"])
        content = json.loads(path.read_text())
        path.write_bytes(as_json(_mutate_plans(content, rng), rng))
    elif act == 5:
        path = folder / rng.choice(["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
        path.write_bytes(mutate_bytes(path.read_bytes(), rng, head=4000))
    elif act < 8:
        _mutate_checkpoint(folder / "fold_0" / "checkpoint_final.pth", rng, folder.parent / "executed")
    else:
        return _archive(folder, rng)
    return folder if rng.random() < 0.8 else _zipped(folder)


def _mutate_plans(content: dict[str, Any], rng: random.Random) -> object:
    """Half of the changes fall into the configuration, which reaches deep into the network library."""
    if "configurations" not in content or rng.random() < 0.4:
        return mutate_tree(content, rng)
    configuration = content["configurations"]["3d_fullres"]
    if rng.random() < 0.2:
        names = (
            "os.system", "dynamic_network_architectures.architectures.unet.torch.hub.load",
            "torch.nn.functional.torch.load",
            "dynamic_network_architectures.architectures.unet.nn.Module", "builtins.exec",
            "torch.nn.modules.module.os.system",
        )  # fmt: skip
        target, key = rng.choice(
            [(configuration["architecture"], "network_class_name")]
            + [(configuration["architecture"]["arch_kwargs"], name) for name in ("conv_op", "norm_op", "nonlin")]
        )
        target[key] = rng.choice(names)
        return content
    if rng.random() < 0.2:
        key = rng.choice(["patch_size", "spacing", "median_image_size_in_voxels"])
        configuration[key] = rng.choice(
            [[0, 0, 0], [1e-4] * 3, [1, 1, 1], [10**5] * 3, [-16, 16, 16], [16, 16], [1e9] * 3]
        )
        return content
    content["configurations"]["3d_fullres"] = mutate_tree(configuration, rng)
    return content


def _mutate_checkpoint(path: Path, rng: random.Random, mark: Path) -> None:
    import torch

    act = rng.randrange(6)
    content = torch.load(path, map_location="cpu", weights_only=False)
    if act == 0:
        content["extra"] = Payload(mark)
    elif act == 1:
        content["init_args"]["plans"] = Payload(mark)
    elif act == 2:
        path.write_bytes(pickle.dumps({"network_weights": Payload(mark)}))
        return
    elif act == 3:
        name = rng.choice(list(content["network_weights"]))
        value = content["network_weights"][name]
        odd = [
            value[:0],
            value.double(),
            value * float("nan"),
            value.to_sparse(),
            value.reshape(-1),
            "text",
            5,
            value.bool(),
        ]
        content["network_weights"][name] = rng.choice(
            [*odd, value.expand(*value.shape), torch.zeros(1).expand(10**6, 10**4)]
        )
    elif act == 4:
        content["network_weights"][rng.choice(["extra", 5, "module.x"])] = torch.zeros(2)
    else:
        plain = {key: value for key, value in content.items() if key in ("init_args", "trainer_name", "current_epoch")}
        content.update(mutate_tree(plain, rng))  # type: ignore[arg-type]
        content["inference_allowed_mirroring_axes"] = rng.choice(
            [None, (0, 1, 2), (7,), "abc", (-1,), 5, [None], [1e9]]
        )
    torch.save(content, path)


def _archive(folder: Path, rng: random.Random) -> Path:
    path = folder.with_suffix(".zip")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(item for item in folder.rglob("*") if item.is_file()):
            archive.write(file, f"{ARCHIVE_ROOT}/{file.relative_to(folder)}")
        act = rng.randrange(6)
        if act == 0:
            names = [
                "../escape.json",
                "/renalclip-escape.json",
                "a/../../../escape.pth",
                "..\\escape.json",
                "C:/escape.json",
            ]
            archive.writestr(rng.choice(names), "{}")
        elif act == 1:
            link = zipfile.ZipInfo(f"{ARCHIVE_ROOT}/fold_1/checkpoint_final.pth")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        elif act == 2:
            with archive.open(
                f"{ARCHIVE_ROOT}/{rng.choice(['big.json', 'fold_1/checkpoint_final.pth'])}", "w"
            ) as member:
                for _ in range(rng.choice([4, 40])):
                    member.write(bytes(1 << 24))
        elif act == 3:
            for number in range(rng.choice([100, 20000])):
                archive.writestr(f"{number}.json", "{}")
    content = data.getvalue()
    path.write_bytes(mutate_bytes(content, rng) if act >= 4 else content)
    return path


def _zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(item for item in folder.rglob("*") if item.is_file()):
            archive.write(file, f"{ARCHIVE_ROOT}/{file.relative_to(folder)}")
    return path


def _yaml(tree: object) -> bytes:
    import yaml

    return written_out(yaml.safe_dump(tree, sort_keys=False)).encode("utf-8", errors="surrogatepass")
