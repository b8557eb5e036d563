"""Noise is a function of seed, step and process, and of nothing else."""

import itertools

import torch

from goldseam.trainer.loop import noise_seed


def test_every_process_and_step_draws_noise_of_its_own():
    places = list(itertools.product((0, 1, 2, 1000), range(200), range(8)))
    assert len({noise_seed(*place) for place in places}) == len(places)
    first, second = (torch.Generator().manual_seed(noise_seed(3, 7, rank)) for rank in (0, 1))
    assert not torch.equal(torch.rand(9, generator=first), torch.rand(9, generator=second))


def test_the_first_process_draws_what_it_always_drew():
    """The measured results of the benchmarks rest on these numbers."""
    assert noise_seed(0, 0, 0) == 0x5EA3 << 20
    assert noise_seed(2, 5, 0) == (2 << 32) ^ (0x5EA3 << 20) ^ 5
