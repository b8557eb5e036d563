"""Options of the finetune stage."""

from typing import Annotated, Literal

import pydantic

from goldseam.artifacts import StageConfig

PENALTIES = (1.0, 10.0, 100.0, 1000.0)


class FinetuneConfig(StageConfig):
    """Options of `finetune`.

    Attributes:
        task: a tags task of the model.
        penalties: ridge strengths that cross-validation chooses from.
        folds: of the cross-validation; whole groups go to one fold.
        minimum_known: known positives, and known negatives, below which a category keeps its head.
        split: whose known labels are used. The network has seen those of `train`.
        method: `single` solves category by category, `joint` blocks of categories at once; `auto`
            takes the cheaper.
        device: where features are computed.
        seed: of the folds.
    """

    task: str = "tags"
    penalties: tuple[Annotated[float, pydantic.Field(gt=0)], ...] = PENALTIES
    folds: int = pydantic.Field(default=5, ge=2)
    minimum_known: int = pydantic.Field(default=10, ge=1)
    split: str = "train"
    method: Literal["auto", "single", "joint"] = "auto"
    device: str = "auto"
    seed: int = 0
