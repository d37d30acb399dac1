"""Text encoders: bidirectional, padding-proof, the same after saving, and adapters that merge without a trace."""

import numpy as np
import pytest
import torch

from RenalCLIPCore.errors import InputError, WeightsMismatchError
from RenalCLIPCore.models.text_building import add_adapters, merge_adapters
from RenalCLIPCore.models.text_encoder import load_text_encoder, make_bidirectional
from Testing.Core.training.text_toys import toy_encoder, toy_reports

LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": ("q_proj", "v_proj", "down_proj"), "seed": 1}
TEXTS = ["A mass of 12 mm.", "The left kidney shows a hypodense mass of 61 mm. No stone is seen.", "Cyst."]


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_a_token_sees_those_after_it(architecture):
    encoder = toy_encoder(architecture).eval()
    ids, mask = encoder.tokens([TEXTS[1]])
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % 300
    change = (encoder.states(ids, mask)[0, 0] - encoder.states(other, mask)[0, 0]).abs().max()
    assert change > 1e-4


def test_without_the_flags_the_network_reads_from_left_to_right():
    encoder = toy_encoder().eval()
    encoder.network.config.is_causal = True
    for layer in encoder.network.model.layers:
        layer.self_attn.is_causal = True
    ids, mask = encoder.tokens([TEXTS[1]])
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % 300
    assert torch.equal(encoder.states(ids, mask)[0, 0], encoder.states(other, mask)[0, 0])
    make_bidirectional(encoder.network)
    assert not torch.equal(encoder.states(ids, mask)[0, 0], encoder.states(other, mask)[0, 0])


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_padding_does_not_change_an_embedding(architecture):
    encoder = toy_encoder(architecture)
    together, alone = encoder.embed(TEXTS), encoder.embed(TEXTS, batch_size=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_the_embedding_is_the_mean_of_the_last_states():
    encoder = toy_encoder().eval()
    ids, mask = encoder.tokens(TEXTS[:1])
    mean = encoder.states(ids, mask)[0].mean(0)
    torch.testing.assert_close(encoder(ids, mask)[0], mean / mean.norm(), atol=1e-6, rtol=0)


def test_long_texts_are_cut():
    encoder = toy_encoder()
    encoder.max_tokens = 10
    assert encoder.tokens([TEXTS[1]])[0].shape == (1, 10)


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_a_saved_encoder_reads_the_same(architecture, tmp_path):
    encoder = toy_encoder(architecture)
    encoder.save(tmp_path / "folder")
    again = load_text_encoder(tmp_path / "folder")
    assert again.embedding_dim == 16
    np.testing.assert_allclose(again.embed(TEXTS), encoder.embed(TEXTS), atol=1e-6)


def test_new_adapters_change_nothing_and_merged_ones_keep_what_they_learnt(tmp_path):
    encoder = toy_encoder()
    before = encoder.embed(TEXTS)
    add_adapters(encoder, **LORA)
    np.testing.assert_allclose(encoder.embed(TEXTS), before, atol=1e-6)
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B" in name:
                parameter.add_(0.1)
    learnt = encoder.embed(TEXTS)
    assert np.abs(learnt - before).max() > 1e-3
    merge_adapters(encoder)
    assert not any("lora" in name for name in encoder.state_dict())
    np.testing.assert_allclose(encoder.embed(TEXTS), learnt, atol=1e-5)
    encoder.save(tmp_path / "folder")
    np.testing.assert_allclose(load_text_encoder(tmp_path / "folder").embed(TEXTS), learnt, atol=1e-5)


def test_every_text_can_be_written_with_the_learnt_tokenizer():
    tokenizer = toy_encoder().tokenizer
    text = "左肾 naïve 12.5 mm; µ"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert toy_reports().training[0].text in tokenizer.decode(tokenizer(toy_reports().training[0].text)["input_ids"])


def test_folders_that_hold_no_whole_model_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        load_text_encoder(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="no language model and tokenizer"):
        load_text_encoder(tmp_path)
    encoder = toy_encoder()
    encoder.network.model.layers = encoder.network.model.layers[:1]
    encoder.save(tmp_path / "half")
    with pytest.raises(WeightsMismatchError, match=r"lacks weights, model\.layers\.1"):
        load_text_encoder(tmp_path / "half")
