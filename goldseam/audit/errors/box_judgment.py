"""Matches labeled with predicted boxes and judges what is left over.

L labeled boxes, P predicted boxes, K pairs of both, M findings, C categories. Everything is flat:
no loop over images.
"""

import dataclasses

import numpy as np

from goldseam.audit.box_overlap import (
    Pairs,
    box_area,
    covered_share,
    match_greedily,
    overlapping_pairs,
    paired_iou,
)
from goldseam.audit.errors.box_config import BoxConfig
from goldseam.audit.errors.confirmation import by_category, confirmed_elsewhere
from goldseam.audit.errors.flat_boxes import LabeledBoxes, ScoredBoxes
from goldseam.audit.findings import Issue
from goldseam.audit.statistics.shares import Trials
from goldseam.dataset.codecs import Array

MAD_TO_DEVIATION = 1.4826
LEAST_DEVIATION = 0.02  # of an overlap: boxes are drawn to whole pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Judgment:
    """What `judge_boxes` found.

    Attributes:
        findings: column → M; see `BoxErrors`, with positions among all boxes.
        trials: name of a rate → its trials; cells are categories, clusters images.
        judged: one trial a labeled box that was judged; a hit is a box in a finding.
        usual_overlap_C: median overlap of matched boxes; NaN with too few.
    """

    findings: dict[str, Array]
    trials: dict[str, Trials]
    judged: Trials
    usual_overlap_C: Array


def judge_boxes(
    labels: LabeledBoxes, predictions: ScoredBoxes, exhaustive_C: Array, config: BoxConfig
) -> Judgment:
    """Find what is missing, spurious, badly placed or named wrongly."""
    judge = _Judge(labels, predictions, exhaustive_C, config)
    # the order decides what a box that could be in two findings is: named wrongly before badly
    # placed, and only what neither explains is invented or missing
    parts = [judge.wrong_categories(), judge.misplaced(), judge.spurious(), judge.missing()]
    findings = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    flagged_L = np.zeros(len(labels.image_L), bool)
    flagged_L[findings["label"][findings["label"] >= 0]] = True
    judged = Trials(flagged_L, labels.category_L, labels.image_L).of(~labels.ignore_L)
    return Judgment(findings, judge.trials, judged, judge.usual_C)


class _Judge:
    """The state of one judgment: who is matched with whom, and who is spoken for."""

    def __init__(
        self,
        labels: LabeledBoxes,
        predictions: ScoredBoxes,
        exhaustive_C: Array,
        config: BoxConfig,
    ) -> None:
        self.labels, self.predictions, self.config = labels, predictions, config
        self.exhaustive_C = exhaustive_C
        self.trials: dict[str, Trials] = {}
        self.counted_L = ~labels.ignore_L
        self.seen_P = predictions.score_P >= config.floor
        pairs = overlapping_pairs(
            labels.image_L,
            labels.corners_L4,
            predictions.image_P,
            predictions.corners_P4,
            config.touch,
        )
        self.pairs = pairs.of(self.counted_L[pairs.first_K] & self.seen_P[pairs.second_K])
        self.same_K = (
            labels.category_L[self.pairs.first_K] == predictions.category_P[self.pairs.second_K]
        )
        self.close_K = self.pairs.iou_K >= config.match
        matched = self._greedy(self.same_K & self.close_K)
        self.matched = matched
        self.match_of_L = np.full(len(self.counted_L), -1)
        self.match_of_L[matched.first_K] = matched.second_K
        self.overlap_L = np.full(len(self.counted_L), np.nan)
        self.overlap_L[matched.first_K] = matched.iou_K
        self.matched_P = self._marked(matched.second_K)
        # predictions and labels that a finding, or a weaker explanation, has used up
        self.spent_P = self.matched_P.copy()
        self.explained_L = self.match_of_L >= 0
        self._learn_usual()

    def _hidden(self) -> Array:
        """Predictions under an ignore box: whatever is there, nobody had to label it."""
        ignore_L, labels, predictions = self.labels.ignore_L, self.labels, self.predictions
        covered_P = covered_share(
            labels.image_L[ignore_L],
            labels.corners_L4[ignore_L],
            predictions.image_P,
            predictions.corners_P4,
        )
        hidden_P: Array = covered_P >= self.config.ignored_share
        return hidden_P

    def _greedy(self, allowed_K: Array, *, by_overlap: bool = False) -> Pairs:
        pairs = self.pairs.of(allowed_K)
        score_K = self.predictions.score_P[pairs.second_K]
        worth = (pairs.iou_K, score_K) if by_overlap else (score_K, pairs.iou_K)
        return match_greedily(pairs, *worth)

    def _marked(self, position: Array) -> Array:
        mark_P = np.zeros(len(self.seen_P), bool)
        mark_P[position] = True
        return mark_P

    def _learn_usual(self) -> None:
        """Per category: how sure and how tight matched predictions are, NaN with too few."""
        count = len(self.exhaustive_C)
        self.usual_C, self.usual_score_C = np.full(count, np.nan), np.full(count, np.nan)
        self.loose_C = np.full(count, -np.inf)
        score_K = self.predictions.score_P[self.matched.second_K]
        for category, pair_J in by_category(self.labels.category_L[self.matched.first_K]):
            if len(pair_J) < self.config.minimum_matches:
                continue
            iou_J = self.matched.iou_K[pair_J]
            usual = np.median(iou_J)
            deviation = MAD_TO_DEVIATION * np.median(np.abs(iou_J - usual))
            spread = self.config.robust_z * max(deviation, LEAST_DEVIATION)
            self.usual_C[category] = usual
            self.loose_C[category] = min(self.config.loose, usual - spread)
            self.usual_score_C[category] = score_K[pair_J].mean()

    def _confirmed(self, confirmed_P: Array, eligible_P: Array) -> Array:
        """Share of equally sure predictions that are confirmed in other images; NaN elsewhere."""
        share_P, predictions = np.full(len(eligible_P), np.nan), self.predictions
        share_P[eligible_P] = confirmed_elsewhere(
            confirmed_P[eligible_P],
            predictions.score_P[eligible_P],
            predictions.category_P[eligible_P],
            predictions.image_P[eligible_P],
        )
        return share_P

    def _sure(self) -> Array:
        """At least as sure as the average matched prediction of the category (never if unknown)."""
        sure_P: Array = self.seen_P & (
            self.predictions.score_P >= self.usual_score_C[self.predictions.category_P]
        )
        return sure_P

    def _findings(
        self, issue: Issue, label: Array, prediction: Array, score: Array, support: Array
    ) -> dict[str, Array]:
        """Columns of findings; -1 stands for no label or no prediction."""
        labels, predictions = self.labels, self.predictions
        has_label, has_prediction = label >= 0, prediction >= 0
        given = np.append(labels.category_L, -1)[label]
        seen = np.append(predictions.category_P, -1)[prediction]
        no_box = np.full((1, 4), np.nan)
        overlap = paired_iou(
            np.concatenate([labels.corners_L4, no_box])[label],
            np.concatenate([predictions.corners_P4, no_box])[prediction],
        )
        return {
            "issue": np.full(len(score), issue, object),
            "image": np.where(
                has_label,
                np.append(labels.image_L, -1)[label],
                np.append(predictions.image_P, -1)[prediction],
            ),
            "label": label,
            "prediction": prediction,
            "category": np.where(has_label, given, seen),
            "suggested": np.where(has_prediction, seen, -1),
            "score": score,
            "support": support,
            "confidence": np.append(predictions.score_P, np.nan)[prediction],
            "overlap": overlap,
        }

    def wrong_categories(self) -> dict[str, Array]:
        """Boxes that a prediction of another category fits, surer than any of their own."""
        score_P, pairs = self.predictions.score_P, self.pairs
        near_P = self._marked(pairs.second_K[self.close_K])
        named_P = self._marked(pairs.second_K[self.close_K & self.same_K])
        agree_P = self._confirmed(named_P, near_P)
        own_score_L, own_agree_L = np.zeros(len(self.counted_L)), np.zeros(len(self.counted_L))
        own = pairs.of(self.close_K & self.same_K)
        np.maximum.at(own_score_L, own.first_K, score_P[own.second_K])
        np.maximum.at(own_agree_L, own.first_K, np.nan_to_num(agree_P[own.second_K]))
        rival_K = self.close_K & ~self.same_K & ~self.matched_P[pairs.second_K]
        rival_K &= score_P[pairs.second_K] > own_score_L[pairs.first_K]
        rivals = self._greedy(rival_K)
        label, prediction = rivals.first_K, rivals.second_K
        self._explain(rivals)
        sure_P = self._sure()
        other_P = self._marked(prediction)
        rate_P = self._rate(other_P, sure_P & (self.matched_P | other_P))
        chance_K = _chance(rate_P[prediction], agree_P[prediction]) * (1 - own_agree_L[label])
        # estimated on sure predictions alone, where the model is usually right
        tried_L, hit_L = np.zeros((2, len(self.counted_L)), bool)
        tried_L[self.matched.first_K[sure_P[self.matched.second_K]]] = True
        tried_L[label[sure_P[prediction]]] = hit_L[label[sure_P[prediction]]] = True
        self.trials["wrong_category"] = self._label_trials(hit_L, tried_L)
        keep_K = chance_K >= self.config.minimum_score
        self.renamed_L = np.zeros(len(self.counted_L), bool)
        self.renamed_L[label[keep_K]] = True
        return self._findings(
            Issue.WRONG_CATEGORY,
            label[keep_K],
            prediction[keep_K],
            chance_K[keep_K],
            agree_P[prediction[keep_K]],
        )

    def _rate(self, hit_P: Array, tried_P: Array) -> Array:
        """For each prediction, the share of hits in its category; NaN where none was tried."""
        category_P, count = self.predictions.category_P, len(self.exhaustive_C)
        tried_C = np.bincount(category_P[tried_P], minlength=count)
        hit_C = np.bincount(category_P[tried_P & hit_P], minlength=count)
        rate_C = np.divide(hit_C, tried_C, out=np.full(count, np.nan), where=tried_C > 0)
        rate_P: Array = rate_C[category_P]
        return rate_P

    def _explain(self, pairs: Pairs) -> None:
        self.explained_L[pairs.first_K] = True
        self.spent_P[pairs.second_K] = True

    def _label_trials(self, hit_L: Array, tried_L: Array) -> Trials:
        """Labels tried, of the categories that are known well enough."""
        known_C = ~np.isnan(self.usual_C)
        trials = Trials(hit_L, self.labels.category_L, self.labels.image_L)
        return trials.of(tried_L & self.counted_L & known_C[self.labels.category_L])

    def misplaced(self) -> dict[str, Array]:
        """Boxes whose best prediction overlaps far less than is usual for the category."""
        pairs = self.pairs
        free_K = self.same_K & ~self.close_K & ~self.spent_P[pairs.second_K]
        loose = self._greedy(free_K & ~self.explained_L[pairs.first_K], by_overlap=True)
        fits_P = self._confirmed(self.matched_P, self._marked(pairs.second_K[self.same_K]))
        self._explain(loose)
        kept_K = ~self.renamed_L[self.matched.first_K]
        label = np.concatenate([self.matched.first_K[kept_K], loose.first_K])
        prediction = np.concatenate([self.matched.second_K[kept_K], loose.second_K])
        iou = np.concatenate([self.matched.iou_K[kept_K], loose.iou_K])
        category = self.labels.category_L[label]
        gap_K4 = self.labels.corners_L4[label] - self.predictions.corners_P4[prediction]
        far = (iou < self.loose_C[category]) & (
            np.abs(gap_K4).max(axis=1, initial=0) > self.config.tolerance_px
        )
        sure_P, far_P = self._sure(), self._marked(prediction[far])
        rate_P = self._rate(far_P, sure_P & self._marked(prediction))
        chance = _chance(rate_P[prediction], fits_P[prediction])
        score = chance * (1 - iou / self.usual_C[category] / 2)
        # half of the overlap may be left, and the score with it
        flagged = far & (chance >= self.config.minimum_score)
        tried = sure_P[prediction]
        tried_L, hit_L = np.zeros((2, len(self.counted_L)), bool)
        tried_L[label[tried]], hit_L[label[tried & far]] = True, True
        self.trials["misplacement"] = self._label_trials(hit_L, tried_L)
        return self._findings(
            Issue.MISPLACED_BOX,
            label[flagged],
            prediction[flagged],
            score[flagged],
            fits_P[prediction[flagged]],
        )

    def spurious(self) -> dict[str, Array]:
        """Boxes that no prediction supports, of a size that the model usually finds."""
        pairs, labels = self.pairs, self.labels
        # a prediction that belongs to another label is no support: two boxes around one object
        support_K = ~self.matched_P[pairs.second_K] & (self.same_K | self.close_K)
        supported_L = self.explained_L.copy()
        supported_L[pairs.first_K[support_K]] = True
        counted_L = self.counted_L & ~np.isnan(self.usual_C)[labels.category_L]
        area_L = box_area(labels.corners_L4)
        found_L = np.full(len(counted_L), np.nan)
        found_L[counted_L] = confirmed_elsewhere(
            supported_L[counted_L],
            area_L[counted_L],
            labels.category_L[counted_L],
            labels.image_L[counted_L],
        )
        large_L = counted_L & (area_L >= self._median_area()[labels.category_L])
        rate_C = self._rate_or_drop(
            "invention",
            Trials(~supported_L, labels.category_L, labels.image_L).of(large_L),
            1 - self.config.least_found,
        )
        # a model too weak for the rate is too weak for single boxes, whatever one block says
        strong_C = ~np.isnan(rate_C)
        at = np.flatnonzero(counted_L & ~supported_L & strong_C[labels.category_L])
        at = at[found_L[at] >= self.config.least_found]
        # invented, or overlooked by the model: nothing here tells which, so half
        score = found_L[at] / 2
        return self._findings(Issue.SPURIOUS_BOX, at, np.full(len(at), -1), score, found_L[at])

    def _median_area(self) -> Array:
        """Per category, of all labels that count; infinite without one."""
        area_L = box_area(self.labels.corners_L4)[self.counted_L]
        median_C = np.full(len(self.exhaustive_C), np.inf)
        for category, box_J in by_category(self.labels.category_L[self.counted_L]):
            median_C[category] = np.median(area_L[box_J])
        return median_C

    def _rate_or_drop(self, name: str, trials: Trials, limit: float) -> Array:
        """Share of hits by category; NaN, and no trials, where it is above the limit.

        Where so much of what should be confirmed is not, the model is too weak to tell.
        """
        count = len(self.exhaustive_C)
        total_C = np.bincount(trials.cell_K, minlength=count)
        hits_C = np.bincount(trials.cell_K, trials.hit_K, minlength=count)
        rate_C = np.divide(hits_C, total_C, out=np.full(count, np.nan), where=total_C > 0)
        rate_C[rate_C > limit] = np.nan
        self.trials[name] = trials.of(~np.isnan(rate_C)[trials.cell_K])
        return np.asarray(rate_C)

    def missing(self) -> dict[str, Array]:
        """Sure predictions without a label, where every object should have one."""
        predictions, pairs = self.predictions, self.pairs
        category_P = predictions.category_P
        near_P = self._marked(pairs.second_K[self.close_K])
        open_P = self.seen_P & self.exhaustive_C[category_P]
        open_P &= ~np.isnan(self.usual_C)[category_P]
        # a second prediction of a labeled object, or one that places a label, is no new object
        open_P &= self.matched_P | ~(near_P | self.spent_P | self._hidden())
        confirmed_P = self._confirmed(self.matched_P, open_P)
        sure_P = open_P & self._sure()
        rate_C = self._rate_or_drop(
            "omission", Trials(~self.matched_P, category_P, predictions.image_P).of(sure_P), 0.5
        )
        at = np.flatnonzero(open_P & ~self.matched_P)
        chance = _chance(rate_C[category_P[at]], confirmed_P[at])
        keep = chance >= self.config.minimum_score
        at = at[keep]
        return self._findings(
            Issue.MISSING_BOX, np.full(len(at), -1), at, chance[keep], confirmed_P[at]
        )


def _chance(rate: Array, share: Array) -> Array:
    """Chance that a prediction which its label does not confirm is right, and the label wrong.

    Of the cases in which the model is right, `1 - rate` are confirmed, and those are `share` of all
    that are this sure: so `share * rate / (1 - rate)` of all are right and not confirmed, out of
    the `1 - share` that are not confirmed.

    Args:
        rate: share of wrong labels.
        share: of equally sure predictions that are confirmed in other images.

    Returns:
        At most `share`; 0 where either is unknown.
    """
    odds = share * rate / np.maximum((1 - rate) * (1 - share), 1e-9)
    chance: Array = np.nan_to_num(np.minimum(np.minimum(odds, 1), share))
    return chance
