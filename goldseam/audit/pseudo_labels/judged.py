"""The verdict on pseudo-labels: how many are expected to be wrong, category by category."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from goldseam.audit.noise.wording import with_interval
from goldseam.dataset.codecs import Array
from goldseam.page import count
from goldseam.results import Estimate, PseudoLabelAudit

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class PseudoLabelErrors:
    """How wrong pseudo-labels are. C categories; pairs are in the order absent, present.

    Of masks, labels are pixels: `present` are the pixels that were given the category, `absent`
    those that were given another one.

    Attributes:
        categories: names.
        unit: what is counted.
        compared_C2: int64, pseudo-labels of which the known label is there to compare.
        differing_C2: int64, those of them that differ from it.
        total_C2: int64, pseudo-labels in all.
        wrong_absent: expected share of wrong ones among all "absent", by category; the value is
            None where nothing could be compared, or the known labels are too noisy to tell.
        wrong_present: the same of "present".
        expected_wrong: expected number of wrong ones among all of a category: of tags "absent" and
            "present" together, of masks the pixels of the category.
        overall: wrong_absent, wrong_present and expected_wrong of all categories that can be
            judged.
        unjudged: pseudo-labels of categories and states that cannot be judged.
        assumption: under which the shares hold for all pseudo-labels.
        by_part: of masks, expected wrong share in the `interior` and near the `boundary` of the
            pseudo-labels.
    """

    categories: tuple[str, ...]
    unit: Literal["labels", "pixels"]
    compared_C2: Array
    differing_C2: Array
    total_C2: Array
    wrong_absent: tuple[Estimate, ...]
    wrong_present: tuple[Estimate, ...]
    expected_wrong: tuple[Estimate, ...]
    overall: tuple[Estimate, Estimate, Estimate]
    unjudged: int
    assumption: str
    by_part: tuple[tuple[str, Estimate], ...] = ()

    def rows(self, task: str) -> tuple[PseudoLabelAudit, ...]:
        """As the audit lists them: the whole task first, then each category with pseudo-labels."""
        parts = zip(
            self.categories,
            self.wrong_absent,
            self.wrong_present,
            self.expected_wrong,
            self.compared_C2.tolist(),
            self.total_C2.tolist(),
            strict=True,
        )
        found = [self.whole(task)]
        for category, absent, present, expected, compared_2, total_2 in parts:
            # the other pixels of a mask are counted under their own category
            total = total_2[1] if self.unit == "pixels" else sum(total_2)
            if total:
                compared = compared_2[1] if self.unit == "pixels" else sum(compared_2)
                sentence = self.sentence(category, (absent, present, expected), compared, total)
                found.append(
                    PseudoLabelAudit(
                        task, category, compared, present, absent, expected, total, sentence
                    )
                )
        return tuple(found)

    def whole(self, task: str, *, when: str = "") -> PseudoLabelAudit:
        """The row of the whole task.

        Args:
            task: name.
            when: begins the sentence, such as "At 90 % confidence".
        """
        counted_2 = self.total_C2.sum(axis=0)
        compared_2 = self.compared_C2.sum(axis=0)
        pixels = self.unit == "pixels"
        total = int(counted_2[1] if pixels else counted_2.sum()) - self.unjudged
        compared = int(compared_2[1] if pixels else compared_2.sum())
        sentence = self.sentence(task, self.overall, compared, total, when=when)
        if self.unjudged:
            sentence += (
                f" {count(self.unjudged)} more {self.unit} cannot be judged: no known label is "
                "there to compare."
            )
        absent, present, expected = self.overall
        return PseudoLabelAudit(task, None, compared, present, absent, expected, total, sentence)

    def sentence(
        self,
        what: str,
        rates: tuple[Estimate, Estimate, Estimate],
        compared: int,
        total: int,
        *,
        when: str = "",
    ) -> str:
        """The finding in words.

        Args:
            what: a task or category.
            rates: wrong share of "absent" and of "present", and the expected number of wrong ones.
            compared: known labels behind it.
            total: pseudo-labels.
            when: begins the sentence.
        """
        absent, present, expected = rates
        begin = f"{when}, of" if when else "Of"
        noun = f"pseudo-{self.unit}" if self.unit == "labels" else "pixels pseudo-labeled"
        if expected.value is None:
            return (
                f"{begin} {count(total)} {noun} of {what} it is unknown how many are wrong: no "
                f"known label is there to compare."
            )
        shares = [
            f'{with_interval(share)} of "{state}"'
            for state, share in (("present", present), ("absent", absent))
            if share.value is not None and self.unit == "labels"
        ]
        detail = f" ({' and '.join(shares)})" if shares else ""
        share = f", {with_interval(present)}," if self.unit == "pixels" else ""
        wrong = round(expected.value)
        return (
            f"{begin} {count(total)} {noun} of {what} about {count(wrong)}{share} "
            f"{'is' if wrong == 1 else 'are'} expected to be wrong{detail}, judged on "
            f"{count(compared)} known {self.unit}."
        )

    def to_frame(self) -> "pd.DataFrame":
        """One row a category, with the ends of the intervals."""
        import pandas as pd

        columns: dict[str, object] = {"category": self.categories}
        for number, state in enumerate(("absent", "present")):
            columns[f"compared_{state}"] = self.compared_C2[:, number]
            columns[f"differing_{state}"] = self.differing_C2[:, number]
            columns[f"total_{state}"] = self.total_C2[:, number]
        for name in ("wrong_absent", "wrong_present", "expected_wrong"):
            estimates: tuple[Estimate, ...] = getattr(self, name)
            columns[name] = [one.value for one in estimates]
            columns[f"{name}_low"] = [one.low for one in estimates]
            columns[f"{name}_high"] = [one.high for one in estimates]
        return pd.DataFrame(columns)
