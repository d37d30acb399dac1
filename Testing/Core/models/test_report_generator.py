"""The report generator: what the loss counts, what is frozen, and that a folder gives back the same generator."""

import pytest
import torch

from RenalCLIPCore.errors import BundleError, WeightsMismatchError
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.report_generator import (
    INSTRUCTION,
    GeneratorSettings,
    Projector,
    ReportGenerator,
    Writing,
    encoder_digest,
    load_report_generator,
)
from RenalCLIPCore.models.text_building import add_adapters, new_network, train_tokenizer
from RenalCLIPCore.models.weights import save_tensors

TEXTS = ("Findings: A dark mass of 12 mm.\nImpression: Cyst.", "Findings: A bright mass.\nImpression: Tumour of 30 mm.")


def toy_generator(seed=0, **settings):
    tokenizer = train_tokenizer([*TEXTS, INSTRUCTION], 320)
    network = new_network(tokenizer, "llama", width=16, hidden=32, layers=2, heads=2, seed=seed, max_tokens=512)
    values = {"feature_dim": 6, "encoder_sha256": "none", "tokens": 3, "max_tokens": 40, **settings}
    return ReportGenerator(network, tokenizer, GeneratorSettings(**values), torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def generator():
    return toy_generator().eval()


def features(count=2):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(4))


def test_the_sequence_is_start_inst_image_instruction_inst(generator):
    tokenizer = generator.tokenizer
    assert generator.prompt(features()).shape == (2, len(generator._before) + 3 + len(generator._after), 16)
    assert tokenizer.decode(generator._before) == "<s>[INST]"
    assert tokenizer.decode(generator._after).strip() == f"{INSTRUCTION}[/INST]"


def test_the_loss_counts_the_reports_tokens_alone_and_equals_that_of_transformers(generator):
    ids, mask = generator.tokens(TEXTS)
    prompt = generator.prompt(features())
    embedded = torch.cat([prompt, generator.network.get_input_embeddings()(ids)], dim=1)
    labels = torch.cat([ids.new_full(prompt.shape[:2], -100), ids.masked_fill(mask == 0, -100)], dim=1)
    seen = torch.cat([mask.new_ones(prompt.shape[:2]), mask], dim=1)
    with torch.no_grad():
        expected = generator.network(inputs_embeds=embedded, attention_mask=seen, labels=labels).loss
        loss, count = generator(features(), TEXTS)
    assert count == int(mask.sum())
    assert float(loss) / count == pytest.approx(float(expected), rel=1e-5)
    assert all(row[int(own.sum()) - 1] == generator.tokenizer.eos_token_id for row, own in zip(ids, mask, strict=True))


def test_padding_changes_no_loss_and_later_tokens_change_no_earlier_prediction(generator):
    with torch.no_grad():
        both = float(generator(features(), TEXTS)[0])
        single = sum(float(generator(features()[[i]], TEXTS[i : i + 1])[0]) for i in range(2))
    assert both == pytest.approx(single, rel=1e-5)


def test_long_reports_are_cut_and_still_end(generator):
    ids, _ = generator.tokens(["many words " * 100])
    assert ids.shape == (1, 40)
    assert ids[0, -1] == generator.tokenizer.eos_token_id


def test_a_generator_learns_to_tell_images_apart():
    generator = toy_generator(writing=Writing(repetition_penalty=1.0, no_repeat_ngram=0))
    optimiser = torch.optim.AdamW(generator.parameters(), lr=1e-2)
    for _ in range(120):
        loss, count = generator(features(), TEXTS)
        optimiser.zero_grad()
        (loss / count).backward()
        optimiser.step()
    assert [text.strip() for text in generator.write(features())] == list(TEXTS)


def test_standardised_features_have_no_mean_and_unit_spread_and_the_map_stays_linear(tmp_path):
    projector = Projector(3, 5, torch.Generator().manual_seed(0))
    images = torch.tensor([[3.0, 100.0, 7.0], [3.2, 140.0, 7.0], [3.1, 90.0, 7.0]])
    plain = projector(images)
    torch.testing.assert_close(plain, images @ projector.weight.T)
    projector.standardise(images)
    inside = (images - projector.mean) * projector.scale
    torch.testing.assert_close(inside.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)
    found = projector(images)
    torch.testing.assert_close(projector(images.mean(0, keepdim=True))[0], found.mean(0), atol=1e-6, rtol=0)


def test_adapters_leave_the_language_model_frozen_and_a_frozen_one_in_evaluation_mode():
    generator = toy_generator()
    generator.network.requires_grad_(False)
    assert generator.train().network.training is False
    add_adapters(generator, rank=2, alpha=2.0, dropout=0.2, targets=("q_proj", "v_proj"), seed=0)
    trained = {name for name, p in generator.network.named_parameters() if p.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    assert generator.train().network.training is True


def test_a_folder_gives_back_the_same_generator(generator, tmp_path):
    generator.save(tmp_path / "generator")
    again = load_report_generator(tmp_path / "generator")
    assert again.settings == generator.settings
    assert again.write(features()) == generator.write(features())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_damaged_folders_are_refused(generator, tmp_path):
    with pytest.raises(BundleError, match="holds no report generator"):
        load_report_generator(tmp_path)
    generator.save(tmp_path / "generator")
    save_tensors({"weight": torch.zeros(2, 2)}, tmp_path / "generator" / "projector.safetensors")
    with pytest.raises(WeightsMismatchError, match="lacks bias"):
        load_report_generator(tmp_path / "generator")


def test_an_encoders_hash_survives_rounding_and_ignores_the_projection():
    seeds = [torch.Generator().manual_seed(number) for number in (1, 1, 2)]
    first, projected, other = (RenalEncoder(2, dim, s) for dim, s in zip((0, 4, 0), seeds, strict=True))
    rounded = RenalEncoder(2, 0)
    rounded.load_state_dict({name: v.half() if v.is_floating_point() else v for name, v in first.state_dict().items()})
    assert encoder_digest(first) == encoder_digest(projected) == encoder_digest(rounded)
    assert encoder_digest(first) != encoder_digest(other)
