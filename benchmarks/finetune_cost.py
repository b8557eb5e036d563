"""What category-wise fine-tuning costs: many categories, wide features, and the published method.

Whole fits, cross-validation of four penalties in five folds included, of synthetic features of
falling variance with labels from a logistic model, 8,000 images, a tenth of the labels known. The
published method (CFT_BP: Adam, 5,000 epochs at most, patience 300, chosen by 2,000 clean images)
does a few of the same categories, twice: as one writes it, a loop in PyTorch with scikit-learn's
average precision after each epoch, and as goldseam has it for comparison, in NumPy with a faster
average precision. All run in one process on one thread, one after the other; CPU time. Fits on a
GPU, where there is one, are timed by the wall. Resumable: what is done stands below
runs/benchmarks/finetune_cost.
"""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ledger import Ledger, do_all
from report import arguments, report
from scipy.special import expit

WORK = Path("runs/benchmarks/finetune_cost")
SEEDS = (0, 1, 2, 3, 4)
IMAGES, CLEAN_IMAGES, KNOWN = 8_000, 2_000, 0.1
CATEGORIES, FEATURES = (10, 80, 640, 5_000), (128, 512, 2_048)
# a fit of more categories than these is timed once: it takes as much longer as there are more
REPEATED = 80
# weights; 5,000 categories of 2,048 features take eight times as long as 640 of them: half an hour
LARGEST = 5_000 * 512
PEER_CATEGORIES = 2
# as published
EPOCHS, PATIENCE, LEARNING_RATE = 5_000, 300, 1e-4
# of the claim
SHAPE, LARGEST_SECONDS, SMALLEST_RATIO = (80, 512), 10.0, 30.0

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A fit that is timed."""

    images: int
    categories: int
    features: int
    seed: int

    @property
    def name(self) -> str:
        """Unique among fits whose numbers can differ."""
        return f"{self.images}-{self.categories}-{self.features}-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One shape.

    Attributes:
        cpu_seconds: of the whole fit.
        per_category: the same over the categories.
        gradient_norm: largest of the fits, in scaled features.
        kept: categories that kept their head.
        published_per_category: CPU-seconds of the published method as a loop in PyTorch.
        published_epochs: mean number that it ran.
        ratio: `published_per_category` over `per_category`.
        faster_per_category: CPU-seconds of goldseam's faster form of the published method.
        faster_ratio: `faster_per_category` over `per_category`.
        gpu_seconds: wall time of the same fit on a GPU; None without one.
    """

    images: int
    categories: int
    features: int
    seed: int
    cpu_seconds: float
    per_category: float
    gradient_norm: float
    kept: int
    published_per_category: float
    published_epochs: float
    ratio: float
    faster_per_category: float
    faster_ratio: float
    gpu_seconds: float | None


def tagged_features(
    images: int, features: int, categories: int, known: float, seed: int
) -> tuple[Floats, States, Floats, Floats]:
    """Features `N D`, labels `N C` of which a share is known, and trained heads `C D`, `C`."""
    rng = np.random.default_rng(seed)
    feature_ND = rng.normal(size=(images, features)) / (1 + np.arange(features) / 16)
    truth_CD = rng.normal(size=(categories, features))
    margin_NC = feature_ND @ truth_CD.T - 1
    labels_NC = (rng.random(margin_NC.shape) < expit(margin_NC)).astype(np.int8)
    labels_NC[rng.random(labels_NC.shape) > known] = -1
    weight_CD = 0.5 * truth_CD + rng.normal(size=truth_CD.shape) / 2
    return feature_ND, labels_NC, weight_CD, np.full(categories, -2.0)


def published_loop(
    rows: tuple[Floats, States], head: tuple[Floats, float], clean: tuple[Floats, States]
) -> int:
    """The published method for one category, as one writes it; the epochs that it ran."""
    import torch
    from sklearn.metrics import average_precision_score

    known_M = rows[1] != -1
    feature_MD = torch.from_numpy(rows[0][known_M].astype(np.float32))
    label_M = torch.from_numpy(rows[1][known_M].astype(np.float32))
    clean_VD = torch.from_numpy(clean[0].astype(np.float32))
    layer = torch.nn.Linear(feature_MD.shape[1], 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head[0])[None])
        layer.bias.fill_(head[1])
    optimizer = torch.optim.Adam(layer.parameters(), lr=LEARNING_RATE)
    best, best_epoch, epoch = -1.0, 0, 0
    for epoch in range(1, EPOCHS + 1):
        optimizer.zero_grad()
        logit_M = layer(feature_MD)[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(
            logit_M, label_M, reduction="sum"
        ).backward()
        optimizer.step()
        with torch.no_grad():
            found = average_precision_score(clean[1], layer(clean_VD)[:, 0].numpy())
        if found > best:
            best, best_epoch = found, epoch
        if epoch - best_epoch >= PATIENCE:
            break
    return epoch


def timed(shape: Shape) -> list[Row]:
    """Time both methods on one shape, in this process."""
    import torch

    from goldseam.finetuning.ranking.published import CleanLabels, published_bp
    from goldseam.finetuning.solving.solver import fit_heads

    every = tagged_features(
        shape.images + CLEAN_IMAGES, shape.features, shape.categories, 1.0, shape.seed
    )
    feature_ND, clean_VD = np.split(every[0], [shape.images])
    labels_NC, clean_VC = np.split(every[1], [shape.images])
    known_NC = np.random.default_rng((shape.seed, 1)).random(labels_NC.shape) < KNOWN
    labels_NC = np.where(known_NC, labels_NC, -1).astype(np.int8)
    arrays, names = (feature_ND, labels_NC, *every[2:]), [str(c) for c in range(shape.categories)]
    began = time.process_time()
    fits = fit_heads(*arrays, categories=names, seed=shape.seed)
    seconds = time.process_time() - began
    gpu_seconds = None
    if torch.cuda.is_available():
        fit_heads(*arrays, categories=names, seed=shape.seed, device="cuda")
        torch.cuda.synchronize()
        wall = time.perf_counter()
        fit_heads(*arrays, categories=names, seed=shape.seed, device="cuda")
        torch.cuda.synchronize()
        gpu_seconds = time.perf_counter() - wall
    peers = range(min(PEER_CATEGORIES, shape.categories))
    began = time.process_time()
    epochs = [
        published_loop(
            (feature_ND, labels_NC[:, c]),
            (every[2][c], float(every[3][c])),
            (clean_VD, clean_VC[:, c]),
        )
        for c in peers
    ]
    published = (time.process_time() - began) / len(peers)
    few = slice(len(peers))
    began = time.process_time()
    published_bp(
        feature_ND,
        labels_NC[:, few],
        every[2][few],
        every[3][few],
        clean=CleanLabels(clean_VD, clean_VC[:, few]),
        categories=names[few],
    )
    faster = (time.process_time() - began) / len(peers)
    ours = seconds / shape.categories
    return [
        Row(
            **dataclasses.asdict(shape),
            cpu_seconds=round(seconds, 3),
            per_category=round(ours, 5),
            gradient_norm=max((fit.gradient_norm or 0.0 for fit in fits), default=0.0),
            kept=sum(fit.kept for fit in fits),
            published_per_category=round(published, 4),
            published_epochs=statistics.fmean(epochs),
            ratio=round(published / ours, 1),
            faster_per_category=round(faster, 4),
            faster_ratio=round(faster / ours, 1),
            gpu_seconds=gpu_seconds,
        )
    ]


def told(_shape: Shape, row: Row) -> str:
    """One line of the table."""
    gpu = "" if row.gpu_seconds is None else f", {row.gpu_seconds:.1f} s on a GPU"
    return (
        f"{row.categories} x {row.features}, seed {row.seed}: {row.cpu_seconds:.1f} CPU-s{gpu}, "
        f"{row.per_category:.3f} a category; published {row.published_per_category:.2f} "
        f"({row.published_epochs:.0f} epochs), {row.ratio:.0f} times as long, in its faster form "
        f"{row.faster_ratio:.0f}; "
        f"gradient norm {row.gradient_norm:.0e}, {row.kept} kept"
    )


def main(quick: bool, out: Path | None) -> None:
    """Time all shapes, or small ones."""
    images = 1_000 if quick else IMAGES
    shapes = [
        Shape(images, categories, features, seed)
        for categories in (CATEGORIES[:1] if quick else CATEGORIES)
        for features in (FEATURES[:1] if quick else FEATURES)
        for seed in (SEEDS if categories <= REPEATED else SEEDS[:1])
        if categories * features <= LARGEST
    ]
    ledger = Ledger(WORK / ("ledger-quick" if quick else "ledger"), Row)
    rows = do_all(shapes, timed, ledger, told, jobs=1)
    asked = [row for row in rows if quick or (row.categories, row.features) == SHAPE]
    seconds, ratio = max(r.cpu_seconds for r in asked), min(r.ratio for r in asked)
    faster = min(row.faster_ratio for row in asked)
    norm = max(row.gradient_norm for row in rows)
    dearest = max(rows, key=lambda row: row.cpu_seconds)
    report(
        claim="80 categories of 512 features on 8,000 images, a tenth of the labels known, are "
        "fitted exactly, cross-validation included, in at most 10 CPU-seconds, and a category at "
        "least 30 times as fast as by the published method, written as a loop in PyTorch.",
        holds=seconds <= LARGEST_SECONDS and ratio >= SMALLEST_RATIO and norm < 1e-6,
        figure=f"{seconds:.1f} CPU-seconds at most, {ratio:.0f} times as fast at least, and "
        f"{faster:.0f} times as fast as a faster form of the published method; "
        f"{dearest.categories:,} categories of {dearest.features:,} features "
        f"{dearest.cpu_seconds:.0f} CPU-seconds; gradient norm at most {norm:.0e}",
        rows=rows,
        seeds=SEEDS,
        out=out,
    )


if __name__ == "__main__":
    main(*arguments(__doc__))
