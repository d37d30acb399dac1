"""Losses equal hand-worked cases and lifelines; missing targets do not count."""

import math

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.training.calibration import (
    add_to_logits,
    before_temperature,
    fit_temperature,
    prior_shift,
    says_nothing,
)
from RenalCLIPCore.training.learnt import task_entry
from RenalCLIPCore.training.losses import class_weights, classification_loss, contrastive_loss, cox_loss
from RenalCLIPCore.training.prediction import Predictions, softmax
from RenalCLIPCore.training.tasks import shift_of

LOG2, LOG3 = np.log(2), np.log(3)


def test_missing_labels_do_not_count():
    logits = torch.tensor([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    target = torch.tensor([0, -1, 1])
    expected = torch.nn.functional.cross_entropy(logits[[0, 2]], target[[0, 2]])
    assert classification_loss(logits, target) == expected
    assert classification_loss(logits, torch.tensor([-1, -1, -1])) is None


def test_class_weights_are_inverse_frequencies_with_mean_one_over_the_samples():
    weights = class_weights([0, 0, 0, 1, -1], 3)
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 2.0, 0.0]))
    assert weights[torch.tensor([0, 0, 0, 1])].mean() == pytest.approx(1)


def test_the_cox_loss_by_hand():
    # hazards 2, 1, 1; events at 1 and 2: -(log 2/4 + log 1/2) / 2
    loss = cox_loss(torch.tensor([LOG2, 0, 0]), torch.tensor([1.0, 2, 3]), torch.tensor([1, 1, 0]))
    assert float(loss) == pytest.approx((LOG2 + LOG2) / 2, abs=1e-6)


@pytest.mark.parametrize(("ties", "second"), [("breslow", LOG3), ("efron", LOG2)])
def test_tied_events_by_hand(ties, second):
    # two of three equal cases die together: log 3 twice (Breslow), log 3 and log 2 (Efron)
    loss = cox_loss(torch.zeros(3), torch.tensor([1.0, 1, 2]), torch.tensor([1, 1, 0]), ties)
    assert float(loss) == pytest.approx((LOG3 + second) / 2, abs=1e-6)


def tied_cohort(seed):
    """Covariate, times in whole months (many ties) and events of 120 cases."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, 120)
    return x, np.ceil(generator.exponential(10, 120) * np.exp(-x) + 0.1), generator.integers(0, 2, 120)


@pytest.mark.parametrize("seed", range(3))
def test_the_cox_loss_with_efrons_ties_is_lifelines_partial_likelihood(seed):
    import pandas as pd
    from lifelines import CoxPHFitter

    x, months, event = tied_cohort(seed)
    assert len(np.unique(months[event == 1])) < event.sum()
    fitter = CoxPHFitter().fit(pd.DataFrame({"t": months, "e": event, "x": x}), "t", "e")
    risk = torch.tensor(x * float(fitter.params_["x"]))
    loss = cox_loss(risk, torch.tensor(months), torch.tensor(event), "efron")
    assert float(loss) * event.sum() == pytest.approx(-fitter.log_likelihood_, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_without_ties_both_methods_are_lifelines_partial_likelihood(ties):
    import pandas as pd
    from lifelines import CoxPHFitter

    x, months, event = tied_cohort(4)
    months = months + np.linspace(0, 0.5, len(months))
    fitter = CoxPHFitter().fit(pd.DataFrame({"t": months, "e": event, "x": x}), "t", "e")
    loss = cox_loss(torch.tensor(x * float(fitter.params_["x"])), torch.tensor(months), torch.tensor(event), ties)
    assert float(loss) * event.sum() == pytest.approx(-fitter.log_likelihood_, rel=1e-9, abs=1e-9)


def test_breslows_ties_are_the_written_formula():
    x, months, event = tied_cohort(5)
    value = sum(x[i] - np.log(np.exp(x[months >= months[i]]).sum()) for i in np.flatnonzero(event))
    loss = cox_loss(torch.tensor(x), torch.tensor(months), torch.tensor(event), "breslow")
    assert float(loss) * event.sum() == pytest.approx(-value, rel=1e-9)


def test_the_cox_loss_does_not_change_with_a_shift_and_survives_large_risks():
    generator = torch.Generator().manual_seed(0)
    risk = torch.randn(20, generator=generator)
    months, event = torch.rand(20, generator=generator), torch.randint(0, 2, (20,), generator=generator)
    base = cox_loss(risk, months, event)
    torch.testing.assert_close(cox_loss(risk + 500, months, event), base, rtol=1e-3, atol=1e-3)
    shifted = (risk + 500).requires_grad_()
    cox_loss(shifted, months, event).backward()
    assert torch.isfinite(shifted.grad).all()
    assert shifted.grad.sum().abs() < 1e-4


def test_without_an_event_there_is_no_cox_loss():
    assert cox_loss(torch.zeros(3), torch.ones(3), torch.zeros(3)) is None
    assert cox_loss(torch.zeros(0), torch.zeros(0), torch.zeros(0)) is None


def test_calibration_finds_the_temperature_of_overconfident_logits():
    from scipy.special import log_softmax, softmax

    generator = np.random.default_rng(0)
    honest = generator.normal(0, 1.5, (3000, 3))
    labels = np.array([generator.choice(3, p=p) for p in softmax(honest, axis=1)])
    temperature = fit_temperature(4 * honest, labels)
    assert temperature == pytest.approx(4, rel=0.1)
    rows = np.arange(3000)
    before = -log_softmax(4 * honest, axis=1)[rows, labels].mean()
    after = -log_softmax(4 * honest / temperature, axis=1)[rows, labels].mean()
    assert after < before - 0.1


def test_calibration_never_raises_the_loss_even_where_it_cannot_be_fitted():
    temperature = fit_temperature([[3.0, 0.0], [3.0, 0.0]], [0, 0])
    assert 0 < temperature <= 1


def test_logits_against_the_labels_are_told_as_such():
    labels = [0, 1] * 20
    against = np.where(np.array(labels)[:, None] == [0, 1], -3.0, 3.0)
    assert says_nothing(fit_temperature(against, labels))
    assert not says_nothing(fit_temperature(-against + np.eye(2)[[0] * 40], labels))


@pytest.mark.parametrize(("sign", "said"), [(1.0, False), (-1.0, True)])
def test_a_task_whose_classes_are_not_told_apart_says_so_in_its_entry(sign, said):
    labels = [0, 1] * 20
    rows = [CohortRow(f"p{k}", "left", labels={"malignancy": label}) for k, label in enumerate(labels)]
    logits = sign * np.where(np.array(labels)[:, None] == [0, 1], 2.0, -1.0)
    found = Predictions(tuple(row.case_id for row in rows), ("A",) * 40, np.zeros((40, 1)), {"malignancy": logits})
    source = task_entry("malignancy", 0, found, rows).temperature_source
    assert ("whose classes they do not tell apart" in source) == said


def test_the_loss_is_the_mean_of_both_directions():
    first, second = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    rows = (math.log(1 + math.exp(3 * 0.6 - 3)) + math.log(1 + math.exp(0 - 3 * 0.8))) / 2
    columns = (math.log(1 + math.exp(0 - 3)) + math.log(1 + math.exp(3 * 0.6 - 3 * 0.8))) / 2
    assert float(contrastive_loss(first, second, 3.0)) == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_the_loss_keeps_its_digits_under_mixed_precision():
    first, second = (
        torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(s))) for s in (0, 1)
    )
    logits, own = 100 * first.double() @ second.double().T, torch.arange(8)
    exact = sum(float(torch.nn.functional.cross_entropy(one, own)) for one in (logits, logits.T)) / 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(contrastive_loss(first, second, 100.0)) == pytest.approx(exact, abs=1e-4)


def test_the_shift_is_the_log_of_natural_over_learnt_shares():
    labels = [0, 0, 0, 1, -1]
    assert prior_shift(labels, [1, 1, 1, 3, 5], 2) == pytest.approx((math.log(0.75 / 0.5), math.log(0.25 / 0.5)))
    assert prior_shift(labels, np.ones(5), 2) == pytest.approx((0, 0))
    assert prior_shift([0, 0], [1, 1], 3) == (0.0, 0.0, 0.0)  # a class that does not occur stays as it is


@pytest.mark.parametrize("confidence", [0.5, 1.0, 4.0])
def test_logits_learnt_from_balanced_classes_are_calibrated_at_the_natural_frequency(confidence):
    g = np.random.default_rng(4)
    labels = (g.uniform(size=4000) < 0.18).astype(int)
    evidence = g.normal(1.2 * (2 * labels - 1), 1.0)  # log likelihood ratio 2.4 x
    balanced = confidence * np.stack([np.zeros(4000), 2.4 * evidence], axis=1)
    weights = np.where(labels == 1, 1 / labels.mean(), 1 / (1 - labels.mean()))
    shift = prior_shift(labels, weights, 2)
    temperature = fit_temperature(balanced, labels, shift)
    head = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with torch.no_grad():
        head[0].weight.copy_(torch.eye(2))
        head[0].bias.zero_()
    add_to_logits(head, before_temperature(shift, temperature))
    logits = head(torch.tensor(balanced, dtype=torch.float32)).detach().double().numpy()
    risk = softmax(logits, temperature)[:, 1]
    assert temperature == pytest.approx(confidence, rel=0.1)
    assert risk.mean() == pytest.approx(labels.mean(), abs=0.01)
    plain = softmax(balanced, fit_temperature(balanced, labels))[:, 1]
    assert abs(plain.mean() - labels.mean()) > 0.05  # one temperature alone cannot do it


def test_the_temperature_is_the_best_one_beside_the_shift():
    from scipy.special import log_softmax

    g = np.random.default_rng(6)
    labels = (g.uniform(size=3000) < 0.9).astype(int)
    logits = np.stack([np.zeros(3000), g.normal(0.3 * (2 * labels - 1) - 0.5, 1.0)], axis=1)
    shift = (math.log(0.2), math.log(1.8))
    tried = np.linspace(0.5, 10, 400)
    losses = [-log_softmax(logits / t + shift, axis=1)[np.arange(3000), labels].mean() for t in tried]
    best = tried[int(np.argmin(losses))]
    assert fit_temperature(logits, labels, shift) == pytest.approx(best, abs=0.05)
    assert abs(fit_temperature(logits, labels) - best) > 0.2


def test_logits_of_noise_are_told_as_such_whatever_the_frequencies():
    g = np.random.default_rng(5)
    labels = (g.uniform(size=2000) < 0.85).astype(int)
    weights = np.where(labels == 1, 1 / labels.mean(), 1 / (1 - labels.mean()))
    assert says_nothing(fit_temperature(g.normal(size=(2000, 2)), labels, prior_shift(labels, weights, 2)))


def test_weights_in_the_loss_are_undone_as_sampling_is():
    rows = [CohortRow(f"p{k}", "left", labels={"malignancy": int(k % 4 == 0)}) for k in range(40)]
    away = (math.log(2 * 0.75), math.log(2 * 0.25))
    assert shift_of("malignancy", rows, ("malignancy",), weighed=False) == pytest.approx(away)
    assert shift_of("malignancy", rows, (), weighed=True) == pytest.approx(away)
    # both together count a rare case nine times: 3/4 to 1/4 is turned round
    assert shift_of("malignancy", rows, ("malignancy",), weighed=True) == pytest.approx(
        (math.log(0.75 / 0.25), math.log(0.25 / 0.75))
    )
    assert shift_of("malignancy", rows, (), weighed=False) == ()
