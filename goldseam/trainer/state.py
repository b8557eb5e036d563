"""What a killed run needs to go on as if nothing had happened.

A state is a folder with `state.json` and safetensors files; the newest complete one counts. Order,
augmentation and noise are functions of (seed, step), so no random state needs keeping.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goldseam.models.multitask import MultitaskModel
from goldseam.storage.atomic import atomic_folder
from goldseam.trainer.balancing import Balance
from goldseam.trainer.distributed import is_main


@dataclasses.dataclass
class Progress:
    """How far training is.

    Attributes:
        step: optimizer steps done.
        best_step: the step with the best validation score so far.
        best_score: that score; None before the first one, and where no label tells any.
        history: one entry a validation.
        train_seconds: time in training steps, over all restarts.
        unvalidated: what the step just done measured, while its validation is still to come; a run
            that is stopped in the middle of a validation begins with it.
    """

    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    history: list[dict[str, float | None]] = dataclasses.field(default_factory=list)
    train_seconds: float = 0.0
    unvalidated: dict[str, float | None] | None = None


class TrainingState:
    """Model, averaged model, optimizer, balance, best weights and progress, saved together.

    And the memory of the losses, where they have one.
    """

    def __init__(
        self,
        folder: Path,
        model: MultitaskModel,
        average: MultitaskModel | None,
        optimizer: torch.optim.Optimizer,
        balance: Balance,
        memory: nn.Module | None = None,
    ) -> None:
        self.folder = folder
        self.model = model
        self.average = average
        self.optimizer = optimizer
        self.balance = balance
        self.memory = nn.Module() if memory is None else memory
        self.best: dict[str, Tensor] = {}
        self.progress = Progress()
        self._saved: tuple[int, bool] | None = None

    @property
    def kept(self) -> MultitaskModel:
        """The weights that validation scores: the average where there is one."""
        return self.model if self.average is None else self.average

    def keep_best(self) -> None:
        """Remember the present weights as the best."""
        self.best = {name: value.clone() for name, value in self.kept.state_dict().items()}

    def save(self) -> None:
        """Write the state, in the first process alone; a kill at any moment leaves the one before.

        A state that is written already is not written again.
        """
        from safetensors.torch import save_file

        now = (self.progress.step, self.progress.unvalidated is None)
        if self._saved == now or not is_main():
            return
        name = f"step-{self.progress.step:08d}"
        with atomic_folder(self.folder / name, replace=True) as folder:
            parts = {"model": self.model.state_dict(), "best": self.best}
            if self.average is not None:
                parts["average"] = self.average.state_dict()
            if balance := self.balance.state_dict():
                parts["balance"] = balance
            if memory := self.memory.state_dict():
                parts["memory"] = memory
            for part, tensors in parts.items():
                save_file(_flat(tensors), folder / f"{part}.safetensors")
            save_file(self._optimizer_tensors(), folder / "optimizer.safetensors")
            body = json.dumps(dataclasses.asdict(self.progress), indent=1, allow_nan=False)
            (folder / "state.json").write_text(body + "\n")
        self._saved = now
        for old in self.folder.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old)

    def restore(self) -> bool:
        """Load the newest complete state; False when there is none."""
        from safetensors.torch import load_file

        complete = sorted(path.parent for path in self.folder.glob("step-*/state.json"))
        if not complete:
            return False
        folder = complete[-1]
        self.progress = Progress(**json.loads((folder / "state.json").read_text()))
        self.model.load_state_dict(load_file(folder / "model.safetensors"))
        if self.average is not None:
            self.average.load_state_dict(load_file(folder / "average.safetensors"))
        if self.balance.state_dict():
            self.balance.load_state_dict(load_file(folder / "balance.safetensors"))
        if self.memory.state_dict():
            self.memory.load_state_dict(load_file(folder / "memory.safetensors"))
        self.best = load_file(folder / "best.safetensors")
        self._load_optimizer(load_file(folder / "optimizer.safetensors"))
        return True

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        state: dict[int, dict[str, Any]] = self.optimizer.state_dict()["state"]
        return _flat(
            {f"{i}.{key}": value for i, values in state.items() for key, value in values.items()}
        )

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
