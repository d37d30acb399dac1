"""The multi-phase 2-D network has the published size, looks only at the phases that are there, and starts as asked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import BundleError, InputError, WeightsMismatchError
from RenalCLIPCore.models.encoder import parameter_count
from RenalCLIPCore.models.multiphase import (
    CrossAttention,
    MultiphaseNetwork,
    phase_branch,
    read_imagenet,
    start_from_imagenet,
)
from RenalCLIPCore.models.weights import save_tensors

ONE_BRANCH = 11_170_240
PERCEPTRON = 3 * 512 * 512 + 512 + 2 * (512 * 512 + 512) + 512 * 2 + 2


def network(fusion="cross-attention", phases="NAV", width=1, **rest):
    return MultiphaseNetwork(phases, fusion, width, **rest).eval()


def test_a_branch_is_resnet_18_of_one_channel_without_classifier():
    branch = phase_branch()
    assert parameter_count(branch) == ONE_BRANCH
    with torch.no_grad():
        assert branch.eval()(torch.zeros(2, 1, 224, 224)).shape == (2, 512)
    names = set(branch.state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"} <= names


def test_the_concatenation_network_has_the_published_size_and_output():
    published = MultiphaseNetwork("NAV", "concatenation").eval()
    assert parameter_count(published) == 3 * ONE_BRANCH + PERCEPTRON == 34_824_002
    shapes = [tuple(layer.weight.shape) for layer in published.fusion.layers if hasattr(layer, "weight")]
    assert shapes == [(512, 1536), (512, 512), (512, 512), (2, 512)]
    with torch.no_grad():
        assert published(torch.rand(2, 3, 224, 224), torch.ones(2, 3, dtype=torch.bool)).shape == (2, 2)


@pytest.mark.parametrize("fusion", ["cross-attention", "concatenation"])
@settings(deadline=None, max_examples=8)
@given(present=st.lists(st.booleans(), min_size=3, max_size=3).filter(any))
def test_what_is_absent_changes_nothing(fusion, present):
    net = network(fusion)
    there = torch.tensor([present, [True, True, True]])
    images = torch.rand(2, 3, 64, 64)
    other = images.clone()
    other[0, [i for i, p in enumerate(present) if not p]] = 7.0
    with torch.no_grad():
        assert torch.allclose(net(images, there), net(other, there), atol=1e-6)
        assert torch.isfinite(net(images, there)).all()


def test_absent_slices_do_not_reach_the_batch_statistics():
    net = network().train()
    images = torch.rand(4, 3, 64, 64)
    images[:2, 1] = 100.0
    net(images, torch.tensor([[True, False, True]] * 2 + [[True, True, True]] * 2))
    expected = network().train()
    expected(images[2:], torch.ones(2, 3, dtype=torch.bool))
    left, right = (n.branches["A"].bn1.running_mean for n in (net, expected))
    assert torch.allclose(left, right)


def test_a_phase_that_nobody_has_is_not_run():
    net = network().train()
    net(torch.rand(2, 3, 64, 64), torch.tensor([[True, False, False]] * 2)).sum().backward()
    assert net.branches["V"].conv1.weight.grad is None
    assert net.branches["N"].conv1.weight.grad is not None


def test_no_phase_at_all_is_a_defect():
    with pytest.raises(ValueError, match="at least one phase"):
        network()(torch.rand(1, 3, 64, 64), torch.zeros(1, 3, dtype=torch.bool))


def test_one_seed_gives_one_network_and_leaves_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, third = network(seed=1), network(seed=1), network(seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.branches["N"].conv1.weight, third.branches["N"].conv1.weight)


def test_the_output_depends_on_which_phase_a_slice_is_of():
    net = network()
    images = torch.rand(1, 3, 64, 64)
    there = torch.ones(1, 3, dtype=torch.bool)
    assert not torch.allclose(net(images, there), net(images[:, [2, 1, 0]], there))


def imagenet_like(width=64, channels=3):
    tensors = {name: value.clone() for name, value in phase_branch(width).state_dict().items()}
    tensors["conv1.weight"] = torch.rand(width, channels, 7, 7)
    tensors["fc.weight"], tensors["fc.bias"] = torch.rand(1000, 8 * width), torch.rand(1000)
    return tensors


def test_imagenet_weights_give_a_grey_slice_what_they_gave_in_colour(tmp_path):
    tensors = imagenet_like()
    torch.save({name: v for name, v in tensors.items() if "batches_tracked" not in name}, tmp_path / "resnet18.pth")
    found = read_imagenet(tmp_path / "resnet18.pth")
    net = MultiphaseNetwork("AV", "concatenation").eval()
    start_from_imagenet(net, found)
    grey = torch.rand(1, 1, 32, 32)
    colour = torch.nn.functional.conv2d(grey.expand(1, 3, 32, 32), tensors["conv1.weight"], stride=2, padding=3)
    for branch in net.branches.values():
        assert torch.allclose(branch.conv1(grey), colour, atol=1e-4)
        assert torch.equal(branch.layer4[1].conv2.weight, tensors["layer4.1.conv2.weight"])


def test_imagenet_weights_as_safetensors_are_read(tmp_path):
    save_tensors(imagenet_like(), tmp_path / "resnet18.safetensors")
    assert read_imagenet(tmp_path / "resnet18.safetensors")["conv1.weight"].shape == (64, 1, 7, 7)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsMismatchError, match="lacks"):
        read_imagenet(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsMismatchError, match="no dictionary"):
        read_imagenet(tmp_path / "list.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(BundleError, match="cannot be read safely"):
        read_imagenet(tmp_path / "junk.pth")
    with pytest.raises(InputError, match="no such"):
        read_imagenet(tmp_path / "absent.pth")


def test_imagenet_weights_need_the_published_width(tmp_path):
    torch.save(imagenet_like(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsMismatchError, match="need width 64"):
        start_from_imagenet(network(), read_imagenet(tmp_path / "resnet18.pth"))


def test_attention_averages_over_the_phases_that_are_there():
    torch.manual_seed(0)
    fusion = CrossAttention(16, 3, 0.0).eval()
    torch.nn.init.zeros_(fusion.names)
    features = torch.randn(1, 1, 16).expand(1, 3, 16)
    one, every = torch.tensor([[True, False, False]]), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(fusion(features, one), fusion(features, every))


@pytest.mark.parametrize("fusion", ["cross-attention", "concatenation"])
def test_the_fusion_does_not_look_at_features_of_phases_that_are_left_out(fusion):
    network = MultiphaseNetwork("NAV", fusion, width=8).eval()
    features = torch.rand(2, 3, network.feature_dim, generator=torch.Generator().manual_seed(1))
    present = torch.tensor([[True, False, True], [False, True, False]])
    other = torch.where(present[:, :, None], features, -3.0)
    with torch.no_grad():
        torch.testing.assert_close(network.fuse(other, present), network.fuse(features, present))
