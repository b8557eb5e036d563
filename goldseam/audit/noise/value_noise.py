"""How far noisy values and normals are off, from the numbers of each image.

Legend: N images that carry both labels.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.label_side import LabelSide
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.counts import column
from goldseam.audit.noise.measure import NOISE_IMAGES
from goldseam.audit.noise.section import NoiseSection
from goldseam.audit.noise.wording import (
    RATIO,
    amount,
    images_seen,
    nothing_in_common,
    with_interval,
)
from goldseam.audit.statistics.bootstrap import bundles_of, clusters_of, median_estimate
from goldseam.dataset.schema import Kind
from goldseam.results import Estimate, NoiseRate

METHOD = "measured"


def value_noise(
    labels: LabelSide, noisy: str, tables: Mapping[str, pa.Table], config: NoiseConfig
) -> NoiseSection:
    """Shift and scale of a regression task (in its unit), or the angle that normals are off.

    Each is the median over images of what is robust within an image, so that neither wild pixels
    nor a few images in another unit decide it.

    Args:
        labels: the label side.
        noisy: name of the noisy task.
        tables: of `NoiseMeasure`.
        config: the options.
    """
    task = labels.info.tasks[noisy]
    clean = str(task.noisy_version_of)
    table = tables[NOISE_IMAGES]
    table = table.filter(pc.equal(table.column("noisy_task"), noisy))
    if not len(table):
        return NoiseSection(rates=(nothing_in_common(clean, noisy),))
    row_N = labels.rows_of(table.column("image_id"))
    cluster_N, clusters = clusters_of(bundles_of(labels.groups)[labels.group_N[row_N]])

    def median(name: str, unit: str) -> tuple[Estimate, int]:
        value_N = column(table, name)
        estimate = median_estimate(
            value_N, cluster_N, clusters, resamples=config.resamples, seed=config.seed, unit=unit
        )
        return estimate, int(np.isfinite(value_N).sum())

    rates = []
    if task.kind is Kind.NORMALS:
        angle, images = median("angle", "°")
        if angle.value is not None:
            sentence = (
                f"The normals of {noisy} are turned by {with_interval(angle)} against those of "
                f"{clean} on the middle one of {images_seen(images)}."
            )
            rates.append(NoiseRate(noisy, clean, None, "shift", angle, images, METHOD, sentence))
        return NoiseSection(rates=tuple(rates))
    unit = task.unit or ""
    bias, images = median("bias", unit)
    if bias.value is not None:
        spread, _ = median("spread", unit)
        assert spread.value is not None
        side = "above" if bias.value >= 0 else "below"
        sentence = (
            f"The values of {noisy} lie {with_interval(bias, magnitude=True)} {side} those of "
            f"{clean} on the middle one of {images_seen(images)}; within an image they scatter by "
            f"{amount(spread.value, unit)}."
        )
        rates.append(NoiseRate(noisy, clean, None, "shift", bias, images, METHOD, sentence))
    scale, images = median("scale", RATIO)
    if scale.value is not None:
        sentence = (
            f"Where {clean} rises by 1 {unit}, {noisy} rises by {with_interval(scale)} as much on "
            f"the middle one of {images_seen(images)}."
        )
        rates.append(NoiseRate(noisy, clean, None, "scale", scale, images, METHOD, sentence))
    return NoiseSection(rates=tuple(rates))
