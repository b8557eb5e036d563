"""The exchange format of predictions: Parquet files with `image_id` and one column a task.

Every column but `image_id` is optional, and null is "no prediction for this image". Dense
predictions are the bytes of an `.npy` file. Legend: C categories, H and W pixels of the image.

| kind | column | content |
| --- | --- | --- |
| tags | list<float> | C probabilities of "present" |
| segmentation | binary | `C H W` probabilities: float16, float32, or uint8 as 255 p |
| boundary, saliency | binary | `H W` probabilities, likewise |
| regression | binary | `H W` float16 or float32 in the task's unit |
| normals | binary | `3 H W` float16 or float32 |
| detection | list<struct<category, score, xmin, ymin, xmax, ymax>> | boxes in px |
"""

import io
import json
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pydantic
import yaml

from goldseam.audit.predictions.faults import SEE_FORMAT, InvalidPredictions, listed
from goldseam.dataset.codecs import Array, BadCell
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.errors import MissingInput, closest
from goldseam.storage.atomic import write_text

NOTES_FILES = ("predictions.yaml", "predictions.json")
PREDICTED_BOX = pa.struct(
    [
        ("category", pa.int64()),
        ("score", pa.float32()),
        ("xmin", pa.float32()),
        ("ymin", pa.float32()),
        ("xmax", pa.float32()),
        ("ymax", pa.float32()),
    ]
)
PROBABILITY_MAPS = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY)
VALUE_MAPS = (Kind.REGRESSION, Kind.NORMALS)
# float16 leaves a softmax this far from 1, and 255 codes a little more for each category
ROUNDING = 2e-3
SUM_TOLERANCE = 0.02
LARGEST_HALF = 60_000.0


class PredictionNotes(pydantic.BaseModel):
    """The content of `predictions.yaml` or `predictions.json`, which may stand beside the files.

    Attributes:
        out_of_fold: whether no prediction was made by a model that saw a label of the same image
            or group; not assumed unless somebody says so.
        categories: task → names in the order of the predictions; the dataset's order by default.
        made_by: what made them, for people.
        stretched: whether dense maps may have another size than their image, to which they are
            then stretched.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    out_of_fold: bool = False
    categories: dict[str, tuple[str, ...]] = {}
    made_by: str = ""
    stretched: bool = False

    def write(self, folder: Path) -> None:
        """Write `predictions.json`."""
        body = self.model_dump(mode="json")
        write_text(folder / NOTES_FILES[1], json.dumps(body, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the notes of a folder; the defaults where there are none.

        Raises:
            InvalidPredictions: the file is no YAML or JSON, or has a wrong key or value.
        """
        path = next((folder / name for name in NOTES_FILES if (folder / name).is_file()), None)
        if path is None:
            return cls()
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise MissingInput(path, f"cannot be read ({error.strerror})") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidPredictions(f"{path} is no YAML: {error}.", remedy=SEE_FORMAT) from error
        except pydantic.ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(str(part) for part in fault["loc"])
            raise InvalidPredictions(
                f"{path}, key '{key}': {fault['msg']} (found {fault['input']!r:.80}).",
                remedy=f"Closest key: {closest(key.partition('.')[0], cls.model_fields)}.",
            ) from error


def column_type(kind: Kind) -> pa.DataType | None:
    """The Arrow type that the writer gives a task's column; None where the kind has none."""
    if kind in PROBABILITY_MAPS or kind in VALUE_MAPS:
        return pa.binary()
    return {Kind.TAGS: pa.list_(pa.float32()), Kind.DETECTION: pa.list_(PREDICTED_BOX)}.get(kind)


def category_order(info: DatasetInfo, task: str, given: tuple[str, ...], where: Path) -> Array:
    """For each category of the dataset, its place among the predicted ones.

    Raises:
        InvalidPredictions: the predictions are for other categories.
    """
    own = info.tasks[task].categories
    missing = [name for name in own if name not in given]
    foreign = [name for name in given if name not in own]
    if missing or foreign or len(given) != len(own):
        raise InvalidPredictions(
            f"{where}: task '{task}' is predicted for other categories: the dataset's "
            f"{listed(missing)} are missing, {listed(foreign)} are not the dataset's.",
            remedy=f"Give exactly these categories, in any order: {listed(own, 40)}. "
            f"Closest to '{(foreign or missing or own)[0]}': "
            f"{closest((foreign or missing or own)[0], own if foreign else given)}.",
        )
    place = {name: number for number, name in enumerate(given)}
    return np.array([place[name] for name in own], np.int64)


def map_shape(task: Task, height: int, width: int) -> tuple[int, ...]:
    """The shape of a dense prediction."""
    if task.kind is Kind.SEGMENTATION:
        return len(task.categories), height, width
    return (3, height, width) if task.kind is Kind.NORMALS else (height, width)


def encode_map(task: Task, predicted: Array) -> bytes:
    """A dense prediction as the bytes of an `.npy`: probabilities as 255 p, values as float16.

    Raises:
        BadCell: a value is NaN, infinite or, for a probability, outside [0, 1].
    """
    require_values(task, np.asarray(predicted, np.float32))
    if task.kind in PROBABILITY_MAPS:
        stored = np.rint(np.clip(predicted, 0, 1) * 255).astype(np.uint8)
    else:
        large = float(np.abs(predicted).max(initial=0)) > LARGEST_HALF
        stored = predicted.astype(np.float32 if large else np.float16)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(stored), allow_pickle=False)
    return stream.getvalue()


def decode_map(task: Task, content: bytes, size: tuple[int, int] | None) -> Array:
    """A dense prediction as float32; see the table above.

    Args:
        task: that is predicted.
        content: bytes of an `.npy`.
        size: (height, width) that the map must have; None for any.

    Raises:
        BadCell: it is no `.npy` of numbers, of another size, or a value is out of range.
    """
    stored = _read_npy(content)
    shape = map_shape(task, *(size or stored.shape[-2:]))
    if stored.shape != shape:
        raise BadCell(
            f"an array of shape {stored.shape}",
            f"{shape}",
            "Give one map an image, of the image's size"
            + (f", with {shape[0]} channels first." if len(shape) == 3 else "."),
        )
    allowed = "fu" if task.kind in PROBABILITY_MAPS else "f"
    if stored.dtype.kind not in allowed or (stored.dtype.kind == "u" and stored.dtype != np.uint8):
        also = ", or uint8 (255 times the probability)" if "u" in allowed else ""
        raise BadCell(f"an array of {stored.dtype}", f"float16 or float32{also}", SEE_FORMAT)
    if stored.dtype == np.uint8:
        predicted = stored.astype(np.float32) / np.float32(255)
    else:
        predicted = stored.astype(np.float32)
    require_values(task, predicted, codes=stored.dtype == np.uint8)
    if task.kind is Kind.NORMALS:
        return np.asarray(predicted / np.linalg.norm(predicted, axis=0), np.float32)
    return predicted.clip(0, 1) if task.kind in PROBABILITY_MAPS else predicted


def require_values(task: Task, predicted: Array, *, codes: bool = False) -> None:
    """Refuse what is no probability, value or direction.

    Raises:
        BadCell: names the value.
    """
    if not np.isfinite(predicted).all():
        raise BadCell(
            f"{predicted[~np.isfinite(predicted)].flat[0]}",
            "a number at every pixel",
            "Write null where an image has no prediction; look for a model that has diverged.",
        )
    if task.kind in PROBABILITY_MAPS or task.kind is Kind.TAGS:
        outside = (predicted < -ROUNDING) | (predicted > 1 + ROUNDING)
        if outside.any():
            how = "softmax over the categories" if task.kind is Kind.SEGMENTATION else "sigmoid"
            raise BadCell(
                f"the value {predicted[outside].flat[0]:g}",
                "probabilities from 0 to 1",
                f"These look like scores: apply a {how}.",
            )
    if task.kind is Kind.SEGMENTATION and predicted.size:
        total_HW = predicted.sum(axis=0)
        slack = SUM_TOLERANCE + codes * len(predicted) / 510
        if (np.abs(total_HW - 1) > slack).any():
            wrong = total_HW[np.abs(total_HW - 1) > slack].flat[0]
            raise BadCell(
                f"probabilities of a pixel that sum to {wrong:.3f}",
                "a sum of 1 over the categories",
                "Apply a softmax over the categories, or divide by the sum.",
            )
    if task.kind is Kind.NORMALS and (np.linalg.norm(predicted, axis=0) < 1e-6).any():
        raise BadCell("a normal of length 0", "a direction at every pixel", SEE_FORMAT)


def _read_npy(content: Any) -> Array:
    """The array of an `.npy`; nothing is unpickled, and nothing allocated that is not there."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        shape, fortran, dtype = (np.lib.format.read_array_header_2_0 if version > (1, 0) else read)(
            stream
        )
    except (ValueError, EOFError, SyntaxError, OverflowError) as error:
        raise BadCell(
            "bytes that are no .npy file",
            "what numpy.save writes",
            "Write each map with numpy.save into a BytesIO, without pickle.",
        ) from error
    if dtype.kind not in "fiub":
        raise BadCell(f"an array of {dtype}", "numbers", "Convert it to float32 first.")
    values = np.frombuffer(stream.getbuffer()[stream.tell() :], np.uint8)
    if min(shape, default=0) < 0 or len(values) != math.prod(shape) * dtype.itemsize:
        raise BadCell("a truncated .npy file", "what numpy.save writes", "Write the file again.")
    if len(shape) not in (2, 3):
        raise BadCell(f"an array of {len(shape)} dimensions", "2 or 3", SEE_FORMAT)
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")
