"""The page of a run: complete, honest, self-contained, and there for a failed run too."""

import dataclasses
import html.parser
import re
import shutil
from pathlib import Path

import pytest

from goldseam.dashboard.config import PublishConfig
from goldseam.dashboard.page import ui_command
from goldseam.dashboard.pictures import caption, panels_by_task
from goldseam.dashboard.stage import publish
from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import OutputExists
from goldseam.results import (
    DatasetReference,
    EvaluationResult,
    Example,
    GateDecision,
    PromotionResult,
    PublishResult,
)
from goldseam.workspace import TaskRecord
from tests.unit.dashboard.demo_run import DemoRun, failing_validation


class Page(html.parser.HTMLParser):
    """Text outside of scripts and styles, addresses that are loaded or linked, ids."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images = 0
        self.scripts = 0
        self._hidden = False
        self.source = file.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")
        if tag in ("td", "th", "p", "li", "div", "span"):
            self.words.append(" ")
        self.scripts += tag == "script"
        self.images += tag == "img"
        for name, value in attrs:
            if name == "src" or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, _: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def make(demo: DemoRun, out: Path, config: PublishConfig | None = None) -> Page:
    result = publish(config or PublishConfig(), demo.folders, out, records=demo.records)
    assert result.page == "index.html"
    assert PublishResult.read(out) == result
    return Page(out / "index.html")


def test_says_everything(demo: DemoRun, tmp_path: Path) -> None:
    page = make(demo, tmp_path / "out")
    for words in (
        "Version 3 of coast is champion: every gate passed.",
        "1,242",
        # comparison, where a baseline wins too
        "Against noisy_direct, the pipeline is clearly better on nothing, ▼ worse on cover.acc",
        "cover.accuracy, and there is no clear difference on cover.miou.",
        "0.742 [0.721 to 0.763]",
        "0.748 [0.727 to 0.769] ≈ no clear difference Δ −0.006 [−0.013 to 0.001]",
        "2.204 [2.044 to 2.364] ▲ better Δ −0.592 [−0.645 to −0.539]",
        "lower is better, px",
        # gates, labels, noise
        "cover.miou at least 0.7 ✓ pass 0.742 ≥ 0.7",
        "mlflow ui --backend-store-uri sqlite:////home/ann/runs/coast/mlflow.db",
        "cover segmentation 20 1,222",
        "4.5 % of pixels near a boundary 31.0 %, elsewhere 1.3 % 496 test images",
        "Of 1,242 training images 20 carry a clean cover label (1.6 %).",
        "LGPL-3.0-or-later AND public domain",
        "held against 41 expectations",
        # training, fine-tuning, run
        "train 1,284,331 1,500 1,375",
        "archipelago kept",
        "9 known positives, fewer than 10",
        "pretrain succeeded, reused 71.4 1,043 MiB",
    ):
        assert words in re.sub(r"\s+([,.])", r"\1", page.text), words
    assert "missing" not in page.ids


def test_is_self_contained(demo: DemoRun, tmp_path: Path) -> None:
    page = make(demo, tmp_path / "out")
    assert page.images == 5 * (6 + 4) - 1
    assert page.loads
    assert all(load.startswith("data:") for load in page.loads)
    assert page.source.count("* plotly.js v") == 1
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:
            assert (tmp_path / "out" / link).is_file(), link
    assert {"audit/index.html", "docs/index.html"} <= set(page.links)
    assert "the audit page" in (tmp_path / "out" / "audit" / "index.html").read_text()
    assert "the docs page" in (tmp_path / "out" / "docs" / "index.html").read_text()
    assert len(page.ids) == len(set(page.ids))


def test_unlabeled_picture_is_unknown_not_black(demo: DemoRun, tmp_path: Path) -> None:
    page = make(demo, tmp_path / "out")
    assert page.source.count('<td class="unknown">unknown</td>') == 1


def test_pictures_stand_by_task(demo: DemoRun) -> None:
    evaluation = EvaluationResult.read(demo.folders["evaluate"])
    info = DatasetInfo.read_yaml(Path(DatasetReference.read(demo.folders["ingest"]).uri))
    panels = list(evaluation.examples[0].panels)
    assert panels_by_task(panels, info) == {
        "cover": [
            "image",
            "cover",
            "cover_map",
            *("pipeline.cover", "scratch.cover", "noisy_direct.cover"),
        ],
        "shoreline": ["image", "shoreline", "pipeline.shoreline", "scratch.shoreline"],
    }
    assert panels_by_task(["image", "pipeline"], info) == {None: ["image", "pipeline"]}
    assert panels_by_task([], info) == {}
    assert caption("cover_map", evaluation, info) == "noisy label cover_map"
    assert caption("scratch.cover", evaluation, info) == "scratch"


def test_large_pictures_stand_beside_the_page(demo: DemoRun, tmp_path: Path) -> None:
    page = make(demo, tmp_path / "out", PublishConfig(embed_kib=0, examples=2))
    pictures = [load for load in page.loads if not load.startswith("data:")]
    assert len(pictures) == 2 * (6 + 4)
    assert all((tmp_path / "out" / picture).is_file() for picture in pictures)
    assert "3 more stand in the evaluation's folder" in page.text


def test_only_pictures_of_the_evaluation_are_included(demo: DemoRun, tmp_path: Path) -> None:
    (tmp_path / "stages" / "secret.png").write_bytes(b"not yours")
    (demo.folders["evaluate"] / "notes.txt").write_text("no picture")
    panels = {"image": "../secret.png", "cover": "notes.txt", "pipeline.cover": "gone.png"}
    evaluation = EvaluationResult.read(demo.folders["evaluate"])
    changed = dataclasses.replace(evaluation, examples=(Example("a", panels),))
    changed.write(demo.folders["evaluate"])
    assert make(demo, tmp_path / "out").images == 0


def test_failed_run_says_what_is_missing_and_why(demo: DemoRun, tmp_path: Path) -> None:
    names = ("ingest", "validate", "audit", "pretrain")
    records = {name: demo.records[name] for name in names} | {
        "train": TaskRecord("train", "failed", 12.2, error="no known label.", remedy="Label some."),
        "scratch": TaskRecord(
            "scratch", "failed", 1.0, error="RuntimeError: <b>x</b>", remedy="see:\nTraceback"
        ),
        "noisy_direct": TaskRecord("noisy_direct", "running"),
    }
    run = DemoRun({name: demo.folders[name] for name in names}, records)
    page = make(run, tmp_path / "out")
    assert "missing" in page.ids
    for words in (
        "The run failed in train and scratch; this page shows how far it got.",
        "train ✗ failed: no known label. What to do: Label some.",
        "scratch ✗ failed: RuntimeError: <b>x</b>",
        "noisy_direct: begun, but did not end",
        "finetune, evaluate, promote: not run; a task before it failed, or a gate is closed.",
        "This run registered no model.",
    ):
        assert words in page.text, words
    assert "<b>x</b>" not in page.source


def test_closed_gate_is_said(demo: DemoRun, tmp_path: Path) -> None:
    del demo.folders["promote"]
    gates = (GateDecision("cover.miou at least 0.9", False, "0.742 < 0.9"),)
    publish(PublishConfig(), demo.folders, tmp_path / "out", gates=gates)
    text = Page(tmp_path / "out" / "index.html").text
    assert "No model was promoted: a gate is closed." in text
    assert "cover.miou at least 0.9 ✗ fail 0.742 < 0.9" in text


def test_refused_model_is_said(demo: DemoRun, tmp_path: Path) -> None:
    promotion = PromotionResult.read(demo.folders["promote"])
    changed = dataclasses.replace(promotion, promoted=False, tracking_uri="https://mlflow.example")
    changed.write(demo.folders["promote"])
    page = make(demo, tmp_path / "out")
    assert "Version 3 of coast was registered but is not champion: a gate is closed." in page.text
    assert "https://mlflow.example" in page.links


def test_failed_validation_is_said(demo: DemoRun, tmp_path: Path) -> None:
    failing_validation().write(demo.folders["validate"])
    run = DemoRun({n: demo.folders[n] for n in ("ingest", "validate", "audit")}, {})
    text = make(run, tmp_path / "out").text
    assert "Nothing was trained: the labels do not meet their expectations." in text
    assert "a group stays in one split group 2 train/a, test/b" in text


def test_nothing_at_all_is_a_page_too(tmp_path: Path) -> None:
    publish(PublishConfig(), {}, tmp_path / "out")
    page = Page(tmp_path / "out" / "index.html")
    assert "The dataset was not read." in page.text
    # no chart, so no megabytes of script for it
    assert len(page.source) < 100_000


def test_page_survives_without_the_data(demo: DemoRun, tmp_path: Path) -> None:
    shutil.rmtree(DatasetReference.read(demo.folders["ingest"]).uri)
    text = make(demo, tmp_path / "out").text
    assert "cover 20 1,222" in text
    assert "LGPL" not in text


def test_same_inputs_same_digest_and_nothing_is_rewritten(demo: DemoRun, tmp_path: Path) -> None:
    make(demo, tmp_path / "a")
    file = tmp_path / "a" / "index.html"
    before = file.stat().st_mtime_ns
    make(demo, tmp_path / "a")
    assert file.stat().st_mtime_ns == before
    slower = {n: dataclasses.replace(r, seconds=r.seconds + 1) for n, r in demo.records.items()}
    other = publish(PublishConfig(), demo.folders, tmp_path / "b", records=slower)
    first = PublishResult.read(tmp_path / "a")
    assert other.digest == first.digest  # free of times
    assert other.key != first.key
    with pytest.raises(OutputExists):
        publish(PublishConfig(title="other"), demo.folders, tmp_path / "a")


def test_ui_command_is_safe_to_paste() -> None:
    assert ui_command("sqlite:////a b/mlflow.db") == (
        "mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db'"
    )
    assert ui_command("https://host") is None
