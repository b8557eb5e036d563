"""torch.compile for the parts of a model whose work is tensors alone."""

from torch import nn

from goldseam.models.denoiser import Denoiser
from goldseam.models.heads import TaskHeads
from goldseam.models.multitask import MultitaskModel

# these choose rows, tasks and steps in Python; what they hold is compiled, not they themselves
ORCHESTRATING = (MultitaskModel, TaskHeads, Denoiser, nn.ModuleDict, nn.ModuleList)


def compile_parts(model: MultitaskModel, backend: str = "inductor", *, twice: bool = False) -> None:
    """Compile encoder, decoders, heads and blocks, each for itself, in place.

    The whole forward pass would break at every choice of labeled rows, and be compiled anew for
    every number of them. Names in the state dict stay.

    Args:
        model: changed in place; copies (`copy.deepcopy`) are not compiled.
        backend: of torch.compile.
        twice: whether gradients pass a graph more than once, as balances by gradients need; costs
            memory.
    """
    import torch._functorch.config as functorch_config

    if twice:
        functorch_config.donated_buffer = False
    for part in _parts(model):
        part.compile(backend=backend, dynamic=None)


def _parts(module: nn.Module) -> list[nn.Module]:
    """The largest modules below that do no choosing; single layers gain nothing."""
    found = []
    for child in module.children():
        if isinstance(child, ORCHESTRATING):
            found += _parts(child)
        elif any(True for _ in child.children()):
            found.append(child)
    return found
