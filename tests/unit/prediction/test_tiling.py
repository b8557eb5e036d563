"""Tiles cover every pixel, weigh one together, and leave no seam."""

import numpy as np
import pytest
import torch

from goldseam.prediction.config import TilingConfig
from goldseam.prediction.predictor import NotFinite, Predictor, assemble, model_stride
from goldseam.prediction.tiling import cut, tile_axis
from tests.unit.prediction.samples import (
    STRIDE,
    Constant,
    Local,
    make_model,
    make_picture,
)

CPU = torch.device("cpu")


def predictor(model, tile=64, overlap=16, batch=3, stride=STRIDE, **options) -> Predictor:
    tiling = TilingConfig(tile=tile, overlap=overlap, batch=batch)
    return Predictor(model=model, stride=stride, device=CPU, tiling=tiling, **options)


@pytest.mark.parametrize("length", [1, 7, 63, 64, 65, 100, 128, 333, 1000])
@pytest.mark.parametrize("overlap", [0, 1, 3, 16, 32])
@pytest.mark.parametrize("stride", [1, 4, 14, 32])
def test_weights_add_up_to_one_at_every_pixel(length, overlap, stride):
    axis = tile_axis(length, 64, overlap, stride)
    total = np.zeros(axis.starts[-1] + axis.tile)
    for start, weight_T in zip(axis.starts, axis.weights, strict=True):
        assert start % stride == 0
        total[start : start + axis.tile] += weight_T
    assert len(total) >= length
    assert axis.tile % stride == 0
    np.testing.assert_allclose(total, 1, atol=1e-6)
    shared = [a + axis.tile - b for a, b in zip(axis.starts, axis.starts[1:], strict=False)]
    assert all(px >= overlap for px in shared)


def test_edge_of_a_tile_counts_for_nothing_inside_the_picture():
    axis = tile_axis(200, 64, 16, 4)
    first, second = axis.weights[:2]
    assert first[:8].tolist() == [1] * 8  # the picture's own edge
    assert first[-4:].tolist() == [0] * 4
    assert second[:4].tolist() == [0] * 4


def test_small_picture_is_one_tile_of_its_own_size():
    axis = tile_axis(37, 512, 64, 8)
    assert (axis.starts, axis.tile) == ((0,), 40)


def test_cut_repeats_the_last_row_and_column():
    image = make_picture(5, 6)
    piece = cut(image, 4, 4, 3, 4)
    assert piece.shape == (3, 4, 3)
    assert (piece[:, 1:] == image[4, 5]).all()


@pytest.mark.parametrize("size", [(150, 210), (64, 300), (301, 40)])
def test_tiled_is_whole_for_a_model_that_sees_little(size):
    model = Local().eval()
    image = make_picture(*size)
    tiled = assemble(predictor(model).strips(image))
    whole = assemble(predictor(model, tile=1024).strips(image))
    for task in ("cover", "edge", "relief", "facing"):
        assert tiled[task].shape == whole[task].shape
        np.testing.assert_allclose(tiled[task], whole[task], atol=1e-5, err_msg=task)


def test_less_overlap_than_the_model_sees_leaves_seams():
    # the check above can fail: without overlap the zeros at the edges of tiles come through
    model = Local().eval()
    image = make_picture(150, 210)
    tiled = assemble(predictor(model, overlap=0).strips(image))
    whole = assemble(predictor(model, tile=1024).strips(image))
    assert np.abs(tiled["relief"] - whole["relief"]).max() > 0.1


def test_constant_stays_constant():
    found = assemble(predictor(Constant()).strips(make_picture(205, 163)))
    for task, value in (("edge", 0.25), ("relief", -3.5)):
        np.testing.assert_allclose(found[task], value, rtol=1e-6)
    np.testing.assert_allclose(found["cover"].sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found["facing"], axis=0), 1, atol=1e-6)
    assert found["cover"].shape == (3, 205, 163)


def test_tag_of_a_tiled_picture_is_the_largest_of_its_tiles():
    class Brightest(Constant):
        def predict(self, images_B3HW, *, initial=False):  # noqa: ARG002
            found = super().predict(images_B3HW)
            light_B = images_B3HW.amax(dim=(1, 2, 3))
            return found | {"tags": torch.stack([light_B, 0 * light_B], dim=1)}

    image = np.zeros((200, 200, 3), np.uint8)
    image[150, 10] = 204
    tags = assemble(predictor(Brightest()).strips(image))["tags"]
    np.testing.assert_allclose(tags, [0.8, 0])


def test_strips_come_from_top_to_bottom_and_do_not_change_later():
    strips = []
    copies = []
    for strip in predictor(Local().eval()).strips(make_picture(200, 70)):
        strips.append(strip)
        copies.append(strip.dense["relief"].copy())
    tops = [strip.top for strip in strips]
    rows = [strip.dense["relief"].shape[0] for strip in strips]
    assert tops == np.cumsum([0, *rows[:-1]]).tolist()
    assert sum(rows) == 200
    for strip, copy in zip(strips, copies, strict=True):
        np.testing.assert_array_equal(strip.dense["relief"], copy)


@pytest.mark.parametrize("variant", ["plain", "feature"])
def test_picture_that_fits_is_what_the_model_says(variant):
    model = make_model(variant)
    stride = model_stride(model)
    image = make_picture(48, 32)
    found = assemble(predictor(model, stride=stride).strips(image))
    images_B3HW = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = model.predict(images_B3HW.contiguous())
    for task, tensor in expected.items():
        np.testing.assert_allclose(found[task], tensor[0].numpy(), atol=1e-6, err_msg=task)


def test_result_does_not_depend_on_the_batch():
    model = make_model("feature")
    image = make_picture(90, 130)
    alone = assemble(predictor(model, stride=16, batch=1).strips(image))
    together = assemble(predictor(model, stride=16, batch=8).strips(image))
    for task, array in alone.items():
        # other batch sizes are other sums in the convolutions: rounding, times the unit of relief
        np.testing.assert_allclose(array, together[task], atol=1e-4)


def test_pictures_of_many_sizes_keep_their_order_and_their_result():
    model = make_model()
    sizes = [(20, 20), (20, 20), (20, 24), (90, 70), (20, 20), (20, 20), (20, 20), (20, 20)]
    pictures = [(i, make_picture(*size, seed=i)) for i, size in enumerate(sizes)]
    one = predictor(model)
    seen = []
    for key, image, strips in one.over(pictures):
        seen.append(key)
        found = assemble(strips)
        for task, array in assemble(one.strips(image)).items():
            np.testing.assert_allclose(array, found[task], atol=1e-4)
    assert seen == list(range(len(sizes)))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 33)])
def test_any_size_is_padded_and_cut_back(size):
    found = assemble(predictor(make_model("feature"), stride=16).strips(make_picture(*size)))
    assert found["cover"].shape == (3, *size)
    assert found["facing"].shape == (3, *size)


@pytest.mark.parametrize(
    ("variant", "levels", "stride"), [("plain", 3, 4), ("plain", 5, 16), ("feature", 2, 4)]
)
def test_stride_is_that_of_the_coarsest_level_and_of_the_tokens(variant, levels, stride):
    assert model_stride(make_model(variant, levels=levels)) == stride


def test_initial_and_chosen_tasks():
    model = make_model("feature")
    image = make_picture(32, 32)
    final = assemble(predictor(model, tasks=("relief",)).strips(image))
    initial = assemble(predictor(model, tasks=("relief",), initial=True).strips(image))
    assert set(final) == {"relief"}
    assert np.abs(final["relief"] - initial["relief"]).max() > 1e-4


def test_model_that_predicts_nan_is_refused():
    model = make_model()
    with torch.no_grad():
        model.heads["relief"].head.bias.fill_(torch.nan)
    with pytest.raises(NotFinite, match="relief"):
        assemble(predictor(model).strips(make_picture(16, 16)))


def test_overlap_of_more_than_half_a_tile_is_refused():
    with pytest.raises(ValueError, match="more than half"):
        TilingConfig(tile=64, overlap=33)
