"""Which tags of a dataset's training images stay known, drawn by a scheme.

Shapes: N training images, C categories.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from goldseam.artifacts import StageConfig
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, UNSURE
from goldseam.dataset.coverage import category_states, coverage
from goldseam.dataset.partial.masks import LabelMask
from goldseam.dataset.partial.tag_protocols import (
    Rate,
    RatesFromTable,
    SizeDependent,
    States,
    TagScheme,
    known_rates,
    tag_mask,
)
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig, closest

TRAIN = "train"
# rates by category are not spelled out beyond this many
SPELLED = 4


@dataclasses.dataclass(frozen=True, eq=False)
class KnownTags:
    """The tags that a copy of a dataset keeps.

    Attributes:
        task: of tags.
        scheme: by which they were drawn.
        seed: of the draw.
        before_NC: int8: 1 present, 0 absent, -1 unknown, -2 unsure, as the dataset has them.
        kept_NC: the same with more -1; what is unsure stays so.
    """

    task: str
    scheme: TagScheme
    seed: int
    before_NC: States
    kept_NC: States

    @property
    def entries(self) -> dict[str, tuple[int, int]]:
        """`present` and `absent` → entries (image and category) known before, and still known."""
        return {
            name: (int((self.before_NC == state).sum()), int((self.kept_NC == state).sum()))
            for name, state in (("present", PRESENT), ("absent", ABSENT))
        }

    @property
    def sentence(self) -> str:
        """What was done, for the description of the dataset."""
        options = [
            f"{name} {len(value)} numbers"
            if isinstance(value, tuple) and len(value) > SPELLED
            else f"{name} {value}"
            for name, value in self.scheme.model_dump(exclude={"name"}).items()
        ]
        said = ", ".join([self.scheme.name, *options, f"seed {self.seed}"])
        return f"Training tags of {self.task} are partial: {said}."


def draw_tags(
    dataset: Dataset,
    scheme: TagScheme,
    *,
    seed: int,
    task: str = "",
    mask: LabelMask | None = None,
    area_NC: npt.ArrayLike | None = None,
) -> KnownTags:
    """Draw which tags of the training images stay known.

    Args:
        dataset: an open dataset.
        scheme: which tags.
        seed: of the draw.
        task: of tags; empty is the only clean one.
        mask: of labels, which is followed first: an image whose tags it forgets has none to draw.
        area_NC: area of what makes each present entry present, in the order of the training
            images; only `SizeDependent` asks for it, and a dataset does not hold it.

    Raises:
        InvalidConfig: the dataset has no such task or several, or the scheme needs areas.
        InvalidArray: the scheme has rates for another number of categories.
        InvalidDataset: there is no task of that name, no training split, or a tag is faulty.
        InvalidMask: the mask is not about this dataset's training images.
    """
    if isinstance(scheme, SizeDependent) and area_NC is None:
        raise InvalidConfig(
            "the scheme size_dependent goes by the area of items, which tags do not tell.",
            remedy="Choose co_occurrence or uniform; or draw it where the areas are known: "
            "'goldseam dataset build closet --tag-scheme', or area_NC in Python.",
        )
    name = _tags_task(dataset, task)
    table = dataset.table(TRAIN, ["image_id", name])
    spec, column = dataset.info.task(name), table.column(name).combine_chunks()
    before_NC = category_states(spec, column, f"{dataset.path}, column '{name}'", unsure=True)
    left_NC = before_NC.copy()
    if mask is not None and name in mask.tasks:
        image_ids = table.column("image_id").to_pylist()
        left_NC[~mask.select([name]).rows_for(image_ids)[:, 0]] = UNKNOWN
    unsure_NC = left_NC == UNSURE
    state_NC = np.where(unsure_NC, np.int8(UNKNOWN), left_NC)
    known_NC = tag_mask(scheme, state_NC, seed, area_NC=area_NC)
    kept_NC = np.where(known_NC | unsure_NC, left_NC, np.int8(UNKNOWN))
    return KnownTags(name, scheme, seed, before_NC, kept_NC)


class RatesOfDataset(StageConfig):
    """The rates at which a real dataset knows the tags of its training images.

    Attributes:
        name: `rates_of_dataset`.
        dataset: its folder, such as that of an imported CheXpert.
        blank_present: assumed share of its unknown entries that are present.
        categories: for each category of the dataset that is to become partial, the one of this
            dataset that it is to be like; a name may stand more than once. All in their order by
            default.
        task: of tags; empty is the only clean one.
    """

    name: Literal["rates_of_dataset"] = "rates_of_dataset"
    dataset: Path
    blank_present: Rate
    categories: tuple[str, ...] = ()
    task: str = ""

    def read(self) -> RatesFromTable:
        """The rates; see `known_rates`.

        Raises:
            MissingInput: the dataset is not there.
            InvalidConfig: it has no such task or category.
            InvalidDataset: it has no training split, or is faulty.
        """
        dataset = open_dataset(self.dataset)
        name = _tags_task(dataset, self.task)
        rows = {
            row.category: row
            for row in coverage(dataset, splits=[TRAIN], tasks=[name])
            if row.source is None
        }
        named = dataset.info.task(name).categories
        for category in self.categories:
            if category not in named:
                raise InvalidConfig(
                    f"dataset '{dataset.info.name}' has no category '{category}'.",
                    remedy=f"Closest: {closest(category, named)}.",
                )
        chosen = [rows[category] for category in self.categories or named]
        return known_rates(
            [row.present for row in chosen],
            [row.absent for row in chosen],
            [row.unknown for row in chosen],
            self.blank_present,
        )


def _tags_task(dataset: Dataset, task: str) -> str:
    tasks = dataset.info.tasks
    tagged = [name for name, one in tasks.items() if one.kind is Kind.TAGS]
    if task:
        if dataset.info.task(task).kind is not Kind.TAGS:
            raise InvalidConfig(
                f"'{task}' is a {tasks[task].kind} task, and a scheme of tags is for tags.",
                remedy=f"Tasks of tags: {', '.join(tagged) or 'none'}.",
            )
        return task
    clean = [name for name in tagged if tasks[name].noisy_version_of is None]
    if len(clean) != 1:
        raise InvalidConfig(
            f"dataset '{dataset.info.name}' has {len(clean)} tasks of clean tags, and a scheme is "
            "for one.",
            remedy=f"Name it with --tag-task; tasks of tags: {', '.join(tagged) or 'none'}.",
        )
    return clean[0]
