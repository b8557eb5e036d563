"""Blocks of categories solved together: one pass over the rows serves them all.

For many rows of which each category knows a large part, and for GPUs. It works in float32 with a
float64 finish on a GPU, and in float64 on a CPU. Bytes: N rows of D features take 8 N D (4 N D more
on a GPU), a block of L problems about 80 N L and 20 x 8 D L; the block is chosen to stay under
`BLOCK_BYTES`. 82,000 rows of 2,048 features and 80 categories: 1.3 (2.0) GiB and at most 4 GiB.
Legend: N rows with a known label, D features, C categories, L problems, P = D + 1.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from goldseam.finetuning.solving.contest import simplest
from goldseam.finetuning.solving.folds import Integers
from goldseam.finetuning.solving.known import FeatureRows, KnownLabels, read_rows
from goldseam.finetuning.solving.logistic import Floats
from goldseam.finetuning.solving.penalties import (
    GRADIENT_TOLERANCE,
    SCREENING_DECREMENT,
    SCREENING_STEPS,
    Found,
    Rescaled,
    mean_losses,
    score,
    training_weights,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldseam.finetuning.solving.joint import Minima, Problems

Head = tuple[Floats, float]


class _Stops(TypedDict):
    decrement_tolerance: float
    maximum_steps: int


BLOCK_BYTES = 4 * 2**30
READ_ROWS = 4096
SCREENING: _Stops = {
    "decrement_tolerance": SCREENING_DECREMENT,
    "maximum_steps": SCREENING_STEPS,
}
# rounding of float32 hides smaller ones
SCREENING_SINGLE: _Stops = {"decrement_tolerance": 1e-4, "maximum_steps": 100}
EXACT_STEPS = 1000
# What a problem costs, in steps of the screening: orders of size. A category alone takes about 7. A
# block takes about 30, and its products, of hundreds of columns and not of six, run twice as fast.
JOINT_STEPS, SINGLE_STEPS = 15, 7


def joint_is_cheaper(rows: int, features: int, known: Sequence[int], problems: int) -> bool:
    """Whether one pass over all rows costs less than each category's own, by multiplications.

    A category alone takes its known rows through the screening, a Hessian for each penalty in
    float32 and two Newton steps; a block takes all rows through a screening whose shared
    preconditioner fits less well, a finish of one problem a category, and one decomposition.

    Args:
        rows: with any known label.
        features: of a row.
        known: known rows of each category.
        problems: of each category, folds and penalties.
    """
    rank = np.minimum(known, features)
    counts = np.asarray(known, np.float64)
    # a step is two products with the rows
    single = 2 * counts * rank * (SINGLE_STEPS * problems + rank) + rank**3.0
    # where rows are fewer the Gram matrix and its eigenvectors come on top
    single += np.where(counts < features, counts**2 * features / 2 + 4 * counts**3, 0.0)
    joint = 2 * len(known) * rows * features * JOINT_STEPS * (problems + 1)
    return bool(joint + rows * features**2 + 5.0 * features**3 < single.sum())


def block_fits(
    features: FeatureRows,
    known: Sequence[KnownLabels],
    heads: Sequence[Head],
    penalties: list[float],
    device: str,
) -> Iterator[Found]:
    """Screen and fit categories in blocks; one result a category, in order.

    Args:
        features: of all images.
        known: categories that can be fit.
        heads: their trained weights and intercepts.
        penalties: candidates.
        device: `cpu` or a CUDA device.

    Raises:
        InvalidConfig: a feature of a known row is NaN or infinite.
    """
    if not known:
        return
    design = _Design.read(features, known, device)
    problem_bytes = 80 * design.design_NP.shape[0] + 160 * design.design_NP.shape[1]
    # every category has a problem for each fold and for none, times the penalties
    problems = [(int(one.fold_N.max()) + 2) * len(penalties) for one in known]
    start = 0
    while start < len(known):
        room = np.cumsum(problems[start:]) * problem_bytes <= BLOCK_BYTES
        block = slice(start, start + max(1, int(room.sum())))
        yield from _fit_block(design, list(known[block]), heads[block], penalties)
        start = block.stop


@dataclasses.dataclass(frozen=True, eq=False)
class _Design:
    """All rows with a known label, centered and divided by one number, and a column of ones.

    Attributes:
        position_A: from the row of an image to its row here; -1 for the others.
        values_F, vectors_FF: eigenvalues and eigenvectors of the covariance.
    """

    design_NP: "Tensor"
    position_A: Integers
    center_D: Floats
    scale: float
    values_F: "Tensor"
    vectors_FF: "Tensor"

    @classmethod
    def read(cls, features: FeatureRows, known: Sequence[KnownLabels], device: str) -> "_Design":
        import torch

        row_N = np.unique(np.concatenate([one.row_N for one in known]))
        position_A = np.full(features.shape[0], -1, np.intp)
        position_A[row_N] = np.arange(len(row_N))
        design_NP = torch.ones(
            (len(row_N), features.shape[1] + 1), dtype=torch.float64, device=device
        )
        for start in range(0, len(row_N), READ_ROWS):
            part = slice(start, start + READ_ROWS)
            block_ND = read_rows(features, row_N[part], _knows(known, row_N[part]))
            design_NP[part, :-1] = torch.from_numpy(block_ND).to(device)
        center_D = design_NP[:, :-1].mean(dim=0)
        design_NP[:, :-1] -= center_D
        # the columns of ones are left out of the products by cutting the result
        covariance_DD = (design_NP.T @ design_NP)[:-1, :-1] / len(row_N)
        scale = float(covariance_DD.diagonal().mean().sqrt())
        if scale <= 1e-12 * float(center_D.abs().max()):
            scale = 1.0
        design_NP[:, :-1] /= scale
        values_F, vectors_FF = torch.linalg.eigh(covariance_DD / scale**2)
        return cls(
            design_NP,
            position_A,
            center_D.cpu().numpy(),
            scale,
            values_F.clamp_min(0),
            vectors_FF,
        )

    @property
    def device(self) -> "torch.device":
        """Where the rows are."""
        return self.design_NP.device

    def margins(self, heads: Sequence[Head]) -> Floats:
        """Margins of heads on features as they were given, `N C`."""
        import torch

        weight_CD = np.stack([weight_D for weight_D, _ in heads])
        bias_C = np.asarray([bias for _, bias in heads]) + weight_CD @ self.center_D
        head_PC = np.concatenate([self.scale * weight_CD, bias_C[:, None]], axis=1).T
        margin_NC = self.design_NP @ torch.from_numpy(head_PC).to(self.device)
        return np.asarray(margin_NC.cpu().numpy(), np.float64)

    def scales(self, known: Sequence[KnownLabels]) -> "Tensor":
        """Root of the mean variance of each category's known rows, in the unit of the design."""
        import torch

        share_NC = torch.zeros(
            (len(self.design_NP), len(known)), dtype=torch.float64, device=self.device
        )
        for number, one in enumerate(known):
            share_NC[torch.from_numpy(self.position_A[one.row_N]), number] = 1 / len(one.row_N)
        mean_DC = (self.design_NP.T @ share_NC)[:-1]
        # a row's squares sum to its length, less the 1 of the last column
        square_N = torch.linalg.vector_norm(self.design_NP, dim=1).square() - 1
        variance_C = (share_NC.T @ square_N - mean_DC.square().sum(dim=0)) / len(mean_DC)
        return torch.where(variance_C > 1e-24, variance_C.clamp_min(1e-24).sqrt(), 1.0)


def _knows(known: Sequence[KnownLabels], row_N: Integers) -> str:
    """The categories of a block of rows, for a message: the first that knows one of them."""
    for one in known:
        if np.isin(row_N, one.row_N, assume_unique=True).any():
            return one.category
    return ""


def _fit_block(
    design: _Design,
    known: list[KnownLabels],
    heads: Sequence[Head],
    penalties: list[float],
) -> list[Found]:
    """Screen all categories of a block at once, then finish the heads that were chosen."""
    block = _Block.of(design, known, heads, penalties)
    # screening on a GPU works in float32, where products are many times as fast
    if design.device.type == "cpu":
        minima = block.minimize("float64", **SCREENING)
    else:
        minima = block.minimize("float32", **SCREENING_SINGLE)
    scores, chosen = [], {}
    for number, one in enumerate(known):
        columns = block.columns[number]
        rows = design.position_A[one.row_N]
        margin_NL = minima.margin_NK[:, columns].double().cpu().numpy()[rows]
        offset_NF = block.rescaled[number].margins(block.margin_NC[rows, number])
        held_out_KN = score(one, block.margin_NC[rows, number], offset_NF, margin_NL)
        loss_K = mean_losses(one, held_out_KN)
        scores.append((held_out_KN, loss_K, simplest(loss_K)))
        if scores[-1][2] > 1:
            # the problems of the last fold leave nothing out
            chosen[number] = columns.stop - len(penalties) + scores[-1][2] - 2
    exact = block.finish(list(chosen.values()), minima)
    finished = dict(zip(chosen, exact, strict=True))
    return [
        block.result(number, heads[number], held_out_KN, loss_K, best, finished.get(number))
        for number, (held_out_KN, loss_K, best) in enumerate(scores)
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class _Block:
    """The problems of some categories: category-major, then fold (the last is none), then penalty.

    Attributes:
        problems: in float64.
        columns: which problems are a category's.
        margin_NC: of the trained heads.
        rescaled: each category's heads after Platt's re-scaling.
        mass_L: sum of curvatures of each problem.
        scale_L: root of the mean variance of its category's known rows, in the design's unit.
    """

    design: _Design
    problems: "Problems"
    columns: list[slice]
    margin_NC: Floats
    rescaled: list[Rescaled]
    mass_L: "Tensor"
    scale_L: "Tensor"

    @classmethod
    def of(
        cls,
        design: _Design,
        known: list[KnownLabels],
        heads: Sequence[Head],
        penalties: list[float],
    ) -> "_Block":
        import torch

        from goldseam.finetuning.solving.joint import Problems, curvature

        margin_NC = design.margins(heads)
        present, weight, offset, rescaled, counts = [], [], [], [], []
        columns: list[slice] = []
        for number, one in enumerate(known):
            rows = design.position_A[one.row_N]
            scaled = Rescaled.of(margin_NC[rows, number], one)
            weight_NL = np.zeros((len(margin_NC), len(scaled.slope_F) * len(penalties)))
            weight_NL[rows] = training_weights(one, len(penalties))
            present_N = np.zeros(len(margin_NC))
            present_N[rows] = one.present_N
            present.append(np.repeat(present_N[:, None], weight_NL.shape[1], axis=1))
            weight.append(weight_NL)
            offset.append(np.repeat(scaled.margins(margin_NC[:, number]), len(penalties), axis=1))
            rescaled.append(scaled)
            start = columns[-1].stop if columns else 0
            columns.append(slice(start, start + weight_NL.shape[1]))
            counts.append(len(scaled.slope_F))
        scale_C = design.scales(known)
        scale_L = torch.cat(
            [s.expand(n * len(penalties)) for s, n in zip(scale_C, counts, strict=True)]
        )
        penalty_L = torch.tensor(penalties * sum(counts), dtype=torch.float64, device=design.device)
        problems = Problems(
            present_NK=torch.from_numpy(np.concatenate(present, axis=1)).to(design.device),
            weight_NK=torch.from_numpy(np.concatenate(weight, axis=1)).to(design.device),
            offset_NK=torch.from_numpy(np.concatenate(offset, axis=1)).to(design.device),
            # the penalty counts in units of the variance of a category's own rows
            penalty_K=penalty_L * scale_L**2,
        )
        mass_L = curvature(problems).sum(dim=0)
        return cls(design, problems, columns, margin_NC, rescaled, mass_L, scale_L)

    def minimize(
        self,
        kind: Literal["float32", "float64"],
        *,
        only_L: "Tensor | None" = None,
        start_PK: "Tensor | None" = None,
        gradient_tolerance: float = 0.0,
        decrement_tolerance: float = 0.0,
        maximum_steps: int = EXACT_STEPS,
    ) -> "Minima":
        """Solve all problems, or those of some numbers."""
        import torch

        from goldseam.finetuning.solving.joint import Problems, minimize_together, rotated

        dtype = getattr(torch, kind)
        every = slice(None) if only_L is None else only_L
        mass_K, scale_K = self.mass_L[every], self.scale_L[every]
        problems = Problems(
            present_NK=self.problems.present_NK[:, every].to(dtype),
            weight_NK=self.problems.weight_NK[:, every].to(dtype),
            offset_NK=self.problems.offset_NK[:, every].to(dtype),
            penalty_K=self.problems.penalty_K[every].to(dtype),
        )
        precondition = rotated(
            self.design.vectors_FF.to(dtype),
            self.design.values_F.to(dtype),
            mass_K.to(dtype),
            problems.penalty_K,
        )
        return minimize_together(
            self.design.design_NP.to(dtype),
            problems,
            precondition,
            start_PK=start_PK,
            gradient_tolerance_K=gradient_tolerance * scale_K.clamp_max(1.0),
            decrement_tolerance=decrement_tolerance,
            maximum_steps=maximum_steps,
        )

    def finish(self, chosen: list[int], minima: "Minima") -> list[tuple[Floats, float]]:
        """Exact parameters of some problems, and the gradient norms in scaled features."""
        import torch

        if not chosen:
            return []
        only_L = torch.tensor(chosen, device=self.design.device)
        exact = self.minimize(
            "float64",
            only_L=only_L,
            start_PK=minima.theta_PK[:, only_L].double(),
            gradient_tolerance=GRADIENT_TOLERANCE,
        )
        norm_K = exact.gradient_norm_K / self.scale_L[only_L].clamp_max(1.0)
        theta_KP = exact.theta_PK.T.cpu().numpy()
        return list(zip(theta_KP, norm_K.tolist(), strict=True))

    def result(
        self,
        number: int,
        head: Head,
        held_out_KN: Floats,
        loss_K: Floats,
        best: int,
        exact: tuple[Floats, float] | None,
    ) -> Found:
        """The head of the candidate that was chosen."""
        rescaled = self.rescaled[number]
        weight_D, bias = rescaled.head(*head)
        norm = rescaled.gradient_norm
        if exact is not None:
            theta_P, norm = exact
            added_D = theta_P[:-1] / self.design.scale
            weight_D = weight_D + added_D
            bias += float(theta_P[-1] - added_D @ self.design.center_D)
        return Found(held_out_KN, loss_K, best, weight_D, bias, norm, rescaled)
