"""What all sections of an audit look at, read once."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.config import AuditConfig
from goldseam.audit.label_side import LabelSide, read_label_side
from goldseam.audit.measuring.presence import mask_states
from goldseam.audit.measuring.stage import measured, read_measures
from goldseam.audit.predictions.embeddings import FOLDER as EMBEDDINGS
from goldseam.audit.predictions.embeddings import embeddings_of
from goldseam.audit.predictions.opening import open_predictions
from goldseam.audit.predictions.pairing import LabelFetcher, labeled_predictions
from goldseam.audit.predictions.reading import PredictionSet
from goldseam.dataset.codecs import Array
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Kind

MASKS = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY)


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The labels, what was measured on the pictures, and predictions.

    Attributes:
        dataset: an open dataset.
        labels: its label side.
        tables: of all measures.
        states: task → int8 NC, of tags, boxes and masks.
        predictions: None where there are none.
        embeddings_ND: in the order of `labels`; None where there are none.
    """

    dataset: Dataset
    labels: LabelSide
    tables: Mapping[str, pa.Table]
    states: Mapping[str, Array]
    predictions: PredictionSet | None
    embeddings_ND: Array | None

    @property
    def pictures(self) -> pa.Table | None:
        """Statistics and hashes of the images; None where no picture was looked at."""
        table = self.tables.get("pictures")
        return table if table is not None and len(table) else None

    @property
    def mask_states(self) -> dict[str, Array]:
        """The states that the label side does not know, since masks have to be decoded for them."""
        return {task: s for task, s in self.states.items() if task not in self.labels.states}

    def predicted(self, *kinds: Kind) -> list[str]:
        """Tasks of some kinds that are predicted and have a known label."""
        if self.predictions is None:
            return []
        return [name for name in self.predictions.tasks if self._asked(name, kinds)]

    def known(self, *kinds: Kind) -> list[str]:
        """Tasks of some kinds that have a known label."""
        return [name for name in self.labels.info.tasks if self._asked(name, kinds)]

    def _asked(self, name: str, kinds: tuple[Kind, ...]) -> bool:
        return self.labels.info.tasks[name].kind in kinds and bool(self.labels.known[name].any())

    @functools.cached_property
    def probabilities(self) -> dict[str, Array]:
        """Tags task → predicted probability of "present", NC; NaN rows where there is none."""
        if self.predictions is None:
            return {}
        tasks = [n for n in self.predictions.tasks if self.labels.info.tasks[n].kind is Kind.TAGS]
        return {name: self.predictions.probabilities(self.labels, name) for name in tasks}

    @functools.cached_property
    def uncertainty(self) -> dict[str, Array]:
        """Mask task → share of the pixels that the prediction itself expects to be wrong, N."""
        found: dict[str, Array] = {}
        if self.predictions is None:
            return found
        for name in self.predictions.tasks:
            if self.labels.info.tasks[name].kind in MASKS:
                expected_N = np.full(len(self.labels), np.nan, np.float32)
                for position, predicted in self.predictions.dense(self.labels, name):
                    # a boundary is predicted by the probability that it is there
                    sure_HW = (
                        predicted.max(axis=0)
                        if predicted.ndim == 3
                        else np.maximum(predicted, 1 - predicted)
                    )
                    expected_N[position] = 1 - sure_HW.mean(dtype=np.float64)
                found[name] = expected_N
        return found

    def masks(self, task: str) -> Iterator[tuple[int, Array, Array]]:
        """(position, mask HW, probabilities CHW) of each image that has both."""
        assert self.predictions is not None
        for position, mask_HW, predicted in labeled_predictions(
            self.dataset, self.labels, self.predictions, task
        ):
            # a boundary is predicted by the probability that it is there
            both_CHW = predicted if predicted.ndim == 3 else np.stack([1 - predicted, predicted])
            yield position, mask_HW, both_CHW

    def values(self, task: str) -> Iterator[tuple[int, Any, Array | None]]:
        """(position, label, prediction or None) of each image with a label of values."""
        if self.predictions is not None and task in self.predictions.tasks:
            yield from labeled_predictions(self.dataset, self.labels, self.predictions, task)
            return
        label_of = LabelFetcher(self.dataset, task)
        for position in np.flatnonzero(self.labels.known[task]).tolist():
            yield position, label_of[position], None


def gather(
    config: AuditConfig, dataset: Dataset, *, measures: Path | None, predictions: Path | None
) -> Evidence:
    """Read the labels; measure the pictures unless that was done; open the predictions.

    Args:
        config: the options.
        dataset: an open dataset.
        measures: output of `measure` or `join_measures`.
        predictions: output of `crossfit`, or predictions that somebody brings.
    """
    labels = read_label_side(dataset)
    if measures is None:
        tables = measured(config.measure, dataset, dataset.info.shards)
    else:
        tables = read_measures(measures, dataset=dataset, config=config.measure)
    has_embeddings = predictions is not None and (predictions / EMBEDDINGS).is_dir()
    return Evidence(
        dataset=dataset,
        labels=labels,
        tables=tables,
        states={**labels.states, **mask_states(labels, tables)},
        predictions=None if predictions is None else open_predictions(predictions, dataset.info),
        embeddings_ND=embeddings_of(labels, predictions)
        if predictions is not None and has_embeddings
        else None,
    )
