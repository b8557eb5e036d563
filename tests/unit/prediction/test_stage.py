"""`predict` writes everything or nothing, and what it writes is what the model says."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from goldseam.dataset.codecs import decode_label
from goldseam.dataset.decisions import decide_tags
from goldseam.errors import InvalidConfig, MissingInput, OutputExists
from goldseam.models.checkpoint import load_checkpoint
from goldseam.prediction.config import PredictConfig, TilingConfig
from goldseam.prediction.page import _tags_sentence
from goldseam.prediction.reading import InvalidImage
from goldseam.prediction.stage import Predictions, predict
from tests.unit.prediction.samples import TASKS, make_checkpoint, make_picture


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint", "feature")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(make_picture(32, 48)).save(folder / "fits.png")
    Image.fromarray(make_picture(70, 101)).save(folder / "large.png")
    return folder


CONFIG = PredictConfig(device="cpu", tiling=TilingConfig(tile=48, overlap=16, batch=4))


def test_files_say_what_the_model_says(checkpoint, pictures, tmp_path):
    out = tmp_path / "out"
    result = predict(CONFIG, [pictures], checkpoint, out)
    assert [image.name for image in result.images] == ["fits", "large"]
    assert Predictions.read(out) == result
    model = load_checkpoint(checkpoint)
    images_B3HW = torch.from_numpy(make_picture(32, 48)).permute(2, 0, 1)[None].float() / 255
    expected = {task: x[0].numpy() for task, x in model.predict(images_B3HW).items()}
    fits = result.images[0]
    with np.load(out / fits.arrays["cover"]) as arrays:
        assert set(arrays) == set(TASKS)
        for task, array in expected.items():
            np.testing.assert_allclose(arrays[task], array, atol=1e-5, err_msg=task)
    for task in ("cover", "relief", "facing"):
        content = (out / fits.maps[task]).read_bytes()
        label = decode_label(TASKS[task], {"bytes": content, "path": None})
        close = 1 / 256 if task == "relief" else 1e-4
        right = expected[task].argmax(axis=0) if task == "cover" else expected[task]
        np.testing.assert_allclose(label, right, atol=close, err_msg=task)
    assert fits.tags["tags"] == pytest.approx(
        dict(zip(("disk", "bar"), expected["tags"].tolist(), strict=True)), abs=1e-5
    )
    assert sum(fits.shares["cover"].values()) == pytest.approx(1)
    low, mean, high = fits.ranges["relief"]
    assert low == pytest.approx(expected["relief"].min(), abs=1e-5)
    assert mean == pytest.approx(expected["relief"].mean(), abs=1e-5)
    assert high == pytest.approx(expected["relief"].max(), abs=1e-5)


def test_tags_are_called_present_by_the_models_own_thresholds(checkpoint, pictures, tmp_path):
    one = [pictures / "fits.png"]
    before = predict(CONFIG, one, checkpoint, tmp_path / "before")
    assert before.tag_thresholds == {"tags": {"disk": 0.5, "bar": 0.5}}
    probability = before.images[0].tags["tags"]["disk"]
    assert before.images[0].present["tags"]["disk"] is (probability >= 0.5)
    for shift, said in ((-1e-4, True), (1e-4, False)):
        model = make_checkpoint(
            tmp_path / f"model{said}", "feature", {"disk": probability + shift, "bar": None}
        )
        out = tmp_path / f"out{said}"
        result = predict(CONFIG, one, model, out)
        assert result.images[0].tags == before.images[0].tags
        assert result.images[0].present == {"tags": {"disk": said, "bar": None}}
        body = json.loads((out / "predictions.json").read_text())
        assert body["images"][0]["present"]["tags"] == {"disk": said, "bar": None}
        assert body["tag_thresholds"]["tags"]["bar"] is None
        page = (out / "index.html").read_text()
        assert ("present: disk" in page) is said
        assert "not decided: bar" in page
        assert Predictions.read(out) == result


def test_a_threshold_of_one_is_never_reached_and_none_decides_nothing():
    probability_NC = np.array([[1.0, 1.0, 1.0], [0.3, 0.3, np.nextafter(0.3, 0)]], np.float64)
    states = decide_tags(probability_NC, [None, 1.0, 0.3])
    np.testing.assert_array_equal(states, [[-1, 0, 1], [-1, 0, 0]])


def test_the_page_shows_every_kind_of_decision():
    tags = {f"c{n}": n / 20 for n in range(20)}
    present = {name: p > 0.4 for name, p in tags.items()} | {"c3": None}
    said = _tags_sentence(tags, present)
    assert said.startswith("present: c19 95 %, c18 90 %")
    assert "c12 60 % and 3 more; no threshold, not decided: c3 15 %; absent: c8 40 %" in said
    assert _tags_sentence({"a": 0.1}, {"a": False}) == "present: nothing; absent: a 10 %"


def test_every_named_file_is_there_and_has_the_size_of_its_picture(checkpoint, pictures, tmp_path):
    out = tmp_path / "out"
    result = predict(CONFIG, [pictures], checkpoint, out)
    named = {"predictions.json", "index.html"}
    for image in result.images:
        named |= {image.picture, *image.maps.values(), *image.pictures.values()}
        named |= set(image.arrays.values())
        for place in image.maps.values():
            with Image.open(out / place) as opened:
                assert opened.size == (image.width, image.height)
        with np.load(out / image.arrays["edge"]) as arrays:
            assert arrays["edge"].shape == (image.height, image.width)
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert there == named
    page = (out / "index.html").read_text()
    assert all(f'src="{image.pictures["cover"]}"' in page for image in result.images)


def test_one_array_a_task_or_none(checkpoint, pictures, tmp_path):
    one = [pictures / "large.png"]
    npy = predict(CONFIG.model_copy(update={"arrays": "npy"}), one, checkpoint, tmp_path / "npy")
    npz = predict(CONFIG, one, checkpoint, tmp_path / "npz")
    with np.load(tmp_path / "npz" / npz.images[0].arrays["cover"]) as arrays:
        for task, place in npy.images[0].arrays.items():
            np.testing.assert_array_equal(np.load(tmp_path / "npy" / place), arrays[task])
    none = CONFIG.model_copy(update={"arrays": "none"})
    assert predict(none, one, checkpoint, tmp_path / "none").images[0].arrays == {}
    assert not (tmp_path / "none" / "arrays").exists()


def test_same_run_gives_the_same_bytes(checkpoint, pictures, tmp_path):
    for name in ("one", "two"):
        predict(CONFIG, [pictures], checkpoint, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_large_drawings_are_thinned_out(checkpoint, tmp_path):
    Image.fromarray(make_picture(150, 200)).save(tmp_path / "large.png")
    config = CONFIG.model_copy(update={"picture_side": 64})
    result = predict(config, [tmp_path / "large.png"], checkpoint, tmp_path / "out")
    (image,) = result.images
    with Image.open(tmp_path / "out" / image.picture) as opened:
        assert opened.size == (50, 38)
    with Image.open(tmp_path / "out" / image.pictures["facing"]) as opened:
        assert opened.size == (50 * 5, 38 * 5)
    with np.load(tmp_path / "out" / image.arrays["facing"]) as arrays:
        assert arrays["facing"].shape == (3, 150, 200)


def test_faulty_picture_leaves_nothing(checkpoint, pictures, tmp_path):
    (pictures / "lost.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    with pytest.raises(InvalidImage, match=r"lost\.png"):
        predict(CONFIG, [pictures], checkpoint, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures"]


def test_faulty_picture_can_be_left_out(checkpoint, pictures, tmp_path):
    (pictures / "lost.png").write_bytes(b"no picture")
    config = CONFIG.model_copy(update={"skip_faulty": True})
    result = predict(config, [pictures], checkpoint, tmp_path / "out")
    assert len(result.images) == 2
    (skipped,) = result.skipped
    assert "lost.png" in skipped.why
    assert "lost.png" in (tmp_path / "out" / "index.html").read_text()
    with pytest.raises(InvalidImage, match=r"lost\.png"):
        predict(config, [pictures / "lost.png"], checkpoint, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_output_is_replaced_only_when_asked_and_only_when_it_is_ours(
    checkpoint, pictures, tmp_path
):
    out = tmp_path / "out"
    one = [pictures / "fits.png"]
    predict(CONFIG, one, checkpoint, out)
    with pytest.raises(OutputExists, match="--replace"):
        predict(CONFIG, one, checkpoint, out)
    predict(CONFIG, [pictures / "large.png"], checkpoint, out, replace=True)
    assert [image.name for image in Predictions.read(out).images] == ["large"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputExists, match=r"holds no predictions\.json"):
        predict(CONFIG, one, checkpoint, precious, replace=True)
    assert (precious / "thesis.txt").is_file()


def test_bad_requests(checkpoint, pictures, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InvalidConfig, match="'covr'") as caught:
        predict(CONFIG.model_copy(update={"tasks": ("covr",)}), [pictures], checkpoint, out)
    assert "cover" in caught.value.remedy
    with pytest.raises(InvalidConfig, match="no picture"):
        predict(CONFIG, [], checkpoint, out)
    with pytest.raises(MissingInput, match="no checkpoint"):
        predict(CONFIG, [pictures], tmp_path, out)
    with pytest.raises(MissingInput, match="no predictions"):
        Predictions.read(tmp_path)


def test_command(checkpoint, pictures, tmp_path, monkeypatch, capsys):
    from goldseam.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["goldseam", "predict", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return stop.code or 0, capsys.readouterr()
        return 0, capsys.readouterr()

    out = tmp_path / "out"
    given = (pictures / "fits.png", "--model", checkpoint, "--device", "cpu")
    code, printed = run(*given, "--out", out, "--tasks", "cover,tags", "--arrays", "none")
    assert (code, printed.err) == (0, "")
    assert "1 picture:" in printed.out
    body = json.loads((out / "predictions.json").read_text())
    assert set(body["tasks"]) == {"cover", "tags"}
    for wrong, said in (
        (("--out", out), "--replace"),
        (("--out", tmp_path / "x", "--arrays", "zip"), "--arrays is 'zip'"),
        (("--out", tmp_path / "x", "--tile", "64", "--overlap", "60"), "more than half"),
        (("--out", tmp_path / "x", "--tile", "1"), "--tile is 1"),
    ):
        code, printed = run(*given, *wrong)
        assert code == 2
        assert said in printed.err
