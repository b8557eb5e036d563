"""The form of a benchmark's result: claim, verdict, rows, and where it was measured."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("goldseam", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "transformers")


def arguments(doc: str) -> tuple[bool, Path | None]:
    """The options of every benchmark: (quick, out)."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and smaller data")
    parser.add_argument(
        "--out", type=Path, help="where the result is written; printed only without"
    )
    options = parser.parse_args()
    return options.quick, options.out


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds, with each of which everything is drawn anew."""
    from scipy import stats

    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, float("-inf"), float("inf")
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return mean, mean - half, mean + half


def report(
    *,
    claim: str,
    holds: bool,
    figure: str,
    rows: Sequence[Any],
    seeds: Sequence[int],
    out: Path | None,
) -> dict[str, Any]:
    """Print a result and write it as JSON.

    Args:
        claim: one sentence.
        holds: whether the rows bear it out.
        figure: one line to quote.
        rows: dataclasses or mappings, one for each measurement.
        seeds: of the repeats.
        out: the file to write; None prints only.
    """
    body = {
        "claim": claim,
        "holds": bool(holds),
        "figure": figure,
        "rows": [_plain(row) for row in rows],
        "seeds": list(seeds),
        "machine": machine(),
        "versions": versions(),
        "git_commit": git_commit(),
    }
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}\n{figure}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")
    return body


def _plain(row: Any) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return dict(row)
    return dataclasses.asdict(row)


def machine() -> dict[str, Any]:
    """What was measured on; no name of a host."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter for numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit that was measured, `-dirty` where files were changed since; None outside git."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here, check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip()
