"""Predictions as drawings that a person reads at a glance, each with its legend.

H and W pixels of the drawing.
"""

import numpy as np
from PIL import Image, ImageDraw

from goldseam.dataset.codecs import Array
from goldseam.dataset.drawing import (
    INK,
    PAPER,
    category_colors,
    draw_label,
    enlarge,
    font,
    value_colors,
)
from goldseam.dataset.schema import Kind, Task

SMALLEST_SIDE = 256
# px of a legend's text; drawings that are wider than 780 px get a larger one
SMALLEST_TEXT, TEXTS_ACROSS = 13, 60


def draw_prediction(task: Task, array: Array) -> Array:
    """Draw one dense prediction.

    Args:
        task: what it means.
        array: segmentation: ids `H W`; boundary, saliency: probabilities `H W`; regression: values
            `H W`; normals: unit vectors `3 H W`.

    Returns:
        `uint8 [H', W', 3]`: the drawing, small ones enlarged, with the names of the colors below.
    """
    height, width = array.shape[-2:]
    scale = max(1, SMALLEST_SIDE // max(height, width))
    if task.kind in (Kind.BOUNDARY, Kind.SALIENCY):
        gray_HW = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
        return enlarge(np.repeat(gray_HW[:, :, None], 3, axis=2), scale)
    blank_HW3 = np.zeros((height, width, 3), np.uint8)
    drawn_HW3 = draw_label(task, array, blank_HW3, scale=scale)
    if task.kind is Kind.SEGMENTATION:
        shown = np.unique(array).tolist()
        return np.concatenate([drawn_HW3, _category_legend(task, shown, drawn_HW3.shape[1])])
    if task.kind is Kind.REGRESSION:
        limits = (float(array.min()), float(array.max()))
        return np.concatenate([drawn_HW3, _value_legend(task, limits, drawn_HW3.shape[1])])
    return drawn_HW3


def _text_px(width: int) -> int:
    return max(SMALLEST_TEXT, width // TEXTS_ACROSS)


def _category_legend(task: Task, shown: list[int], width: int) -> Array:
    """Color and name of each category that is in the drawing, in as many lines as they need."""
    text = _text_px(width)
    line, gap = text * 3 // 2, text * 2 // 3
    face = font(text)
    colors = category_colors(len(task.categories)).tolist()
    places: list[tuple[int, int, int]] = []
    x, y = gap, gap // 2
    for category in shown:
        needed = text + gap // 2 + round(face.getlength(task.categories[category])) + 2 * gap
        if x > gap and x + needed > width:
            x, y = gap, y + line
        places.append((category, x, y))
        x += needed
    picture = Image.new("RGB", (width, y + line + gap // 2), PAPER)
    draw = ImageDraw.Draw(picture)
    for category, left, top in places:
        square = (left, top + text // 5, left + text - 1, top + text // 5 + text - 1)
        draw.rectangle(square, fill=tuple(colors[category]))
        name = task.categories[category]
        draw.text((left + text + gap // 2, top), name, font=face, fill=INK)
    return np.array(picture)


def _value_legend(task: Task, limits: tuple[float, float], width: int) -> Array:
    """The color scale with its two ends and its middle in the task's unit."""
    text = _text_px(width)
    gap = text * 2 // 3
    picture = Image.new("RGB", (width, text + text * 3 // 2 + 2 * gap), PAPER)
    draw = ImageDraw.Draw(picture)
    ramp = value_colors()[np.linspace(0, 255, max(width - 2 * gap, 1)).round().astype(int)]
    picture.paste(Image.fromarray(np.repeat(ramp[None], text, axis=0)), (gap, gap))
    low, high = limits
    below = gap + text + gap // 3
    face = font(text)
    draw.text((gap, below), f"{low:.3g} {task.unit}", font=face, fill=INK, anchor="la")
    middle = f"{(low + high) / 2:.3g}"
    draw.text((width / 2, below), middle, font=face, fill=INK, anchor="ma")
    draw.text((width - gap, below), f"{high:.3g} {task.unit}", font=face, fill=INK, anchor="ra")
    return np.array(picture)
