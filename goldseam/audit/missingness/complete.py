"""Splits on which everything is labeled, as the measure for those on which not everything is.

Legend: N images, C categories, G groups.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.factors import Factor
from goldseam.audit.missingness.gaps import Contrast, Evidence, Tested, Unit
from goldseam.audit.missingness.independence import associate
from goldseam.audit.statistics.groups import draw_groups
from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array
from goldseam.dataset.partial import generator


@dataclasses.dataclass(frozen=True, eq=False)
class CompleteRows:
    """Images of the splits on which a category is known everywhere.

    Attributes:
        splits: their names.
        row_M: positions.
    """

    splits: tuple[str, ...]
    row_M: Array


def complete_rows(
    evidence: Evidence, task: str, category: int, split: str, enough: int
) -> CompleteRows | None:
    """The complete splits other than `split`; None where they have less than `enough` images."""
    labels = evidence.labels
    state_N = evidence.states[task][:, category]
    others = [name for name in labels.splits if name != split]
    complete = tuple(name for name in others if (state_N[labels.in_split(name)] != UNKNOWN).all())
    if not complete:
        return None
    inside_N = np.isin(labels.split_N, [labels.splits.index(name) for name in complete])
    row_M = np.flatnonzero(inside_N)
    return CompleteRows(complete, row_M) if len(row_M) >= enough else None


def complete_split_tests(
    evidence: Evidence, config: MissingnessConfig, split: str
) -> Iterator[Tested]:
    """Is a category as frequent among labeled images of `split` as where all images are labeled?

    Assumes that the splits were drawn alike: otherwise a difference may be one of the images, not
    of who labeled which. The image's split is the factor, so images that come in groups are tested
    by groups.
    """
    labels = evidence.labels
    rows_N = labels.in_split(split)
    for task, state_NC in evidence.states.items():
        for category, name in enumerate(labels.info.tasks[task].categories[: config.categories]):
            known_N = rows_N & (state_NC[:, category] != UNKNOWN)
            if not known_N.any() or (known_N == rows_N).all():
                continue
            complete = complete_rows(evidence, task, category, split, config.enough)
            if complete is None:
                continue
            row_M = np.concatenate([np.flatnonzero(known_N), complete.row_M])
            random = generator(config.seed, f"missingness {split} complete {task}.{name}")
            row_M = row_M[draw_groups(labels.group_N[row_M], config.grouped_images, random)]
            where = " and ".join(complete.splits)
            factor = Factor(
                f"{task}.{name} in {where}",
                "own_label",
                rows_N[row_M].astype(np.int64),
                ("complete", "labeled"),
            )
            present_M1 = state_NC[row_M, category][:, None] == PRESENT
            found = associate(present_M1, factor, labels.group_N[row_M], config, random)
            if found.why_not[0]:
                continue
            share_L = found.known_LU[:, 0] / found.size_L
            yield Tested(
                unit=Unit(task, name),
                split=split,
                factor=factor.name,
                kind="own_label",
                test=found.test[0],
                images=found.images,
                groups=found.groups,
                p_value=float(found.p_U[0]),
                effect=float(found.effect_U[0]),
                effect_name=found.effect_name,
                contrast=Contrast(where, float(share_L[1]), float(share_L[0])),
                why_not="",
                levels=True,
                label_task=task,
            )
