"""Models of tags that several benchmarks share: closet with partly known tags, and a first model.

All start from one network, which has learned to segment and tag other scenes, all of whose labels
were known, as published models start from one network that knows ImageNet. The validation labels
that choose a model's weights are as partial as its training labels. Closet is composed, not
photographed. Legend: N images, C categories.
"""

import dataclasses
import fcntl
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

WORK = Path("runs/benchmarks/closet")
SIZE = 64
IMAGES = {"train": 4000, "validation": 400, "test": 800}
QUICK_IMAGES = {"train": 120, "validation": 40, "test": 60}
PARTIAL = ("train", "validation")
NETWORK: dict[str, Any] = {
    "encoder": {"name": "small", "width": 32, "levels": 4, "stem_stride": 4},
    "decoder_width": 32,
}
# steps and images; its scenes are those of a seed that no other dataset has
ENCODER, QUICK_ENCODER, ENCODER_SEED = (6000, 12_000), (12, 120), 1100
ENCODER_TASKS = ("segmentation", "tags")
# areas, as shares of the picture, that part small from middle and middle from large items
SMALL, LARGE = 0.02, 0.045
# CheXpert: entries present, absent, and blank or unsure (223,414 images, four findings)
CHEXPERT = ((33_376, 1_328, 188_710), (14_783, 28_097, 180_534),
            (6_039, 2_799, 214_576), (86_187, 35_396, 101_831))  # fmt: skip
# shares of wrong labels, present and absent, of three text-mined findings of ChestX-ray14 against
# adjudicated expert labels on the same 4,376 images
WRONG = ((0.54, 0.03), (0.58, 0.05), (0.49, 0.19))
REGIMES = ("uniform", "size_dependent", "single_positive", "real_rates")
FULL = "full"

States = npt.NDArray[np.int8]


@dataclasses.dataclass(frozen=True)
class Labels:
    """Which tags are known.

    Attributes:
        regime: one of `REGIMES`, or `full`.
        seed: of the scenes, of the choice, and of what is wrong.
        clean: whether the validation labels are all known and right all the same.
        train: training images; 0 takes the usual number.
        quick: few images.
    """

    regime: str
    seed: int
    clean: bool = False
    train: int = 0
    quick: bool = False

    @property
    def images(self) -> dict[str, int]:
        """Of each split."""
        usual = QUICK_IMAGES if self.quick else IMAGES
        return usual | {"train": self.train or usual["train"]}

    @property
    def folder(self) -> str:
        """Name of the folder in which they stand."""
        train = str(self.train) if self.train else ""
        parts = (self.regime, str(self.seed), "clean" * self.clean, train, "quick" * self.quick)
        return "-".join(part for part in parts if part)


def labeled_closet(labels: Labels) -> Path:
    """The folder of the dataset with these labels; made when it is not there."""
    folder = WORK / "data" / labels.folder
    return _once(folder, lambda: _write(labels, folder))


def encoder(*, quick: bool) -> Path:
    """A checkpoint that has learned from other scenes; made when it is not there."""
    from goldseam.dataset.examples import build_example
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.stage import train

    steps, images = QUICK_ENCODER if quick else ENCODER
    data = WORK / "data" / f"scenes-of-the-encoder-{images}"

    def build() -> None:
        build_example(
            "closet", data, size=SIZE, tasks=ENCODER_TASKS, train=images, validation=200, test=10,
            seed=ENCODER_SEED,
        )  # fmt: skip

    _once(data, build)
    out = WORK / "encoders" / f"{steps}-{images}"
    body = options(100, steps, learning_rate=2e-3)
    body["loop"]["evaluate_every"] = steps // 3
    config = TrainConfig(tasks=ENCODER_TASKS, **body)
    _once(out, lambda: train(config, open_dataset(data, verify=False), out))
    return out / "checkpoint"


def options(
    seed: int, steps: int, *, learning_rate: float = 3e-3, transferred_rate: float = 1.0
) -> dict[str, Any]:
    """Options of the train stage that all models share."""
    return {
        "network": NETWORK,
        "optimizer": {
            "steps": steps,
            "batch_size": 32,
            "learning_rate": learning_rate,
            "transferred_rate": transferred_rate,
            "average": 0.99,
        },
        "loop": {
            "seed": seed,
            "device": "cpu",
            "augment": {"symmetry": "flip"},
            "evaluate_every": max(steps // 6, 1),
            "checkpoint_every": steps,
        },
    }


def _once(folder: Path, make: Callable[[], Any]) -> Path:
    """A folder that several processes may ask for at once: one makes it, the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            make()
    return folder


@functools.cache
def _areas(seed: int, split: str, count: int) -> npt.NDArray[np.float64]:
    from goldseam.dataset.examples.closet.sources import tagged_scenes

    return np.asarray(tagged_scenes(seed, range(count), split=split, size=SIZE).area_NC)  # type: ignore[arg-type]


def _write(labels: Labels, folder: Path) -> None:
    """Write the scenes with the tags that are known, some of them wrong."""
    from goldseam.dataset.examples import build_example
    from goldseam.dataset.reading import Dataset, open_dataset
    from goldseam.dataset.writing import Sample, write_dataset

    count = "-".join(map(str, labels.images.values()))
    whole = WORK / "data" / f"scenes-of-tags-{labels.seed}-{count}"
    _once(
        whole,
        lambda: build_example(
            "closet", whole, size=SIZE, tasks=["tags"], seed=labels.seed, **labels.images
        ),
    )
    dataset: Dataset = open_dataset(whole, verify=False)

    def samples(split: str) -> Iterator[Sample]:
        records = list(dataset.records(split, ["tags"]))
        state_NC = np.stack([record.labels["tags"] for record in records]).astype(np.int8)
        if split in PARTIAL and labels.regime != FULL and not (labels.clean and split != "train"):
            state_NC = partial_states(labels, split, state_NC)
        for record, state_C in zip(records, state_NC, strict=True):
            yield Sample(
                image_id=record.image_id,
                image=record.image_HWC,
                group=record.group,
                labels={"tags": state_C},
                sources={"tags": "generated"},
            )

    info = dataset.info.model_copy(update={"meta": {}})
    write_dataset(folder, info, {split: samples(split) for split in labels.images})


def partial_states(labels: Labels, split: str, state_NC: States) -> States:
    """Tags of which only some are known; under `real_rates` some of these are wrong as well."""
    from goldseam.dataset.partial.tag_protocols import (
        SinglePositiveAndNegatives,
        SizeDependent,
        Uniform,
        flip_tags,
        known_rates,
        tag_mask,
    )

    seed = labels.seed + 10_000 * PARTIAL.index(split)
    area_NC = _areas(labels.seed, split, len(state_NC))
    if labels.regime == "uniform":
        scheme: Any = Uniform(rate=0.2)
    elif labels.regime == "size_dependent":
        scheme = SizeDependent(
            small=0.03, middle=0.2, large=0.37, negatives=0.2, boundaries=(SMALL, LARGE)
        )
    elif labels.regime == "single_positive":
        scheme = SinglePositiveAndNegatives(rate=0.2)
    else:
        # which finding a category is like is drawn, the same for every split
        random, count = np.random.default_rng((labels.seed, 7)), state_NC.shape[1]
        present_C, absent_C, blank_C = np.array(CHEXPERT).T[:, random.integers(0, 4, count)]
        missed_C, invented_C = np.array(WRONG).T[:, random.integers(0, 3, count)]
        # nobody knows how many of a table's blank entries are present; a tenth is assumed
        scheme = known_rates(present_C, absent_C, blank_C, 0.1)
        known_NC = tag_mask(scheme, state_NC, seed, area_NC=area_NC)
        return np.where(known_NC, flip_tags(state_NC, missed_C, invented_C, seed), -1).astype(
            np.int8
        )
    return np.where(tag_mask(scheme, state_NC, seed, area_NC=area_NC), state_NC, -1).astype(np.int8)
