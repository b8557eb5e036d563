"""Metadata, image statistics and embeddings that two versions differ in.

Each is compared twice where the versions share images: version against version, which says what a
training run will see, and the new images against the whole older version, which says where they
come from; the rows of the second are called `new_…`. N images, L levels of a column.
"""

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
ENOUGH = 2


def image_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """All comparisons that are about images, not labels."""
    every = np.ones(len(pairing.after.labels), bool)
    yield from _changes(pairing, every, "", "", config)
    if len(pairing.before_S) and pairing.new_N.sum() >= ENOUGH:
        told = f"The {count(int(pairing.new_N.sum()))} new images against all of before: "
        yield from _changes(pairing, pairing.new_N, "new_", told, config)


def _changes(
    pairing: Pairing, chosen_N: Array, prefix: str, lead: str, config: DriftConfig
) -> Iterator[Draft]:
    yield from _metadata(pairing, chosen_N, prefix, lead, config)
    yield from _statistics(pairing, chosen_N, prefix, lead, config)
    yield from _embeddings(pairing, chosen_N, prefix, lead, config)


def _metadata(
    pairing: Pairing, chosen_N: Array, prefix: str, lead: str, config: DriftConfig
) -> Iterator[Draft]:
    old, new = pairing.before.labels, pairing.after.labels
    for name in new.meta:
        if name not in old.meta or old.meta[name].type != new.meta[name].type:
            continue
        after = new.meta[name].filter(pa.array(chosen_N))
        groups = pairing.after_group_N[chosen_N]
        show = None if not pa.types.is_timestamp(after.type) else _day
        if pa.types.is_string(after.type):
            yield from _levels(
                pairing, name, old.meta[name], after, groups, prefix + "metadata", lead, config
            )
        else:
            yield from _numbers(
                pairing,
                name,
                (_as_numbers(old.meta[name]), pairing.before_group_N),
                (_as_numbers(after), groups),
                prefix + "metadata",
                lead,
                config,
                show,
            )


def _as_numbers(column: pa.Array) -> Array:
    """Numbers, with NaN where nothing is known; times as seconds since 1970."""
    if pa.types.is_timestamp(column.type):
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e6)
    return np.asarray(
        pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    )


def _day(seconds: float) -> str:
    return str(np.datetime64(round(seconds), "s").astype("datetime64[D]"))


def _statistics(
    pairing: Pairing, chosen_N: Array, prefix: str, lead: str, config: DriftConfig
) -> Iterator[Draft]:
    if pairing.before.pictures is None or pairing.after.pictures is None:
        return
    old_row, old = pairing.before.picture_rows()
    new_row, new = pairing.after.picture_rows()
    inside = chosen_N[new_row]
    old_NS, new_NS = statistics_matrix(old), statistics_matrix(new)[inside]
    for number, name in enumerate(STATISTICS):
        yield from _numbers(
            pairing,
            name.replace("_", " "),
            (old_NS[:, number], pairing.before_group_N[old_row]),
            (new_NS[:, number], pairing.after_group_N[new_row[inside]]),
            prefix + "image",
            lead,
            config,
        )


def _numbers(
    pairing: Pairing,
    name: str,
    before: tuple[Array, Array],
    after: tuple[Array, Array],
    what: str,
    lead: str,
    config: DriftConfig,
    show: Callable[[float], str] | None = None,
) -> Iterator[Draft]:
    change = compare_distributions(*before, *after, pairing.groups)
    if change is None:
        return
    say = show or (lambda value: f"{value:.3g}")
    yield Draft(
        what=what,
        before=change.before,
        after=change.after,
        p_value=change.p_value,
        effect=change.gap,
        minimum=config.minimum_distance,
        told=f"{lead}{name} was {say(change.before)} on average, is {say(change.after)}; "
        f"the two differ by {change.shift:.2f} standard deviations, and {percent(change.gap)} of "
        "the images lie beyond what before and now have in common",
    )


def _levels(
    pairing: Pairing,
    name: str,
    before: pa.Array,
    after: pa.Array,
    after_group_N: Array,
    what: str,
    lead: str,
    config: DriftConfig,
) -> Iterator[Draft]:
    """The level of a text column whose share changed most; p is Bonferroni's over the levels."""
    if before.null_count == len(before) or after.null_count == len(after):
        return
    counted = pa.chunked_array([before, after]).drop_null().value_counts().to_pylist()
    ordered = sorted(counted, key=lambda row: (-row["counts"], row["values"]))
    names = [row["values"] for row in ordered][:LEVELS]
    rest = len(ordered) > LEVELS
    sums = []
    for column, group_N in ((before, pairing.before_group_N), (after, after_group_N)):
        code_N = pc.fill_null(pc.index_in(column, pa.array(names)), len(names)).to_numpy()
        value_NL = code_N[:, None] == np.arange(len(names) + rest)
        known_N1 = column.is_valid().to_numpy(zero_copy_only=False)[:, None]
        known_NL = np.repeat(known_N1, value_NL.shape[1], axis=1)
        sums.append(group_sums(value_NL, known_NL, group_N, pairing.groups))
    change = compare_means(*sums)
    most = int(np.argmax(np.abs(change.difference_C)))
    level = f"'{names[most]}'" if most < len(names) else "the rarer values together"
    was, now = float(change.before_C[most]), float(change.after_C[most])
    total = float(np.abs(change.difference_C).sum() / 2)
    yield Draft(
        what=what,
        before=was,
        after=now,
        p_value=float(min(1.0, change.p_C.min() * len(change.p_C))),
        effect=total,
        minimum=config.minimum_share,
        told=f"{lead}{name}: {level} had {percent(was)} of the images, has {percent(now)}; over "
        f"all values {percent(total)} of the images would have to change theirs to undo it",
    )


def _embeddings(
    pairing: Pairing, chosen_N: Array, prefix: str, lead: str, config: DriftConfig
) -> Iterator[Draft]:
    old, new = pairing.before.embeddings_ND, pairing.after.embeddings_ND
    if old is None or new is None:
        return
    change = compare_embeddings(
        old,
        pairing.before_group_N,
        new[chosen_N],
        pairing.after_group_N[chosen_N],
        pairing.groups,
        cap=config.embedding_images,
        seed=config.seed,
    )
    if change is None:
        return
    yield Draft(
        what=prefix + "embedding",
        before=0.5,
        after=change.auc,
        p_value=change.p_value,
        effect=max(change.auc - 0.5, 0.0),
        minimum=config.minimum_auc - 0.5,
        told=f"{lead}of two images, one of before and one of now, a classifier picks the newer "
        f"one in {percent(change.auc)} of the cases (50.0 % is guessing)",
    )
