"""What the page of a run draws."""

from goldseam.dashboard.charts import curve_figure
from goldseam.results import TrainingResult


def test_curves_are_of_metrics_not_of_what_training_says_of_itself() -> None:
    """A task may be called `weight`, as are the weights that a balance learns."""
    balance = {"loss.cover": 0.7, "weight.cover": 1.2}
    history = (
        {"step": 5.0, "loss": 2.0, "cover.miou": 0.4, "weight.mae": 3.0, **balance},
        {"step": 10.0, "loss": 1.0, "cover.miou": 0.5, "cover.iou.sea": 0.6, "weight.mae": 2.0},
    )
    learned = TrainingResult(
        key="k",
        digest="d",
        steps=10,
        best_step=10,
        validation={"cover.miou": 0.5, "cover.iou.sea": 0.6, "weight.mae": 2.0},
        parameters=1,
        history=history,
    )
    figure = curve_figure({"train": learned})
    assert figure is not None
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == ["training loss", "cover.miou, validation", "weight.mae, validation"]
