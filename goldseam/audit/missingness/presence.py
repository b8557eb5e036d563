"""How often each category is there, and how often that is known, seen through its gaps.

Legend: N images, C categories, G groups.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from goldseam.audit.missingness.complete import CompleteRows, complete_rows
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.embedding import FEWEST as FEWEST_OF_EACH
from goldseam.audit.missingness.factors import metadata_factors, picture_factors
from goldseam.audit.missingness.gaps import Evidence
from goldseam.audit.missingness.positive_unlabeled import UnlabeledShare, unlabeled_share
from goldseam.audit.missingness.propensity import (
    FEWEST,
    CorrectedPrior,
    CrossFit,
    corrected_prior,
    covariates,
)
from goldseam.audit.statistics.groups import Groups, draw_groups
from goldseam.audit.statistics.intervals import student_95
from goldseam.audit.statistics.shares import column_shares
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.partial import generator
from goldseam.page.numbers import count, percent, split_name
from goldseam.results import Estimate, MissingnessTest, PresenceEstimate

# a naive share that is off by less is not worth a sentence
NOTABLE = 0.01


@dataclasses.dataclass(frozen=True)
class Counts:
    """Images of one category by its state."""

    present: int
    absent: int
    unknown: int

    @property
    def images(self) -> int:
        """All of them."""
        return self.present + self.absent + self.unknown


@dataclasses.dataclass(frozen=True)
class Corrected:
    """A category whose naive prior is off.

    Attributes:
        naive: share among labeled images.
        value: corrected share.
    """

    task: str
    category: str
    naive: float
    value: float


class PresenceEstimates:
    """Priors and propensities of every category on the images of one split.

    A category is estimated by the first of these that can be had:
    1. all is known: counted;
    2. only presences are recorded, or labeled images differ from a complete split: that split's
       share;
    3. only presences are recorded: positive-unlabeled estimation from predictions or embeddings;
    4. gaps depend on a factor: augmented inverse-propensity weighting on metadata, pictures,
       embeddings and predictions;
    5. the share of known images, which assumes that labels are missing at random.
    """

    def __init__(
        self,
        evidence: Evidence,
        config: MissingnessConfig,
        split: str | None,
        tests: tuple[MissingnessTest, ...],
    ) -> None:
        self.evidence, self.config, self.split = evidence, config, split
        labels = evidence.labels
        rows_N = np.ones(len(labels), bool) if split is None else labels.in_split(split)
        self.row_N = np.flatnonzero(rows_N)
        self.groups = Groups.of(labels.group_N[self.row_N])
        found = [test for test in tests if test.strength != "none" and test.factor_kind != "split"]
        self._gaps_depend = {(test.task, test.category) for test in found}
        self._differs = {
            (test.task, test.category)
            for test in found
            if test.factor_kind == "own_label" and test.category is not None
            and test.factor.startswith(f"{test.task}.{test.category} in ")
        }  # fmt: skip
        self._models: _Models | None = None
        self.corrected: list[Corrected] = []

    def all(self) -> tuple[PresenceEstimate, ...]:
        """One estimate for each category of tags and boxes."""
        if not len(self.row_N):
            return ()
        return tuple(
            estimate for task in self.evidence.labels.states for estimate in self._of_task(task)
        )

    def _of_task(self, task: str) -> list[PresenceEstimate]:
        state_NC = self.evidence.labels.states[task][self.row_N]
        present_NC, known_NC = state_NC == PRESENT, state_NC != UNKNOWN
        naive = column_shares(present_NC, known_NC, self.groups)
        labeled = column_shares(known_NC, np.ones_like(known_NC), self.groups)
        present_C, known_C = present_NC.sum(axis=0), known_NC.sum(axis=0)
        found = []
        for category, name in enumerate(self.evidence.labels.info.tasks[task].categories):
            known = int(known_C[category])
            counts = Counts(
                int(present_C[category]),
                known - int(present_C[category]),
                len(state_NC) - known,
            )
            prior, propensity, method, why = self._estimated(
                task, category, counts, naive.estimate(category), labeled.estimate(category)
            )
            found.append(
                PresenceEstimate(
                    task=task,
                    category=name,
                    known_present=counts.present,
                    known_absent=counts.absent,
                    unknown=counts.unknown,
                    prior=prior,
                    propensity=propensity,
                    method=method,
                    sentence=_sentence(task, name, counts, prior, propensity, why),
                )
            )
        return found

    def _estimated(
        self, task: str, category: int, counts: Counts, naive: Estimate, labeled: Estimate
    ) -> tuple[Estimate, Estimate, str, str]:
        """Prior, propensity, method, and what the sentence says of it."""
        nothing = Estimate(None)
        name = self.evidence.labels.info.tasks[task].categories[category]
        if not counts.unknown:
            known = Estimate(1.0, 1.0, 1.0) if counts.present else nothing
            return naive, known, "counted", "every image is labeled"
        if not counts.present and not counts.absent:
            return nothing, nothing, "none", "nobody looked, so nothing can be said"
        one_sided = not counts.absent
        if one_sided or (task, name) in self._differs:
            complete = self._complete(task, category)
            if complete is not None:
                prior, splits = complete
                why = f"the share of {splits}, where every image is labeled"
                return prior, _propensity(counts, prior), "complete split", why
        if one_sided:
            return self._positive_only(task, category, counts)
        dependent = bool({(task, None), (task, name)} & self._gaps_depend)
        if dependent:
            corrected = self._corrected(task, category)
            if corrected is not None:
                return _weighted(counts, corrected, self.groups, self._is_off(corrected))
        why = "the share of labeled images, if labels are missing at random"
        if dependent:
            why += ", which the tests deny"
        # where labels are missing at random, presences are as often labeled as all images
        return naive, labeled if counts.present else nothing, "share of labeled images", why

    def _complete(self, task: str, category: int) -> tuple[Estimate, str] | None:
        if self.split is None:
            return None
        complete: CompleteRows | None = complete_rows(
            self.evidence, task, category, self.split, self.config.enough
        )
        if complete is None:
            return None
        state_N1 = self.evidence.states[task][complete.row_M, category][:, None]
        groups = Groups.of(self.evidence.labels.group_N[complete.row_M])
        found = column_shares(state_N1 == PRESENT, np.ones_like(state_N1, bool), groups).estimate(0)
        names = " and ".join(f"the {split_name(split)} split" for split in complete.splits)
        return found, names

    def _positive_only(
        self, task: str, category: int, counts: Counts
    ) -> tuple[Estimate, Estimate, str, str]:
        share = self._models_of_split().unlabeled(task, category)
        if share is None:
            why = (
                "only presences are recorded, so how often it is there cannot be told from these "
                "labels alone: label some images completely, or give predictions or embeddings"
            )
            return Estimate(None), Estimate(None), "none", why
        low, value, high = (
            (counts.present + part * counts.unknown) / counts.images
            for part in (share.low, share.value, share.high)
        )
        prior = Estimate(value, low, high)
        why = (
            "only presences are recorded; estimated as if those recorded were drawn at random from "
            "all that are there"
        )
        return prior, _propensity(counts, prior), "best bin estimation", why

    def _corrected(self, task: str, category: int) -> CorrectedPrior | None:
        found = self._models_of_split().corrected(task, category)
        if found is not None and self._is_off(found):
            name = self.evidence.labels.info.tasks[task].categories[category]
            self.corrected.append(Corrected(task, name, found.naive, found.value))
        return found

    def _is_off(self, found: CorrectedPrior) -> bool:
        """Whether the naive share is off by enough to matter, and by more than chance explains.

        The level is shared by all categories (Bonferroni).
        """
        categories = sum(states.shape[1] for states in self.evidence.labels.states.values())
        certain = found.p_value * categories < self.config.level
        return certain and abs(found.naive - found.value) >= NOTABLE

    def _models_of_split(self) -> "_Models":
        if self._models is None:
            self._models = _Models(self.evidence, self.config, self.split, self.row_N)
        return self._models


class _Models:
    """Cross-fitted models of one split, on a sample of whole groups; equal gaps share a model."""

    def __init__(
        self, evidence: Evidence, config: MissingnessConfig, split: str | None, row_N: Array
    ) -> None:
        labels = evidence.labels
        random = generator(config.seed, f"missingness {split} models")
        self.row_M = row_N[draw_groups(labels.group_N[row_N], config.modeled_images, random)]
        self.groups = Groups.of(labels.group_N[self.row_M])
        self.evidence = evidence
        self._random = random
        embedding_ND = evidence.embedding_ND
        self.embedding_MD = None if embedding_ND is None else embedding_ND[self.row_M]
        factors = [
            *metadata_factors(labels, self.row_M, config.levels),
            *picture_factors(labels, evidence.pictures, self.row_M),
        ]
        feature_MD = covariates(factors, self.embedding_MD, len(self.row_M))
        self.fit = CrossFit(feature_MD, self.groups, config, random)
        self._propensities: dict[bytes, Array] = {}

    def corrected(self, task: str, category: int) -> CorrectedPrior | None:
        """Augmented inverse-propensity estimate; None where too little is known to fit models."""
        state_M = self.evidence.labels.states[task][self.row_M, category]
        known_M: Array = state_M != UNKNOWN
        if min((state_M == PRESENT).sum(), (state_M == ABSENT).sum(), (~known_M).sum()) < FEWEST:
            return None
        probability_M = self._predicted(task, category)
        fit = self.fit if probability_M is None else self.fit.beside(probability_M)
        if not fit.feature_ND.shape[1]:
            return None
        key = np.packbits(known_M).tobytes() if probability_M is None else None
        propensity_M = self._propensities.get(key) if key is not None else None
        if propensity_M is None:
            propensity_M = fit.probabilities(known_M, np.ones(len(known_M), bool))
            if key is not None:
                self._propensities[key] = propensity_M
        present_M: Array = state_M == PRESENT
        outcome_M = fit.probabilities(present_M, known_M)
        return corrected_prior(state_M, propensity_M, outcome_M, self.groups)

    def unlabeled(self, task: str, category: int) -> UnlabeledShare | None:
        """Positive-unlabeled estimate from predictions, else from embeddings; None without."""
        labeled_M: Array = self.evidence.labels.states[task][self.row_M, category] == PRESENT
        score_M = self._predicted(task, category)
        if score_M is None:
            if self.embedding_MD is None or labeled_M.sum() < FEWEST_OF_EACH:
                return None
            complete_M = np.asarray(np.isfinite(self.embedding_MD).all(axis=1))
            score_M = self.fit.probabilities(labeled_M, complete_M)
            score_M = np.where(complete_M, score_M, np.nan)
        return unlabeled_share(labeled_M, score_M, self.groups, self._random)

    def _predicted(self, task: str, category: int) -> Array | None:
        probabilities: Mapping[str, Array] = self.evidence.probabilities
        if task not in probabilities:
            return None
        probability_M = probabilities[task][self.row_M, category].astype(np.float64)
        finite_M = np.isfinite(probability_M)
        varied = finite_M.any() and np.ptp(probability_M[finite_M]) > 0
        return probability_M if finite_M.all() and varied else None


def _propensity(counts: Counts, prior: Estimate) -> Estimate:
    """Known presences over all presences that the prior expects."""
    if not prior.value or not prior.low or not prior.high or not counts.present:
        return Estimate(None)
    value, low, high = (
        min(counts.present / (counts.images * part), 1.0)
        for part in (prior.value, prior.high, prior.low)
    )
    return Estimate(value, low, high)


def _weighted(
    counts: Counts, corrected: CorrectedPrior, groups: Groups, is_off: bool
) -> tuple[Estimate, Estimate, str, str]:
    half = float(student_95(np.array(len(groups)))) * corrected.error
    prior = Estimate(
        corrected.value, max(corrected.value - half, 0.0), min(corrected.value + half, 1.0)
    )
    why = "corrected for which images were labeled"
    if is_off:
        why += f"; among labeled images alone it would be {percent(corrected.naive)}"
    return prior, _propensity(counts, prior), "augmented inverse propensity weighting", why


def _sentence(
    task: str, category: str, counts: Counts, prior: Estimate, propensity: Estimate, why: str
) -> str:
    known = counts.present + counts.absent
    begin = f"{category} ({task}) is known on {count(known)} of {count(counts.images)} images"
    if prior.value is None:
        return f"{begin}; {why}."
    told = f"{begin} and there on {_interval(prior)} of all: {why}."
    if propensity.value is None or not counts.unknown:
        return told
    return f"{told} Where it is there, that is known in {_interval(propensity)} of cases."


def _interval(estimate: Estimate) -> str:
    low, high = percent(estimate.low).removesuffix(" %"), percent(estimate.high)
    return f"{percent(estimate.value)} ({low} to {high})"
