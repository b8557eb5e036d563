"""Orders of batches: pure functions of seed and step, the same on any number of ranks."""

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.loading import (
    BatchOrder,
    batches,
)
from goldseam.dataset.reading import Dataset
from goldseam.errors import InvalidConfig

Contents = Callable[..., list[dict[str, Any]]]


def test_each_epoch_holds_each_row_once_over_all_ranks() -> None:
    orders = [BatchOrder(30, 5, seed=3, rank=rank, world_size=2) for rank in range(2)]
    epochs = [
        [row for step in range(3 * e, 3 * e + 3) for order in orders for row in order.batch(step)]
        for e in range(4)
    ]
    assert all(sorted(rows) == list(range(30)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 4
    assert [orders[0].epoch(step) for step in (0, 2, 3, 11)] == [0, 0, 1, 3]


def test_every_row_is_drawn_equally_often_where_batches_do_not_divide_the_rows() -> None:
    order = BatchOrder(7, 4, seed=1)
    drawn = collections.Counter(row for step in range(7) for row in order.batch(step))
    assert drawn == dict.fromkeys(range(7), 4)


def test_ranks_see_what_one_process_sees() -> None:
    one = BatchOrder(50, 8, seed=5)
    two = [BatchOrder(50, 4, seed=5, rank=rank, world_size=2) for rank in range(2)]
    for step in (0, 3, 17):
        assert one.draws(step) == two[0].draws(step) + two[1].draws(step)


def test_the_order_is_a_function_of_seed_and_step() -> None:
    forward = BatchOrder(40, 6, seed=9)
    seen = [forward.batch(step) for step in range(30)]
    backward = BatchOrder(40, 6, seed=9)
    assert [backward.batch(step) for step in reversed(range(30))] == seen[::-1]
    assert BatchOrder(40, 6, seed=10).batch(0) != seen[0]


def test_balance_gives_a_rare_task_its_share() -> None:
    pools = [np.arange(100), np.array([7, 50, 99]), np.arange(40, 60)]
    order = BatchOrder(100, 8, seed=0, pools=pools)
    shares = []
    drawn: collections.Counter[int] = collections.Counter()
    for step in range(60):
        draws = order.draws(step)
        shares.append(np.bincount([draw.slot % 3 for draw in draws], minlength=3))
        drawn.update(draw.row for draw in draws if draw.slot % 3 == 1)
    assert all(np.ptp(share) <= 1 for share in shares)
    assert sum(shares).tolist() == [160, 160, 160]
    assert set(drawn) == {7, 50, 99}
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_balance_reaches_the_batches(partial_dataset: Dataset) -> None:
    tasks = ["cover", "tags"]
    made = batches(partial_dataset, "train", tasks, batch_size=6, steps=20, balance=True)
    assert all(int(batch.known[task].sum()) >= 3 for batch in made for task in tasks)
    plain = batches(partial_dataset, "train", tasks, batch_size=6, steps=20)
    assert min(int(batch.known["cover"].sum()) for batch in plain) < 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 4, "seed": -1}, "seed"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, "rank 2"),
        ({"batch_size": 4, "pools": [np.arange(3), np.arange(0)]}, "no row"),
    ],
)
def test_orders_that_cannot_be(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidConfig, match=word):
        BatchOrder(10, **options)
    with pytest.raises(InvalidConfig, match="negative"):
        BatchOrder(10, 2).batch(-1)
