"""Model versions: who holds the alias, what a registry adds, and that it is only read."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from goldseam.dashboard.site.build import build_site
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.entries import promotion_entry, registry_of
from goldseam.dashboard.site.history import History, VersionEntry, merge
from goldseam.dashboard.site.model_registry import UnreadableRegistry, read_versions
from goldseam.dashboard.site.models import model_versions
from goldseam.errors import MissingInput
from goldseam.results import Estimate
from tests.unit.dashboard.site.sample import promotion_result, sha


def entry(version: str, aliases: tuple[str, ...] = (), registry: str = "r") -> VersionEntry:
    return VersionEntry(
        registry=registry,
        model="coast",
        version=version,
        run_id=f"run{version}",
        created=1_790_000_000.0,
        aliases=aliases,
        tags={"dataset_digest": sha("data 3"), "gates": "passed", "gate_reasons": "all"},
        metrics={"cover.miou": Estimate(0.7, 0.6, 0.8)},
    )


def test_the_last_promotion_holds_the_alias() -> None:
    promotions = {
        name: promotion_entry(promotion_result(version, promoted=promoted), {"made": made})
        for name, version, promoted, made in (
            ("a", "1", True, 10.0),
            ("b", "2", True, 20.0),
            ("c", "3", False, 30.0),
        )
    }
    versions = model_versions(History(promotions=promotions), ())
    assert [(one.version, one.aliases, one.refused) for one in versions] == [
        ("3", (), True),
        ("2", ("champion",), False),
        ("1", (), False),
    ]


def test_the_registry_knows_better_than_promotions() -> None:
    registry = registry_of(promotion_result().tracking_uri)
    promotions = {"a": promotion_entry(promotion_result("1"), {"made": 10.0})}
    read = {f"{registry}/coast/{n}": entry(n, registry=registry) for n in ("1", "2")}
    read[f"{registry}/coast/2"] = entry("2", ("champion",), registry)
    versions = model_versions(History(promotions=promotions, versions=read), ())
    assert [(one.version, one.aliases) for one in versions] == [("2", ("champion",)), ("1", ())]
    assert versions[1].gates == promotion_result("1").gates
    assert versions[0].lineage == {"dataset_digest": sha("data 3")}


def test_an_alias_is_where_the_registry_was_last_read_to_have_it() -> None:
    old = History(versions={"r/coast/1": entry("1", ("champion",)), "s/coast/1": entry(
        "1", ("champion",), "s")})  # fmt: skip
    merged = merge(old, History(versions={"r/coast/2": entry("2", ("champion",))}))
    aliases = {key: one.aliases for key, one in merged.versions.items()}
    assert aliases == {"r/coast/1": (), "r/coast/2": ("champion",), "s/coast/1": ("champion",)}


def test_an_address_tells_registries_apart_and_nothing_else() -> None:
    one = registry_of("postgresql://ann:secret@db/mlflow")
    assert one == registry_of("postgresql://bob:other@db/mlflow")
    assert one != registry_of("postgresql://db2/mlflow")
    assert len(one) == 8


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions."""
    import mlflow

    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    uri = f"sqlite:///{path}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("goldseam", artifact_location=path.parent.as_uri())
    client.create_registered_model("it's coast")
    for number, miou in enumerate((0.71, 0.75), start=1):
        run = client.create_run(experiment)
        metrics = {
            "cover.miou": miou,
            "cover.miou.low": miou - 0.02,
            "cover.miou.high": miou + 0.02,
        }
        metrics |= {"cover.iou.lake": 0.3, "scratch/cover.miou": 0.6, "distance.mae": 3.5}
        for name, number_ in metrics.items():
            client.log_metric(run.info.run_id, name, number_)
        tags = {
            "goldseam.git_commit": "abc",
            "goldseam.gates": "failed" if number == 1 else "passed",
        }
        client.create_model_version(
            "it's coast", source=path.parent.as_uri(), run_id=run.info.run_id, tags=tags
        )
    client.set_registered_model_alias("it's coast", "champion", "2")
    return path


def test_versions_come_with_aliases_lineage_and_intervals(database: Path) -> None:
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    versions = {one.version: one for one in read_versions(f"sqlite:///{database}").values()}
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert versions["2"].aliases == ("champion",)
    assert versions["1"].aliases == ()
    assert versions["2"].tags == {"gates": "passed", "git_commit": "abc"}
    assert versions["2"].metrics == {
        "cover.miou": Estimate(0.75, 0.73, 0.77),
        "distance.mae": Estimate(3.5),
    }


def test_a_site_of_a_registry_alone(database: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(SiteConfig(), [], site, mlflow=f"sqlite:///{database}")
    page = (site / "models.html").read_text()
    assert "it&#39;s coast" in page
    assert page.count('<span class="alias">champion</span>') == 1
    assert str(database) not in (site / "history.json").read_text()


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for name, content in (("gone.db", None), ("empty.db", b""), ("text.db", b"no database" * 99)):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(MissingInput):
            read_versions(f"sqlite:///{path}")
        assert path.exists() == (content is not None)
        if content is not None:
            assert path.read_bytes() == content
    with pytest.raises(UnreadableRegistry) as caught:
        read_versions("nosuchscheme://ann:secret@host/db")
    assert "secret" not in str(caught.value)


def test_evaluations_give_units_that_a_registry_lacks() -> None:
    known = dataclasses.replace(entry("1"), metrics={})
    (version,) = model_versions(History(versions={"r/coast/1": known}), ())
    assert version.metrics == {}
    assert version.refused is False
