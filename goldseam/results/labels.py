"""What an audit says about labels: the sections of `audit.json`.

The types are the documented schema of that file (`docs/audit.schema.json` is made from them). They
stand here, below the stages, since the page, the dashboards and the exporters read them as well.
None is always "unknown" or "undefined", never 0.
"""

import dataclasses
from typing import Literal

from goldseam.results.estimate import Estimate


@dataclasses.dataclass(frozen=True)
class CoverageRow:
    """How much of one task (and category) is known in one split, by source.

    Attributes:
        category: a name, or None for the task as a whole.
        source: who made the labels, or None for all.
        present: images where the category is there (for the whole task: images with a label).
        absent: images where somebody looked and it is not there.
        unknown: images where nobody looked.
    """

    task: str
    category: str | None
    split: str
    source: str | None
    present: int
    absent: int
    unknown: int


@dataclasses.dataclass(frozen=True)
class LabelPattern:
    """Images that carry labels of exactly these tasks.

    Attributes:
        tasks: in the order of `dataset.yaml`; empty for images without any label.
    """

    tasks: tuple[str, ...]
    split: str
    images: int


@dataclasses.dataclass(frozen=True)
class BoxCoverage:
    """The boxes of one category in one split.

    Attributes:
        exhaustive: whether `dataset.yaml` says that every object is boxed.
        images: images that carry a label of the task.
        empty: those of them on which somebody found no box of any category.
        boxes: boxes of this category, without those marked ignore.
        ignored: boxes of this category that are marked ignore.
    """

    task: str
    category: str
    split: str
    exhaustive: bool
    images: int
    empty: int
    boxes: int
    ignored: int


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """How a noisy segmentation differs from its clean version where both are known.

    Rates are pixels that differ over pixels that both know; None when there are none.

    Attributes:
        images: images where both are known.
        boundary: rate within `band` px of a boundary of the clean label.
        interior: rate elsewhere.
        confusion: row-normalized matrix clean → noisy, by category; None for an absent category.
    """

    task: str
    noisy_task: str
    split: str
    images: int
    band: int
    overall: float | None
    boundary: float | None
    interior: float | None
    categories: tuple[str, ...]
    confusion: tuple[tuple[float | None, ...], ...]


FactorKind = Literal["metadata", "image", "embedding", "other_label", "own_label", "split"]
Strength = Literal["none", "weak", "moderate", "strong"]


@dataclasses.dataclass(frozen=True)
class MissingnessTest:
    """Whether being labeled is independent of something that should not matter.

    Attributes:
        task: whose "known" is tested.
        category: of tags and boxes; None for the task as a whole.
        factor: what it is tested against: a metadata column, an image statistic, another label.
        factor_kind: `own_label` compares with the label itself, on a subset that is complete.
        test: name of the statistical test.
        images: how many entered the test.
        p_value: None where it cannot be tested (everything or nothing known, one level only).
        q_value: p after false-discovery control over all tests of the audit; those of the split as
            a factor are a family of their own.
        effect: size of the dependence; 0 none.
        effect_name: such as `Cramér's V`, `rank-biserial correlation`, `2 AUC - 1`.
        strength: verdict on the effect by the field's usual thresholds, none when not significant.
        sentence: the finding in words that a manager reads.
        split: a held-out split within which it was tested; None for the training images, or for
            all images where the factor is the split itself.
    """

    task: str
    category: str | None
    factor: str
    factor_kind: FactorKind
    test: str
    images: int
    p_value: float | None
    q_value: float | None
    effect: float | None
    effect_name: str
    strength: Strength
    sentence: str
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class PresenceEstimate:
    """How often a category is there, seen through labels that name presences more often.

    Attributes:
        known_present: images known to show it.
        known_absent: images known not to.
        unknown: images where nobody looked.
        prior: estimated share of images that show it.
        propensity: estimated share of the images that show it on which that is known.
        method: how both were estimated.
        sentence: the finding in words.
    """

    task: str
    category: str
    known_present: int
    known_absent: int
    unknown: int
    prior: Estimate
    propensity: Estimate
    method: str
    sentence: str


@dataclasses.dataclass(frozen=True)
class PairVerdict:
    """Whether two tasks can be trained together without one's gaps biasing the other.

    Attributes:
        together: training images that carry labels of both.
        verdict: `unknown` where too little is known to say.
        why: one sentence.
    """

    task: str
    other: str
    together: int
    verdict: Literal["safe", "biased", "unknown"]
    why: str


@dataclasses.dataclass(frozen=True)
class LabelErrors:
    """Suspicious labels of one task (and category, source or annotator), counted.

    Attributes:
        category: None for the task as a whole.
        source: who made the labels; None for all.
        annotator: value of the metadata column that names annotators; None for all.
        labels: known labels that were examined (tags, boxes, images with a mask …).
        flagged: how many stand in `findings.parquet`.
        error_rate: estimated share of wrong labels.
        method: such as `confident learning`, `robust residuals`.
    """

    task: str
    category: str | None
    source: str | None
    annotator: str | None
    labels: int
    flagged: int
    error_rate: Estimate
    method: str


@dataclasses.dataclass(frozen=True)
class NoiseMatrix:
    """How a label's categories change on their way from the truth to what is written.

    Attributes:
        task: whose labels are noisy.
        category: of tags (a 2 × 2 matrix, absent and present); None where rows are categories.
        part: `all`, or for masks `interior` and `boundary`.
        method: `measured` against a clean label, or `confident learning`.
        labels: how many known labels (tags, pixels, boxes) it was made from.
        categories: names of rows and columns.
        joint: P(true, given), sums to 1; None where undefined.
        transition: P(given | true), row by row; what a noisy-label loss takes.
    """

    task: str
    category: str | None
    part: str
    method: str
    labels: int
    categories: tuple[str, ...]
    joint: tuple[tuple[float | None, ...], ...]
    transition: tuple[tuple[float | None, ...], ...]


@dataclasses.dataclass(frozen=True)
class NoiseRate:
    """One kind of noise of one task, estimated.

    Attributes:
        clean_task: against which it was measured; None where it was estimated without.
        category: None for all.
        kind: `flip` (labels or pixels that are wrong), `omission` (objects or tags left out),
            `invention` (put in), `shift` (px), `dilation` (px, negative for erosion), `scale`.
        rate: with its interval and unit.
        images: that it was made from.
        method: in two or three words.
        sentence: the finding in words.
    """

    task: str
    clean_task: str | None
    category: str | None
    kind: Literal["flip", "omission", "invention", "shift", "dilation", "scale"]
    rate: Estimate
    images: int
    method: str
    sentence: str


@dataclasses.dataclass(frozen=True)
class PseudoLabelAudit:
    """How wrong given pseudo-labels are, category by category, judged on held-out known labels.

    Attributes:
        task: of the pseudo-labels.
        category: a name, or None for all.
        compared: known labels that were compared with them.
        wrong_present: share of pseudo-labels "present" (or pixels of the category) that are wrong.
        wrong_absent: the same of "absent".
        expected_wrong: how many of all pseudo-labels are expected to be wrong.
        total: pseudo-labels in all.
        sentence: the finding in words.
    """

    task: str
    category: str | None
    compared: int
    wrong_present: Estimate
    wrong_absent: Estimate
    expected_wrong: Estimate
    total: int
    sentence: str


@dataclasses.dataclass(frozen=True)
class DuplicateImage:
    """A member of a group of duplicates."""

    image_id: str
    split: str
    group: str


@dataclasses.dataclass(frozen=True)
class DuplicateGroup:
    """Images that show the same.

    Attributes:
        kind: `exact` for equal pixels, `near` for alike.
        distance: largest distance of its links: bits of the perceptual hash; 0 for exact.
        images: its members.
        splits: in which they stand; more than one is a leak.
        groups: number of the dataset's groups they stand in.
        conflicts: tasks (or `task.category`) on which known labels of its members differ.
    """

    kind: Literal["exact", "near"]
    distance: int
    images: tuple[DuplicateImage, ...]
    splits: tuple[str, ...]
    groups: int
    conflicts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class DuplicateSummary:
    """Duplicates and leakage of a dataset.

    Attributes:
        images: whose pixels were compared.
        exact: groups of equal images.
        near: groups of images that are alike but not equal.
        leaks: groups that cross splits.
        conflicting: groups whose known labels differ.
        crossing_groups: the dataset's groups that stand in more than one split.
        groups: the largest and the leaking ones first; at most a hundred are listed.
    """

    images: int
    exact: int
    near: int
    leaks: int
    conflicting: int
    crossing_groups: tuple[str, ...]
    groups: tuple[DuplicateGroup, ...]


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """What a budget buys of one task (and category).

    Attributes:
        labels: how many to buy.
        seconds: what they cost together.
        gain: their expected gain, in the unit of the ranking.
    """

    task: str
    category: str | None
    labels: int
    seconds: float
    gain: float


@dataclasses.dataclass(frozen=True)
class Strategy:
    """One way of choosing what to label next, replayed on labels that were held out.

    Attributes:
        strategy: such as `gain_per_cost`, `random`, `uncertainty`.
        task: that was replayed.
        labels: labels bought after which `metric` was measured.
        seconds: what they cost.
        metric: name of the score.
        mean: over the seeds.
        deviation: standard deviation over the seeds; None with one.
        seeds: how many.
    """

    strategy: str
    task: str
    labels: int
    seconds: float
    metric: str
    mean: float
    deviation: float | None
    seeds: int


@dataclasses.dataclass(frozen=True)
class AnnotationPlan:
    """What to annotate next; the ranking itself stands in `annotate_next.parquet`.

    Attributes:
        budget_seconds: None for no limit.
        candidates: labels that could be bought.
        rows: what the budget buys.
        simulation: how the ranking compares with other ways of choosing, also where it loses.
        sentence: the plan in words, with the verdict of the simulation.
    """

    budget_seconds: float | None
    candidates: int
    rows: tuple[PlanRow, ...]
    simulation: tuple[Strategy, ...]
    sentence: str


@dataclasses.dataclass(frozen=True)
class DriftTest:
    """What changed between two versions of a dataset.

    Attributes:
        what: `coverage`, `category`, `source`, `noise`, `metadata`, `image`, `embedding`,
            `vocabulary`, `rows`; `new_metadata`, `new_image` and `new_embedding` of the images that
            only the newer version has; `added_labels`, `removed_labels`, `changed_labels`,
            `changed_images` and `moved_images`, counted in `after`, of those that both have.
        task: None where it is about images.
        category: None where it is about the task as a whole.
        split: None for all.
        before: the value in the older version; None where there was none.
        after: the value in the newer one.
        p_value: None where nothing was tested.
        q_value: p after false-discovery control over the tests of this comparison.
        changed: whether it is worth a look.
        sentence: the finding in words.
    """

    what: str
    task: str | None
    category: str | None
    split: str | None
    before: float | None
    after: float | None
    p_value: float | None
    q_value: float | None
    changed: bool
    sentence: str
