"""Transition matrices that a noisy-label loss can take, from what the audit wrote.

C categories. Rows are true categories, columns given ones, as in the forward correction of Patrini
et al. 2017: the loss of a label ỹ is `-log(sum_i T[i, ỹ] p[i])`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic

from goldseam.errors import InvalidConfig, MissingInput, closest
from goldseam.results import AuditResult, NoiseMatrix

AUDIT_FILE = "audit.json"
PRIOR_STRENGTH = 10.0


def transition_matrix(
    matrices: Sequence[NoiseMatrix],
    task: str,
    part: str = "all",
    *,
    category: str | None = None,
    prior_strength: float = PRIOR_STRENGTH,
) -> npt.NDArray[np.float64]:
    """P(given | true) of one task, safe to put into a loss.

    Each row is the mean of a Dirichlet posterior, `(n + s e) / (sum(n) + s)`: n how many labels of
    that true category were given each category, s the strength of the prior and e the row of the
    identity. A row without evidence is the identity, so what was never measured is not corrected;
    the diagonal is never 0, so the forward loss stays finite. Labels count as independent: for
    masks, whose neighboring pixels are not, a strength of some thousand is apt.

    A matrix measured against clean labels is taken before an estimated one. A last category
    "nothing" (boxes) is dropped: its row is no category of a classifier.

    Args:
        matrices: of an audit; `AuditResult.matrices`.
        task: whose labels are noisy.
        part: `all`, or of masks `interior` or `boundary`.
        category: of tags, whose matrices are 2 × 2 (absent, present); None for other kinds.
        prior_strength: s, in labels; at least 0.

    Returns:
        float64 `C C`, every row adds up to 1.

    Raises:
        InvalidConfig: there is no such matrix, or the strength is negative.
    """
    if not (prior_strength >= 0 and np.isfinite(prior_strength)):
        raise InvalidConfig(
            f"prior_strength is {prior_strength}, expected a number of labels of at least 0.",
            remedy="Give 0 for the plain rates, or more to trust few labels less.",
        )
    matrix = _chosen(matrices, task, part, category)
    joint_CC = np.array(
        [[0.0 if cell is None else cell for cell in row] for row in matrix.joint], np.float64
    )
    if category is None and matrix.categories[-1] == "nothing":
        joint_CC = joint_CC[:-1, :-1]
    count_CC = joint_CC * matrix.labels + prior_strength * np.eye(len(joint_CC))
    total_C1 = count_CC.sum(axis=1, keepdims=True)
    smoothed_CC = np.divide(count_CC, total_C1, out=np.eye(len(count_CC)), where=total_C1 > 0)
    return np.asarray(smoothed_CC / smoothed_CC.sum(axis=1, keepdims=True), np.float64)


def _chosen(
    matrices: Sequence[NoiseMatrix], task: str, part: str, category: str | None
) -> NoiseMatrix:
    of_task = [matrix for matrix in matrices if matrix.task == task]
    fitting = [m for m in of_task if m.part == part and m.category == category]
    if fitting:
        return min(fitting, key=lambda matrix: matrix.method != "measured")
    if not of_task:
        known = dict.fromkeys(matrix.task for matrix in matrices)
        raise InvalidConfig(
            f"the audit has no noise matrix of task '{task}'.",
            remedy=f"It has those of: {', '.join(known) or 'none'}. A matrix needs a noisy task "
            "beside its clean version, or predictions to estimate it from.",
        )
    names = dict.fromkeys(m.category for m in of_task if m.category is not None)
    if category is None and names:
        raise InvalidConfig(
            f"task '{task}' has one noise matrix a category, and none was named.",
            remedy=f"Name the category, such as category='{next(iter(names))}'.",
        )
    if category is not None and category not in names:
        raise InvalidConfig(
            f"the audit has no noise matrix of '{task}' for category '{category}'.",
            remedy=f"Closest: {closest(category, names)}.",
        )
    raise InvalidConfig(
        f"the audit has no noise matrix of '{task}' for the part '{part}'.",
        remedy=f"Parts: {', '.join(dict.fromkeys(matrix.part for matrix in of_task))}.",
    )


def read_transition(
    audit: Path | str | AuditResult,
    task: str,
    part: str = "all",
    *,
    category: str | None = None,
    prior_strength: float = PRIOR_STRENGTH,
) -> npt.NDArray[np.float64]:
    """`transition_matrix` of an audit that was written.

    Args:
        audit: the folder of an audit, its `audit.json`, or its result.
        task: whose labels are noisy.
        part: `all`, `interior` or `boundary`.
        category: of tags.
        prior_strength: in labels.

    Raises:
        MissingInput: there is no audit, or it is of another version.
        InvalidConfig: it has no such matrix.
    """
    found = audit.matrices if isinstance(audit, AuditResult) else _read(Path(audit))
    return transition_matrix(found, task, part, category=category, prior_strength=prior_strength)


def _read(path: Path) -> tuple[NoiseMatrix, ...]:
    file = path / AUDIT_FILE if path.is_dir() else path
    remedy = "Name the folder that 'goldseam audit' made, or its audit.json."
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        matrices = pydantic.TypeAdapter(tuple[NoiseMatrix, ...])
        return matrices.validate_python(body["matrices"])
    except OSError as error:
        raise MissingInput(file, f"cannot be read ({error.strerror})", remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MissingInput(file, "is no audit of this version of goldseam", remedy) from error
