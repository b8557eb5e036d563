"""What closet shows: categories of items, how big and how frequent they are, and colors.

C categories, in the order of the photos' labels; K colors.
"""

import numpy as np

# name; words of a caption, `{}` for the color; size beside the largest; how often it is drawn.
# Frequencies differ so that a dataset has common and rare tags.
_TABLE: tuple[tuple[str, str, float, float], ...] = (
    ("t_shirt", "{} t-shirt", 0.90, 1.6),
    ("trousers", "{} trousers", 1.00, 1.2),
    ("pullover", "{} pullover", 0.95, 0.8),
    ("dress", "{} dress", 1.05, 0.6),
    ("coat", "{} coat", 1.05, 0.7),
    ("sandal", "{} sandal", 0.60, 0.5),
    ("shirt", "{} shirt", 0.90, 1.3),
    ("sneaker", "{} sneaker", 0.60, 1.8),
    ("bag", "{} bag", 0.75, 1.0),
    ("boot", "{} boot", 0.70, 0.5),
)
CATEGORIES = tuple(row[0] for row in _TABLE)
PHRASES = tuple(row[1] for row in _TABLE)
PLURAL = frozenset({CATEGORIES.index("trousers")})  # said without an article
SIZE_C = np.array([row[2] for row in _TABLE])
FREQUENCY_C = np.array([row[3] for row in _TABLE]) / sum(row[3] for row in _TABLE)

# what is worn together: each category's partner, so that tags are correlated
_PARTNERS = {
    "t_shirt": "sneaker",
    "trousers": "shirt",
    "pullover": "trousers",
    "dress": "sandal",
    "coat": "boot",
    "sandal": "dress",
    "shirt": "trousers",
    "sneaker": "t_shirt",
    "bag": "coat",
    "boot": "coat",
}
PARTNER_C = np.array([CATEGORIES.index(_PARTNERS[name]) for name in CATEGORIES])

_COLORS: dict[str, tuple[int, int, int]] = {
    "red": (205, 45, 45),
    "orange": (235, 135, 40),
    "yellow": (235, 215, 70),
    "green": (60, 150, 70),
    "blue": (55, 90, 200),
    "purple": (135, 70, 170),
    "brown": (130, 85, 50),
    "gray": (170, 170, 170),
}
COLORS = tuple(_COLORS)
COLOR_K3 = np.array(list(_COLORS.values()), np.float32)
