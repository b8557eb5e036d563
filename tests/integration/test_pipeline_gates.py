"""The whole pipeline through kfp.local, with quick stand-ins for the stages that learn."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
from rich.console import Console

from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, StageFailed
from goldseam.workspace import TaskRecord, Workspace
from pipelines import local
from pipelines.label_to_model import run_local
from pipelines.label_to_model.pipeline import label_to_model

STAND_INS = Path(__file__).parent / "stand_ins"
GATE = {"gates": [{"metric": "cover.miou", "at_least": 0.7}]}
LEARNED = {"pretrain", "train", "finetune", "scratch", "noisy_direct", "evaluate", "gate"}
CHECKED = {"read_recipe", "ingest", "validate", "audit", "publish", "report_status"}


class Recipe(pydantic.BaseModel):
    """What `run_local` needs of a recipe."""

    model_config = pydantic.ConfigDict(extra="allow")
    promote: dict[str, Any] = GATE


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "one"
    info = DatasetInfo(name="one", tasks={"tags": Task(kind=Kind.TAGS, categories=("sea",))})
    image = np.zeros((8, 8, 3), np.uint8)
    write_dataset(
        out, info, {"train": [Sample(image_id="a", image=image, group="g", labels={}, sources={})]}
    )
    return out


@pytest.fixture(scope="module", autouse=True)
def _stand_ins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_INS))
        patch.setattr("goldseam.recipe.as_struct", lambda recipe: recipe.model_dump())
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


def run(dataset: Path, out: Path, **sections: Any) -> dict[str, TaskRecord]:
    run_local(Recipe(**sections), dataset=dataset, out=out, run="r1")  # type: ignore[arg-type]
    return Workspace(out / "workspace").records("r1")


@pytest.fixture(scope="module")
def promoted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose gates were open: its folder and its records."""
    out = tmp_path_factory.mktemp("promoted")
    return out, run(dataset, out)


def test_open_gates_lead_to_promotion_and_a_page(promoted: Any) -> None:
    out, records = promoted
    assert set(records) == LEARNED | CHECKED | {"promote"}
    assert {record.status for record in records.values()} == {"succeeded"}
    status = json.loads((out / "workspace/status/r1.json").read_text())
    assert status["status"] == "succeeded"
    assert status["reasons"] == []
    promotion = json.loads(Path(records["promote"].output, "result.json").read_text())
    assert promotion["tracking_uri"] == f"sqlite:///{out}/mlflow.db"
    # the baseline starts from nothing, the pipeline from the pretrained encoder
    assert Path(records["train"].output, "checkpoint/model.safetensors").is_file()
    assert records["train"].output != records["scratch"].output


def test_the_same_run_again_finds_what_it_made(dataset: Path, promoted: Any) -> None:
    out, first = promoted
    second = run(dataset, out, evaluate={"miou": 0.9})

    learned = LEARNED - {"gate", "evaluate"}
    # the stand-in recipe gives pretrain and noisy_direct the same options: whichever kfp starts
    # second takes the other's output
    assert not any(first[name].reused for name in ("train", "finetune", "evaluate"))
    assert [name for name in learned if not second[name].reused] == []
    assert not second["evaluate"].reused
    assert {first[name].output for name in learned} == {second[name].output for name in learned}


def test_a_closed_gate_stops_promotion_and_fails_the_run(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed) as caught:
        run(dataset, tmp_path, evaluate={"miou": 0.4})

    assert caught.value.stage == "stop"
    assert "cover.miou at least 0.7: 0.4 < 0.7" in caught.value.message
    assert "champion stays" in caught.value.remedy
    records = Workspace(tmp_path / "workspace").records("r1")
    assert set(records) == LEARNED | CHECKED | {"stop"}
    assert "promote" not in records
    assert records["publish"].status == "succeeded"
    status = json.loads((tmp_path / "workspace/status/r1.json").read_text())
    assert status["status"] == "failed"
    assert "cover.miou" in status["reasons"][0]


def test_invalid_data_trains_nothing_and_the_user_reads_one_line_a_task(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = io.StringIO()
    arguments = {
        "recipe": Recipe(validate={"verdict": "fail"}).model_dump(),
        "dataset_uri": str(dataset),
        "dataset_digest": DatasetInfo.read_yaml(dataset).digest,
    }
    with pytest.raises(StageFailed, match="gate 'data' is closed: two rows overlap"):
        local.run_pipeline(
            label_to_model(), arguments, out=tmp_path, run="r1", console=Console(file=text)
        )

    records = Workspace(tmp_path / "workspace").records("r1")
    assert set(records) == CHECKED | {"stop"}
    told = text.getvalue()
    ended = [line.split()[1] for line in told.splitlines() if line.split()[0] in "✓✗"]
    assert sorted(ended) == sorted(CHECKED | {"stop"})
    assert "✗ stop" in told
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", ""), "kfp speaks to the log only"
    assert "Executing task" in (tmp_path / "kfp.log").read_text()


def test_labels_that_break_a_limit_train_nothing(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="gate 'labels' is closed: a picture leaks"):
        run(dataset, tmp_path, audit={"verdict": "fail"})
    assert set(Workspace(tmp_path / "workspace").records("r1")) == CHECKED | {"stop"}


def test_a_failing_task_speaks_to_the_user(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed) as caught:
        run(dataset, tmp_path, train={"crash": "error"})

    assert caught.value.message == "stage 'train': a told error."
    assert caught.value.remedy == "A told remedy."
    records = Workspace(tmp_path / "workspace").records("r1")
    assert "evaluate" not in records
    assert "publish" not in records
    assert records["report_status"].output is not None, "the exit handler made the page"
    assert Path(records["report_status"].output, "index.html").is_file()


def test_a_killed_task_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StageFailed, match=r"'pretrain': its process ended without a word"
    ) as caught:
        run(dataset, tmp_path, pretrain={"crash": "kill"})

    assert "goes on from the last checkpoint" in caught.value.remedy
    status = json.loads((tmp_path / "workspace/status/r1.json").read_text())
    assert status["reasons"] == ["pretrain: its process died"]


def test_other_data_than_promised_is_refused(dataset: Path, tmp_path: Path) -> None:
    arguments = {
        "recipe": Recipe().model_dump(),
        "dataset_uri": str(dataset),
        "dataset_digest": "sha256:" + "0" * 64,
    }
    with pytest.raises(StageFailed, match=r"'ingest': .*digest is sha256:.*expected sha256:000"):
        local.run_pipeline(label_to_model(), arguments, out=tmp_path, run="r1")


def test_a_path_that_kfp_would_garble_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="python3"):
        run(dataset, tmp_path / "python3-runs")
    assert list(tmp_path.iterdir()) == []
