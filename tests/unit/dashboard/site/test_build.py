"""A site grows build by build, forgets nothing, and never takes one thing for another."""

import dataclasses
import json
import multiprocessing
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from goldseam.dashboard.site.build import build_site, publish_site
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.history import DamagedHistory, read_history
from goldseam.errors import GoldseamError, MissingInput, OutputExists
from goldseam.workspace import TaskRecord, Workspace
from tests.unit.dashboard.site.sample import (
    BEGUN,
    DAY,
    Team,
    audit_result,
    audit_run,
    make_team,
    reference,
    sha,
)

CONFIG = SiteConfig()


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return make_team(tmp_path / "runs")


def content(site: Path) -> dict[str, bytes]:
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


class Links(HTMLParser):
    """What a page links to and loads, and its ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" and value and tag != "head":
                self.ids.append(value)


def test_everything_that_lies_around_is_found_once(team: Team, tmp_path: Path) -> None:
    # an export of the pipeline holds the same audit again, with a later time
    workspace = team.audits / "workspace"
    source = Workspace(workspace).output_folder("audit", audit_result(1).key)
    shutil.copytree(source, team.audits / "kfp" / "audit" / "findings")
    # and of the page of a run, which stands before it in the order of names
    (published,) = (team.training / "workspace" / "stages").glob("publish-*")
    shutil.copytree(published, team.training / "kfp" / "publish" / "site")
    report = build_site(CONFIG, team.folders, tmp_path / "site")

    history = report.history
    assert len(history.audits) == 3
    assert len(history.runs) == 4
    assert len(history.datasets) == 3
    assert len(history.promotions) == 1
    assert report.unreadable == ()
    assert len(list((tmp_path / "site" / "runs").iterdir())) == 1
    # a published page holds copies of results, which are not results
    assert not list((tmp_path / "site").rglob("result.json"))


def test_every_link_leads_somewhere_and_nothing_is_loaded(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    pages = [site / name for name in ("index.html", "runs.html", "models.html", "gates.html")]
    pages += (site / "datasets").glob("*.html")
    assert len(pages) == 5
    ids = {page: Links(page.read_text()).ids for page in pages}
    seen = 0
    for page in pages:
        assert len(ids[page]) == len(set(ids[page]))
        for link in Links(page.read_text()).links:
            if link.startswith("data:"):
                continue
            assert "://" not in link
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.is_file(), (page.name, link)
            if anchor and target in ids:
                assert anchor in ids[target], (page.name, link)
            seen += 1
    assert seen > 60


def test_building_again_changes_nothing(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    before = content(site)
    report = build_site(CONFIG, team.folders, site)
    assert content(site) == before
    assert not any(report.added.values())


def test_parts_in_any_order_make_the_same_site(team: Team, tmp_path: Path) -> None:
    build_site(CONFIG, team.folders, tmp_path / "whole")
    for name, folders in (("a", team.folders), ("b", team.folders[::-1])):
        for folder in folders:
            build_site(CONFIG, [folder], tmp_path / name)
        assert content(tmp_path / name) == content(tmp_path / "whole")


def test_the_history_outlives_the_runs(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    before = content(site)
    shutil.rmtree(team.audits)
    build_site(CONFIG, [team.training], site)
    assert content(site) == before


def test_a_site_below_the_runs_is_not_read_as_one(team: Team, tmp_path: Path) -> None:
    site = team.audits / "site"
    build_site(CONFIG, team.folders, site)
    before = content(site)
    build_site(CONFIG, team.folders, site)
    assert content(site) == before


def test_times_come_from_records_then_from_the_earliest_file(team: Team, tmp_path: Path) -> None:
    history = build_site(CONFIG, team.folders, tmp_path / "site").history
    first = history.audits[sha("audit 1")]
    # the file itself is thirty days younger
    assert first.timed_by == "record"
    assert first.made == pytest.approx(BEGUN + 0.4 + 1 + 6.2 + 1 + 71.0)
    # the third was made by its own run, and only found again by the training
    third = history.audits[sha("audit 3")]
    assert third.made < BEGUN + 15 * DAY

    alone = tmp_path / "alone"
    for name, made in (("late", 2_000.0), ("early", 1_000.0)):
        audit_result(1).write(alone / name)
        os.utime(alone / name / "result.json", (made, made))
    history = build_site(CONFIG, [alone / "late"], tmp_path / "other").history
    assert history.audits[sha("audit 1")].made == 2_000.0
    history = build_site(CONFIG, [alone / "early"], tmp_path / "other").history
    assert history.audits[sha("audit 1")].made == 1_000.0
    history = build_site(CONFIG, [alone / "late"], tmp_path / "other").history
    assert history.audits[sha("audit 1")].made == 1_000.0


def test_pages_are_copied_with_what_they_link_to(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    folders = sorted((site / "audits").iterdir())
    assert len(folders) == 3
    assert {path.name for path in folders[0].iterdir()} == {"index.html", "findings.parquet"}
    (run,) = (site / "runs").iterdir()
    assert (run / "index.html").read_text().endswith("<h1>A run")


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"schema": 1, "audits": {"x": {"made": "yesterday"}}}', '{"schema": 2}', "\0"],
)
def test_a_damaged_history_is_one_error_and_stays(team: Team, tmp_path: Path, damage: str) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    (site / "history.json").write_text(damage)
    before = content(site)
    with pytest.raises(DamagedHistory) as caught:
        build_site(CONFIG, team.folders, site)
    assert str(site / "history.json") in caught.value.message
    assert caught.value.remedy
    assert content(site) == before


def test_another_folder_is_not_overwritten(team: Team, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "index.html").write_text("my thesis")
    with pytest.raises(OutputExists):
        build_site(CONFIG, team.folders, other)
    assert content(other) == {"index.html": b"my thesis"}


def test_nothing_to_show_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folders in ([tmp_path / "empty"], [tmp_path / "gone"], []):
        with pytest.raises(MissingInput):
            build_site(CONFIG, folders, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_results_of_another_version_are_left_out_and_named(team: Team, tmp_path: Path) -> None:
    old = team.audits / "old"
    old.mkdir()
    (old / "result.json").write_text('{"stage": "audit", "key": "k", "digest": "d", "tables": 3}')
    (team.audits / "alien").mkdir()
    (team.audits / "alien" / "result.json").write_text('{"accuracy": 0.9}')
    report = build_site(CONFIG, team.folders, tmp_path / "site")
    assert report.unreadable == (old / "result.json",)
    assert len(report.history.audits) == 3


def test_a_name_cannot_leave_the_site_or_break_its_pages(tmp_path: Path) -> None:
    names = ["../../x", "Coast", "coast", "<script>alert(1)</script>", "..", "ß 海", 'a\nb"c\\d']
    for number, name in enumerate(names):
        result = dataclasses.replace(
            audit_result(1), dataset=name, digest=f"../../{number}", dataset_digest=f"d{number}"
        )
        folder = tmp_path / "runs" / str(number)
        result.write(folder)
        (folder / "index.html").write_text("page")
    site = tmp_path / "deep" / "er" / "site"
    build_site(CONFIG, [tmp_path / "runs"], site)
    assert len({page.name.lower() for page in (site / "datasets").iterdir()}) == len(names)
    assert len(list((site / "audits").iterdir())) == len(names)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    outside = [path for path in made if tmp_path / "runs" not in path.parents]
    assert all(site in path.parents or path.name == "site.lock" for path in outside)
    assert "<script>alert" not in (site / "index.html").read_text()


def test_addresses_of_registries_are_not_kept(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    assert all(b"secret" not in text and b"@db" not in text for text in content(site).values())


def _build(folder: str, site: str) -> None:
    build_site(CONFIG, [Path(folder)], Path(site))


def test_two_builds_at_once_lose_nothing(team: Team, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    site = str(tmp_path / "site")
    workers = [context.Process(target=_build, args=(str(folder), site)) for folder in team.folders]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    build_site(CONFIG, team.folders, tmp_path / "whole")
    assert content(Path(site)) == content(tmp_path / "whole")


def test_a_build_that_was_killed_is_completed(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldseam.dashboard.site import build

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    site = tmp_path / "site"
    with monkeypatch.context() as patch:
        patch.setattr(build, "site_pages", killed)
        with pytest.raises(KeyboardInterrupt):
            build_site(CONFIG, team.folders, site)
    assert len(read_history(site).audits) == 3
    build_site(CONFIG, team.folders, site)
    build_site(CONFIG, team.folders, tmp_path / "whole")
    assert content(site) == content(tmp_path / "whole")


def test_the_stage_hands_on_a_copy_and_keeps_the_site(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "kept"
    inputs = {"audit": sha("audit 1")}
    first = publish_site(CONFIG, [team.audits], tmp_path / "one", site=site, inputs=inputs)
    assert (first.folder / first.page).read_text() == (site / "index.html").read_text()
    again = publish_site(CONFIG, [team.audits], tmp_path / "one", site=site, inputs=inputs)
    assert again == first
    second = publish_site(
        CONFIG, [team.training], tmp_path / "two", site=site, inputs={"audit": sha("audit 3")}
    )
    assert second.key != first.key
    assert len(read_history(second.folder).runs) == 4
    # the copy that was handed on before is as it was
    assert len(read_history(first.folder).runs) == 3
    with pytest.raises(GoldseamError):
        publish_site(CONFIG, [team.audits], tmp_path / "one", site=site, inputs={"audit": "other"})


def test_the_component_adds_run_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from components.dashboard.component import dashboard

    workspace = Workspace(tmp_path / "workspace")
    for version in (1, 2):
        run = audit_run(workspace, version)
        workspace.record_file(run, "publish").unlink()
        monkeypatch.setenv("GOLDSEAM_RUN", run)
        outputs = {
            name: SimpleNamespace(path=str(workspace.output_folder(result.stage, result.key)))
            for name, result in (("ingest", reference(version)), ("audit", audit_result(version)))
        }
        site = SimpleNamespace(path=str(tmp_path / f"site-{version}"))
        page = SimpleNamespace(path=str(tmp_path / f"page-{version}.html"))
        dashboard.python_func(workspace=str(workspace.root), site=site, page=page, **outputs)

        told: TaskRecord = workspace.records(run)["publish"]
        assert told.status == "succeeded"
        assert Path(told.output or "", "index.html").is_file()
        assert len(read_history(Path(site.path)).audits) == version
        assert Path(page.path).read_text() == Path(site.path, "index.html").read_text()
    # sites that runs left are no pages of those runs
    assert not (workspace.root / "site" / "runs").exists()


def test_the_schema_beside_the_history_fits_it(team: Team, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(CONFIG, team.folders, site)
    schema = json.loads((site / "history.schema.json").read_text())
    body = json.loads((site / "history.json").read_text())
    assert set(body) == set(schema["properties"])
    assert body["schema"] == 1
    docs = (Path(__file__).parents[4] / "docs" / "dashboards.md").read_text()
    for name in set(body) - {"schema"}:
        assert re.search(rf"^\| `{name}` \|", docs, re.MULTILINE), name
