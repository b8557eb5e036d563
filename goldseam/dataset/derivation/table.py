"""A training table whose samples also carry what their labels say about other tasks."""

from collections.abc import Sequence
from typing import Any

from goldseam.dataset.codecs import Array
from goldseam.dataset.derivation.rules import DERIVED, derive, require_derivations
from goldseam.dataset.memory import DECODED_LIMIT, SampleTable, TrainingTable
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Derivation


class DerivedTable(SampleTable):
    """The samples of another table, with derived labels where their own are unknown.

    `known` counts a derived label like one of its own, and so does the order that gives each task
    an equal share of a batch.

    Args:
        table: samples as they are stored, not resized.
        derivations: between its tasks.
        tasks: whose labels are handed out; by default all of the table's. Others are sources only.
        limit: bytes of derived labels that are kept, so that each is made once.

    Raises:
        InvalidConfig: a derivation does not fit the tasks.
    """

    def __init__(
        self,
        table: SampleTable,
        derivations: Sequence[Derivation],
        tasks: Sequence[str] | None = None,
        *,
        limit: int = DECODED_LIMIT,
    ) -> None:
        require_derivations(derivations, table.tasks)
        self.table = table
        names = list(table.tasks) if tasks is None else list(tasks)
        self.derivations = tuple(rule for rule in derivations if rule.target in names)
        self.tasks = {name: table.tasks[name] for name in names}
        self.known = {name: table.known[name] for name in names}
        for rule in self.derivations:
            self.known[rule.target] = self.known[rule.target] | table.known[rule.source]
        self._limit = limit
        self._kept: dict[int, Record] = {}
        self._kept_bytes = 0

    @classmethod
    def over(
        cls,
        table: TrainingTable,
        derivations: Sequence[Derivation],
        *,
        rows: Array | None = None,
    ) -> "DerivedTable":
        """The table of a run that trains `table.tasks`; it also reads sources beyond these tasks.

        Derivations whose target is not trained are left out. Where sources beyond the tasks are
        read, the rows are `rows`, by default all those on which a task or such a source is labeled.
        """
        tasks = list(table.tasks)
        used = [rule for rule in derivations if rule.target in tasks]
        beyond = dict.fromkeys(rule.source for rule in used if rule.source not in tasks)
        if beyond:
            table = TrainingTable(
                table.dataset,
                table.split,
                [*tasks, *beyond],
                rows=rows,
                cache=table.cache,
                unsure=table.unsure,
                decoded_limit=table.decoded_limit,
            )
        return cls(table, used, tasks, limit=table.decoded_limit)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, position: int) -> Record:
        """The decoded sample at a position, with what can be derived."""
        if (kept := self._kept.get(position)) is not None:
            return kept
        record = derive(self.table[position], self.derivations, self.table.tasks)
        made = [name for name, source in record.sources.items() if source == DERIVED]
        labels = {name: record.labels[name] for name in self.tasks}
        sources = {name: record.sources[name] for name in self.tasks}
        record = Record(record.image_id, record.group, record.image_HWC, labels, sources)
        # a kept record keeps its image and own labels too, so only of tables that keep theirs
        if self.table.keeps_decoded:
            cost = sum(labels[name].nbytes for name in made if name in labels)
            if self._kept_bytes + cost <= self._limit:
                self._kept[position] = record
                self._kept_bytes += cost
        return record

    def __getstate__(self) -> dict[str, Any]:
        # worker processes keep for themselves
        return self.__dict__ | {"_kept": {}, "_kept_bytes": 0}
