"""The noise of every task that has a clean version beside it."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.noise.box_noise import box_noise
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.disagreement import MEASURED
from goldseam.audit.noise.mask_noise import mask_noise
from goldseam.audit.noise.measure import NOISE_COUNTS, OF_VALUES
from goldseam.audit.noise.section import NoiseSection, joined
from goldseam.audit.noise.tag_noise import tag_noise
from goldseam.audit.noise.value_noise import value_noise
from goldseam.dataset.schema import Kind
from goldseam.results import NoiseRate

# less than this is not worth a sentence
NOTED_SHARE, NOTED_PX = 0.02, 0.5


def audit_noise(
    labels: LabelSide, tables: Mapping[str, pa.Table], config: NoiseConfig
) -> NoiseSection:
    """Measure every noisy task against its clean version, on the images that carry both.

    Rates run over all splits. Their intervals draw groups, with replacement, 95 %; they are None
    where all images are of one group. What only one of the two labels knows changes nothing.

    Args:
        labels: the label side.
        tables: of `goldseam.audit.noise.measure.NoiseMeasure`, of all shards. Without them only
            tags and boxes are measured, which need no pictures.
        config: the options.
    """
    sections = []
    for name, task in labels.info.tasks.items():
        if task.noisy_version_of is None:
            continue
        if task.kind is Kind.TAGS:
            sections.append(tag_noise(labels, name, config))
        elif task.kind is Kind.DETECTION:
            sections.append(box_noise(labels, name, config))
        elif NOISE_COUNTS in tables and task.kind in MEASURED:
            sections.append(mask_noise(labels, name, tables, config))
        elif NOISE_COUNTS in tables and task.kind in OF_VALUES:
            sections.append(value_noise(labels, name, tables, config))
    sentences = tuple(text for section in sections for text in _sentences(section.rates))
    return joined(sections, sentences)


def _sentences(rates: Sequence[NoiseRate]) -> list[str]:
    """The first rate of a task, and what is worst of each other kind."""
    if not rates:
        return []
    found = [rates[0].sentence]
    for kind in dict.fromkeys(rate.kind for rate in rates):
        of_kind = [rate for rate in rates if rate.kind == kind and rate.rate.value is not None]
        # of a single category, where there are any: what it is that is left out
        of_kind = [rate for rate in of_kind if rate.category is not None] or of_kind
        worst = max(of_kind, key=_size, default=None)
        if worst is not None and _size(worst) > 1 and worst.sentence not in found:
            found.append(worst.sentence)
    return found


def _size(rate: NoiseRate) -> float:
    """How many times a rate is what is worth a sentence."""
    value, unit = rate.rate.value or 0.0, rate.rate.unit
    if rate.kind == "scale":
        return abs(value - 1) / NOTED_SHARE
    return abs(value) / (NOTED_PX if unit == "px" else NOTED_SHARE)
