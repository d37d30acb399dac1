"""Comparison models: published sizes, the form of their input, and weights that fit or are refused."""

import pytest
import torch

from RenalCLIPCore.errors import BundleError, InputError, WeightsMismatchError
from RenalCLIPCore.models import comparison
from RenalCLIPCore.models.comparison import PUBLISHED, ComparisonEncoder, Form, Published, read_published
from RenalCLIPCore.models.ct_clip import CtClipEncoder, OffsetBias
from RenalCLIPCore.models.encoder import parameter_count
from RenalCLIPCore.models.merlin import MerlinEncoder
from RenalCLIPCore.models.weights import save_tensors

SMALL_CT_CLIP = {"size": 16, "side": 8, "patch": 4, "slices": 2, "depth": 1, "heads": 2, "head_size": 4, "codes": 5}
REGION = (1, 1, 4, 8, 8)


def small(name):
    return {
        "ct-fm": lambda: comparison.CtFmEncoder(2, (1, 1)),
        "merlin": lambda: MerlinEncoder(2, (1, 1, 1, 1)),
        "ct-clip": lambda: CtClipEncoder(**SMALL_CT_CLIP),
    }[name]


@pytest.fixture
def tiny(monkeypatch):
    """All three at a size for tests; their forms stay, but for CT-CLIP's size."""
    found = {}
    for name, item in PUBLISHED.items():
        form = Form(-1000.0, 1000.0, low=-1.0, size=(4, 8, 8)) if name == "ct-clip" else item.form
        found[name] = Published(small(name), form, 0, item.prefix, item.others, item.home)
    monkeypatch.setattr(comparison, "PUBLISHED", found)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_those_of_the_paper(name):
    wanted = {"ct-fm": 77_760_992, "merlin": 121_882_204, "ct-clip": 176_885_144}
    with torch.device("meta"):
        assert parameter_count(PUBLISHED[name].make()) == PUBLISHED[name].parameters == wanted[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_region_becomes_features_and_gradients_reach_the_first_layer(name, tiny):
    encoder = ComparisonEncoder(name, torch.Generator().manual_seed(0))
    images = torch.rand((2, *REGION[1:]), generator=torch.Generator().manual_seed(1))
    features = encoder(images)
    assert features.shape == (2, encoder.feature_dim)
    features.square().sum().backward()
    used = [p for key, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(used) > 3
    assert torch.isfinite(features).all()
    encoder.eval()
    with torch.no_grad():
        assert torch.equal(encoder(images), encoder(images))


def test_equal_seeds_give_equal_networks(tiny):
    first, second = (ComparisonEncoder("ct-clip", torch.Generator().manual_seed(3)).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_form_keeps_attenuation_and_orientation():
    image = torch.zeros(1, 1, 2, 3, 4)
    image[0, 0, 1, 2, 3] = 1.0
    window = Form(-200.0, 300.0)
    assert torch.allclose(window(image), image)
    assert Form(-1000.0, 1000.0)(image)[0, 0, 1, 2, 3] == pytest.approx(0.65)
    assert Form(-1000.0, 1000.0, low=-1.0)(image)[0, 0, 0, 0, 0] == pytest.approx(-0.2)
    assert Form(-200.0, 300.0, swap=True)(image)[0, 0, 1, 3, 2] == 1
    assert Form(-200.0, 300.0, turned=True)(image)[0, 0, 1, 0, 0] == 1
    assert Form(-200.0, 300.0, voxels_mm=(2.5, 1.0, 0.5))(image).shape == (1, 1, 4, 3, 8)


def test_the_bias_of_an_offset_is_the_networks_answer_to_it():
    bias = OffsetBias(8, 3)
    found = bias(3)
    for first, second in ((0, 5), (7, 2), (4, 4)):
        offset = torch.tensor([first // 3 - second // 3, first % 3 - second % 3], dtype=torch.float32)
        value = offset.sign() * (offset.abs() + 1).log()
        for layer in bias.net:
            value = layer(value)
        torch.testing.assert_close(found[:, first, second], value)


def test_codes_are_the_nearest_by_cosine_and_gradients_pass_them():
    codebook = CtClipEncoder(**SMALL_CT_CLIP).visual_transformer.vq["_codebook"]
    codebook.draw(torch.Generator().manual_seed(0))
    x = (codebook.embed[0, [2, 4]] * 7).requires_grad_()
    torch.testing.assert_close(codebook(x), codebook.embed[0, [2, 4]])
    codebook(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


NAMES = {
    "ct-fm": ("encoder.", {"up_layers.0.weight": torch.zeros(1)}),
    "merlin": ("encode_image.i3_resnet.", {"logit_scale": torch.zeros(()), "encode_text.x": torch.zeros(2)}),
    "ct-clip": ("", {"temperature": torch.zeros(()), "visual_transformer.vq._codebook.initted": torch.ones(1)}),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_published_names_are_read_and_fit_the_encoder(name, suffix, tiny, tmp_path):
    prefix, others = NAMES[name]
    origin = ComparisonEncoder(name, torch.Generator().manual_seed(5))
    own = {key.removeprefix("network.body.").removeprefix("network."): v for key, v in origin.state_dict().items()}
    tensors = {**{prefix + key: value for key, value in own.items()}, **others}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(tensors, path)
    else:
        save_tensors(tensors, path)
    found = read_published(name, path)
    ComparisonEncoder(name).load_state_dict(found)
    assert all(torch.equal(found[key], value) for key, value in origin.state_dict().items())


def test_wrong_files_are_refused_with_one_sentence(tiny, tmp_path):
    with pytest.raises(InputError, match="no such checkpoint file"):
        read_published("merlin", tmp_path / "none.pt")
    (tmp_path / "damaged.pt").write_bytes(b"no weights")
    with pytest.raises(BundleError, match="cannot be read safely"):
        read_published("merlin", tmp_path / "damaged.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(WeightsMismatchError, match="no dictionary of tensors"):
        read_published("merlin", tmp_path / "empty.pt")
    torch.save(ComparisonEncoder("ct-fm").network.body.state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsMismatchError, match=r"lacks conv1\.weight"):
        read_published("merlin", tmp_path / "other.pt")


def test_a_tensor_that_poses_as_more_than_its_file_holds_is_refused(tiny, tmp_path):
    tensors = dict(ComparisonEncoder("ct-fm").network.body.state_dict())
    name = next(iter(tensors))
    tensors[name] = torch.zeros(1).expand(tensors[name].shape)
    torch.save(tensors, tmp_path / "posing.pt")
    with pytest.raises(WeightsMismatchError, match="no dictionary of tensors"):
        read_published("ct-fm", tmp_path / "posing.pt")


def test_names_that_differ_in_their_prefix_alone_are_refused(tiny, tmp_path):
    tensors = dict(ComparisonEncoder("ct-fm").network.body.state_dict())
    name = next(iter(tensors))
    torch.save({**tensors, f"module.{name}": tensors[name].clone()}, tmp_path / "twice.pt")
    with pytest.raises(WeightsMismatchError, match="twice"):
        read_published("ct-fm", tmp_path / "twice.pt")
