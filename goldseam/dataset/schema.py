"""What a dataset declares: its tasks, its shards, and the Arrow schema that follows from them.

A label is present, absent or unknown. Unknown is `null` in the task's column; an empty list of
boxes means that somebody looked and found none.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import pydantic
import yaml

from goldseam.artifacts import digest_of
from goldseam.errors import InvalidDataset, MissingInput, closest

DATASET_FILE = "dataset.yaml"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FIXED_COLUMNS = ("image_id", "image", "width", "height", "group")

# category ids are int64 and `image` is nullable because only then does 🤗 `datasets` take the
# category names and the picture decoding from the metadata; on disk both cost nothing
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
BOX = pa.struct(
    [
        ("category", pa.int64()),
        ("xmin", pa.float32()),
        ("ymin", pa.float32()),
        ("xmax", pa.float32()),
        ("ymax", pa.float32()),
        ("ignore", pa.bool_()),
    ]
)
TAGS = pa.struct([("present", pa.list_(pa.int64())), ("absent", pa.list_(pa.int64()))])
UNSURE_TAGS = pa.struct([*TAGS, ("unsure", pa.list_(pa.int64()))])


class Kind(StrEnum):
    """What a task's labels look like."""

    SEGMENTATION = "segmentation"
    BOUNDARY = "boundary"
    SALIENCY = "saliency"
    REGRESSION = "regression"
    NORMALS = "normals"
    DETECTION = "detection"
    TAGS = "tags"
    CAPTION = "caption"

    @property
    def is_picture(self) -> bool:
        """True when a label is an encoded picture of the image's size."""
        return self not in (Kind.DETECTION, Kind.TAGS, Kind.CAPTION)

    @property
    def column(self) -> pa.DataType:
        """The Arrow type of the task's column."""
        if self.is_picture:
            return PICTURE
        return {Kind.DETECTION: pa.list_(BOX), Kind.TAGS: TAGS, Kind.CAPTION: pa.string()}[self]


CATEGORICAL = (Kind.SEGMENTATION, Kind.DETECTION, Kind.TAGS)


class Task(pydantic.BaseModel):
    """One task as `dataset.yaml` declares it.

    Attributes:
        kind: what its labels look like.
        categories: names by id, for segmentation, detection and tags.
        ignore: the id of pixels that count for nothing (segmentation, boundary, saliency).
        unit: of a regression task, such as `m` or `px`.
        encoding: `png16` stores `round((value - offset) / scale)`, `tiff32` the value itself.
        scale: units per code of `png16`.
        offset: the value of code 0 of `png16`; code `invalid` is never a value.
        invalid: the code (`png16`) or value (`tiff32`) of pixels without a value.
        axes: camera axes of normals, such as `x right, y up, z towards the viewer`.
        noisy_version_of: the clean task of which this one is a noisy copy.
        exhaustive: for detection, whether every object of every category is boxed.
        unsure: for tags, whether the column also lists the categories of which somebody looked and
            was not sure. They are unknown to everything that does not ask for them.
        description: one line for people.
    """

    # a TIFF may mark pixels without a value by NaN, which JSON cannot write as a number
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    kind: Kind
    categories: tuple[str, ...] = ()
    ignore: int = 255
    unit: str | None = None
    encoding: Literal["png16", "tiff32"] = "png16"
    scale: float = 1.0
    offset: float = 0.0
    invalid: float = 0.0
    axes: str | None = None
    noisy_version_of: str | None = None
    exhaustive: bool = True
    unsure: bool = False
    description: str = ""

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in CATEGORICAL and not self.categories:
            raise ValueError(f"a {self.kind} task needs categories")
        if self.unsure and self.kind is not Kind.TAGS:
            raise ValueError("only tags can be unsure")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("two categories have the same name")
        if self.kind is Kind.SEGMENTATION and self.ignore < len(self.categories):
            raise ValueError(f"ignore {self.ignore} is also the id of a category")
        if self.kind is Kind.REGRESSION and not self.unit:
            raise ValueError("a regression task needs a unit")
        if self.kind is Kind.NORMALS and not self.axes:
            raise ValueError("a normals task needs its camera axes")
        if not 2 <= self.ignore <= 65535:
            raise ValueError(f"ignore {self.ignore} is no id of 2 to 65535")
        if not (0 < self.scale < math.inf and math.isfinite(self.offset)):
            raise ValueError("scale must be positive, scale and offset finite")
        if self.encoding == "png16" and self.invalid not in range(65536):
            raise ValueError(f"invalid {self.invalid} is no code of 0 to 65535, as png16 stores")
        return self

    @property
    def column(self) -> pa.DataType:
        """The Arrow type of the task's column."""
        return UNSURE_TAGS if self.unsure else self.kind.column


# rule → kinds of its source and of its target
RULES = {
    "normals_from_depth": (Kind.REGRESSION, Kind.NORMALS),
    "boundary_from_segmentation": (Kind.SEGMENTATION, Kind.BOUNDARY),
    "boundary_from_depth": (Kind.REGRESSION, Kind.BOUNDARY),
}


class Derivation(pydantic.BaseModel):
    """What a label of one task says about another task; see `goldseam.dataset.derivation`.

    Attributes:
        source: task whose known labels are read.
        target: task that learns from them where its own label is unknown.
        rule: how.
        field_of_view: angle that the image's width spans in the camera, degrees; for rules that go
            through the camera. 0 is unstated.
        single_instance: for `boundary_from_segmentation`, categories of the source of which an
            image shows one instance at most, such as the floor: no boundary can hide inside them.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    source: str
    target: str
    rule: Literal["normals_from_depth", "boundary_from_segmentation", "boundary_from_depth"]
    field_of_view: float = pydantic.Field(default=0.0, ge=0, lt=180)
    single_instance: tuple[str, ...] = ()

    def fault(self, tasks: Mapping[str, Task]) -> str | None:
        """What keeps this derivation from those tasks, in words; None when nothing does."""
        for named, kind in zip((self.source, self.target), RULES[self.rule], strict=True):
            if named not in tasks:
                return f"a derivation names '{named}', which is not a task; closest: " + closest(
                    named, tasks
                )
            if tasks[named].kind is not kind:
                return (
                    f"a derivation by {self.rule} names '{named}', which is a {tasks[named].kind} "
                    f"task, not {kind}"
                )
        categories = tasks[self.source].categories
        for category in self.single_instance:
            if category not in categories:
                return (
                    f"a derivation names the category '{category}', which task '{self.source}' "
                    f"does not have; closest: {closest(category, categories)}"
                )
        return None


class Shard(pydantic.BaseModel):
    """One Parquet file of the dataset."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    file: str
    split: Split
    rows: int = pydantic.Field(ge=0)
    sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")

    @pydantic.field_validator("file")
    @classmethod
    def _beside(cls, file: str) -> str:
        # a shard elsewhere would be read from wherever a stranger's dataset.yaml points
        if not re.fullmatch(r"[\w][\w.+-]*\.parquet", file):
            raise ValueError("a shard is a .parquet file beside dataset.yaml")
        return file


class DatasetInfo(pydantic.BaseModel):
    """The content of `dataset.yaml`.

    Attributes:
        name: of the dataset.
        version: of the dataset, by its owner.
        license: SPDX identifier or a sentence.
        source: where images and labels come from.
        tasks: by name, which is also the name of the column.
        derivations: what the labels of one task say about another.
        meta: the `meta_*` columns and their Arrow types (`string`, `double`, `int64`, `timestamp`).
        shards: every Parquet file with its row count and SHA-256.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str = "1"
    license: str = "unknown"
    source: str = ""
    description: str = ""
    tasks: dict[str, Task]
    derivations: tuple[Derivation, ...] = ()
    meta: dict[str, Literal["string", "double", "int64", "timestamp"]] = {}
    shards: tuple[Shard, ...] = ()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, task in self.tasks.items():
            if not name.isidentifier():
                raise ValueError(f"'{name}' is no name of a column: letters, digits and _")
            if name in FIXED_COLUMNS or name.startswith("meta_") or name.endswith("_source"):
                raise ValueError(f"'{name}' is the name of another column, not of a task")
            clean = task.noisy_version_of
            if clean is not None and clean not in self.tasks:
                raise ValueError(
                    f"task '{name}' is a noisy version of '{clean}', which is not a task; "
                    f"closest: {closest(clean, self.tasks)}"
                )
            if clean is not None and (task.kind, task.categories) != (
                self.tasks[clean].kind,
                self.tasks[clean].categories,
            ):
                raise ValueError(
                    f"task '{name}' is a noisy version of '{clean}', which has another kind or "
                    "other categories"
                )
        for rule in self.derivations:
            if (fault := rule.fault(self.tasks)) is not None:
                raise ValueError(fault)
        files = [shard.file for shard in self.shards]
        if len(set(files)) < len(files):
            raise ValueError("a shard is listed twice")
        for name in self.meta:
            if not name.startswith("meta_"):
                raise ValueError(f"metadata column '{name}' must be named 'meta_{name}'")
        return self

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in the order train, validation, test."""
        return tuple(s for s in SPLITS if any(shard.split == s for shard in self.shards))

    @property
    def digest(self) -> str:
        """Digest of the content: of the tasks and of every shard's bytes."""
        # a dataset without derivations or unsure tags keeps the digest it had before there were any
        skipped = {"description"} | (set() if self.derivations else {"derivations"})
        body = json.loads(self.model_dump_json(exclude=skipped))
        for name, task in self.tasks.items():
            if not task.unsure:
                del body["tasks"][name]["unsure"]
        return digest_of(body)

    def rows(self, split: str | None = None) -> int:
        """Number of images, of one split or of all."""
        return sum(shard.rows for shard in self.shards if split in (None, shard.split))

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            InvalidDataset: there is none; names the closest.
        """
        if name not in self.tasks:
            raise InvalidDataset(
                f"dataset '{self.name}' has no task '{name}'.",
                remedy=f"Closest: {closest(name, self.tasks)}.",
            )
        return self.tasks[name]

    def arrow_schema(self) -> pa.Schema:
        """The schema of every shard, with the metadata by which 🤗 `datasets` decodes pictures."""
        fields = [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("image", PICTURE),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
        ]
        types = {
            "string": pa.string(),
            "double": pa.float64(),
            "int64": pa.int64(),
            "timestamp": pa.timestamp("us"),
        }
        fields += [pa.field(name, types[kind]) for name, kind in self.meta.items()]
        for name, task in self.tasks.items():
            fields.append(pa.field(name, task.column))
            fields.append(pa.field(f"{name}_source", pa.string()))
        features = {field.name: self._feature(field) for field in fields}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        return pa.schema(fields, metadata=metadata)

    def _feature(self, field: pa.Field) -> Any:
        """The 🤗 `datasets` description of a column."""

        def value(dtype: str) -> dict[str, str]:
            return {"dtype": dtype, "_type": "Value"}

        task = self.tasks.get(field.name)
        if field.name == "image" or (task is not None and task.kind.is_picture):
            return {"_type": "Image"}
        if task is not None and task.kind in (Kind.DETECTION, Kind.TAGS):
            category = {"names": list(task.categories), "_type": "ClassLabel"}
            if task.kind is Kind.TAGS:
                ids = {"feature": category, "_type": "List"}
                return {part.name: ids for part in task.column}
            box = {name: value("float32") for name in ("xmin", "ymin", "xmax", "ymax")}
            return {
                "feature": {"category": category, **box, "ignore": value("bool")},
                "_type": "List",
            }
        if pa.types.is_timestamp(field.type):
            return value("timestamp[us]")
        names = {pa.float64(): "float64", pa.int64(): "int64", pa.int32(): "int32"}
        return value(names.get(field.type, "string"))

    def write_yaml(self, folder: Path) -> None:
        """Write `dataset.yaml`."""
        body = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
        (folder / DATASET_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read_yaml(cls, folder: Path) -> Self:
        """Read `dataset.yaml`.

        Raises:
            MissingInput: the file is not there or cannot be read.
            InvalidDataset: it breaks the format; names the key.
        """
        path = Path(folder) / DATASET_FILE
        try:
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise MissingInput(
                path,
                f"cannot be read ({error.strerror})",
                "Name a folder that 'goldseam dataset build' or 'goldseam dataset import' made, "
                "and check its permissions.",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidDataset(f"{path} is no YAML: {error}.", remedy="Mend the file.") from error
        try:
            return cls.model_validate(body)
        except pydantic.ValidationError as error:
            key, found, expected = next(yaml_faults(error))
            raise InvalidDataset(
                f"{path}, key '{key}': {expected} (found {found}).",
                remedy="Mend dataset.yaml; docs/dataset.md lists every key.",
            ) from error


def yaml_faults(error: pydantic.ValidationError) -> Iterator[tuple[str, str, str]]:
    """(key, found, expected) of each thing that is wrong with a `dataset.yaml`."""
    models: tuple[type[pydantic.BaseModel], ...] = (DatasetInfo, Task, Derivation, Shard)
    known = {field for model in models for field in model.model_fields}
    for fault in error.errors():
        expected = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            expected = f"no such key; closest: {closest(fault['loc'][-1], known)}"
        found = repr(fault["input"])
        key = ".".join(str(part) for part in fault["loc"])
        yield key, found if len(found) < 80 else f"{found[:77]}...", expected
