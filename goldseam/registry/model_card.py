"""The model card: what a model is, what it learned from, what it is worth, and where it ends."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from goldseam.artifacts import Result
from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import GoldseamError
from goldseam.registry.versions import Candidate
from goldseam.results import (
    AuditResult,
    CoverageRow,
    DatasetReference,
    Disagreement,
    Estimate,
    EvaluationResult,
    FinetuneResult,
    GateDecision,
)

R = TypeVar("R", bound=Result)
TEMPLATES = Path(__file__).parent / "templates"
# below this, percentiles over resampled groups are a rough guide only
FEW_GROUPS = 10


@dataclasses.dataclass(frozen=True)
class CardFacts:
    """What a card says besides the metrics; None or empty where nobody handed it over.

    Attributes:
        tasks: what the checkpoint predicts: task → its declaration.
        coverage: how many training images carry each task.
        noise: how far noisy labels are from clean ones, in the split with most images of both.
        kept: categories whose head fine-tuning left alone, with the reason.
    """

    candidate: Candidate
    tasks: Mapping[str, Mapping[str, Any]]
    dataset: DatasetReference | None
    info: DatasetInfo | None
    coverage: tuple[CoverageRow, ...]
    noise: tuple[Disagreement, ...]
    kept: Mapping[str, str]


def read_facts(candidate: Candidate, model: Path, artifacts: Mapping[str, Path]) -> CardFacts:
    """Gather what the results among `artifacts` say."""
    dataset = _read(DatasetReference, artifacts.get("ingest"))
    audit = _read(AuditResult, artifacts.get("audit"))
    repairs = _read(FinetuneResult, artifacts.get("finetune"))
    try:
        info = DatasetInfo.read_yaml(Path(dataset.uri)) if dataset is not None else None
    except GoldseamError:
        info = None  # the data may be gone when a model is promoted later
    config = json.loads((model / "config.json").read_text())
    whole = [row for row in audit.coverage if _is_whole_task(row)] if audit else []
    return CardFacts(
        candidate=candidate,
        tasks=config.get("tasks", {}),
        dataset=dataset,
        info=info,
        coverage=tuple(whole),
        noise=_most_images(audit.disagreements) if audit else (),
        kept={c.category: c.why for c in repairs.categories if c.kept} if repairs else {},
    )


def _read(kind: type[R], path: Path | None) -> R | None:
    """A result from its folder or from its `result.json`; None when there is none."""
    if path is None:
        return None
    try:
        return kind.read(path if path.is_dir() else path.parent)
    except GoldseamError:
        return None


def _is_whole_task(row: CoverageRow) -> bool:
    return row.category is None and row.source is None and row.split == "train"


def _most_images(disagreements: Sequence[Disagreement]) -> tuple[Disagreement, ...]:
    """One disagreement a task."""
    best: dict[str, Disagreement] = {}
    for row in disagreements:
        if row.overall is not None and (
            row.noisy_task not in best or row.images > best[row.noisy_task].images
        ):
            best[row.noisy_task] = row
    return tuple(best.values())


def model_card(
    facts: CardFacts, evaluation: EvaluationResult, gates: Sequence[GateDecision], *, alias: str
) -> str:
    """The card as Markdown; `alias` is the name by which it tells how to load the model."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 (Markdown; names are cleaned by `plain`)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(plain=plain, interval=interval)
    metrics = evaluation.models["pipeline"].metrics
    others = [name for name in evaluation.models if name != "pipeline"]
    return environment.get_template("model_card.md.j2").render(
        facts=facts,
        evaluation=evaluation,
        gates=gates,
        alias=alias,
        others=others,
        headline=[name for name in metrics if name.count(".") == 1],
        by_category=[name for name in metrics if name.count(".") != 1],
        verdicts=_verdicts(evaluation),
        limits=_limits(facts, evaluation),
    )


def plain(text: object) -> str:
    """Text that cannot break out of its line or table cell."""
    return " ".join(str(text).replace("|", "\\|").split())


def interval(estimate: Estimate | None) -> str:
    """A number with its interval: `0.712 [0.690, 0.731] px`."""
    if estimate is None or estimate.value is None:
        return "–"
    text = f"{estimate.value:.3f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{text} {estimate.unit}".rstrip()


def _verdicts(evaluation: EvaluationResult) -> dict[str, dict[str, list[str]]]:
    """Other model → better, worse, unclear → metrics of the pipeline that are so."""
    return {
        other: {
            verdict: [
                name
                for name, difference in differences.items()
                if difference.verdict == verdict and name.count(".") == 1
            ]
            for verdict in ("better", "worse", "unclear")
        }
        for other, differences in evaluation.differences.items()
    }


def _limits(facts: CardFacts, evaluation: EvaluationResult) -> list[str]:
    """What the numbers do not say."""
    where = f"{evaluation.images} images in {evaluation.groups} groups"
    sentences = [
        f"The metrics hold for the {evaluation.split} split of this dataset ({where}).",
        "Other sensors, places, seasons or sites were not looked at.",
    ]
    if evaluation.groups < FEW_GROUPS:
        sentences.append(
            f"{evaluation.groups} groups are few: take the intervals as a rough guide."
        )
    metrics = evaluation.models["pipeline"].metrics
    undefined = [name for name, estimate in metrics.items() if estimate.value is None]
    if undefined:
        sentences.append(
            "Undefined on this split, hence not known to work: "
            + ", ".join(f"`{plain(name)}`" for name in undefined)
            + "."
        )
    if facts.kept:
        sentences.append(
            "Tag heads that fine-tuning left as they were: "
            + "; ".join(f"{plain(name)} ({plain(why)})" for name, why in facts.kept.items())
            + "."
        )
    sentences.append("The reference labels count as the truth; their own errors are not measured.")
    return sentences
