"""Who is who while a dataset is written: an image id stands once, a group stays in one split.

`SeenSamples` watches samples one by one, `SeenTables` whole tables without an object for each row.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import InvalidDataset

if TYPE_CHECKING:
    from goldseam.dataset.writing import Sample


def _no_text(what: str, split: str, image_id: object, found: object) -> InvalidDataset:
    return InvalidDataset(
        f"split '{split}', image '{image_id}': {what} is {found!r}, expected text.",
        remedy=f"Give each image an {what}; where every image stands alone, its image_id is its "
        "group.",
    )


def _twice(split: str, image_id: str) -> InvalidDataset:
    return InvalidDataset(
        f"split '{split}': image_id '{image_id}' stands there twice.",
        remedy="Give each image an id of its own.",
    )


def _crossing(image_id: str, group: str, first: str, second: str) -> InvalidDataset:
    return InvalidDataset(
        f"image '{image_id}': group '{group}' is in the splits '{first}' and '{second}'.",
        remedy="Put all images of a group into one split: what is alike must not stand on both "
        "sides of a test.",
    )


class SeenSamples:
    """The image ids and groups that were written so far."""

    def __init__(self) -> None:
        self.images: set[str] = set()
        self.split_of: dict[str, str] = {}

    def watch(self, split: str, samples: Iterable["Sample"]) -> Iterator["Sample"]:
        """Pass samples on; raises InvalidDataset at one whose id or group was used before."""
        for sample in samples:
            names: dict[str, Any] = {"image_id": sample.image_id, "group": sample.group}
            for what, name in names.items():
                if not isinstance(name, str) or not name:
                    raise _no_text(what, split, sample.image_id, name)
            if sample.image_id in self.images:
                raise _twice(split, sample.image_id)
            first = self.split_of.setdefault(sample.group, split)
            if first != split:
                raise _crossing(sample.image_id, sample.group, first, split)
            self.images.add(sample.image_id)
            yield sample


class SeenTables:
    """The identity columns of the tables that were written so far.

    Args:
        info: what the dataset declares.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.tasks = tuple(info.tasks)
        self.identity: list[pa.Table] = []

    def watch(
        self, split: str, shards: Iterable[Iterable[pa.Table]], schema: pa.Schema
    ) -> Iterator[Iterator[pa.Table]]:
        """Pass the tables of shards on, with the types of the schema.

        Raises:
            InvalidDataset: a column is missing or of another type, an identity is empty, or label
                and source disagree on being known.
        """
        for shard in shards:
            yield (self._checked(split, table, schema) for table in shard)

    def _checked(self, split: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
        try:
            table = table.select(schema.names).cast(schema)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise InvalidDataset(
                f"split '{split}': a table does not have the declared columns ({error}).",
                remedy="Give every column of DatasetInfo.arrow_schema() with its type.",
            ) from error
        for what in ("image_id", "group"):
            empty = pc.indices_nonzero(pc.fill_null(pc.equal(table.column(what), ""), True))
            if len(empty):
                row = empty[0].as_py()
                image_id, found = (table.column(name)[row].as_py() for name in ("image_id", what))
                raise _no_text(what, split, image_id, found)
        for task in self.tasks:
            self._require_sources(split, task, table)
        names = table.select(["image_id", "group"])
        self.identity.append(names.append_column("split", pa.repeat(split, table.num_rows)))
        return table

    def _require_sources(self, split: str, task: str, table: pa.Table) -> None:
        known, sourced = (pc.is_valid(table.column(name)) for name in (task, f"{task}_source"))
        differing = pc.indices_nonzero(pc.xor(known, sourced))
        if len(differing):
            row = differing[0].as_py()
            image_id = table.column("image_id")[row].as_py()
            source = table.column(f"{task}_source")[row].as_py()
            label = "a" if known[row].as_py() else "no"
            raise InvalidDataset(
                f"split '{split}', image '{image_id}', column '{task}': {label} label and the "
                f"source {source!r}, expected both or none.",
                remedy="Give a source ('human', 'map', 'model', 'generated') with each label.",
            )

    def require_unique(self) -> None:
        """Raises InvalidDataset when an id stands twice or a group is in two splits."""
        if not self.identity:
            return
        table = pa.concat_tables(self.identity)
        if pc.count_distinct(table.column("image_id")).as_py() < table.num_rows:
            counted = pc.value_counts(table.column("image_id"))
            repeated = pc.filter(counted.field("values"), pc.greater(counted.field("counts"), 1))
            first = table.filter(pc.equal(table.column("image_id"), repeated[0]))
            raise _twice(first.column("split")[-1].as_py(), repeated[0].as_py())
        places = table.select(["group", "split"]).group_by(["group", "split"]).aggregate([])
        if pc.count_distinct(places.column("group")).as_py() < places.num_rows:
            counted = pc.value_counts(places.column("group"))
            crossing = pc.filter(counted.field("values"), pc.greater(counted.field("counts"), 1))
            rows = table.filter(pc.equal(table.column("group"), crossing[0]))
            first_split, last_split = (rows.column("split")[at].as_py() for at in (0, -1))
            image_id = rows.column("image_id")[-1].as_py()
            raise _crossing(image_id, crossing[0].as_py(), first_split, last_split)
