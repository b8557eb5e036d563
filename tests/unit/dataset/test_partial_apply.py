"""A partial dataset: what is kept is kept to the byte, what is not is unknown."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import UNSURE
from goldseam.dataset.coverage import category_states
from goldseam.dataset.partial import InvalidMask, LabelMask, Uniform, read_mask, tag_mask
from goldseam.dataset.partial.apply import apply_mask, draw_mask, labeled, scale_mask
from goldseam.dataset.partial.drawn_tags import RatesOfDataset
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Task
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset, OutputExists

TASKS = ("cover", "edge", "facing")


@pytest.fixture
def dataset(dataset_path):
    return open_dataset(dataset_path)


def mask_of(dataset, tasks, rows):
    ids = tuple(dataset.table("train", ["image_id"]).column("image_id").to_pylist())
    return LabelMask(ids, tuple(tasks), np.array(rows, bool), "by hand")


# of four training images the first two carry every label, the third tags and objects, the last none
ROWS = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_labels_outside_the_mask_are_unknown_and_all_else_is_the_same(dataset, tmp_path):
    made = apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "out")
    partial = open_dataset(tmp_path / "out")
    assert check_dataset(tmp_path / "out") == []
    before, after = dataset.table("train"), partial.table("train")
    assert after.schema.equals(before.schema, check_metadata=True)
    for name in before.column_names:
        task = name.removesuffix("_source")
        if task not in TASKS:
            assert after.column(name).equals(before.column(name)), name
            continue
        kept = [row[TASKS.index(task)] for row in ROWS]
        expected = [
            value if keep else None
            for value, keep in zip(before.column(name).to_pylist(), kept, strict=True)
        ]
        assert after.column(name).to_pylist() == expected
    assert made.info.digest == partial.info.digest != dataset.info.digest
    assert made.before == {"cover": 2, "edge": 2, "facing": 2}
    assert made.kept == {"cover": 1, "edge": 1, "facing": 1}
    assert "partial: by hand" in partial.info.description


def test_test_files_are_copied_as_they_are(dataset, tmp_path):
    apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "out")
    (shard,) = dataset.shards("test")
    assert (tmp_path / "out" / shard.file).read_bytes() == (dataset.path / shard.file).read_bytes()
    assert shard in open_dataset(tmp_path / "out").shards("test")


def test_a_forgotten_label_is_nowhere_in_the_file(dataset, tmp_path):
    apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "out")
    for shard in open_dataset(tmp_path / "out").shards("train"):
        column = pq.read_table(tmp_path / "out" / shard.file, columns=["cover"]).column("cover")
        forgotten = [not row[0] for row in ROWS]
        stored = pa.compute.struct_field(column.combine_chunks(), "bytes").to_pylist()
        start = 0 if "00000-of" in shard.file else 2
        for value, gone in zip(stored, forgotten[start:], strict=False):
            assert (value is None) == gone


def test_what_stood_in_a_forgotten_label_changes_nothing(dataset, change_row, tmp_path):
    apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "first")
    other = dataset.table("train", ["cover"]).column("cover").to_pylist()[0]
    change_row(1, cover=other)
    changed = open_dataset(dataset.path)
    assert changed.info.digest != dataset.info.digest
    apply_mask(changed, mask_of(dataset, TASKS, ROWS), tmp_path / "second")
    for table in ("train", "test"):
        first, second = (open_dataset(tmp_path / out).table(table) for out in ("first", "second"))
        assert first.equals(second)


def test_a_label_that_is_not_there_is_not_made_up(dataset, tmp_path):
    rows = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0]]
    mask = mask_of(dataset, TASKS, rows)
    with pytest.raises(InvalidMask, match="'edge' of the image 'image-3', which has no such label"):
        apply_mask(dataset, mask, tmp_path / "out")
    assert list(tmp_path.glob("out*")) == []
    made = apply_mask(dataset, mask, tmp_path / "out", allow_lacking=True)
    assert made.lacking == {"cover": 0, "edge": 1, "facing": 0}
    assert made.kept["edge"] == 1
    assert check_dataset(tmp_path / "out") == []


def test_masks_of_other_tasks_and_images_are_refused(dataset, tmp_path):
    with pytest.raises(InvalidDataset, match="no task 'covr'"):
        apply_mask(dataset, mask_of(dataset, ["covr"], np.zeros((4, 1))), tmp_path / "out")
    foreign = LabelMask(("a", "b"), ("cover",), np.ones((2, 1)))
    with pytest.raises(InvalidMask, match="does not name the image 'image-0'"):
        apply_mask(dataset, foreign, tmp_path / "out")
    apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "out")
    with pytest.raises(OutputExists):
        apply_mask(dataset, mask_of(dataset, TASKS, ROWS), tmp_path / "out")
    assert list(tmp_path.glob(".out*")) == []


def test_a_dataset_may_replace_itself(dataset):
    apply_mask(dataset, mask_of(dataset, TASKS, ROWS), dataset.path, replace=True)
    assert open_dataset(dataset.path).known("train")["cover"].tolist() == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("protocol", ["one_label", "random_label"])
def test_a_drawn_mask_keeps_to_what_is_labeled(dataset, protocol):
    mask = draw_mask(dataset, protocol, seed=1)
    assert mask.tasks == ("cover", "edge", "salient", "distance", "elevation", "facing")
    assert not (mask.known_NT & ~labeled(dataset, mask.tasks)).any()
    assert (mask.known_NT.any(axis=1) == [True, True, False, False]).all()
    assert (mask.protocol, mask.seed) == (protocol, 1)
    tagged = draw_mask(dataset, protocol, seed=1, tasks=("tags", "cover"))
    assert tagged.known_NT[2].tolist() == [True, False]


def test_a_dataset_without_such_tasks_says_so(sample, tmp_path):
    info = DatasetInfo(name="words", tasks={"caption": Task(kind="caption")})
    write_dataset(tmp_path / "words", info, {"train": [sample(0, ("caption",), meta={})]})
    with pytest.raises(InvalidConfig, match="no task whose labels are clean pictures"):
        draw_mask(open_dataset(tmp_path / "words"), "one_label", seed=0)


def test_a_budget_does_not_depend_on_the_order_of_the_mask(dataset):
    mask = mask_of(dataset, TASKS, np.array(ROWS) | labeled(dataset, TASKS))
    turned = LabelMask(mask.image_ids[::-1], mask.tasks, mask.known_NT[::-1], mask.protocol)
    halves = [scale_mask(dataset, each, 0.5, seed=3) for each in (mask, turned)]
    assert halves[0].digest == halves[1].digest
    assert halves[0].known_NT.sum(axis=0).tolist() == [1, 1, 1]
    assert not (halves[0].known_NT & ~mask.known_NT).any()


@pytest.fixture
def command(goldseam):
    def run(*arguments):
        code, out, err = goldseam("dataset", "partial", *arguments)
        return code, out + err

    return run


def test_the_command_draws_saves_and_follows_a_mask(dataset_path, tmp_path, command):
    saved = tmp_path / "mask.csv"
    options = ("--tasks", "cover,edge", "--seed", "4", "--save-mask", saved)
    code, said = command(dataset_path, "--out", tmp_path / "a", "--protocol", "one-label", *options)
    assert code == 0, said
    assert "2 with 0 labels, 2 with 1 label;" in said
    first = open_dataset(tmp_path / "a")
    known = first.known("train")
    assert known["cover"].sum() == known["edge"].sum() == 1
    assert known["facing"].sum() == 2
    assert json.loads((tmp_path / "mask.csv.json").read_text())["protocol"] == "one_label"
    code, said = command(dataset_path, "--out", tmp_path / "b", "--mask", saved)
    assert code == 0, said
    assert open_dataset(tmp_path / "b").info.digest == first.info.digest
    code, said = command(
        *(dataset_path, "--out", tmp_path / "c", "--mask", saved, "--budget", "2"),
        *("--save-mask", tmp_path / "c.parquet"),
    )
    assert code == 0, said
    assert read_mask(tmp_path / "c.parquet").labels_per_task == {"cover": 2, "edge": 2}


def states(path, split="train"):
    """Tags of every image, as a label matrix."""
    dataset = open_dataset(path)
    column = dataset.table(split, ["tags"]).column("tags").combine_chunks()
    return category_states(dataset.info.tasks["tags"], column, "tags")


def drawn(rate, seed):
    """What the scheme keeps of the training images, drawn from the labels that the fixture has."""
    full_NC = np.array([[1, 0, -1, 1]] * 3 + [[-1] * 4], np.int8)
    return np.where(tag_mask(Uniform(rate=rate), full_NC, seed), full_NC, -1)


@pytest.mark.parametrize("seed", [1, 5])
def test_a_scheme_of_tags_leaves_the_rest_of_the_dataset_as_it_is(
    dataset_path, tmp_path, command, seed
):
    code, said = command(
        *(dataset_path, "--out", tmp_path / "a", "--tag-scheme", "{name: uniform, rate: 0.5}"),
        *("--seed", seed),
    )
    assert code == 0, said
    kept_NC = drawn(0.5, seed)
    assert 0 < (kept_NC != -1).sum() < 9, "a draw that shows something"
    np.testing.assert_array_equal(states(tmp_path / "a"), kept_NC)
    assert check_dataset(tmp_path / "a") == []
    before, after = open_dataset(dataset_path), open_dataset(tmp_path / "a")
    old, new = before.table("train"), after.table("train")
    sources = old.column("tags_source").to_pylist()
    assert new.column("tags_source").to_pylist() == [
        source if known else None
        for source, known in zip(sources, (kept_NC != -1).any(axis=1), strict=True)
    ]
    for name in set(old.column_names) - {"tags", "tags_source"}:
        assert new.column(name).equals(old.column(name)), name
    (shard,) = before.shards("test")
    assert (after.path / shard.file).read_bytes() == (before.path / shard.file).read_bytes()
    assert after.info.description.endswith(
        f"Training tags of tags are partial: uniform, rate 0.5, seed {seed}."
    )
    rows = [line.split("│")[1:-1] for line in said.splitlines() if "│" in line]
    counted = {row[0].strip(): [cell.strip() for cell in row[1:3]] for row in rows}
    assert counted["present tags"] == ["6", str((kept_NC == 1).sum())]
    assert counted["absent tags"] == ["3", str((kept_NC == 0).sum())]


def test_a_lower_rate_keeps_a_part_and_an_unknown_tag_never_comes_back(
    dataset_path, tmp_path, command
):
    for name, rate in (("low", 0.3), ("high", 0.8), ("all", 1.0)):
        scheme = f"{{name: uniform, rate: {rate}}}"
        assert command(dataset_path, "--out", tmp_path / name, "--tag-scheme", scheme)[0] == 0
    low_NC, high_NC, all_NC = (states(tmp_path / name) for name in ("low", "high", "all"))
    assert (high_NC[low_NC != -1] == low_NC[low_NC != -1]).all()
    np.testing.assert_array_equal(all_NC, states(dataset_path))
    # what nobody looked at has no part in the draw of a fixed number of tags
    fixed = ("--tag-scheme", "{name: fixed_per_category, positives: 2, negatives: 0}")
    assert command(dataset_path, "--out", tmp_path / "two", *fixed)[0] == 0
    two_NC = states(tmp_path / "two")
    assert (two_NC == 1).sum(axis=0).tolist() == [2, 0, 0, 2]
    assert not (two_NC == 0).any()


def test_a_scheme_stands_beside_a_mask_and_comes_after_it(dataset_path, tmp_path, command):
    mask = tmp_path / "mask.csv"
    mask.write_text("image_id,cover,tags\nimage-0,1,1\nimage-1,0,1\nimage-2,0,0\nimage-3,0,0\n")
    fixed = ("--tag-scheme", "{name: fixed_per_category, positives: 2, negatives: 9}")
    code, said = command(dataset_path, "--out", tmp_path / "a", "--mask", mask, *fixed)
    assert code == 0, said
    kept_NC = states(tmp_path / "a")
    # two images are left and both keep their tags; a mask after the draw could leave fewer
    np.testing.assert_array_equal(kept_NC, [[1, 0, -1, 1], [1, 0, -1, 1], [-1] * 4, [-1] * 4])
    known = open_dataset(tmp_path / "a").known("train")
    assert known["cover"].tolist() == [True, False, False, False]
    assert known["edge"].tolist() == [True, True, False, False]
    assert "partial: unstated. Training tags" in open_dataset(tmp_path / "a").info.description


def test_the_tags_of_a_noisy_task_are_left_alone(sample, tmp_path, command):
    kinds = {"a": Task(kind="tags", categories=("x", "y"))}
    kinds["b"] = Task(kind="tags", categories=("x", "y"), noisy_version_of="a")
    tags = {"a": np.array([1, 0], np.int8), "b": np.array([0, 1], np.int8)}
    one = sample(0, (), meta={}, labels=tags, sources=dict.fromkeys(tags, "human"))
    write_dataset(tmp_path / "two", DatasetInfo(name="two", tasks=kinds), {"train": [one]})
    scheme = ("--tag-scheme", "{name: uniform, rate: 0}")
    for out, task, kept in (("a", (), [False, True]), ("b", ("--tag-task", "b"), [True, False])):
        assert command(tmp_path / "two", "--out", tmp_path / out, *scheme, *task)[0] == 0
        known = open_dataset(tmp_path / out).known("train")
        assert [bool(known[name][0]) for name in ("a", "b")] == kept


SCHEME = ("--tag-scheme", "{name: uniform, rate: 0.5}")
SIZES = "{name: size_dependent, small: 0, middle: 0.5, large: 1, negatives: 1, boundaries: [1, 2]}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either a protocol or a mask"),
        (("--tag-scheme", "{name: uniforn, rate: 0.5}"), "--tag-scheme"),
        (("--tag-scheme", "{name: uniform, rate: 2}"), "--tag-scheme"),
        (("--tag-scheme", SIZES), "area of items"),
        (
            ("--tag-scheme", "{name: rates_from_table, positives: [1], negatives: [1]}"),
            "1 rates for 4 categories",
        ),
        ((*SCHEME, "--tag-task", "cover"), "'cover' is a segmentation task"),
        ((*SCHEME, "--tag-task", "tagz"), "no task 'tagz'"),
        ((*SCHEME, "--tasks", "tags"), "--tasks belongs to --protocol and --mask"),
        ((*SCHEME, "--budget", "0.5"), "--budget belongs to"),
        ((*SCHEME, "--save-mask", "m.csv"), "--save-mask belongs to"),
        ((*SCHEME, "--allow-lacking"), "--allow-lacking belongs to"),
        ((*SCHEME, "--protocol", "one-label", "--mask", "m.csv"), "either a protocol or a mask"),
        (("--protocol", "one-label", "--tag-task", "tags"), "--tag-task tags"),
        (("--protocol", "one-label", "--mask", "m.csv"), "either a protocol or a mask"),
        (("--protocol", "all"), "no protocol 'all'"),
        (("--protocol", "one-label", "--tasks", "covr"), "no task 'covr'"),
        (("--protocol", "one-label", "--budget", "0"), "is none"),
        (("--protocol", "one-label", "--save-mask", "m.txt"), "no '.txt' file"),
        (("--mask", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_the_command_names_what_is_wrong(dataset_path, tmp_path, command, options, message):
    code, said = command(dataset_path, "--out", tmp_path / "out", *options)
    assert code == 2
    assert message in said
    assert "fix:" in said
    assert not (tmp_path / "out").exists()


def test_a_saved_mask_is_not_overwritten(dataset_path, tmp_path, command):
    saved = tmp_path / "mask.csv"
    saved.write_text("mine")
    options = ("--protocol", "one-label", "--save-mask", saved)
    assert command(dataset_path, "--out", tmp_path / "out", *options)[0] == 2
    assert saved.read_text() == "mine"
    assert not (tmp_path / "out").exists()
    assert command(dataset_path, "--out", tmp_path / "out", *options, "--replace")[0] == 0
    assert read_mask(saved).protocol == "one_label"


def test_rates_are_those_of_a_real_dataset(dataset_path, tmp_path, command):
    categories = open_dataset(dataset_path).info.task("tags").categories
    like = [categories[3], categories[3], categories[1], categories[0]]
    options = RatesOfDataset(dataset=dataset_path, blank_present=0.5, categories=like)
    # one of four images has no tags; half of what is unknown there counts as present
    rates = options.read()
    assert rates.positives == pytest.approx((3 / 3.5, 3 / 3.5, 0, 3 / 3.5))
    assert rates.negatives == pytest.approx((0, 0, 3 / 3.5, 0))
    written = f"{{name: rates_of_dataset, dataset: {dataset_path}, blank_present: 1}}"
    code, said = command(dataset_path, "--out", tmp_path / "a", "--tag-scheme", written)
    assert code == 0, said
    assert (states(tmp_path / "a")[:, 1] == states(dataset_path)[:, 1]).all()
    description = open_dataset(tmp_path / "a").info.description
    assert "rates_from_table" in description
    assert str(tmp_path) not in description


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("blank_present: 2", "less than or equal to 1"),
        ("blank_present: 0.1, categories: [nobody]", "no category 'nobody'"),
        ("blank_present: 0.1, task: cover", "'cover' is a segmentation task"),
    ],
)
def test_wrong_rates_of_a_dataset_are_named(dataset_path, tmp_path, command, options, message):
    scheme = f"{{name: rates_of_dataset, dataset: {dataset_path}, {options}}}"
    code, said = command(dataset_path, "--out", tmp_path / "a", "--tag-scheme", scheme)
    assert code == 2
    assert message in said
    assert not (tmp_path / "a").exists()


def test_what_an_annotator_was_unsure_of_stays_so(sample, tmp_path, command):
    kind = Task(kind="tags", categories=("x", "y"), unsure=True)
    state_NC = np.array([[UNSURE, 1], [0, UNSURE], [UNSURE, -1], [1, 0]], np.int8)
    images = [
        sample(row, (), meta={}, labels={"t": state_C}, sources={"t": "human"})
        for row, state_C in enumerate(state_NC)
    ]
    write_dataset(tmp_path / "d", DatasetInfo(name="d", tasks={"t": kind}), {"train": images})
    nothing = ("--tag-scheme", "{name: uniform, rate: 0}")
    code, said = command(tmp_path / "d", "--out", tmp_path / "a", *nothing)
    assert code == 0, said
    column = open_dataset(tmp_path / "a").table("train", ["t"]).column("t").combine_chunks()
    kept_NC = category_states(kind, column, "", unsure=True)
    np.testing.assert_array_equal(kept_NC, np.where(state_NC == UNSURE, UNSURE, -1))
    assert column.is_null().to_pylist() == [False, False, False, True]
    assert check_dataset(tmp_path / "a") == []
