"""What changed between two versions of a dataset, and which of it is more than chance."""

from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.drift.draft import settle
from goldseam.audit.drift.images import image_changes
from goldseam.audit.drift.inventory import label_changes, row_changes, vocabulary_changes
from goldseam.audit.drift.rates import coverage_changes, noise_changes, source_changes
from goldseam.audit.drift.version import Version, pair_versions
from goldseam.results import DriftTest


def audit_drift(before: Version, after: Version, config: DriftConfig) -> tuple[DriftTest, ...]:
    """Compare two versions of a dataset.

    Tests take the dataset's groups as independent and images of a group as alike, and count shared
    images once (`goldseam.audit.drift.comparing`); q-values control the false discovery rate over
    all tests of the comparison (Benjamini and Hochberg). Everything is matched by name: images by
    `image_id`, tasks, categories and groups by theirs.

    Args:
        before: the older version.
        after: the newer one.
        config: the options.

    Returns:
        Rows of these kinds (`what`): `rows`, `moved_images`, `changed_images`, `vocabulary`,
        `coverage`, `category` (share of the known labels that say present), `source`,
        `added_labels`, `removed_labels`, `changed_labels` (on shared images), `noise`, `metadata`,
        `image`, `embedding`, and `new_metadata`, `new_image`, `new_embedding`, which compare only
        the new images with the older version.

    Raises:
        InvalidConfig: arrays of a version do not fit its label side, or the embeddings of both have
            different lengths.
        InvalidDataset: pictures of a version belong to no image of it.
    """
    pairing = pair_versions(before, after)
    drafts = [
        *row_changes(pairing, config),
        *vocabulary_changes(before, after),
        *coverage_changes(pairing, config),
        *source_changes(pairing, config),
        *label_changes(pairing, config),
        *noise_changes(before.noise, after.noise, config),
        *image_changes(pairing, config),
    ]
    return settle(drafts, config.significance)
