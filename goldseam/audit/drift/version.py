"""Two versions of a dataset side by side: which images, groups and labels they share.

Legend: N images of one version, S images that both versions have, G groups of both together.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.label_side import LabelSide
from goldseam.audit.pictures import SCHEMA
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidConfig, InvalidDataset
from goldseam.results import NoiseRate

# enough to estimate a variance by; a million groups would only cost time
GROUPS = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class Version:
    """What was measured on one version of a dataset.

    Attributes:
        labels: its label side.
        pictures: table `pictures`; None where no picture was looked at.
        noise: rates of noise that were estimated.
        embeddings_ND: in the order of `labels`, NaN for an image without one; of the same encoder
            in both versions.
        states: further task → int8 NC, such as those of masks.
        label_digests: table `label_digests`; None leaves open whether masks were redrawn.
    """

    labels: LabelSide
    pictures: pa.Table | None = None
    noise: tuple[NoiseRate, ...] = ()
    embeddings_ND: Array | None = None
    states: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    label_digests: pa.Table | None = None

    @functools.cached_property
    def all_states(self) -> dict[str, Array]:
        """Task → int8 NC, of tags, boxes and whatever else states are known of."""
        return {**self.labels.states, **self.states}

    def check(self, which: str) -> None:
        """Refuse arrays that do not fit the label side.

        Raises:
            InvalidConfig: an array has another number of rows than there are images.
        """
        count = len(self.labels)
        arrays = {f"states of task '{task}'": value for task, value in self.states.items()}
        if self.embeddings_ND is not None:
            arrays["embeddings"] = self.embeddings_ND
        for name, value in arrays.items():
            if len(value) != count:
                raise InvalidConfig(
                    f"version '{which}': {name} have {len(value)} rows, expected {count}, one an "
                    "image.",
                    remedy="Give one row for each image, in the order of the label side.",
                )

    def picture_rows(self) -> tuple[Array, pa.Table]:
        """Positions of the pictures' images, and the pictures; none where none was looked at.

        Raises:
            InvalidDataset: a picture belongs to no image.
        """
        pictures = SCHEMA.empty_table() if self.pictures is None else self.pictures
        place = pc.index_in(pictures.column("image_id"), self.labels.image_ids)
        if place.null_count:
            name = pictures.column("image_id").filter(pc.is_null(place))[0].as_py()
            raise InvalidDataset(
                f"pictures: image '{name}' is not in dataset '{self.labels.info.name}'.",
                remedy="Measure the pictures of the same version of the dataset.",
            )
        return place.to_numpy().astype(np.int64), pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Pairing:
    """Two versions with what they share; `pair_versions` makes one.

    Attributes:
        before: the older version.
        after: the newer one.
        before_S: positions of the shared images in the older version.
        after_S: positions of the same images in the newer one.
        new_N: of the newer version: True for images that the older one lacks.
        before_group_N: group of each image of the older version, numbered over both versions.
        after_group_N: the same of the newer one.
        groups: how many groups both versions have together; more than `GROUPS` are thrown together.
    """

    before: Version
    after: Version
    before_S: Array
    after_S: Array
    new_N: Array
    before_group_N: Array
    after_group_N: Array
    groups: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that both versions declare, of the same kind."""
        old, new = self.before.labels.info.tasks, self.after.labels.info.tasks
        return tuple(name for name in new if name in old and new[name].kind is old[name].kind)

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits in which both versions have images."""
        return tuple(s for s in self.after.labels.splits if s in self.before.labels.splits)

    def categories(self, task: str) -> tuple[list[int], list[int], tuple[str, ...]]:
        """Categories that both versions have: their ids before and after, and their names."""
        old = self.before.labels.info.tasks[task].categories
        new = self.after.labels.info.tasks[task].categories
        names = tuple(name for name in new if name in old)
        return [old.index(n) for n in names], [new.index(n) for n in names], names


def pair_versions(before: Version, after: Version) -> Pairing:
    """Find shared images by `image_id` and shared groups by name.

    Raises:
        InvalidConfig: arrays of a version do not fit its label side, or each other.
    """
    before.check("before")
    after.check("after")
    lengths = [
        version.embeddings_ND.shape[1]
        for version in (before, after)
        if version.embeddings_ND is not None
    ]
    if len(set(lengths)) > 1:
        raise InvalidConfig(
            f"embeddings of {lengths[0]} numbers before and of {lengths[1]} after, expected the "
            "same.",
            remedy="Embed the images of both versions with the same encoder.",
        )
    old, new = before.labels, after.labels
    place_N = pc.index_in(new.image_ids, old.image_ids)
    new_N = pc.is_null(place_N).to_numpy(zero_copy_only=False)
    names = pc.dictionary_encode(pa.array([*old.groups, *new.groups], pa.string()))
    # groups thrown together without regard to their labels are as independent as single ones
    code = names.indices.to_numpy() % GROUPS
    before_code, after_code = code[: len(old.groups)], code[len(old.groups) :]
    return Pairing(
        before=before,
        after=after,
        before_S=place_N.drop_null().to_numpy().astype(np.int64),
        after_S=np.flatnonzero(~new_N),
        new_N=new_N,
        before_group_N=before_code[old.group_N],
        after_group_N=after_code[new.group_N],
        groups=min(len(names.dictionary), GROUPS),
    )
