import numpy as np
import pytest
import torch
from torch.nn import functional

from RenalCLIPCore.models.encoder import (
    RenalEncoder,
    ResidualBlock,
    accelerated,
    initialise,
    network_input,
    parameter_count,
    stage_stride,
)


def test_full_size_encoder_has_exactly_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameter_count(RenalEncoder()) == 35_087_424
        assert parameter_count(RenalEncoder(embedding_dim=0)) == 35_087_424 - (512 * 4096 + 4096)


def naive_shortcut(x, stride, channels):
    batch, have, *space = x.shape
    shape = [len(range(0, n, stride)) for n in space]
    out = torch.zeros(batch, channels, *shape)
    for b in range(batch):
        for c in range(have):
            for d in range(shape[0]):
                for h in range(shape[1]):
                    for w in range(shape[2]):
                        out[b, c, d, h, w] = x[b, c, d * stride, h * stride, w * stride]
    return out


def test_shortcut_takes_every_second_voxel_and_pads_channels_with_zeros():
    block = ResidualBlock(2, 5, 2)
    x = torch.rand(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block.shortcut(x), naive_shortcut(x, 2, 5))
    assert torch.equal(block.shortcut(x), functional.pad(functional.avg_pool3d(x, 1, stride=2), (0,) * 7 + (3,)))


def test_gradient_flows_through_the_shortcut():
    block = ResidualBlock(1, 2, 2).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.ones(1, 1, 2, 2, 2, requires_grad=True)
    block(x).sum().backward()
    expected = torch.zeros(1, 1, 2, 2, 2)
    expected[0, 0, 0, 0, 0] = 1.0
    assert torch.allclose(x.grad, expected)


def test_forward_equals_the_layers_written_out():
    encoder = RenalEncoder(2, 3, torch.Generator().manual_seed(0)).eval()
    x = torch.rand(2, 1, 8, 32, 32, generator=torch.Generator().manual_seed(1))

    def norm(layer, value):
        mean, variance = layer.running_mean[:, None, None, None], layer.running_var[:, None, None, None]
        scaled = (value - mean) / torch.sqrt(variance + layer.eps)
        return scaled * layer.weight[:, None, None, None] + layer.bias[:, None, None, None]

    with torch.no_grad():
        for part in encoder.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.running_mean.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(2))
                part.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(3))
        value = functional.conv3d(x, encoder.conv1.weight, stride=2, padding=3)
        value = functional.max_pool3d(norm(encoder.bn1, value).clamp(min=0), 3, 2, 1)
        for number, layer in enumerate(encoder.layers):
            for position, block in enumerate(layer):
                stride = 2 if number and not position else 1
                out = functional.conv3d(value, block.conv1.weight, stride=stride, padding=1)
                out = norm(block.bn1, out).clamp(min=0)
                out = norm(block.bn2, functional.conv3d(out, block.conv2.weight, padding=1))
                value = (out + naive_shortcut(value, stride, out.shape[1])).clamp(min=0)
        features = value.mean(dim=(2, 3, 4))
        projected = features @ encoder.projection.weight.T + encoder.projection.bias
        assert torch.allclose(encoder(x), features, atol=1e-5)
        assert torch.allclose(encoder.embed(x), projected / projected.norm(dim=1, keepdim=True), atol=1e-5)
        assert torch.allclose(encoder.features_after(encoder.activation(x, 3), 3), features, atol=1e-5)


def test_stage_strides_match_the_activations():
    encoder = RenalEncoder(1, 0)
    x = torch.zeros(1, 1, 32, 64, 64)
    for stage in (1, 2, 3, 4):
        shape = encoder.activation(x, stage).shape
        assert shape[1] == 2 ** (stage - 1)
        assert tuple(shape[2:]) == tuple(n // stage_stride(stage) for n in (32, 64, 64))


def test_network_input_is_the_centre_crop_in_the_order_z_x_y():
    rois = np.random.default_rng(0).random((2, 140, 140, 32), dtype=np.float32)
    x = network_input(rois)
    assert tuple(x.shape) == (2, 1, 32, 128, 128)
    assert x[1, 0, 7, 10, 20] == rois[1, 16, 26, 7]


def test_initial_weights_follow_the_seed_and_the_documented_spread():
    first, second = (RenalEncoder(8, 64, torch.Generator().manual_seed(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.projection.weight.abs().max() <= 0.04
    assert torch.count_nonzero(first.projection.bias) == 0
    expected = (2 / (64 * 27)) ** 0.5
    assert abs(float(first.layer4[1].conv2.weight.detach().std()) / expected - 1) < 0.05
    other = torch.nn.Linear(3, 3)
    initialise(other, torch.Generator().manual_seed(7))
    assert torch.count_nonzero(other.bias) == 0


@pytest.mark.parametrize("depth", [8, 9])
def test_the_accelerated_copy_computes_in_bfloat16_and_stays_near_the_exact_features(depth):
    encoder = RenalEncoder(4, 8, torch.Generator().manual_seed(0)).eval()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
            module.running_var.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(3))
    x = torch.rand(2, 1, depth, 32, 33, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fast = accelerated(encoder)
        wanted, found = encoder(x), fast(x)
        assert fast.activation(x, 3).dtype == torch.bfloat16
        assert found.dtype == torch.float32
        assert 0 < (found - wanted).norm() < 0.01 * wanted.norm()
        assert torch.allclose(encoder.embed(x), fast.embed(x), atol=0.02)
    assert encoder.conv1.weight.dtype == torch.float32
