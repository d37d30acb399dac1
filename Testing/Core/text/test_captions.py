"""Sentences, captions and their shuffled versions."""

import numpy as np

from RenalCLIPCore.text.captions import NO_ABNORMALITY, caption, parse_caption, sentences, shuffled_caption


def test_a_decimal_or_a_list_number_ends_no_sentence():
    text = "1. A mass of 4.5 x 3.2 cm is seen. It enhances (approx. 90 HU).\n2) No stone; no hydronephrosis."
    assert sentences(text) == (
        "A mass of 4.5 x 3.2 cm is seen.",
        "It enhances (approx. 90 HU).",
        "No stone",
        "no hydronephrosis.",
    )


def test_chinese_stops_end_sentences():
    assert sentences("左肾见肿块。右肾未见异常；肝脏正常。") == ("左肾见肿块。", "右肾未见异常", "肝脏正常。")


def test_a_size_at_the_start_is_no_list_number():
    assert sentences("12 mm nodule.") == ("12 mm nodule.",)


def test_a_kidney_without_text_is_said_to_show_no_abnormality():
    assert caption(" ", "") == f"Findings: {NO_ABNORMALITY}"
    assert caption("A  mass.\nIt enhances.", "RCC.") == "Findings: A mass. It enhances.\nImpression: RCC."


def test_shuffling_keeps_every_sentence_in_its_section_and_follows_the_generator():
    findings, impression = "One is 1.5 cm. Two. Three. Four.", "Five. Six."
    shuffled = {shuffled_caption(findings, impression, np.random.default_rng(seed)) for seed in range(8)}
    assert len(shuffled) > 4
    for text in shuffled:
        first, second = text.split("\n")
        assert sorted(sentences(first.removeprefix("Findings: "))) == sorted(sentences(findings))
        assert sorted(sentences(second.removeprefix("Impression: "))) == sorted(sentences(impression))
    again = shuffled_caption(findings, impression, np.random.default_rng(3))
    assert again == shuffled_caption(findings, impression, np.random.default_rng(3))


def test_a_caption_is_taken_apart_again():
    assert parse_caption(caption("A mass.  It is dark.", "Cyst.")) == ("A mass. It is dark.", "Cyst.")
    assert parse_caption("findings: A mass. IMPRESSION: Cyst. Impression: two") == ("A mass.", "Cyst. Impression: two")
    assert parse_caption("A mass of 3 cm.") == ("A mass of 3 cm.", "")
    assert parse_caption("Impression: Cyst.") == ("", "Cyst.")
    assert parse_caption("") == ("", "")
