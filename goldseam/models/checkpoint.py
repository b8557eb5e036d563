"""A checkpoint is a folder: `config.json` and `model.safetensors`. No pickle, nothing to guess.

`config.json` holds the architecture, the tasks with their categories, the preprocessing, and the
digests of the data and options it was trained with.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import pydantic
import torch

from goldseam.artifacts import digest_folder
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, MissingInput, closest
from goldseam.models.config import ModelConfig
from goldseam.models.multitask import DENSE, MultitaskModel, Preprocessing
from goldseam.models.outputs import predicted_by

FORMAT: Literal[1] = 1
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# how much of a pretrained model is copied; each takes what those before it take
Depth = Literal["encoder", "decoder", "heads", "denoiser"]
DENOISER_PARTS = frozenset({"denoiser", "final_heads", "condition"})


class CheckpointConfig(pydantic.BaseModel):
    """The content of `config.json`.

    Attributes:
        format: version of this layout.
        goldseam: version of the library that wrote it.
        model: the architecture.
        tasks: what it predicts, in the order of the condition channels.
        preprocessing: of pixels and regression values.
        dataset_digest: what it was trained on.
        stage_key: digest of the options and inputs of the stage that made it.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    goldseam: str
    model: ModelConfig
    tasks: dict[str, Task]
    preprocessing: Preprocessing
    dataset_digest: str
    stage_key: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `config.json` of a checkpoint folder.

        Raises:
            MissingInput: there is none, or it is of another format.
        """
        path = Path(folder) / CONFIG_FILE
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except OSError as error:
            raise MissingInput(
                path, f"no checkpoint is here ({error.strerror})", "Name a 'checkpoint' folder."
            ) from error
        except ValueError as error:  # not text, not JSON, or another content
            raise MissingInput(
                path, f"is no goldseam checkpoint of format {FORMAT} ({error})"
            ) from error

    def chosen(self, names: Sequence[str]) -> dict[str, Task]:
        """The tasks of these names, in their order; all where none is named.

        Raises:
            InvalidConfig: the model has no such task.
        """
        for name in names:
            if name not in self.tasks:
                raise InvalidConfig(
                    f"the model has no task '{name}'.",
                    remedy=f"Closest: {closest(name, self.tasks)}.",
                )
        return {name: self.tasks[name] for name in names or self.tasks}


def save_checkpoint(
    folder: Path, model: MultitaskModel, *, dataset_digest: str, stage_key: str
) -> str:
    """Write a model into `folder`, which may exist.

    Returns:
        The checkpoint's digest.
    """
    from safetensors.torch import save_file

    from goldseam import __version__

    folder.mkdir(parents=True, exist_ok=True)
    config = CheckpointConfig(
        goldseam=__version__,
        model=model.config,
        tasks=model.tasks,
        preprocessing=model.preprocessing,
        dataset_digest=dataset_digest,
        stage_key=stage_key,
    )
    (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=1) + "\n")
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    return digest_folder(folder)


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint.

    Raises:
        MissingInput: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise MissingInput(path, f"the weights cannot be read ({error})") from error
    return tensors


def load_checkpoint(folder: Path, device: str | torch.device = "cpu") -> MultitaskModel:
    """The model of a checkpoint folder, in evaluation mode.

    Raises:
        MissingInput: the folder holds no checkpoint, or weights of another model.
    """
    config = CheckpointConfig.read(folder)
    model = MultitaskModel(config.model, config.tasks, config.preprocessing, pretrained=False)
    try:
        model.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        path, what = Path(folder) / WEIGHTS_FILE, str(error).splitlines()[-1].strip()
        raise MissingInput(path, f"the weights do not fit {CONFIG_FILE} ({what})") from error
    return model.to(device).eval()


def transfer(model: MultitaskModel, source: Path, depth: Depth) -> tuple[str, ...]:
    """Copy weights of a pretrained checkpoint into a new model.

    Args:
        model: the new model; changed in place.
        source: checkpoint folder.
        depth: `encoder`; `decoder` adds the shared decoder; `heads` adds every task's own decoder
            and head, where a clean task takes those of its noisy version; `denoiser` adds the
            denoiser and what belongs to it, and needs the same dense tasks in the same order.

    Returns:
        Names of the parameters that were copied.

    Raises:
        InvalidConfig: the two architectures differ where weights should be copied.
    """
    config = CheckpointConfig.read(source)
    weights = load_weights(source)
    deep = depth in ("heads", "denoiser")
    renamed = _renamed_heads(model.tasks, config.tasks) if deep else {}
    parts = {"encoder"} | ({"decoder"} if deep or depth == "decoder" else set())
    if depth == "denoiser":
        _require_same_dense(model, config.tasks, source)
        parts |= DENOISER_PARTS
    chosen: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part in parts:
            chosen[name] = value
        elif part in ("heads", "tags"):
            task, _, tail = rest.partition(".")
            chosen |= {f"{part}.{new}.{tail}": value for new in renamed.get(task, ())}
    own = model.state_dict()
    for name, value in chosen.items():
        if name not in own or own[name].shape != value.shape:
            raise InvalidConfig(
                f"{source}: '{name}' has shape {tuple(value.shape)} there, "
                f"{tuple(own[name].shape) if name in own else 'no place'} here.",
                remedy="Give pretrain and train the same network section.",
            )
    model.load_state_dict(chosen, strict=False)
    if model.refines and not any(name.startswith("final_heads.") for name in chosen):
        model.start_from_initial()
    return tuple(chosen)


def _require_same_dense(model: MultitaskModel, theirs: Mapping[str, Task], source: Path) -> None:
    """The condition's channels are in the order of the tasks: another order means other things."""
    dense = tuple(name for name, task in theirs.items() if task.kind in DENSE)
    if not model.refines or dense != model.dense:
        raise InvalidConfig(
            f"{source}: its denoiser is for the dense tasks {', '.join(dense) or 'of none'}; this "
            f"model {'has ' + ', '.join(model.dense) if model.refines else 'has no denoiser'}.",
            remedy="Transfer 'heads', or give train the same tasks in the same order and a "
            "'diffusion' section.",
        )


def _renamed_heads(own: Mapping[str, Task], theirs: Mapping[str, Task]) -> dict[str, list[str]]:
    """Pretrained task → tasks of the new model that take its heads: `predicted_by`, read back."""
    sources = predicted_by(theirs, own)
    return {old: [new for new, source in sources.items() if source == old] for old in theirs}
