"""Tests of gaps in words that a manager reads, with false discoveries under control."""

import itertools
from collections.abc import Sequence

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.gaps import Tested, Unit
from goldseam.audit.statistics.discovery import false_discovery_q
from goldseam.page.numbers import count, percent, split_name
from goldseam.results import MissingnessTest, Strength

# Cohen (1988), for correlations; V of a table with two columns and 2 AUC - 1 share the scale
WEAK, MODERATE, STRONG = 0.1, 0.3, 0.5


def strength_of(effect: float | None, significant: bool) -> Strength:
    """Verdict on an effect; `none` for one that is not significant, and for one below 0.1."""
    if effect is None or not significant:
        return "none"
    size = abs(effect)
    if size >= STRONG:
        return "strong"
    if size >= MODERATE:
        return "moderate"
    return "weak" if size >= WEAK else "none"


def decided(
    families: Sequence[Sequence[Tested]], config: MissingnessConfig
) -> list[tuple[MissingnessTest, ...]]:
    """Tests with q-values, strengths and sentences; discoveries are controlled over all families.

    Tests against the split are a family of their own: training images are labeled less by design,
    and findings that are certain beforehand would buy room for false ones among the rest.
    """
    flat = [one for family in families for one in family]
    q_values: dict[int, float | None] = {}
    for is_split in (False, True):
        numbers = [number for number, one in enumerate(flat) if (one.kind == "split") == is_split]
        found = false_discovery_q([flat[number].p_value for number in numbers], config.control)
        q_values.update(zip(numbers, found, strict=True))
    tests = [_test(one, q_values[number], config.level) for number, one in enumerate(flat)]
    rest = iter(tests)
    return [tuple(itertools.islice(rest, len(family))) for family in families]


def _test(one: Tested, q_value: float | None, level: float) -> MissingnessTest:
    significant = q_value is not None and q_value < level
    strength = strength_of(one.effect, significant)
    return MissingnessTest(
        task=one.unit.task,
        category=one.unit.category,
        factor=one.factor,
        factor_kind=one.kind,
        test=one.test or "none",
        images=one.images,
        p_value=one.p_value,
        q_value=q_value,
        effect=one.effect,
        effect_name=one.effect_name,
        strength=strength,
        sentence=_sentence(one, significant, strength),
    )


def plain_name(factor: str) -> str:
    """A column as a word: `meta_captured_at` is `captured at`."""
    return factor.removeprefix("meta_").replace("_", " ")


def _sentence(one: Tested, significant: bool, strength: Strength) -> str:
    if one.why_not:
        return f"{_whether(one.unit)} cannot be tested against {_factor(one)}: {one.why_not}."
    if not significant:
        groups = "" if one.groups == one.images else f" in {count(one.groups)} groups"
        return (
            f"{_whether(one.unit)} does not visibly depend on {_factor(one)} "
            f"(tested on {count(one.images)} images{groups})."
        )
    told = _contrasted(one)
    if strength == "none":
        told += " The dependence is real but so slight that it hardly matters."
    return told


def _whether(unit: Unit) -> str:
    if unit.category is None:
        return f"Whether an image carries a label of {unit.task}"
    return f"Whether {unit.category} ({unit.task}) is known of an image"


def _factor(one: Tested) -> str:
    if one.kind == "embedding":
        return "what the image looks like"
    if one.kind == "split":
        return "its split"
    if one.kind == "image":
        return f"its {plain_name(one.factor)}"
    if one.kind == "metadata":
        return f"its {plain_name(one.factor)}"
    return f"the label {one.factor}"


def _carry(unit: Unit, share: float) -> str:
    if unit.category is None:
        return f"carry a label of {unit.task} in {percent(share)} of cases"
    return f"have {unit.category} ({unit.task}) known in {percent(share)} of cases"


def _contrasted(one: Tested) -> str:
    """What differs between which images; every sentence ends in two shares."""
    if one.kind == "embedding":
        assert one.effect is not None
        return (
            f"From what an image looks like one can tell whether it carries a label of "
            f"{one.unit.task}: of a labeled and an unlabeled image, the labeled one is named in "
            f"{percent((one.effect + 1) / 2)} of cases (chance: 50 %)."
        )
    assert one.contrast is not None
    inside, outside = one.contrast.inside, one.contrast.outside
    if one.kind == "own_label" and one.factor.endswith(f" in {one.contrast.level}"):
        where = " and ".join(split_name(part) for part in one.contrast.level.split(" and "))
        return (
            f"{one.unit.category} ({one.unit.task}) is there on {percent(inside)} of the images "
            f"where it is known, but on {percent(outside)} of the {where} images, where it is "
            "known of all: either it is labeled by what it shows, or the splits differ."
        )
    if not one.levels:
        low, high = _ends(one)
        return f"{low} {_carry(one.unit, inside)}, {high} in {percent(outside)}."
    who, others = _sides(one)
    return f"{who} {_carry(one.unit, inside)}, {others} in {percent(outside)}."


def _ends(one: Tested) -> tuple[str, str]:
    """The third of the images with the lowest values, and that with the highest."""
    if one.kind == "own_label":
        label = one.factor.removeprefix("predicted ")
        return f"Images that least seem to show {label}", "those that most seem to"
    name = plain_name(one.factor)
    return f"The third of the images with the lowest {name}", "that with the highest"


def _sides(one: Tested) -> tuple[str, str]:
    assert one.contrast is not None
    level = one.contrast.level
    if one.kind == "split":
        return f"{split_name(level).capitalize()} images", "those of the other splits"
    if one.label_task:
        category = one.factor.removeprefix(f"{one.label_task}.")
        return f"Images that show {category} ({one.label_task})", "those known not to show it"
    name = plain_name(one.factor).removesuffix(" recorded")
    if level in ("unknown", "recorded"):
        word = "unknown" if level == "unknown" else "recorded"
        return f"Images whose {name} is {word}", "all others"
    return f"Images whose {name} is {level}", "all others"
