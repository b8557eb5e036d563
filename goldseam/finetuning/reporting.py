"""What a repair is called in results and sentences: numbers for programs, words for people."""

from goldseam.finetuning.probabilities.objectives import ExpectedCost, FBeta
from goldseam.finetuning.repair import Repair, Repairs
from goldseam.page import count
from goldseam.results import CategoryRepair, Estimate, ScoreChange


def category_repair(repair: Repair, objective: FBeta | ExpectedCost) -> CategoryRepair:
    """One category's repair as it stands in `result.json`.

    Args:
        repair: what became of it.
        objective: what its threshold was chosen for.
    """
    report, calibration, threshold = repair.report, repair.calibration, repair.threshold
    scores = {"ap": report.ap, "auc": report.auc, "log_loss": report.log_loss}
    together = report.together
    if together is not None and together.change.value is not None:
        scores["log_loss_together"] = together
    if calibration is not None:
        for name in ("ece", "brier"):
            before, after, change = (
                getattr(side, name)
                for side in (calibration.before, calibration.after, calibration.change)
            )
            scores[name] = ScoreChange(before, after, change)
    if threshold is not None and threshold.decisions is not None:
        scores[objective.score] = threshold.decisions
    supply = repair.supply
    starved = supply is not None and supply.supply != "enough"
    notes = [note.sentence for note in (calibration, repair.shift, threshold) if note is not None]
    if starved and supply is not None:
        # one sentence says it; those of calibration and threshold would say it again
        notes = [supply.sentence, supply.remedy]
    if "log_loss_together" in scores:
        notes.insert(0, _together(scores["log_loss_together"]))
    return CategoryRepair(
        category=report.category,
        kept=report.kept,
        why=report.why,
        known_present=report.known_present,
        known_absent=report.known_absent,
        penalty=report.penalty,
        gradient_norm=report.gradient_norm,
        log_loss_before=report.log_loss.before.value,
        log_loss_after=report.log_loss.after.value,
        scores=scores,
        calibration="" if calibration is None else calibration.calibration.form,
        threshold=Estimate(None) if threshold is None else threshold.threshold,
        notes=tuple(notes),
    )


def _together(change: ScoreChange) -> str:
    clear = {"better": "less", "worse": "more", "unclear": "not clearly another"}
    return (
        f"Fit with the other categories' help it has {clear[change.change.verdict]} log-loss: "
        f"{change.before.value:.4f} alone, {change.after.value:.4f} with them."
    )


def sentences(found: Repairs, findings: int) -> tuple[str, ...]:
    """What a person should know about the whole of it, the most important first."""
    said = []
    if found.memorization is not None and found.memorization.verdict != "ok":
        overall = found.memorization.overall
        said += [overall.sentence, overall.remedy]
    if found.memorization is None and not found.on_held_out:
        said.append(
            "Nobody asked whether the network knows its training labels by heart: there are no "
            "known labels of other images (finetune.held_out)."
        )
    replaced = sum(not repair.report.kept for repair in found.categories)
    said.append(
        f"{count(replaced)} of {count(len(found.categories))} classifiers were replaced; the "
        "others stay as they were."
    )
    cut = {r.report.category: r.threshold for r in found.categories}
    starved = [name for name, t in cut.items() if t is None or t.threshold.value is None]
    if starved:
        said.append(
            f"Do not decide by {', '.join(starved)}: the known labels cannot tell from which "
            "probability on to call them present."
        )
    if findings:
        said.append(
            f"{count(findings)} known labels contradict a model that has not seen them; they are "
            "listed in findings.parquet."
        )
    said += [trust.sentence for trust in found.annotators if trust.weight < 1]
    return tuple(sentence for sentence in said if sentence)
