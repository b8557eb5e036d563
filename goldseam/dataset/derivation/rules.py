"""Applying derivations to samples: an unknown label is filled from another task's known one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.derivation.boundaries import boundary_from_depth, boundary_from_segmentation
from goldseam.dataset.derivation.normals import (
    LENGTHS,
    camera_signs,
    half_tangent,
    normals_from_depth,
)
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Derivation, Task
from goldseam.errors import InvalidConfig

DERIVED = "derived"  # the source of labels made here
THROUGH_CAMERA = ("normals_from_depth", "boundary_from_depth")


def derive(record: Record, derivations: Sequence[Derivation], tasks: Mapping[str, Task]) -> Record:
    """Fill labels that are unknown from known labels of other tasks.

    A label of the target's own stays as it is, ignored pixels included. What is derived is never a
    source itself. Where several derivations have one target, the first that says something about a
    pixel counts.

    Args:
        record: a decoded sample as it is stored, not yet turned, cropped or resized.
        derivations: for which `require_derivations` holds.
        tasks: by name, those whose labels the record carries.

    Returns:
        The record with derived labels, whose source is `derived`. A target whose source is known
        gets a label even where it turns out that no pixel can be trusted; then all are ignored.
    """
    labels, sources = dict(record.labels), dict(record.sources)
    for rule in derivations:
        known = record.labels[rule.source]
        if known is None or record.labels[rule.target] is not None:
            continue
        made = _apply(rule, known, tasks)
        before = labels[rule.target]
        labels[rule.target] = made if before is None else _joined(before, made, tasks[rule.target])
        sources[rule.target] = DERIVED
    return dataclasses.replace(record, labels=labels, sources=sources)


def require_derivations(derivations: Sequence[Derivation], tasks: Mapping[str, Task]) -> None:
    """Refuse derivations that the tasks do not allow.

    Raises:
        InvalidConfig: a task is missing or of another kind, its camera axes are not understood, the
            depth is no length, or a field of view is needed and not stated.
    """
    for rule in derivations:
        if (fault := rule.fault(tasks)) is not None:
            raise InvalidConfig(
                f"{fault}.", remedy="Mend the derivation, or leave it out of the run."
            )
        if rule.rule == "normals_from_depth":
            camera_signs(tasks[rule.target].axes)
        if rule.rule in THROUGH_CAMERA:
            half_tangent(rule.field_of_view)
            if (unit := tasks[rule.source].unit) not in LENGTHS:
                # inverse or relative depth would give surfaces that look right and are not
                raise InvalidConfig(
                    f"'{rule.target}' is derived from '{rule.source}', whose unit is '{unit}' and "
                    "no length.",
                    remedy=f"Give depth in one of {', '.join(LENGTHS)}, or leave the derivation "
                    "out.",
                )


def merge_derivations(
    declared: Sequence[Derivation], added: Sequence[Derivation]
) -> tuple[Derivation, ...]:
    """What a dataset declares and a recipe adds, which replaces one of equal tasks and rule."""
    merged = {(rule.source, rule.target, rule.rule): rule for rule in (*declared, *added)}
    return tuple(merged.values())


def _apply(rule: Derivation, label: Any, tasks: Mapping[str, Task]) -> Array:
    source, target = tasks[rule.source], tasks[rule.target]
    if rule.rule == "boundary_from_segmentation":
        return boundary_from_segmentation(label, source, target, rule.single_instance)
    if rule.rule == "boundary_from_depth":
        return boundary_from_depth(label, rule.field_of_view, target)
    signs_3 = np.array(camera_signs(target.axes), np.float32)
    return normals_from_depth(label, rule.field_of_view) * signs_3[:, None, None]


def _joined(first: Array, second: Array, task: Task) -> Array:
    """The first label, and the second where the first is silent."""
    silent = np.isnan(first) if first.dtype.kind == "f" else first == task.ignore
    return np.where(silent, second, first)
