"""Builds a site, or adds to it: reads what runs left, remembers it, copies pages, writes the rest.

The site is changed in place, file by file, each whole or not at all; the history is written before
the pages that show it. A build that is killed leaves a site that the next one completes.
"""

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from goldseam.artifacts import RESULT_FILE, digest_of, stage_key
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.entries import history_of, run_entry
from goldseam.dashboard.site.history import (
    HISTORY_FILE,
    History,
    merge,
    read_history,
    write_history,
)
from goldseam.dashboard.site.open_metrics import METRICS_FILE, open_metrics
from goldseam.dashboard.site.pages import site_pages
from goldseam.dashboard.site.places import AUDITS, PAGE, RUNS, audit_folder, run_folder
from goldseam.dashboard.site.scanning import Found, scan
from goldseam.errors import MissingInput, OutputExists
from goldseam.results import AuditResult, PublishResult
from goldseam.storage.atomic import atomic_folder, copy_folder, write_text

# whose output is the page of a run: the last stage, or the exit handler in its stead
PUBLISHERS = ("publish", "report_status")


@dataclasses.dataclass(frozen=True)
class SiteReport:
    """What a build knows now.

    Attributes:
        added: kind of entry → how many are new.
        unreadable: results of another version of goldseam, which were left out.
    """

    site: Path
    history: History
    added: Mapping[str, int]
    unreadable: tuple[Path, ...]


def build_site(
    config: SiteConfig, folders: Sequence[Path], out: Path, *, mlflow: str | None = None
) -> SiteReport:
    """Build a static site from outputs that lie around, or add them to a site that is there.

    Args:
        config: the options.
        folders: with runs, workspaces or outputs of stages, at any depth.
        out: the site. Two builds of it wait for each other.
        mlflow: address of an MLflow registry whose versions are shown; it is only read.

    Raises:
        MissingInput: a folder or the registry is not there, or there is nothing to show.
        DamagedHistory: the site's history cannot be read.
        OutputExists: `out` holds something else.
    """
    out = Path(out)
    with _alone(out):
        _check(out)
        before = read_history(out)
        found = scan(folders)
        new = history_of(found)
        if mlflow is not None:
            # MLflow takes a second to import
            from goldseam.dashboard.site.model_registry import read_versions

            new = dataclasses.replace(new, versions=read_versions(mlflow))
        history = merge(before, new)
        if not history:
            where = ", ".join(str(folder) for folder in folders) or "no folder"
            raise MissingInput(
                where,
                "holds no output of a stage and no record of a run",
                "Name folders that 'goldseam run', 'audit' or 'validate' wrote.",
            )
        out.mkdir(parents=True, exist_ok=True)
        write_history(history, out)
        _copy_audits(found, out)
        _copy_runs(found, out)
        for name, text in site_pages(config, history, out).items():
            write_text(out / name, text)
        write_text(out / METRICS_FILE, open_metrics(history))
    added = {
        field.name: len(getattr(history, field.name)) - len(getattr(before, field.name))
        for field in dataclasses.fields(History)
        if field.name != "schema"
    }
    return SiteReport(out, history, added, found.unreadable)


def publish_site(
    config: SiteConfig,
    folders: Sequence[Path],
    out: Path,
    *,
    site: Path,
    inputs: Mapping[str, str],
    run: str = "",
) -> PublishResult:
    """The stage `publish` of an audit's run: adds to a site that is kept, and hands on a copy.

    Args:
        config: the options.
        folders: as for `build_site`.
        out: the output folder: a copy of the site as it is now.
        site: the site that is kept from run to run.
        inputs: the digest of each result that is shown.
        run: digest of the run's records, which change the pages but no result.
    """
    key = stage_key(PublishResult.stage, config, run=run, **inputs)
    if (done := PublishResult.completed(out, key)) is not None:
        return done
    build_site(config, folders, site)
    # another run may build the site while this one copies it
    with _alone(site), atomic_folder(out) as folder:
        copy_folder(site, folder)
        digest = digest_of({"config": config, "inputs": dict(inputs)})
        result = PublishResult(key=key, digest=digest, page=PAGE).write(folder)
    return result.at(out)


def _check(out: Path) -> None:
    if out.is_file():
        raise OutputExists(out, "it is a file")
    if out.is_dir() and any(out.iterdir()) and not (out / HISTORY_FILE).exists():
        raise OutputExists(out, f"it holds no site (there is no {HISTORY_FILE})")


@contextlib.contextmanager
def _alone(site: Path) -> Iterator[None]:
    """Wait while another process builds or copies the same site."""
    lock = site.resolve().with_name(site.resolve().name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("w")
    except OSError as error:
        remedy = "Choose another --out."
        raise MissingInput(site, f"cannot be written ({error.strerror})", remedy) from error
    with stream:
        # a file system without locks: whoever starts two builds there must wait for himself
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _copy_audits(found: Found, site: Path) -> None:
    for one in found.results:
        if isinstance(one.result, AuditResult):
            _copy(one.result.folder, site / AUDITS / audit_folder(one.result.digest))


def _copy_runs(found: Found, site: Path) -> None:
    pages = {
        one.result.folder.name: one.result.folder
        for one in found.results
        if isinstance(one.result, PublishResult)
        # a site that a run left is no page of that run
        and not (one.result.folder / HISTORY_FILE).exists()
    }
    for run in found.runs:
        outputs = {record.task: record.output for record in run.records}
        for task in PUBLISHERS:
            folder = pages.get(Path(outputs.get(task) or "").name)
            if folder is not None:
                _copy(folder, site / RUNS / run_folder(run_entry(run)[0]))
                break


def _copy(source: Path, target: Path) -> None:
    """Copy a page with all that it links to, by hard links where possible; once only."""
    if target.exists() or not (source / PAGE).is_file():
        return

    def link_or_copy(from_: str, to: str) -> str:
        try:
            os.link(from_, to)
        except OSError:
            shutil.copy2(from_, to)
        return to

    # a copy of a result is no result
    ignore = shutil.ignore_patterns(RESULT_FILE, ".*")
    with atomic_folder(target) as folder:
        shutil.copytree(
            source, folder, copy_function=link_or_copy, dirs_exist_ok=True, ignore=ignore
        )
