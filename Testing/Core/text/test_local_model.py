"""A language model from a folder: loaded strictly from this machine, asked like an endpoint."""

import pytest

from RenalCLIPCore.errors import BundleError, InputError
from RenalCLIPCore.text.completion import CompletionError, Questioner
from RenalCLIPCore.text.local_model import LocalModel
from RenalCLIPCore.text.partition import SideText
from RenalCLIPCore.text.processing import Status, extract


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of a few thousand weights with a tokenizer of single bytes."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    path = tmp_path_factory.mktemp("models") / "toy"
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["</s>", *alphabet])}
    bytes_only = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    bytes_only.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = tokenizers.decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="</s>").save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), max_position_embeddings=8192, bos_token_id=None, eos_token_id=0, **sizes
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_an_answer_is_the_same_every_time_and_does_not_repeat_the_question(folder):
    model = LocalModel(folder, device="cpu", max_answer_tokens=6)
    first = model.complete("Is there a mass?")
    assert first == LocalModel(folder, device="cpu", max_answer_tokens=6).complete("Is there a mass?")
    assert "mass" not in first


def test_an_untrained_models_answer_is_broken_and_so_is_the_outcome(folder):
    asker = Questioner(LocalModel(folder, device="cpu", max_answer_tokens=4), attempts=2, sleep=lambda seconds: None)
    outcome = extract(SideText("A 4 cm mass is seen in the left kidney.", ""), "left", asker)
    assert outcome.status is Status.BROKEN


def test_a_question_beyond_the_models_length_is_refused(folder):
    with pytest.raises(CompletionError, match="8192"):
        LocalModel(folder, device="cpu").complete("x" * 9000)


def test_a_folder_without_a_model_or_with_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(InputError):
        LocalModel(tmp_path)
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BundleError):
        LocalModel(tmp_path).complete("x")


def test_models_of_one_name_and_other_weights_have_other_names(folder, tmp_path):
    other = tmp_path / folder.name
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.safetensors").write_bytes(b"1")
    assert LocalModel(other).name != LocalModel(folder).name
