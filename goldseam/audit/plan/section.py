"""The audit's section on what to annotate next: a ranking, a budget, and a replay of both.

Legend: N images that may be bought for, C categories of a task, D numbers of an embedding, B labels
bought.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.plan.buying import Market, Purchase, buy
from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.plan.design import Design, chunks, looks
from goldseam.audit.plan.offers import Offers, TaskOffers, offers_of
from goldseam.audit.plan.redundancy import Redundancy, correction_of
from goldseam.audit.plan.simulation import simulate
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray
from goldseam.page.numbers import count, duration, percent, split_name
from goldseam.results import AnnotationPlan, MissingnessTest, PlanRow, Strategy

SCHEMA = pa.schema(
    [
        pa.field("rank", pa.int64(), nullable=False),  # from 1, in the order of buying
        pa.field("task", pa.string(), nullable=False),
        pa.field("category", pa.string()),  # null where an image is labeled as a whole
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("gain", pa.float64(), nullable=False),  # given all labels of a better rank
        pa.field("seconds", pa.float64(), nullable=False),  # with its share of opening the image
        pa.field("gain_per_second", pa.float64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclasses.dataclass(frozen=True)
class PlanSection:
    """What to annotate next.

    Attributes:
        plan: the plan in figures.
        ranking: a row for each label to buy, of `SCHEMA`.
    """

    plan: AnnotationPlan
    ranking: pa.Table


def audit_plan(
    labels: LabelSide,
    probabilities: Mapping[str, Array],
    config: PlanConfig,
    *,
    uncertainty: Mapping[str, Array] | None = None,
    states: Mapping[str, Array] | None = None,
    embeddings_ND: Array | None = None,
    missingness: Sequence[MissingnessTest] = (),
) -> PlanSection:
    """Rank unknown labels by what each is expected to teach for the time it costs.

    `Design` says what a label teaches, `effective_share` what is left of it beside labels of the
    same group or of a copy, `correction_of` what it counts where labels are not missing at random,
    and `buy` how a budget is spent. What a label says is never known before it is bought, and
    nothing that is unknown enters.

    Args:
        labels: the label side.
        probabilities: tags task → P(present) of all images, `NC`, made without the image's own
            label; NaN where there is none.
        config: costs, budget and the replay.
        uncertainty: other task → expected share of error of the prediction of each image, NaN where
            there is none.
        states: tags task → states that replace those of `labels`; other tasks are left alone.
        embeddings_ND: of all images, rows with NaN are missing.
        missingness: tests of what the gaps depend on.

    Raises:
        InvalidConfig: a cost names what is no kind, task or category.
        InvalidArray: a prediction or the embeddings do not fit the images.
    """
    row_N = _rows(labels, config)
    if embeddings_ND is not None and len(embeddings_ND) != len(labels):
        raise InvalidArray(
            "embeddings",
            f"have {len(embeddings_ND)} rows, expected {len(labels)}",
            remedy="Give one row for each image, in the order of the label side.",
        )
    offers = offers_of(
        labels,
        row_N,
        config,
        probabilities=probabilities,
        uncertainty=uncertainty or {},
        states=states or {},
    )
    candidates = _candidates(offers, len(row_N))
    if not candidates:
        names = " and ".join(split_name(split) for split in config.splits)
        sentence = f"There is no label left to buy: everything is known of the {names} images."
        plan = AnnotationPlan(config.budget_seconds or None, 0, (), (), sentence)
        return PlanSection(plan, SCHEMA.empty_table())
    market = _market(labels, row_N, offers, embeddings_ND, missingness, config)
    limited = config.budget_seconds > 0
    bought = buy(
        market,
        seconds=config.budget_seconds if limited else math.inf,
        labels=candidates if limited else config.listed,
    )
    rows = _plan_rows(offers, bought)
    sentence = _sentence(config, candidates, bought, rows)
    simulation: tuple[Strategy, ...] = ()
    if config.simulate:
        replayed = simulate(offers, market.look_ND, labels.group_N[row_N], config)
        simulation, sentence = replayed.rows, f"{sentence} {replayed.sentence}"
    plan = AnnotationPlan(config.budget_seconds or None, candidates, rows, simulation, sentence)
    return PlanSection(plan, _ranking(labels, row_N, offers, bought))


def _market(
    labels: LabelSide,
    row_N: Array,
    offers: Offers,
    embeddings_ND: Array | None,
    missingness: Sequence[MissingnessTest],
    config: PlanConfig,
) -> Market:
    """What each offered label costs and teaches."""
    whole = len(row_N) == len(labels)
    chosen_ND = embeddings_ND if whole or embeddings_ND is None else embeddings_ND[row_N]
    look_ND = looks(chosen_ND, len(row_N), config.components)
    return Market(
        offers=offers,
        look_ND=look_ND,
        design=Design.of(offers, look_ND),
        redundancy=Redundancy(
            offers,
            labels.group_N[row_N],
            look_ND,
            correlation=config.group_correlation,
            near=config.near,
        ),
        correction=correction_of(labels, row_N, offers, missingness, config.correction),
        open_seconds=config.open_seconds,
    )


def _rows(labels: LabelSide, config: PlanConfig) -> Array:
    """Images that may be bought for."""
    named = [labels.splits.index(split) for split in config.splits if split in labels.splits]
    if not named:
        return np.arange(len(labels))
    return np.flatnonzero(np.isin(labels.split_N, named))


def _candidates(offers: Offers, images: int) -> int:
    if not offers.tasks:
        return 0
    width = len(offers.columns)
    return sum(
        int(offers.buyable(np.arange(part.start, part.stop)).sum())
        for part in chunks(images, width)
    )


def _plan_rows(offers: Offers, bought: Purchase) -> tuple[PlanRow, ...]:
    """What is bought of each column, the greatest gain first."""
    columns = offers.columns
    labels_U = np.bincount(bought.column_B, minlength=len(columns))
    seconds_U = np.bincount(bought.column_B, weights=bought.seconds_B, minlength=len(columns))
    gain_U = np.bincount(bought.column_B, weights=bought.gain_B, minlength=len(columns))
    return tuple(
        PlanRow(
            task=columns[column][0],
            category=columns[column][1],
            labels=int(labels_U[column]),
            seconds=float(seconds_U[column]),
            gain=float(gain_U[column]),
        )
        for column in np.argsort(-gain_U, kind="stable")
        if labels_U[column]
    )


def _ranking(labels: LabelSide, row_N: Array, offers: Offers, bought: Purchase) -> pa.Table:
    columns = offers.columns
    tasks = pa.array([task for task, _ in columns], pa.string())
    categories = pa.array([category for _, category in columns], pa.string())
    taken = pa.array(bought.column_B)
    values = {
        "rank": np.arange(1, len(bought) + 1),
        "task": tasks.take(taken),
        "category": categories.take(taken),
        **labels.where(row_N[bought.row_B]),
        "gain": bought.gain_B,
        "seconds": bought.seconds_B,
        "gain_per_second": bought.gain_B / bought.seconds_B,
        "reason": pa.array(_reasons(offers, bought), pa.string()),
    }
    return pa.table([pa.array(values[field.name]) for field in SCHEMA], schema=SCHEMA)


def _reasons(offers: Offers, bought: Purchase) -> list[str]:
    """One sentence for each label that is bought."""
    reasons = np.empty(len(bought), object)
    before = 0
    for one in offers.tasks:
        inside_B = (bought.column_B >= before) & (bought.column_B < before + len(one.categories))
        row_M, column_M = bought.row_B[inside_B], bought.column_B[inside_B] - before
        reasons[inside_B] = _task_reasons(one, row_M, column_M)
        before += len(one.categories)
    return [str(reason) for reason in reasons]


def _task_reasons(task: TaskOffers, row_M: Array, column_M: Array) -> list[str]:
    if task.whole:
        of_all = f"{task.task} is labeled on {count(int(task.known_C[0]))} images"
        relative_M = task.information(row_M)[:, 0]
        expected = task.error_N is not None
        return [
            f"{of_all}, and on this one {amount:.1f} times the mean error is expected."
            if expected
            else f"{of_all}."
            for amount in relative_M.tolist()
        ]
    known = [
        f"{category} is known on {count(int(known))} images and there on {count(int(present))}"
        for category, known, present in zip(
            task.categories, task.known_C, task.present_C, strict=True
        )
    ]
    p_M = task.probability(row_M)[np.arange(len(row_M)), column_M]
    predicted_M = np.zeros(len(row_M), bool)
    if task.probability_NC is not None:
        predicted_M = np.isfinite(task.probability_NC[row_M, column_M])
    return [
        f"{known[column]}; the model gives this image {percent(p, 0)}."
        if predicted
        else f"{known[column]}."
        for column, p, predicted in zip(column_M.tolist(), p_M.tolist(), predicted_M, strict=True)
    ]


def _sentence(
    config: PlanConfig, candidates: int, bought: Purchase, rows: Sequence[PlanRow]
) -> str:
    could = f"{count(candidates)} unknown labels could be bought"
    if not len(bought):
        return f"{could}, but none fits into {duration(config.budget_seconds)}."
    leading = ", ".join(
        f"{count(row.labels)} of {row.task}" + (f".{row.category}" if row.category else "")
        for row in rows[:3]
    )
    spent = float(bought.seconds_B.sum())
    if config.budget_seconds:
        does = f"{duration(config.budget_seconds)} of annotators' time buy {count(len(bought))}"
    elif len(bought) == candidates:
        does = f"all of them take {duration(spent)}"
    else:
        does = f"the {count(len(bought))} that teach most for their time take {duration(spent)}"
    return f"{could}: {does}. Most is expected of {leading}."
