"""Which labels to buy, in which order: greedy by gain for the time that they cost.

Legend: N images that may be bought for, M of them that are looked at closely, U columns, B labels
bought, D numbers of an image.
"""

import dataclasses

import numpy as np

from goldseam.audit.plan.design import Design, chunks
from goldseam.audit.plan.offers import Offers
from goldseam.audit.plan.redundancy import Correction, Redundancy
from goldseam.dataset.codecs import Array

# images are looked at closely until they could use up the budget so many times
RESERVE = 3
# a bundle is bought when it is worth at least this share of the best one
NEAR_BEST = 0.95
# of the search for the best bundle; each squares its error, and single precision is soon reached
RAISES, ROUNDING = 4, np.float32(1 - 1e-6)
# bundles in a row that have become worth less before all are weighed anew
PATIENCE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Purchase:
    """Labels in the order in which they are to be bought.

    Attributes:
        row_B: positions of the images.
        column_B: of the labels.
        gain_B: expected gain of each, given those bought before.
        seconds_B: what each costs; opening an image is shared by what is bought of it at once.
    """

    row_B: Array
    column_B: Array
    gain_B: Array
    seconds_B: Array

    def __len__(self) -> int:
        return len(self.row_B)


@dataclasses.dataclass(frozen=True, eq=False)
class Market:
    """All that a purchase is made from.

    Attributes:
        offers: labels and their costs.
        look_ND: what images look like.
        design: is changed by what is bought.
        redundancy: likewise.
        correction: fixed weights.
        open_seconds: of opening an image.
    """

    offers: Offers
    look_ND: Array
    design: Design
    redundancy: Redundancy
    correction: Correction
    open_seconds: float

    def bundles(self, row_M: Array, buyable_MU: Array, opening_M: Array) -> tuple[Array, ...]:
        """Best bundle of each image on its own: gain for a second, seconds and labels; each `M`.

        Of labels that share a fixed cost, the best bundle holds those whose gain for their own
        seconds is at least that of the bundle (Dinkelbach 1967: it is raised until it stays).
        """
        seconds_U = self.offers.of_all("seconds_C").astype(np.float32)
        gain_MU = self.design.gains(self.look_ND[row_M], self.offers.information(row_M))
        gain_MU = gain_MU * self.redundancy.shares(row_M) * self.correction.weights(row_M)
        gain_MU = np.where(buyable_MU, gain_MU, 0)
        opening_M = opening_M.astype(np.float32)
        value_M = (gain_MU / (opening_M[:, None] + seconds_U)).max(axis=1)
        for _ in range(RAISES):
            kept_MU = gain_MU >= value_M[:, None] * (ROUNDING * seconds_U)
            cost_M = opening_M + kept_MU @ seconds_U
            value_M = np.einsum("mu,mu->m", gain_MU, kept_MU) / cost_M
        return value_M, cost_M, kept_MU.sum(axis=1)


class Buyer:
    """Buys labels of some images.

    Args:
        market: is used up.
        row_M: positions of the images.
    """

    def __init__(self, market: Market, row_M: Array) -> None:
        self._market = market
        self.row_M = row_M
        self._buyable_MU = market.offers.buyable(row_M)
        self._opening_M = np.full(len(row_M), market.open_seconds)
        self._seconds_U = market.offers.of_all("seconds_C")
        # what an image was worth when last looked at alone: gains only fall until it is opened
        self._cap_M = np.full(len(row_M), np.inf)
        self.bought: list[tuple[int, int, float, float]] = []
        market.redundancy.look_for_copies(row_M)

    def weigh(self) -> Array:
        """Gain for a second of each image's best bundle, given all that was bought; `M`."""
        value_M = np.empty(len(self.row_M))
        for part in chunks(len(self.row_M), 4 * len(self._seconds_U)):
            value_M[part] = self._market.bundles(
                self.row_M[part], self._buyable_MU[part], self._opening_M[part]
            )[0]
        capped_M: Array = np.minimum(value_M, self._cap_M)
        return capped_M

    def buy_best(self, place: int, least: float, left: float) -> float:
        """Buy an image's best bundle within `left` seconds if it gains `least` for a second.

        Returns:
            What it cost; 0 where it was not bought.
        """
        market, row = self._market, int(self.row_M[place])
        row_1, look_D = self.row_M[place : place + 1], market.look_ND[row].astype(np.float64)
        information_U = market.offers.information(row_1)[0].astype(np.float64)
        gain_U = market.design.gains_of(look_D, information_U)
        gain_U = gain_U * market.redundancy.shares_of(row) * market.correction.weights(row_1)[0]
        opening = float(self._opening_M[place])
        fits_U = self._buyable_MU[place] & (self._seconds_U + opening <= left)
        column_K = np.flatnonzero(fits_U & (gain_U > 0))
        density_K = gain_U[column_K] / self._seconds_U[column_K]
        column_K = column_K[np.argsort(-density_K, kind="stable")]
        cost_K = opening + self._seconds_U[column_K].cumsum()
        value_K = np.where(cost_K <= left, gain_U[column_K].cumsum() / cost_K, 0)
        best = int(value_K.argmax()) if len(column_K) else 0
        self._cap_M[place] = value_K[best] if len(column_K) else 0
        if self._cap_M[place] < least or not len(column_K):
            return 0.0
        share = opening / (best + 1)
        for column in column_K[: best + 1].tolist():
            market.design.add(column, look_D, float(information_U[column]))
            market.redundancy.buy(row, column)
            seconds = float(self._seconds_U[column]) + share
            self.bought.append((row, column, float(gain_U[column]), seconds))
        self._buyable_MU[place, column_K[: best + 1]] = False
        self._opening_M[place] = 0
        self._cap_M[place] = np.inf
        return float(cost_K[best])


def buy(market: Market, *, seconds: float, labels: int) -> Purchase:
    """Buy greedily until the time or the number of labels is used up.

    Each step takes a bundle of labels of one image that gains nearly most for its time, given all
    that was bought before. Gains hardly ever rise as labels are bought, so that all images are
    weighed anew only when those ahead have become worth less (lazy and thresholded greedy: Minoux
    1978; Badanidiyuru and Vondrak 2014). For gains with strictly diminishing returns such plans
    come close to the best one; gains of this design need not have them, so none is promised.

    Args:
        market: is used up.
        seconds: limit; infinity for none.
        labels: limit, kept to within one image's bundle.
    """
    images = len(market.look_ND)
    first_3N = np.zeros((3, images))
    for part in chunks(images, max(4 * len(market.offers.columns), market.look_ND.shape[1] ** 2)):
        row_M = np.arange(part.start, part.stop)
        opening_M = np.full(len(row_M), market.open_seconds)
        first_3N[:, part] = market.bundles(row_M, market.offers.buyable(row_M), opening_M)
    order_N = np.argsort(-first_3N[0], kind="stable")
    order_N = order_N[first_3N[0, order_N] > 0]
    _, cost_N, labels_N = first_3N[:, order_N]
    enough_N = (cost_N.cumsum() >= RESERVE * seconds) | (labels_N.cumsum() >= RESERVE * labels)
    buyer = Buyer(market, order_N[: int(enough_N.argmax()) + 1] if enough_N.any() else order_N)
    left = seconds
    while len(buyer.bought) < labels and len(buyer.row_M):
        value_M = buyer.weigh()
        least = float(value_M.max()) * NEAR_BEST
        if not least:
            break
        failed = 0
        for place in np.argsort(-value_M, kind="stable").tolist():
            if value_M[place] < least or failed == PATIENCE or len(buyer.bought) >= labels:
                break
            cost = buyer.buy_best(place, least, left)
            left -= cost
            failed = 0 if cost else failed + 1
    table = list(zip(*buyer.bought, strict=True)) if buyer.bought else [(), (), (), ()]
    return Purchase(
        np.array(table[0], np.int64),
        np.array(table[1], np.int64),
        np.array(table[2], float),
        np.array(table[3], float),
    )
