"""The first stage: a location becomes a dataset reference; other data is refused."""

from pathlib import Path

from goldseam.artifacts import StageConfig, stage_key
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.errors import DigestMismatch
from goldseam.results import DatasetReference
from goldseam.storage.atomic import atomic_folder
from goldseam.storage.dvc import verified_revision


class IngestConfig(StageConfig):
    """Options of `ingest`.

    Attributes:
        uri: a folder with `dataset.yaml`.
        digest: the dataset digest that is expected; other data is refused.
        revision: a name for the data's version; where the folder is tracked by DVC it is read off
            there and compared.
    """

    uri: str
    digest: str | None = None
    revision: str | None = None


def ingest(config: IngestConfig, out: Path) -> DatasetReference:
    """Reference a dataset: location, revision, digest, rows. Nothing is copied.

    Raises:
        MissingInput: the folder or a shard is not there or cannot be read.
        DigestMismatch: a shard differs from `dataset.yaml`, or the dataset from `config.digest` or
            from what DVC pinned.
    """
    dataset = open_dataset(config.uri, verify=True)
    digest = dataset.info.digest
    if config.digest is not None and config.digest != digest:
        raise DigestMismatch(
            config.uri,
            config.digest,
            digest,
            "The data is not what the recipe pinned: restore it ('dvc checkout', 'dvc pull' or "
            "'goldseam dataset build'), or pin the new digest under dataset.digest.",
        )
    revision = verified_revision(Path(config.uri)) or config.revision
    key = stage_key(DatasetReference.stage, config, dataset=digest)
    if (done := DatasetReference.completed(out, key)) is not None:
        return done
    with atomic_folder(out) as folder:
        result = DatasetReference(
            key=key,
            digest=digest,
            uri=str(Path(config.uri).resolve()),
            name=dataset.info.name,
            revision=revision,
            rows={split: dataset.info.rows(split) for split in dataset.info.splits},
            tasks=tuple(dataset.info.tasks),
        ).write(folder)
    return result.at(out)


def open_reference(reference: DatasetReference | Path | str) -> Dataset:
    """Open the dataset behind a reference, or behind the folder of an ingest output.

    Raises:
        DigestMismatch: the dataset changed since it was referenced.
    """
    if not isinstance(reference, DatasetReference):
        reference = DatasetReference.read(Path(reference))
    dataset = open_dataset(reference.uri, verify=False)
    if dataset.info.digest != reference.digest:
        raise DigestMismatch(
            reference.uri,
            reference.digest,
            dataset.info.digest,
            "The data changed while the pipeline ran: start the run again.",
        )
    return dataset
