"""The parts of people in PASCAL-Part's MATLAB files as a map of six categories.

Shapes: H, W pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.scenes.layout import FaultyFile, Unknown

PARTS = (
    "background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg",
)  # fmt: skip
PERSON = 15
NO_PERSON = "no person is in the image"
NO_PARTS = "nobody drew the parts of the person in the image"
IGNORE = 255

_OF_NAMES = {
    "head": ("hair", "head", "ear", "ebrow", "eye", "mouth", "nose"),
    "torso": ("neck", "torso"),
    "upper arm": ("uarm",),
    "lower arm": ("larm", "hand"),
    "upper leg": ("uleg",),
    "lower leg": ("lleg", "foot"),
}
# the file's names have l or r before what there are two of
PART_OF = {
    side + name: PARTS.index(part)
    for part, names in _OF_NAMES.items()
    for name in names
    for side in ("", "l", "r")
}


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file up to version 7.

    Raises:
        FaultyFile: it is none, or is cut off.
    """
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(path, squeeze_me=True, struct_as_record=True)
    # scipy raises whatever its parser stumbles on: zlib, struct, type and index errors among them
    except Exception as error:
        raise FaultyFile(
            path, f"no MATLAB file can be read ({error})", "one of version 5 to 7"
        ) from error
    return found


def human_parts(path: Path) -> Array | Unknown:
    """The parts of all people in an image, `uint8 HW`.

    Pixels of a person whose parts nobody drew are ignored; published loaders count them as
    background. Where an image has no person, or no person with parts, the label is unknown.

    Raises:
        FaultyFile: the file has another structure, or a part of an unknown name.
    """
    people, size = _people(path)
    if not people:
        return Unknown(NO_PERSON)
    if not any(parts for _, parts in people):
        return Unknown(NO_PARTS)
    part_HW = np.zeros(size, np.uint8)
    for mask_HW, parts in people:
        if not parts:
            part_HW[mask_HW] = IGNORE
    for _, parts in people:
        for name, mask_HW in parts:
            if name not in PART_OF:
                raise FaultyFile(
                    path, f"a part named '{name}'", "the part of a person, such as torso or lfoot"
                )
            part_HW[mask_HW] = PART_OF[name]
    return part_HW


People = list[tuple[Array, list[tuple[str, Array]]]]


def _people(path: Path) -> tuple[People, tuple[int, int]]:
    """(mask, its parts) of each person, and height and width."""
    content = read_mat(path)
    people: People = []
    try:
        objects = np.atleast_1d(content["anno"]["objects"].item())
        masks = [_mask(one["mask"]) for one in objects]
        for one, mask_HW in zip(objects, masks, strict=True):
            if int(one["class_ind"]) == PERSON and mask_HW.any():
                parts = np.atleast_1d(one["parts"])
                drawn = [] if parts.dtype.names is None else list(parts)
                people.append((mask_HW, [(str(p["part_name"]), _mask(p["mask"])) for p in drawn]))
        sizes = {mask_HW.shape for mask_HW in masks}
        sizes |= {part_HW.shape for _, parts in people for _, part_HW in parts}
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise FaultyFile(
            path,
            f"the variable 'anno' has another structure ({type(error).__name__}: {error})",
            "anno.objects with class_ind, mask and parts (part_name, mask)",
        ) from error
    if len(sizes) > 1 or any(len(size) != 2 for size in sizes):
        raise FaultyFile(path, f"masks of the shapes {sorted(sizes)}", "one height x width")
    return people, next(iter(sizes), (0, 0))


def _mask(value: Any) -> Array:
    return np.atleast_2d(np.asarray(value)).astype(bool)
