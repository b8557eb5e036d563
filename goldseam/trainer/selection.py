"""Validation while training: which weights are best so far, and what the history says of them."""

from collections.abc import Callable, Mapping

from goldseam.dataset.codecs import Array
from goldseam.metrics import Metric
from goldseam.models.multitask import MultitaskModel
from goldseam.trainer.config import LoopConfig
from goldseam.trainer.distributed import is_main
from goldseam.trainer.interruption import Asked, Interruption
from goldseam.trainer.recording import Recorder
from goldseam.trainer.state import TrainingState
from goldseam.trainer.validation import flat_scores, selection_score

Validate = Callable[[MultitaskModel], dict[str, Metric]]
Draw = Callable[[MultitaskModel], Mapping[str, Array]]


class Selection:
    """Scores the kept weights and remembers the best, in the first process.

    Args:
        validate: metrics of a model on the validation split; None takes the weights as they come.
        loop: names the metrics that decide.
        recorder: takes the metrics, and pictures of the best weights so far.
        draw: draws them.
    """

    def __init__(
        self, validate: Validate | None, loop: LoopConfig, recorder: Recorder, draw: Draw | None
    ) -> None:
        self.validate = validate
        self.loop = loop
        self.recorder = recorder
        self.draw = draw

    def judge(self, state: TrainingState, interruption: Interruption) -> None:
        """Validate the step just done, unless that is done; SIGTERM leaves it for the next run.

        Args:
            state: whose progress holds the step's numbers as `unvalidated`.
            interruption: tells of SIGTERM.
        """
        now = state.progress
        if now.unvalidated is None:
            return
        metrics = None
        kept = state.kept
        kept.eval()
        if self.validate is not None and is_main():
            try:
                with interruption.at_once():
                    metrics = self.validate(kept)
            except Asked:
                return
        measured, now.unvalidated = now.unvalidated, None
        if not is_main():
            return
        if metrics is None:
            now.best_step = now.step
            state.keep_best()
            return
        found = selection_score(metrics, self.loop.select, kept.preprocessing.values)
        values = flat_scores(metrics)
        entry = {"step": now.step, "loss": measured["loss"], "selection": found}
        now.history.append(entry | measured | values)
        self.recorder.numbers(now.step, {"selection": found, **values})
        # where no label tells how good the weights are, the last ones are kept
        if now.best_score is None or (found is not None and found > now.best_score):
            now.best_score, now.best_step = found, now.step
            state.keep_best()
            self._draw(state)

    def _draw(self, state: TrainingState) -> None:
        if self.draw is not None and self.recorder.wants_pictures:
            self.recorder.pictures(state.progress.step, self.draw(state.kept))
