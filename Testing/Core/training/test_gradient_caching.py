"""Gradient caching: the plain step's gradients, the whole batch's statistics, and no activations kept."""

import copy

import pytest
import torch
from torch import nn

from RenalCLIPCore.training.gradient_caching import cached
from RenalCLIPCore.training.normalisation import fix_statistics
from Testing.Core.training.pair_toys import toy_batch, toy_clip, toy_task


def gradients(chunk, *, fixed, precision=torch.float32):
    task = toy_task(toy_clip(chunk=chunk, seed=3))
    task.model.to(precision).train()
    if fixed:
        fix_statistics(task.model)
    batch = toy_batch(5)
    step = task.training_step(type(batch)(batch.images.to(precision), batch.texts, batch.case_ids, batch.phases))
    step.loss.backward()
    return task.model, float(step.loss.detach())


@pytest.mark.parametrize("chunk", [2, 3, 7])
def test_the_gradients_are_those_of_the_plain_step_with_fixed_statistics(chunk):
    plain, loss = gradients(None, fixed=True)
    parts, again = gradients(chunk, fixed=True)
    assert again == pytest.approx(loss, abs=1e-6)
    for (name, one), two in zip(plain.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-5, atol=1e-5, msg=name)
    assert plain.log_scale.grad.abs() > 0


def test_running_statistics_move_once_and_take_up_the_whole_batch():
    plain, _ = gradients(None, fixed=False)
    parts, _ = gradients(2, fixed=False)
    # the first batch norm sees the same values in chunks as at once
    torch.testing.assert_close(parts.encoder.bn1.running_mean, plain.encoder.bn1.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.encoder.bn1.running_var, plain.encoder.bn1.running_var, rtol=1e-5, atol=1e-6)
    for norm in (module for module in parts.modules() if isinstance(module, nn.BatchNorm3d)):
        assert int(norm.num_batches_tracked) == 1
        assert norm.momentum == 0.1


def test_fixed_statistics_stay():
    model, _ = gradients(2, fixed=True)
    assert torch.equal(model.encoder.bn1.running_mean, torch.zeros(2))
    assert int(model.encoder.bn1.num_batches_tracked) == 0


def test_both_passes_of_a_chunk_see_the_same_dropout():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    inputs = torch.randn(6, 4)
    seen = []
    network[1].register_forward_hook(lambda module, values, output: seen.append((output != 0).clone()))
    cached(network, network, inputs, chunk=3).sum().backward()
    first, second, *again = seen
    assert not torch.equal(first, second)
    assert len(again) == 2
    assert {tuple(mask.flatten().tolist()) for mask in again} == {
        tuple(mask.flatten().tolist()) for mask in (first, second)
    }


def kept_bytes(batch, chunk):
    """Bytes that the forward pass keeps for the backward pass, inputs not counted."""
    network = copy.deepcopy(toy_task(toy_clip()).model).train()
    images = toy_batch(1, batch).images
    kept = 0

    def pack(tensor):
        nonlocal kept
        shared = tensor.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
        kept += 0 if shared else tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        cached(network, network, images, chunk=chunk)
    return kept


def test_no_activation_is_kept_from_the_first_pass():
    assert kept_bytes(16, None) > 1.7 * kept_bytes(8, None)
    assert kept_bytes(16, 4) == kept_bytes(8, 4)
