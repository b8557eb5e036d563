"""Wrong masks: ignored pixels never count, shards add up, and injected noise is found."""

import numpy as np
import pytest

from goldseam.audit.errors.config import ErrorsConfig
from goldseam.audit.errors.mask_counts import ConfidenceSums, MaskCounts, MaskForm
from goldseam.audit.errors.mask_section import audit_masks
from goldseam.audit.errors.masks import mask_errors, rank_masks
from goldseam.audit.findings import SCHEMA
from goldseam.audit.label_side import read_label_side
from goldseam.dataset.codecs import decode_label
from goldseam.dataset.reading import open_shard
from goldseam.errors import InvalidArray

CATEGORIES = 3
SIZE = 40
IGNORE = 255


def stripes(images=12, size=SIZE):
    """Each image three vertical stripes of random width."""
    random = np.random.default_rng(0)
    column_W = np.arange(size)
    masks = []
    for _ in range(images):
        first, second = np.sort(random.integers(6, size - 6, 2))
        masks.append(
            np.tile((column_W >= first).astype(np.uint8) + (column_W >= second), (size, 1))
        )
    return np.stack(masks)


def predictions(truth_NHW, sure=0.9, seed=1, wrong=0.0):
    """`sure` of the truth, a little noise, and confidently wrong on a share of the pixels."""
    random = np.random.default_rng(seed)
    shown_NHW = np.where(
        random.random(truth_NHW.shape) < wrong,
        random.integers(0, CATEGORIES, truth_NHW.shape),
        truth_NHW,
    )
    one_hot = np.moveaxis(np.eye(CATEGORIES)[shown_NHW], -1, 1)
    probabilities = (1 - sure) / (CATEGORIES - 1) + one_hot * (sure - (1 - sure) / (CATEGORIES - 1))
    probabilities += random.uniform(0, 0.05, probabilities.shape)
    return (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def flipped(truth_NHW, rate, seed=2):
    """A block of each image relabeled to the next category, of about `rate` of its pixels."""
    given_NHW = truth_NHW.copy()
    height = round(rate * truth_NHW.shape[1])
    given_NHW[:, :height] = (given_NHW[:, :height] + 1) % CATEGORIES
    return given_NHW


def assert_same(one, other):
    for name in ("image_M", "score_M", "region_M4", "flagged_M", "joint_3CC", "transition_3CC"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.rates == other.rates


@pytest.mark.parametrize("poison", [np.nan, 9.0, -np.inf])
def test_what_is_predicted_for_ignored_pixels_changes_nothing(poison):
    truth_NHW = stripes()
    given_NHW = flipped(truth_NHW, 0.1)
    probabilities = predictions(truth_NHW)
    given_NHW[np.random.default_rng(3).random(given_NHW.shape) < 0.2] = IGNORE
    found = mask_errors(given_NHW, probabilities)
    poisoned = np.where((given_NHW == IGNORE)[:, None], np.float32(poison), probabilities)
    assert found.rates.whole.value > 0.05
    assert_same(found, mask_errors(given_NHW, poisoned))
    assert sum(found.pixels) == (given_NHW != IGNORE).sum()


def test_an_image_without_a_mask_is_not_examined():
    truth_NHW = stripes()
    given_NHW = flipped(truth_NHW, 0.1)
    probabilities = predictions(truth_NHW)
    groups = [f"g{number // 2}" for number in range(12)]
    some = mask_errors(
        [None if number in (3, 7) else mask for number, mask in enumerate(given_NHW)],
        [np.full((CATEGORIES, SIZE, SIZE), np.nan) if number == 3 else each if number != 7 else None
         for number, each in enumerate(probabilities)],
        groups=groups,
    )  # fmt: skip
    kept = [number for number in range(12) if number not in (3, 7)]
    rest = mask_errors(
        given_NHW[kept], probabilities[kept], groups=[groups[number] for number in kept]
    )
    assert sorted(some.image_M.tolist()) == kept
    np.testing.assert_array_equal(some.score_M, rest.score_M)
    assert some.rates == rest.rates


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_injected_rates_are_estimated(rate, wrong):
    truth_NHW = stripes(images=24)
    given_NHW = flipped(truth_NHW, rate)
    found = mask_errors(given_NHW, predictions(truth_NHW, wrong=wrong))
    injected = (given_NHW != truth_NHW).mean()
    assert found.rates.whole.value == pytest.approx(injected, abs=0.05)
    assert found.rates.whole.low <= injected <= found.rates.whole.high + 0.05
    truth_C = np.bincount(truth_NHW.ravel(), minlength=CATEGORIES)
    moved_CC = np.zeros((CATEGORIES, CATEGORIES))
    np.add.at(moved_CC, (truth_NHW.ravel(), given_NHW.ravel()), 1)
    np.testing.assert_allclose(found.transition_3CC[0], moved_CC / truth_C[:, None], atol=0.06)


def test_confident_joint_against_cleanlab():
    count = pytest.importorskip("cleanlab.count")
    truth_NHW = stripes()
    given_NHW = flipped(truth_NHW, 0.15)
    probabilities = predictions(truth_NHW, wrong=0.1)
    form = MaskForm(("a", "b", "c"))
    sums = ConfidenceSums(form)
    for number, pair in enumerate(zip(given_NHW, probabilities, strict=True)):
        sums.update(number, *pair)
    counts = MaskCounts(form, sums.thresholds(), band=2)
    for number, pair in enumerate(zip(given_NHW, probabilities, strict=True)):
        counts.update(number, "g", *pair)
    flat = np.moveaxis(probabilities, 1, -1).reshape(-1, CATEGORIES)
    expected_CC = count.compute_confident_joint(given_NHW.ravel(), flat, calibrate=False)
    np.testing.assert_array_equal(counts.joint_PCC.sum(axis=0), expected_CC)
    joint_CC = count.estimate_joint(given_NHW.ravel(), flat)
    found = rank_masks(counts, minimum_region=1, resamples=20, seed=0)
    np.testing.assert_allclose(found.joint_3CC[0].T, joint_CC, atol=2e-4)


def test_shards_give_what_one_pass_gives():
    truth_NHW = stripes()
    given_NHW = flipped(truth_NHW, 0.1)
    probabilities = predictions(truth_NHW, wrong=0.05)
    form = MaskForm(("a", "b", "c"))

    def shard(numbers, threshold_C=None):
        part = ConfidenceSums(form) if threshold_C is None else MaskCounts(form, threshold_C, 2)
        for number in numbers:
            group = () if threshold_C is None else (f"g{number % 5}",)
            part.update(number, *group, given_NHW[number], probabilities[number])
        return part

    whole = shard(range(12))
    parts = shard((7, 1, 4)).merge(shard((0, 2, 3, 11))).merge(shard((10, 9, 8, 5, 6)))
    threshold_C = whole.thresholds()
    np.testing.assert_array_equal(threshold_C, parts.thresholds())
    one = shard(range(12), threshold_C)
    cut = shard((5, 6, 8, 9, 10), threshold_C)
    cut = cut.merge(shard((7, 1, 4), threshold_C)).merge(shard((11, 0, 2, 3), threshold_C))
    options = {"minimum_region": 5, "resamples": 50, "seed": 0}
    assert_same(rank_masks(one, **options), rank_masks(cut, **options))
    with pytest.raises(InvalidArray, match="other thresholds"):
        one.merge(shard((1,), threshold_C + 0.1))


def test_the_boundary_is_counted_apart():
    """Masks drawn one pixel too far differ in the band alone, and call nobody to act."""
    truth_NHW = stripes()
    given_NHW = np.roll(truth_NHW, 1, axis=2)
    given_NHW[:, :, 0] = truth_NHW[:, :, 0]
    found = mask_errors(given_NHW, predictions(truth_NHW), band=2)
    interior, boundary = found.rates.parts
    assert interior.value == 0
    assert boundary.value > 0.15
    assert not found.flagged_M.any()
    assert (found.region_pixels_M == 0).all()
    np.testing.assert_allclose(np.diag(found.transition_3CC[1]), 1)


def test_the_worst_image_comes_first_with_its_region():
    truth_NHW = stripes()
    given_NHW = truth_NHW.copy()
    given_NHW[5, 10:22, 3:33] = (given_NHW[5, 10:22, 3:33] + 1) % CATEGORIES
    given_NHW[8, 30:33, 4:6] = (given_NHW[8, 30:33, 4:6] + 1) % CATEGORIES
    found = mask_errors(given_NHW, predictions(truth_NHW), categories=["a", "b", "c"])
    assert found.image_M[:2].tolist() == [5, 8]
    assert found.flagged_M.tolist() == [True] + [False] * 11
    assert found.score_M[0] == pytest.approx(12 * 30 / SIZE**2, abs=0.03)
    xmin, ymin, xmax, ymax = found.region_M4[0]
    assert 3 <= xmin < xmax <= 33
    assert (ymin, ymax) == (10, 22)
    inside = truth_NHW[5, 12:20, xmin:xmax]
    frame = found.to_frame()
    assert frame.loc[0, "suggested"] == "abc"[np.bincount(inside.ravel()).argmax()]
    assert frame["given"].isna().tolist() == [False, False] + [True] * 10


def test_images_of_many_sizes_and_kinds_of_numbers():
    truth = [stripes(1, size)[0] for size in (24, 31, 40)]
    given = [flipped(mask[None], 0.2)[0] for mask in truth]
    probabilities = [predictions(mask[None])[0] for mask in truth]
    found = mask_errors(given, probabilities)
    half = mask_errors(given, [each.astype(np.float16) for each in probabilities])
    byte = mask_errors(
        [mask.astype(np.int64) for mask in given],
        [np.rint(each * 255).astype(np.uint8) for each in probabilities],
    )
    for other in (half, byte):
        assert other.rates.whole.value == pytest.approx(found.rates.whole.value, abs=0.01)
        np.testing.assert_allclose(other.score_M, found.score_M, atol=0.02)


def test_predictions_that_are_the_same_everywhere():
    given_NHW = stripes()
    found = mask_errors(given_NHW, np.full((12, CATEGORIES, SIZE, SIZE), 1 / 3))
    # all categories are as likely: the lower end says that doubt explains everything
    assert found.rates.whole.low == 0


def test_a_category_that_is_never_given_is_undefined():
    truth_NHW = np.minimum(stripes(), 1)
    found = mask_errors(truth_NHW, predictions(truth_NHW))
    assert found.rates.categories[2].value is None
    assert np.isnan(found.threshold_C[2])
    assert np.isnan(found.transition_3CC[0, 2]).all()
    assert np.nansum(found.joint_3CC[0]) == pytest.approx(1)


def test_one_image_has_no_interval():
    truth_NHW = stripes(1)
    rate = mask_errors(truth_NHW, predictions(truth_NHW)).rates.whole
    assert (rate.value, rate.low, rate.high) == (0, None, None)


def test_intervals_are_wider_when_groups_are_alike():
    truth_NHW = stripes(24)
    given_NHW = truth_NHW.copy()
    given_NHW[:6] = flipped(truth_NHW[:6], 0.5)
    probabilities = predictions(truth_NHW)
    alone = mask_errors(given_NHW, probabilities).rates.whole
    grouped = mask_errors(given_NHW, probabilities, groups=[f"g{n // 6}" for n in range(24)])
    assert alone.value == grouped.rates.whole.value
    assert grouped.rates.whole.high - grouped.rates.whole.low > alone.high - alone.low


def changed(array, at, value):
    array = array.astype(float)
    array[at] = value
    return array


GIVEN = stripes(2)
SURE = predictions(GIVEN)


@pytest.mark.parametrize(
    ("masks", "probabilities", "message", "remedy"),
    [
        (GIVEN, changed(SURE, (1, 2, 3, 4), 1.5), "image 1, category '2', row 3, column 4: 1.5",
         "softmax"),
        (GIVEN, changed(SURE, (0, 1, 3, 4), np.nan), "image 0, category '1', row 3, column 4: nan",
         "predict every"),
        (GIVEN, SURE[:, :, :-1], "image 0: shape (3, 39, 40) for a mask of (40, 40)", "size of"),
        (GIVEN, SURE[:1], "there are only 1 predictions", "one prediction a mask"),
        (GIVEN[:1], SURE, "there are only 1 masks", "one prediction a mask"),
        (changed(GIVEN, (1, 2, 3), 7).astype(np.uint8), SURE, "image 1, row 2, column 3: id 7",
         "Map"),
        (GIVEN, [SURE[0], None], "image 1: none, although", "None to leave it out"),
        (np.full_like(GIVEN, IGNORE), SURE, "no pixel is known", "ignored"),
        ([None, None], SURE, "no pixel is known", "unknown"),
        (GIVEN, (each for each in SURE), "a generator", "__iter__ starts anew"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_what_to_do(masks, probabilities, message, remedy):
    with pytest.raises(InvalidArray) as caught:
        mask_errors(masks, probabilities)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_predictions_for_other_categories_are_named():
    with pytest.raises(InvalidArray, match="expected 2 categories"):
        mask_errors(GIVEN, SURE, categories=["sea", "land"])


@pytest.fixture(scope="module")
def discs(disc_data):
    return read_label_side(disc_data)


def known_masks(data, task):
    """Position in the label side and mask of every image that has one."""
    position = 0
    masks = []
    for shard in data.info.shards:
        with open_shard(data.path / shard.file) as parquet:
            for cell in parquet.read(columns=[task]).column(task).to_pylist():
                if cell is not None:
                    masks.append((position, decode_label(data.info.task(task), cell)))
                position += 1
    return masks


def test_the_section_names_image_region_and_categories(disc_data, discs):
    masks = known_masks(disc_data, "cover_map")
    truth_NHW = np.stack([mask for _, mask in masks])
    probabilities = predictions(truth_NHW)
    given_NHW = truth_NHW.copy()
    given_NHW[9, :9, :] = 2
    calls = []

    def images():
        calls.append(len(calls))
        for (position, _), *pair in zip(masks, given_NHW, probabilities, strict=True):
            yield position, *pair

    section = audit_masks(discs, "cover_map", images, ErrorsConfig(minimum_region=20))
    assert calls == [0, 1]
    assert section.findings.schema == SCHEMA
    first = section.findings.slice(0, 1).to_pylist()[0]
    assert first["image_id"] == discs.image_ids[masks[9][0]].as_py()
    assert (first["issue"], first["action"], first["given"]) == ("wrong_mask", "redraw", "bar")
    assert first["suggested"] in ("ground", "disk")
    assert (first["ymin"], first["ymax"]) == (0, 9)
    assert f"labeled bar but predicted to be {first['suggested']}" in first["evidence"]
    whole, *rows = section.errors
    assert (whole.labels, whole.flagged) == (len(masks), 1)
    assert [each.category for each in rows] == ["ground", "disk", "bar", None]
    assert rows[-1].source == "map"
    assert rows[-1].error_rate == whole.error_rate
    assert [each.part for each in section.matrices] == ["all", "interior", "boundary"]
    for each in section.matrices:
        shares = [value for row in each.joint for value in row if value is not None]
        assert sum(shares) == pytest.approx(1)
    assert sum(each.labels for each in section.matrices[1:]) == section.matrices[0].labels
    assert section.sentences == ()


def test_masks_without_a_prediction_are_counted(disc_data, discs):
    masks = known_masks(disc_data, "edge")

    def images():
        for position, mask_HW in masks[2:]:
            yield position, mask_HW, np.stack([mask_HW == 0, mask_HW == 1]).astype(np.uint8) * 255

    section = audit_masks(discs, "edge", images, ErrorsConfig())
    assert section.errors[0].labels == len(masks) - 2
    assert [each.category for each in section.errors[1:3]] == ["absent", "present"]
    assert section.errors[0].error_rate.value == 0
    assert section.sentences[0].startswith("2 masks of 'edge' have no prediction")
    with pytest.raises(InvalidArray, match="masks of 'edge'"):
        audit_masks(discs, "edge", lambda: iter(()), ErrorsConfig())


@pytest.mark.parametrize("id_", [0.5, np.nan])
def test_an_id_that_is_no_whole_number_is_refused(id_):
    masks_NHW = np.zeros((2, 4, 4))
    assert len(mask_errors(masks_NHW, np.full((2, 2, 4, 4), 0.5))) == 2
    masks_NHW[1, 2, 3] = id_
    with pytest.raises(InvalidArray, match="image 1, row 2, column 3"):
        mask_errors(masks_NHW, np.full((2, 2, 4, 4), 0.5))
