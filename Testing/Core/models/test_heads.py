import numpy as np
import torch

from RenalCLIPCore.cohort.table import EVERY_TASK_CLASSES
from RenalCLIPCore.models.feature_statistics import fit_feature_statistics
from RenalCLIPCore.models.heads import AttributeHead, ClassificationHead, SurvivalHead
from RenalCLIPCore.models.tasks import TASKS


def test_classification_head_is_linear_norm_relu_linear_in_evaluation():
    head = ClassificationHead(3, 2, hidden=4, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        head.norm.running_mean.copy_(torch.tensor([0.1, -0.1, 0.0, 0.2]))
        head.norm.running_var.copy_(torch.tensor([1.0, 2.0, 0.5, 1.0]))
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    hidden = (x @ head.hidden.weight.T - head.norm.running_mean) / torch.sqrt(head.norm.running_var + head.norm.eps)
    expected = hidden.clamp(min=0) @ head.output.weight.T + head.output.bias
    assert torch.allclose(head(x), expected, atol=1e-6)
    assert head.hidden.bias is None


def test_heads_without_hidden_units_are_linear():
    head = ClassificationHead(3, 2, hidden=0).eval()
    attribute = AttributeHead(3, 2)
    attribute.load_state_dict(head.state_dict())
    x = torch.rand(4, 3)
    assert torch.equal(head(x), attribute(x))
    assert torch.allclose(head(x), x @ head.output.weight.T + head.output.bias)


def test_survival_head_has_three_layers_and_one_output():
    head = SurvivalHead(512)
    assert [tuple(value.shape) for value in head.state_dict().values()] == [
        (128, 512), (128,), (128, 128), (128,), (1, 128), (1,),
    ]  # fmt: skip
    assert tuple(head(torch.zeros(3, 512)).shape) == (3, 1)


def test_dropout_acts_in_training_only():
    head = ClassificationHead(64, 2, hidden=0, dropout=0.5)
    x = torch.ones(1, 64)
    torch.manual_seed(0)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))


def test_nephrometry_tasks_carry_points_in_the_order_of_their_classes():
    assert [task.points for task in TASKS.values() if task.component and task.component not in "Ah"] == [(1, 2, 3)] * 4
    assert TASKS["renal_a"].points == TASKS["renal_h"].points == ()
    assert TASKS["malignancy"].classes == ("benign", "malignant")
    assert TASKS["rfs"].classes == ()


def test_bundles_and_cohort_tables_name_the_same_classes_in_the_same_order():
    assert {name: task.classes for name, task in TASKS.items() if task.classes} == dict(EVERY_TASK_CLASSES)


def test_distance_is_mahalanobis_under_the_fitted_covariance():
    data = np.random.default_rng(0).normal(size=(200, 4)) * (5.0, 2.0, 0.5, 0.5)
    statistics = fit_feature_statistics(data, dimensions=2)
    inside = statistics.components.T @ np.diag(statistics.variances - statistics.residual_variance)
    covariance = inside @ statistics.components + statistics.residual_variance * np.eye(4)
    points = np.random.default_rng(1).normal(size=(5, 4))
    centred = points - data.mean(axis=0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred))
    assert np.allclose(statistics.distance(points), expected)


def test_statistics_of_few_or_constant_features_stay_finite():
    statistics = fit_feature_statistics(np.ones((3, 5)), dimensions=32)
    assert np.isfinite(statistics.distance(np.zeros(5))).all()
