"""Metadata, image statistics and embeddings that two versions differ in.

Each is compared twice where the versions share images: version against version, which says what a
training run will see, and the new images against the whole older version, which says where they
come from; the rows of the second are called `new_…`. N images, L levels of a column.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.drift.comparing import (
    compare_distributions,
    compare_embeddings,
    compare_means,
    group_sums,
)
from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.drift.draft import Draft
from goldseam.audit.drift.version import Pairing
from goldseam.audit.pictures import STATISTICS, statistics_matrix
from goldseam.dataset.codecs import Array
from goldseam.page.numbers import count, percent

# a column with more levels than this has its rarer ones counted together
LEVELS = 40
Say = Callable[[float], str]


def image_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """All comparisons that are about images, not labels."""
    every_N = np.ones(len(pairing.after.labels), bool)
    comparisons = [_Comparison(pairing, config, every_N, "", "")]
    new = int(pairing.new_N.sum())
    if len(pairing.before_S) and new:
        lead = f"New images only ({count(new)}), against all of before: "
        comparisons.append(_Comparison(pairing, config, pairing.new_N, "new_", lead))
    for comparison in comparisons:
        yield from comparison.metadata()
        yield from comparison.statistics()
        yield from comparison.embeddings()


@dataclasses.dataclass(frozen=True, eq=False)
class _Comparison:
    """The older version against some images of the newer one.

    Attributes:
        chosen_N: which of them.
        prefix: before the kind of each row.
        lead: before the sentence of each row.
    """

    pairing: Pairing
    config: DriftConfig
    chosen_N: Array
    prefix: str
    lead: str

    @property
    def _group(self) -> Array:
        group_N: Array = self.pairing.after_group_N[self.chosen_N]
        return group_N

    def metadata(self) -> Iterator[Draft]:
        old, new = self.pairing.before.labels.meta, self.pairing.after.labels.meta
        for name in new:
            if name not in old or old[name].type != new[name].type:
                continue
            before, after = old[name], new[name].filter(pa.array(self.chosen_N))
            if pa.types.is_string(after.type):
                yield from self._levels(name, before, after)
            else:
                sides = (
                    (_as_numbers(before), self.pairing.before_group_N),
                    (_as_numbers(after), self._group),
                )
                say = _day if pa.types.is_timestamp(after.type) else _number
                yield from self._numbers("metadata", name, sides, say)

    def statistics(self) -> Iterator[Draft]:
        if self.pairing.before.pictures is None or self.pairing.after.pictures is None:
            return
        old_row, old = self.pairing.before.picture_rows()
        new_row, new = self.pairing.after.picture_rows()
        inside = self.chosen_N[new_row]
        old_NS, new_NS = statistics_matrix(old), statistics_matrix(new)[inside]
        for number, name in enumerate(STATISTICS):
            sides = (
                (old_NS[:, number], self.pairing.before_group_N[old_row]),
                (new_NS[:, number], self.pairing.after_group_N[new_row[inside]]),
            )
            yield from self._numbers("image", name.replace("_", " "), sides, _number)

    def embeddings(self) -> Iterator[Draft]:
        old, new = self.pairing.before.embeddings_ND, self.pairing.after.embeddings_ND
        if old is None or new is None:
            return
        change = compare_embeddings(
            (old, self.pairing.before_group_N),
            (new[self.chosen_N], self._group),
            self.pairing.groups,
            cap=self.config.embedding_images,
            seed=self.config.seed,
        )
        if change is None:
            return
        yield Draft(
            what=self.prefix + "embedding",
            before=0.5,
            after=change.auc,
            p_value=change.p_value,
            effect=max(change.auc - 0.5, 0.0),
            minimum=self.config.minimum_auc - 0.5,
            told=f"{self.lead}Shown a picture of before and one of now, a classifier tells the "
            f"newer in {percent(change.auc)} of the cases (50.0 % is guessing)",
        )

    def _numbers(
        self, what: str, name: str, sides: tuple[tuple[Array, Array], tuple[Array, Array]], say: Say
    ) -> Iterator[Draft]:
        change = compare_distributions(*sides, self.pairing.groups)
        if change is None:
            return
        yield Draft(
            what=self.prefix + what,
            before=change.before,
            after=change.after,
            p_value=change.p_value,
            effect=change.gap,
            minimum=self.config.minimum_distance,
            told=f"{self.lead}'{name}' was {say(change.before)} on average, is "
            f"{say(change.after)} ({change.shift:.2f} standard deviations apart; the share of "
            f"images below some value differs by up to {percent(change.gap)})",
        )

    def _levels(self, name: str, before: pa.Array, after: pa.Array) -> Iterator[Draft]:
        """The level of a text column that changed most; p is Bonferroni's over the levels."""
        if before.null_count == len(before) or after.null_count == len(after):
            return
        counted = pa.chunked_array([before, after]).drop_null().value_counts().to_pylist()
        ordered = sorted(counted, key=lambda row: (-row["counts"], row["values"]))
        names = [row["values"] for row in ordered][:LEVELS]
        rest = len(ordered) > LEVELS
        sums = []
        for column, group_N in ((before, self.pairing.before_group_N), (after, self._group)):
            code_N = pc.fill_null(pc.index_in(column, pa.array(names)), len(names)).to_numpy()
            value_NL = code_N[:, None] == np.arange(len(names) + rest)
            known_N1 = column.is_valid().to_numpy(zero_copy_only=False)[:, None]
            known_NL = np.repeat(known_N1, value_NL.shape[1], axis=1)
            sums.append(group_sums(value_NL, known_NL, group_N, self.pairing.groups))
        change = compare_means(*sums)
        most = int(np.argmax(np.abs(change.difference)))
        level = f"'{names[most]}'" if most < len(names) else "the rarer values together"
        was, now = float(change.before_C[most]), float(change.after_C[most])
        total = float(np.abs(change.difference).sum() / 2)
        yield Draft(
            what=self.prefix + "metadata",
            before=was,
            after=now,
            p_value=float(min(1.0, change.p_C.min() * len(change.p_C))),
            effect=total,
            minimum=self.config.minimum_share,
            told=f"{self.lead}'{name}': {level} had {percent(was)} of the images, has "
            f"{percent(now)} (over all values, {percent(total)} of the images are shared out "
            "differently)",
        )


def _as_numbers(column: pa.Array) -> Array:
    """Numbers, with NaN where nothing is known; times as seconds since 1970."""
    if pa.types.is_timestamp(column.type):
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e6)
    filled = pc.fill_null(column.cast(pa.float64()), np.nan)
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _day(seconds: float) -> str:
    return str(np.datetime64(round(seconds), "s").astype("datetime64[D]"))
