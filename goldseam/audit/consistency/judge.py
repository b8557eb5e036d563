"""Tells single mistakes from tasks that are defined differently.

A mistake in a single label is rare among comparisons of the same kind and size; a contradiction
that is common is a difference between the two tasks, said once and never as a heap of findings.
R rows of the table `consistency`.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.consistency.checks import AT_EDGE, Check
from goldseam.audit.consistency.config import ConsistencyConfig
from goldseam.audit.errors.confirmation import confirmed_elsewhere
from goldseam.audit.errors.outliers import outlier_score, robust_z
from goldseam.audit.findings import Action, Issue, join_findings, make_findings
from goldseam.audit.label_side import LabelSide
from goldseam.audit.statistics.shares import Trials, shares
from goldseam.dataset.codecs import Array
from goldseam.page import count, percent
from goldseam.results import Estimate, LabelErrors

METHOD = "consistency with"
LEAST_SPREAD = 0.05  # of an agreement: smaller differences are not remarkable
TITLES = {
    Check.EMPTY_BOX: "boxes without a pixel of their category",
    Check.UNBOXED_OBJECT: "objects without a box",
    Check.BOX_SIZE: "boxes of another size than their object",
    Check.OUTLINE: "outlines against boundaries",
    Check.VALUE_EDGE: "slopes against boundaries",
    Check.ABSENT_BUT_SHOWN: "absent, but shown",
    Check.PRESENT_BUT_NOT_SHOWN: "present, but not shown",
}
SAID: dict[Check, tuple[str | None, str | None]] = {  # what the label says, and the other one
    Check.EMPTY_BOX: ("box", "nothing"),
    Check.UNBOXED_OBJECT: ("nothing", "box"),
    Check.ABSENT_BUT_SHOWN: ("absent", "present"),
    Check.PRESENT_BUT_NOT_SHOWN: ("present", "absent"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class ConsistencySection:
    """Contradictions between labels of the same image.

    Attributes:
        findings: table of `goldseam.audit.findings.SCHEMA`.
        errors: a row for each check, pair of tasks and category. `labels` are comparisons, and the
            rate is None where the two tasks are defined differently.
        sentences: one for each such difference.
    """

    findings: pa.Table
    errors: tuple[LabelErrors, ...]
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one check, pair of tasks and category."""

    check: Check
    task: str
    other: str
    category: str | None
    image_R: Array
    stratum_R: Array
    trials_R: Array
    failed_R: Array
    agreement_R: Array
    size_R: Array
    region_R4: Array

    def words(self) -> tuple[str, str, str]:
        """Task, other task and category, quoted."""
        return f"'{self.task}'", f"'{self.other}'", f"'{self.category}'"


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """What is made of some rows.

    Attributes:
        at: positions of the rows that are findings.
        score: of each, 0 to 1.
        usual: agreement, or share of contradictions, that each is compared with.
        lone: bool; the label agrees with its partner where hardly any other does.
        rate: share of contradictions; None where it is a difference in definition.
        sentence: that says so; empty where it is none.
    """

    at: Array
    score: Array
    usual: Array
    lone: Array
    rate: Estimate
    sentence: str = ""


def audit_consistency(
    table: pa.Table, labels: LabelSide, config: ConsistencyConfig
) -> ConsistencySection:
    """Judge what `ConsistencyMeasure` compared.

    A contradiction is reported where it happens in at most `config.common_share` of at least
    `config.minimum_trials` comparisons of objects of similar size (a factor of two; where there are
    too few, with the next smaller and larger sizes; where these are too few as well, nothing is
    said; for tags see `comparable_share`). Its score is 1 for one that hardly ever happens, and 0.5
    at that share. An agreement is reported where it lies `config.robust_z` robust deviations below
    the median; its score is `1 - limit / (2 z)`.

    Which of the two labels is wrong cannot be told; the finding names the noisy task where one of
    them is, otherwise the one whose content is in question.

    Args:
        table: `consistency`, of all shards.
        labels: of the dataset.
        config: the thresholds of the measure.
    """
    findings: list[pa.Table] = []
    errors: list[LabelErrors] = []
    sentences: list[str] = []
    for rows in _split(table, labels):
        discrete = not np.isnan(rows.failed_R).any()
        verdict = (_rare if discrete else _outlying)(rows, labels, config)
        blamed = _blamed(rows, labels)
        if len(verdict.at):
            findings.append(_findings(rows, verdict, blamed, labels, config))
        if verdict.sentence:
            sentences.append(verdict.sentence)
        errors.append(
            LabelErrors(
                task=blamed,
                category=rows.category,
                source=None,
                annotator=None,
                labels=int(rows.trials_R.sum()),
                flagged=len(verdict.at),
                error_rate=verdict.rate,
                method=_method(rows, blamed, differs=bool(verdict.sentence)),
            )
        )
    return ConsistencySection(_merged(join_findings(findings)), tuple(errors), tuple(sentences))


def _merged(findings: pa.Table) -> pa.Table:
    """One finding a label: several partners may contradict the same one at the same place."""
    first: dict[str, int] = {}
    evidence = findings.column("evidence").to_pylist()
    for row, name in enumerate(findings.column("finding").to_pylist()):
        kept = first.setdefault(name, row)
        if kept != row:
            evidence[kept] += f" {evidence[row]}"
    column = pa.array(evidence, pa.string())
    at = findings.schema.get_field_index("evidence")
    merged = findings.set_column(at, findings.schema.field(at), column)
    return merged.take(pa.array(list(first.values()), pa.int64()))


def _method(rows: Rows, blamed: str, *, differs: bool) -> str:
    partner = rows.other if blamed == rows.task else rows.task
    method = f"{METHOD} '{partner}': {TITLES[rows.check]}"
    return f"{method} (defined differently)" if differs else method


def is_contradiction(one: LabelErrors) -> bool:
    """Whether a row counts contradictions with another task, which is no rate of wrong labels."""
    return one.method.startswith(METHOD)


def _blamed(rows: Rows, labels: LabelSide) -> str:
    tasks = labels.info.tasks
    other_is_noisy = tasks[rows.other].noisy_version_of is not None
    return rows.other if other_is_noisy and tasks[rows.task].noisy_version_of is None else rows.task


def _split(table: pa.Table, labels: LabelSide) -> Iterator[Rows]:
    keys = ["check", "task", "other", "category"]
    table = table.combine_chunks()
    image_R = pc.index_in(table.column("image_id"), labels.image_ids).to_numpy()
    # by image, so that the order of the shards changes nothing
    order = np.argsort(image_R, kind="stable")
    table, image_R = table.take(pa.array(order)), image_R[order].astype(np.int64)
    texts = [pc.fill_null(table.column(key), "\x00") for key in keys]
    code_R = pc.binary_join_element_wise(*texts, "\x1f").combine_chunks().dictionary_encode()
    code_R = code_R.indices if isinstance(code_R, pa.DictionaryArray) else code_R
    order = np.argsort(code_R.to_numpy(), kind="stable")
    starts = np.flatnonzero(np.diff(code_R.to_numpy()[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(order) else []
    names = table.select(keys).take(pa.array(order[starts])).to_pylist()
    sides = [table.column(side).to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")]
    region_R4 = np.stack(sides, axis=1)
    numbers = {
        name: table.column(name).cast(pa.float64()).to_numpy()
        for name in ("stratum", "trials", "failed", "agreement", "size")
    }
    for name, mine in sorted(
        zip(names, parts, strict=True), key=lambda entry: _sorted_key(entry[0])
    ):
        yield Rows(
            Check(name["check"]),
            name["task"],
            name["other"],
            name["category"],
            image_R[mine],
            numbers["stratum"][mine].astype(np.int64),
            numbers["trials"][mine].astype(np.int64),
            numbers["failed"][mine],
            numbers["agreement"][mine],
            numbers["size"][mine],
            region_R4[mine],
        )


def _sorted_key(name: dict[str, str | None]) -> tuple[str, ...]:
    return tuple(name[key] or "" for key in ("task", "other", "check", "category"))


def comparable_share(rows: Rows, least: int) -> Array:
    """Share of contradictions among comparisons of similar size, R; NaN with too few of them.

    Tags are the likelier present the more is shown, so their share follows from isotonic regression
    on the size, over the other images: that finds a limit such as "at least a quarter of the image"
    by itself. Other checks go by classes of size.
    """
    if rows.check is Check.ABSENT_BUT_SHOWN:
        if len(rows.image_R) < least:
            return np.full(len(rows.image_R), np.nan)
        alike_R = np.zeros(len(rows.image_R), np.int64)
        return 1 - confirmed_elsewhere(rows.failed_R == 0, rows.size_R, alike_R, rows.image_R)
    stratum_S, at_R = np.unique(rows.stratum_R, return_inverse=True)
    size = len(stratum_S)
    trials_S = np.bincount(at_R, rows.trials_R, minlength=size)
    failed_S = np.bincount(at_R, rows.failed_R, minlength=size)
    # neighbors in size; objects cut by the edge are no neighbors of whole ones
    beside_SS = (np.abs(stratum_S[:, None] - stratum_S) <= 1) & (
        (stratum_S[:, None] >= AT_EDGE) == (stratum_S >= AT_EDGE)
    )
    few_S = trials_S < least
    trials_S = np.where(few_S, beside_SS @ trials_S, trials_S)
    failed_S = np.where(few_S, beside_SS @ failed_S, failed_S)
    share_S = np.where(trials_S >= least, failed_S / np.maximum(trials_S, 1), np.nan)
    share_R: Array = share_S[at_R]
    return share_R


def _rare(rows: Rows, labels: LabelSide, config: ConsistencyConfig) -> Verdict:
    share_R = comparable_share(rows, config.minimum_trials)
    rare_R = np.nan_to_num(share_R, nan=1.0) <= config.common_share
    flag_R = rare_R & (rows.failed_R > 0)
    # where next to all tags say absent, the one that says present is the odd one
    lone_R = np.nan_to_num(share_R) >= 1 - config.common_share
    lone_R &= (rows.failed_R == 0) & (rows.check is Check.ABSENT_BUT_SHOWN)
    at = np.flatnonzero(flag_R | lone_R)
    common_R = np.nan_to_num(share_R) > config.common_share
    sentence = ""
    if common_R.any():
        failed, trials = rows.failed_R[common_R].sum(), rows.trials_R[common_R].sum()
        sentence = _different(rows, int(failed), int(trials))
    usual = np.where(lone_R[at], 1 - share_R[at], share_R[at])
    return Verdict(
        at=at,
        score=1 - usual / (2 * config.common_share),
        usual=usual,
        lone=lone_R[at],
        rate=_failing(rows, rare_R, labels),
        sentence=sentence,
    )


def _failing(rows: Rows, keep_R: Array, labels: LabelSide) -> Estimate:
    """Share of contradictions among the comparisons in which they are rare."""
    failed_R = rows.failed_R[keep_R].astype(np.int64)
    passed_R = rows.trials_R[keep_R] - failed_R
    group_R = labels.group_N[rows.image_R[keep_R]]
    cluster_K = np.concatenate([np.repeat(group_R, failed_R), np.repeat(group_R, passed_R)])
    hit_K = np.arange(len(cluster_K)) < failed_R.sum()
    return shares([Trials(hit_K, np.zeros(len(hit_K), np.int64), cluster_K)], 1)[0]


def _different(rows: Rows, failed: int, trials: int) -> str:
    task, other, category = rows.words()
    what = {
        Check.EMPTY_BOX: f"Boxes of {category} in {task} hold no such pixel in {other}",
        Check.UNBOXED_OBJECT: f"{task} has no box for {category} that {other} shows",
        Check.ABSENT_BUT_SHOWN: f"{task} says that {category} is absent where {other} shows it",
        Check.PRESENT_BUT_NOT_SHOWN: f"{task} says that {category} is present where {other} shows "
        "none",
    }[rows.check]
    scope = " of objects of certain sizes" if rows.stratum_R.max() >= 0 else ""
    return (
        f"{what} in {percent(failed / trials)} of {count(trials)} comparisons{scope}: too often "
        "for single mistakes. The two tasks mean different things, or one is wrong throughout, so "
        "none of these is listed as a finding."
    )


def _outlying(rows: Rows, labels: LabelSide, config: ConsistencyConfig) -> Verdict:
    images = len(rows.agreement_R)
    usual = float(np.median(rows.agreement_R))
    if images < config.minimum_trials:
        return _silent("")
    if usual < config.least_usual:
        task, other, category = rows.words()
        on = f" on {category}" if rows.category else ""
        return _silent(
            f"{task} and {other} do not describe the same things{on} ({TITLES[rows.check]}: the "
            f"median image agrees by {percent(usual)}), so no single image stands out."
        )
    z_R = -robust_z(rows.agreement_R, LEAST_SPREAD)
    low_R = z_R >= config.robust_z
    at = np.flatnonzero(low_R)
    trials = Trials(low_R, np.zeros(images, np.int64), labels.group_N[rows.image_R])
    return Verdict(
        at=at,
        score=outlier_score(z_R[at], config.robust_z),
        usual=np.full(len(at), usual),
        lone=np.zeros(len(at), bool),
        rate=shares([trials], 1)[0],
    )


def _silent(sentence: str) -> Verdict:
    nothing = np.zeros(0)
    return Verdict(
        at=nothing.astype(np.int64),
        score=nothing,
        usual=nothing,
        lone=nothing.astype(bool),
        rate=Estimate(None, better="lower"),
        sentence=sentence,
    )


def _findings(
    rows: Rows, verdict: Verdict, blamed: str, labels: LabelSide, config: ConsistencyConfig
) -> pa.Table:
    image = rows.image_R[verdict.at]
    corners = rows.region_R4[verdict.at]
    given, suggested = SAID.get(rows.check, (None, None))
    # the noisy task says what its partner calls for, and a lone "present" is the other way around
    turned = verdict.lone ^ (blamed == rows.other)
    said = [given if not turn else suggested for turn in turned]
    asked = [suggested if not turn else given for turn in turned]
    return make_findings(
        **labels.where(image),
        task=blamed,
        category=rows.category,
        issue=Issue.CONTRADICTION,
        action=Action.REVIEW,
        score=verdict.score,
        evidence=_evidence(rows, verdict, config),
        given=said,
        suggested=asked,
        source=labels.source_names(blamed, image),
        **{
            side: pa.array(corners[:, number], pa.float32(), from_pandas=True)
            for number, side in enumerate(("xmin", "ymin", "xmax", "ymax"))
        },
    )


def _evidence(rows: Rows, verdict: Verdict, config: ConsistencyConfig) -> list[str]:
    task, other, category = rows.words()
    rare = "that happens in {usual} of comparable cases."
    compared = "by {agreement}; {usual} is usual."
    text = {
        Check.EMPTY_BOX: f"{task} has a box of {category} here, in which {other} shows "
        f"{{agreement}} of {category}; {rare}",
        Check.UNBOXED_OBJECT: f"{other} shows {category} here, and {task} has no box for it; "
        f"{rare}",
        Check.ABSENT_BUT_SHOWN: f"{task} says that {category} is absent, but {other} shows it; "
        f"{rare}",
        Check.PRESENT_BUT_NOT_SHOWN: f"{task} says that {category} is present, but {other} shows "
        f"none; {rare}",
        Check.BOX_SIZE: f"The box of {category} in {task} and the object that {other} shows in it "
        f"overlap {compared}",
        Check.OUTLINE: f"The boundary of {task} and the outlines of {other} agree within "
        f"{config.tolerance_px:g} px {compared}",
        Check.VALUE_EDGE: f"{task} is steeper at a boundary of {other} than elsewhere in "
        "{agreement} of comparisons; {usual} is usual.",
    }[rows.check]
    odd = (
        f"{task} says that {category} is present, though {other} shows so little of it that "
        "next to all such images are tagged absent; that happens in {usual} of comparable cases."
    )
    return [
        (odd if lone else text).format(
            agreement=percent(float(agreement)), usual=percent(float(usual))
        )
        for agreement, usual, lone in zip(
            rows.agreement_R[verdict.at], verdict.usual, verdict.lone, strict=True
        )
    ]
