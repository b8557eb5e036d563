"""Overlapping pairs and their matching, against plain loops."""

import numpy as np

from goldseam.audit.box_overlap import (
    Pairs,
    covered_share,
    match_greedily,
    overlapping_pairs,
    paired_iou,
)


def random_boxes(random, count, images):
    image = np.sort(random.integers(0, images, count))
    low = random.uniform(0, 30, (count, 2))
    return image, np.concatenate([low, low + random.uniform(5, 30, (count, 2))], axis=1)


def test_pairs_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr("goldseam.audit.box_overlap.PAIRS_AT_ONCE", 50)
    random = np.random.default_rng(0)
    image_A, corners_A4 = random_boxes(random, 60, 12)
    image_B, corners_B4 = random_boxes(random, 80, 12)
    pairs = overlapping_pairs(image_A, corners_A4, image_B, corners_B4, 0.1)
    expected = set()
    for a in range(60):
        for b in range(80):
            iou = paired_iou(corners_A4[a : a + 1], corners_B4[b : b + 1])[0]
            if image_A[a] == image_B[b] and iou >= 0.1:
                expected.add((a, b, round(float(iou), 9)))
    found = zip(pairs.first_K, pairs.second_K, np.round(pairs.iou_K, 9), strict=True)
    assert {(int(a), int(b), float(iou)) for a, b, iou in found} == expected
    covered = covered_share(image_A, corners_A4, image_B, corners_B4)
    assert covered.max() <= 1
    assert (covered > 0).sum() >= len({b for _, b, _ in expected})


def test_greedy_matching_is_that_of_a_loop():
    random = np.random.default_rng(1)
    pairs = Pairs(
        random.integers(0, 30, 300), random.integers(0, 30, 300), random.random(300).round(1)
    )
    score_K = random.random(300).round(1)
    matched = match_greedily(pairs, score_K, pairs.iou_K)
    order = np.lexsort((pairs.second_K, pairs.first_K, -pairs.iou_K, -score_K))
    first, second, expected = set(), set(), set()
    for at in order:
        a, b = int(pairs.first_K[at]), int(pairs.second_K[at])
        if a not in first and b not in second:
            first.add(a)
            second.add(b)
            expected.add((a, b))
    assert set(zip(matched.first_K.tolist(), matched.second_K.tolist(), strict=True)) == expected
