"""Reports of a few words, and a language model that fits into a test."""

from RenalCLIPCore.models.text_building import new_text_encoder, train_tokenizer
from RenalCLIPCore.training.text_data import Report, Reports

SIZES = ("12 mm", "25 mm", "38 mm", "61 mm", "84 mm")
PLACES = ("upper pole", "lower pole", "interpolar region")
DENSITIES = ("hypodense", "isodense", "hyperdense")


def toy_report(number):
    size, place, density = SIZES[number % 5], PLACES[number % 3], DENSITIES[(number // 3) % 3]
    findings = f"The left kidney shows a {density} mass of {size}. It lies in the {place}. No stone is seen."
    return Report(f"case-{number}", findings, f"Mass of {size} in the {place}.")


def toy_reports(count=24):
    every = tuple(toy_report(number) for number in range(count))
    return Reports(every[: 2 * count // 3], every[2 * count // 3 :])


def toy_encoder(architecture="llama", reports=None, seed=0):
    texts = [report.text for report in (reports or toy_reports()).training]
    sizes = {"width": 16, "hidden": 32, "layers": 2, "heads": 2, "seed": seed}
    return new_text_encoder(train_tokenizer(texts, 320), architecture, **sizes)
