"""Label masks as MTPSL and DiffusionMTL publish them, read without running what they hold.

These files are pickles: `.npy` is read by `plain_values`, which calls nothing that a file names,
`.pth` by torch with weights only and with stand-ins for NumPy's names. Anything but lists,
dictionaries, texts, numbers and arrays of these is refused.

Shapes: N images, T tasks.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goldseam.dataset.partial.masks import InvalidMask, LabelMask
from goldseam.dataset.partial.plain_values import (
    STAND_INS,
    UnreadContent,
    plain_values,
    read_pickle,
)
from goldseam.errors import MissingInput, closest

SUFFIXES = (".pth", ".pt", ".npy")
WEIGHTS = "labels_weights"
# what published code calls our tasks
NAMES = {
    "semseg": "segmentation",
    "semantic": "segmentation",
    "seg": "segmentation",
    "sal": "saliency",
    "edge": "boundary",
    "normal": "normals",
    "parts": "human_parts",
}
CONVERT = (
    "Write it as a table instead: a CSV file with the columns image_id and one for each task, with "
    "1 where the label is kept and 0 where it is unknown."
)


def read_published_mask(
    path: Path | str, image_ids: Sequence[str], tasks: Sequence[str], *, order: Sequence[str] = ()
) -> LabelMask:
    """Read a published label mask.

    Three forms are known: `{"labels_weights": array NT}`, whose row i is the i-th image; image id →
    T flags; task → ids of its images. A flag is 0 or 1.

    Args:
        path: `.pth`, `.pt` or `.npy`.
        image_ids: of the training images, in the order of the rows of the first form.
        tasks: those of which the mask is wanted.
        order: tasks in the order of the file's columns; `tasks` where it is empty. The third form
            names its tasks itself.

    Returns:
        The mask with `image_ids` and `tasks`.

    Raises:
        MissingInput: the file cannot be read.
        InvalidMask: it holds something else, names other images or tasks, or has other columns.
    """
    path = Path(path)
    content = _read(path)
    columns = tuple(order) or tuple(tasks)
    for task in tasks:
        if task not in columns:
            raise InvalidMask(
                f"{path} has no column of task '{task}'.",
                remedy=f"Closest: {closest(task, columns)}.",
            )
    if isinstance(content, Mapping) and set(content) == {WEIGHTS}:
        known_NT = _flags(path, content[WEIGHTS], (len(image_ids), len(columns)))
    elif isinstance(content, Mapping) and content:
        names = [NAMES.get(str(key), str(key)) for key in content]
        _require_each_once(path, names)
        by_task = dict(zip(names, content.values(), strict=True))
        if set(by_task) <= {*columns, *NAMES.values()}:
            known_NT = _of_tasks(path, by_task, image_ids, columns)
        else:
            known_NT = _of_images(path, content, image_ids, columns)
    else:
        raise InvalidMask(
            f"{path} holds {type(content).__name__}, expected a dictionary: '{WEIGHTS}' → flags, "
            "image id → flags, or task → image ids.",
            remedy=CONVERT,
        )
    mask = LabelMask(tuple(image_ids), columns, known_NT, protocol=f"published: {path.name}")
    return mask.select(tasks)


def _of_images(
    path: Path, content: Mapping[Any, Any], image_ids: Sequence[str], columns: Sequence[str]
) -> Any:
    rows = {str(key): value for key, value in content.items()}
    lacking = [name for name in image_ids if name not in rows]
    foreign = sorted(set(rows) - set(image_ids))
    if lacking or foreign:
        what = f"does not name the image '{lacking[0]}'" if lacking else f"names '{foreign[0]}'"
        raise InvalidMask(
            f"{path} {what} ({len(lacking):,} training images are not in it, {len(foreign):,} "
            "of its images are not there).",
            remedy="Take the mask that was published for these images.",
        )
    found = [rows[name] for name in image_ids]
    for name, one in zip(image_ids, found, strict=True):
        # a number is no list of flags, and an array without dimensions has no length
        length = len(one) if isinstance(one, list) or np.ndim(one) else 0
        if length != len(columns):
            raise InvalidMask(
                f"{path}, image '{name}': {length} flags, expected {len(columns)} "
                f"({', '.join(columns)}).",
                remedy="Take the mask that was published for these tasks.",
            )
    return _flags(path, [list(one) for one in found], (len(image_ids), len(columns)))


def _of_tasks(
    path: Path, content: Mapping[str, Any], image_ids: Sequence[str], columns: Sequence[str]
) -> Any:
    position = {name: row for row, name in enumerate(image_ids)}
    known_NT = np.zeros((len(image_ids), len(columns)), bool)
    for task, ids in content.items():
        if task not in columns:
            raise InvalidMask(
                f"{path} names the task '{task}'.", remedy=f"Tasks are {', '.join(columns)}."
            )
        names = _names(path, task, ids)
        foreign = [name for name in names if name not in position]
        if foreign:
            raise InvalidMask(
                f"{path}, task '{task}': the image '{foreign[0]}' is not among the training images "
                f"({len(foreign):,} such images).",
                remedy="Take the mask that was published for these images.",
            )
        known_NT[[position[name] for name in names], columns.index(task)] = True
    return known_NT


def _names(path: Path, task: str, ids: Any) -> list[str]:
    try:
        return [str(one) for one in np.asarray(ids).reshape(-1).tolist()]
    # lists of several lengths
    except ValueError as error:
        raise InvalidMask(
            f"{path}, task '{task}': no list of image ids ({error}).", remedy=CONVERT
        ) from error


def _require_each_once(path: Path, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidMask(
            f"{path} names '{twice}' twice.", remedy="Take the mask as it was published."
        )


def _flags(path: Path, values: Any, shape: tuple[int, int]) -> Any:
    try:
        value_NT = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidMask(f"{path} holds flags that are no numbers.", remedy=CONVERT) from error
    if value_NT.shape != shape:
        raise InvalidMask(
            f"{path} has flags of shape {value_NT.shape}, expected {shape} (training images x "
            "tasks).",
            remedy="Take the mask that was published for these images and tasks.",
        )
    wrong_NT = (value_NT != 0) & (value_NT != 1)
    if wrong_NT.any():
        row, column = (int(at[0]) for at in np.nonzero(wrong_NT))
        raise InvalidMask(
            f"{path}, row {row}, column {column}: {value_NT[row, column]:g}, expected 0 or 1.",
            remedy="Write 1 where the label is kept and 0 where it is unknown.",
        )
    return value_NT == 1


def _read(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingInput(path, f"the label mask cannot be read ({error.strerror})") from error
    try:
        return _npy(content) if path.suffix == ".npy" else _pth(content)
    # what a reader of pickles raises on a damaged or hostile file has no end
    except Exception as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise InvalidMask(
            f"{path} holds more than numbers, texts, lists and dictionaries, or is damaged "
            f"({reason}); it was not read.",
            remedy=CONVERT,
        ) from error


def _pth(content: bytes) -> Any:
    import torch

    def array(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().numpy()
        raise UnreadContent(f"it holds {type(value).__name__}")

    with torch.serialization.safe_globals([(made, name) for name, made in STAND_INS.items()]):
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return plain_values(found, array)


def _npy(content: bytes) -> Any:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0
    if version > (1, 0):
        header = np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if not dtype.hasobject:
        if dtype.kind not in "fiub":
            raise UnreadContent(f"it holds {dtype}")
        return {WEIGHTS: np.load(io.BytesIO(content), allow_pickle=False)}
    found = read_pickle(stream.read())
    if shape == () and isinstance(found, np.ndarray) and found.shape == ():
        return found.item()
    return found
