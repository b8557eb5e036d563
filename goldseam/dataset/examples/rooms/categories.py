"""The categories of rooms, and which names of the furniture catalogues mean which of them.

A name is matched as a whole: a desk lamp is no desk, a TV remote control no TV.
"""

import re

STRUCTURE = ("wall", "floor", "ceiling")
FURNITURE = (
    "opening",
    "table",
    "chair",
    "sofa",
    "bed",
    "storage",
    "lamp",
    "plant",
    "appliance",
)
CATEGORIES = STRUCTURE + FURNITURE
WALL, FLOOR, CEILING = range(len(STRUCTURE))

# the first that matches wins
_NAMES: tuple[tuple[str, str], ...] = (
    (
        "opening",
        (
            r"(exterior |glass |screen )?door|double door( with panes)?"
            r"|(double|triple|quadruple) (french |arched )?window.*|double-hung window"
            r"|(sliding|turn) window"
        ),
    ),
    (
        "bed",
        (
            r"((iron|day|hospital|captain's|child|bunk|baby|mezzanine) )?bed|crib|futon"
            r"|opened convertible sofa bz"
        ),
    ),
    (
        "sofa",
        (
            r"((burlap|clear|corner|rattan|winchester) )?sofa( [23] seats)?|couch|futon couch"
            r"|convertible sofa bz|((modern|rattan|winchester) )?armchair"
        ),
    ),
    (
        "chair",
        (
            r"((bar|cafe|child|children|folding|oak|osaka|plastic|ryokan|teck) )?chair"
            r"|chair with cushion|(bar )?stool"
        ),
    ),
    (
        "table",
        (
            r"((bar|black|cafe|children|coffee|desk|folding|glass|oak|rattan|round"
            r"|wooden|wooden alder|wooden teak) )?table"
            r"|desk|table on trestles|table with tablecloth"
        ),
    ),
    (
        "storage",
        (
            r"bedside table|wardrobe|cupboard|chest|dresser with drawers|tv stand|(full )?bookcase"
            r"|(vertical )?shelves|(drawers|filing|glass door|high|sink) cabinet"
            r"|(small )?(lower|upper) cabinet|upper shelves cabinet"
        ),
    ),
    (
        "lamp",
        (
            r"((ceiling|desk|little|pendant|pedestal vase) )?lamp|(hanging|wall|fluorescent) light"
            r"|chandelier lamp|fluorescent strip|wall lamp artwork|track lights"
        ),
    ),
    (
        "plant",
        (
            r"((decorative|indoor|little|spider) )?plant|bonsai tree|bamboo|christmas tree|ficus"
            r"|flowers|orchids|spathiphyllum|tulips|white lily|yucca|plant box"
        ),
    ),
    (
        "appliance",
        (
            r"(large )?fridge|(clothes )?washing machine|dryer machine|chest freezer"
            r"|(double |small )?oven|propane stove|microwave|tv|tv 16:9|wall flat tv"
            r"|apple imac (1998|2004)|laptop|inkjet printer and scanner|coffee machine|water cooler"
            r"|mini stereo|stereo amplifier"
        ),
    ),
)
_SHELVES = (
    "Bathroom",
    "Bedroom",
    "Doors and windows",
    "Kitchen",
    "Lights",
    "Living room",
    "Office",
)
_OUTDOOR_FURNITURE = r"cafe (chair|table)|rattan .*|teck chair|plant box"


def category_of(name: str, shelf: str) -> str | None:
    """Which category of `FURNITURE` a catalogue entry belongs to.

    Args:
        name: the entry's English name, as a whole.
        shelf: the part of the catalogue that it stands in, such as `Living room`.

    Returns:
        None for what is not furnished with: people, vehicles, cutlery, trees of a park.
    """
    word = name.strip().lower()
    indoors = shelf in _SHELVES or (shelf == "Exterior" and re.fullmatch(_OUTDOOR_FURNITURE, word))
    # the catalogues keep TVs and stereos under odds and ends
    if not indoors and not (shelf == "Miscellaneous" and re.fullmatch(r".*stereo.*|tv", word)):
        return None
    return next((category for category, names in _NAMES if re.fullmatch(names, word)), None)
