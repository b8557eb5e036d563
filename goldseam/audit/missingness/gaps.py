"""The gaps of the labels on some images, each tested against every factor.

Legend: N images of the sample, U units (a task, or one of its categories), L levels.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.embedding import embedding_tests
from goldseam.audit.missingness.factors import (
    Factor,
    label_factors,
    metadata_factors,
    picture_factors,
    split_factor,
)
from goldseam.audit.missingness.independence import Association, associate
from goldseam.audit.statistics.groups import draw_groups
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.partial import generator
from goldseam.results import FactorKind


@dataclasses.dataclass(frozen=True)
class Unit:
    """Whose "known" is tested: a task, or one category of it."""

    task: str
    category: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the gaps are tested against, aligned with the label side.

    Attributes:
        labels: the label side.
        states: task → int8 NC, of tags and boxes and of masks that were measured.
        pictures: image statistics; None for none.
        embedding_ND: NaN rows where missing; None for none.
        probabilities: task → out-of-fold P(present) NC, NaN where missing.
    """

    labels: LabelSide
    states: Mapping[str, Array]
    pictures: pa.Table | None
    embedding_ND: Array | None
    probabilities: Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """The two kinds of images that differ most, for a sentence.

    Attributes:
        level: whose share is `inside`; for numbers the low third.
        inside: share of its images that are labeled.
        outside: share of the others; for numbers of the high third.
    """

    level: str
    inside: float
    outside: float


@dataclasses.dataclass(frozen=True)
class Tested:
    """One test, before the control of false discoveries and before it is put into words.

    Attributes:
        split: of the images; None for all.
        groups: that they stand in.
        why_not: why it could not be tested; empty where it was.
        levels: whether the factor has levels.
        label_task: task of the factor where that is a label.
    """

    unit: Unit
    split: str | None
    factor: str
    kind: FactorKind
    test: str
    images: int
    groups: int
    p_value: float | None
    effect: float | None
    effect_name: str
    contrast: Contrast | None
    why_not: str
    levels: bool = False
    label_task: str = ""


def known_units(
    labels: LabelSide, row_M: Array, most: int
) -> tuple[tuple[Unit, ...], Array, tuple[Unit, ...]]:
    """Units and their bool NU, tasks first; and categories of which only presences are recorded.

    A category is a unit of its own where its gaps differ from its task's. Where nobody ever wrote
    down that it is absent, "known" says that it is there: such gaps cannot be tested, since what
    depends on a site may be the category. The categories with most to tell come first.
    """
    units = [Unit(task) for task in labels.info.tasks]
    columns = [labels.known[unit.task][row_M][:, None] for unit in units]
    present_only = []
    for task, whole_NC in labels.states.items():
        state_MC = whole_NC[row_M]
        known_MC = state_MC != UNKNOWN
        known_C = known_MC.sum(axis=0)
        own_C = (known_MC != labels.known[task][row_M][:, None]).any(axis=0) & (known_C > 0)
        recorded_C = (state_MC == PRESENT).any(axis=0) & (state_MC == ABSENT).any(axis=0)
        names = labels.info.tasks[task].categories
        one_sided_C = own_C & ~recorded_C
        present_only += [Unit(task, names[number]) for number in np.flatnonzero(one_sided_C)]
        told_C = np.where(own_C & recorded_C, np.minimum(known_C, len(row_M) - known_C), 0)
        chosen = np.argsort(-told_C, kind="stable")[:most]
        chosen = chosen[told_C[chosen] > 0]
        units += [Unit(task, names[number]) for number in chosen.tolist()]
        columns.append(known_MC[:, chosen])
    known_NU = np.concatenate(columns, axis=1) if columns else np.zeros((len(row_M), 0), bool)
    return tuple(units), known_NU, tuple(present_only)


class GapTests:
    """Every test of the gaps on the images of one split, or of all."""

    def __init__(self, evidence: Evidence, config: MissingnessConfig, split: str | None) -> None:
        labels = evidence.labels
        rows = np.arange(len(labels)) if split is None else np.flatnonzero(labels.in_split(split))
        self.evidence, self.config, self.split = evidence, config, split
        group_N = labels.group_N[rows]
        if len(np.unique(group_N)) < len(group_N):
            # images that come in groups cost more to test, and soon tell no more
            random = generator(config.seed, f"missingness {split} images")
            rows = rows[draw_groups(group_N, config.grouped_images, random)]
        self.row_M, self.group_M = rows, labels.group_N[rows]
        self.units, self.known_MU, self.present_only = known_units(labels, rows, config.categories)
        self.clean = {
            name: task.noisy_version_of
            for name, task in labels.info.tasks.items()
            if task.noisy_version_of is not None
        }

    def all(self, *, with_split: bool) -> Iterator[Tested]:
        """Tests against metadata, pictures, embeddings and labels; or against the split alone."""
        labels, config = self.evidence.labels, self.config
        if not len(self.row_M):
            return
        everything = list(range(len(self.units)))
        if with_split:
            yield from self._against(split_factor(labels, self.row_M), everything)
            return
        for factor in metadata_factors(labels, self.row_M, config.levels):
            yield from self._against(factor, everything)
        for factor in picture_factors(labels, self.evidence.pictures, self.row_M):
            yield from self._against(factor, everything)
        yield from self._embedding()
        states = dict(self.evidence.states)
        for factor in label_factors(labels, states, self.row_M, config.label_categories):
            yield from self._label(factor)
        yield from self._predictions()

    def _against(self, factor: Factor, columns: Sequence[int]) -> Iterator[Tested]:
        if not len(columns):
            return
        purpose = f"missingness {self.split} {factor.kind} {factor.name}"
        random = generator(self.config.seed, purpose)
        known_NU = self.known_MU if len(columns) == len(self.units) else self.known_MU[:, columns]
        found = associate(known_NU, factor, self.group_M, self.config, random)
        for number, column in enumerate(columns):
            unit, why_not = self.units[column], found.why_not[number]
            # what cannot be tested is told once a task, and not for every label of another
            if why_not and (unit.category is not None or factor.task):
                continue
            yield Tested(
                unit=unit,
                split=self.split,
                factor=factor.name,
                kind=factor.kind,
                test=found.test[number],
                images=found.images,
                groups=found.groups,
                p_value=None if why_not else float(found.p_U[number]),
                effect=None if why_not else float(found.effect_U[number]),
                effect_name=found.effect_name,
                contrast=None if why_not else _contrast(found, number, bool(factor.levels)),
                why_not=why_not,
                levels=bool(factor.levels),
                label_task=factor.task,
            )

    def _label(self, factor: Factor) -> Iterator[Tested]:
        """Against the presence of a category: of another task, or of this one's other version."""
        own: list[int] = []
        other: list[int] = []
        few: dict[str, int] = {}
        for column, unit in enumerate(self.units):
            if unit.category is None and unit.task == factor.task:
                continue
            if unit.category is not None:
                few[unit.task] = few.get(unit.task, 0) + 1
                same = (unit.task, unit.category) == (factor.task, factor.category)
                if same or few[unit.task] > self.config.label_categories:
                    continue
            versions = {unit.task, self.clean.get(unit.task, unit.task)}
            related = {factor.task, self.clean.get(factor.task, factor.task)}
            is_own = unit.task != factor.task and bool(versions & related)
            (own if is_own else other).append(column)
        yield from self._against(dataclasses.replace(factor, kind="own_label"), own)
        yield from self._against(factor, other)

    def _predictions(self) -> Iterator[Tested]:
        """Against the predicted probability of the label itself, also where it is unknown."""
        for task, probability_NC in self.evidence.probabilities.items():
            names = self.evidence.labels.info.tasks[task].categories
            for category, name in enumerate(names[: self.config.categories]):
                if Unit(task, name) in self.present_only:
                    continue
                one = Unit(task, name) if Unit(task, name) in self.units else Unit(task)
                factor = Factor(
                    f"predicted {task}.{name}",
                    "own_label",
                    probability_NC[self.row_M, category].astype(np.float64),
                    task=task,
                    category=name,
                )
                yield from self._against(factor, [self.units.index(one)])

    def _embedding(self) -> Iterator[Tested]:
        if self.evidence.embedding_ND is None:
            return
        columns = [number for number, unit in enumerate(self.units) if unit.category is None]
        found = embedding_tests(
            self.known_MU[:, columns],
            self.evidence.embedding_ND[self.row_M],
            self.group_M,
            self.config,
            generator(self.config.seed, f"missingness {self.split} embedding"),
        )
        for column, one in zip(columns, found, strict=True):
            yield Tested(
                unit=self.units[column],
                split=self.split,
                factor="embedding",
                kind="embedding",
                test="" if one.why_not else "cross-fitted ridge logistic classifier, resampled",
                images=one.images,
                groups=len(np.unique(self.group_M)),
                p_value=one.p_value,
                effect=None if one.auc is None else 2 * one.auc - 1,
                effect_name="2 AUC - 1",
                contrast=None,
                why_not=one.why_not,
            )


def _contrast(found: Association, column: int, leveled: bool) -> Contrast:
    known_L, size_L = found.known_LU[:, column], found.size_L
    if not leveled:
        return Contrast("low", known_L[0] / size_L[0], known_L[2] / size_L[2])
    images, total = size_L.sum(), known_L.sum()
    excess_L = (known_L - size_L * total / images) ** 2
    spread_L = size_L * (1 - size_L / images)
    level = int(np.argmax(excess_L / np.maximum(spread_L, 1e-12)))
    if found.levels == ("absent", "present"):
        level = 1
    elif len(found.levels) == 2:
        # both differ from each other as much: the one that is labeled less is the news
        level = int(np.argmin(known_L / size_L))
    outside = (total - known_L[level]) / (images - size_L[level])
    return Contrast(found.levels[level], known_L[level] / size_L[level], float(outside))
