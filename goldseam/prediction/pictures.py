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
LEGEND_TEXT, LEGEND_LINE, GAP = 13, 20, 8
BAR_HEIGHT = 12


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


def _category_legend(task: Task, shown: list[int], width: int) -> Array:
    """Color and name of each category that is in the drawing, in as many lines as they need."""
    face = font(LEGEND_TEXT)
    colors = category_colors(len(task.categories)).tolist()
    places: list[tuple[int, int, int]] = []
    x, line = GAP, 0
    for category in shown:
        needed = LEGEND_TEXT + 5 + round(face.getlength(task.categories[category])) + 2 * GAP
        if x > GAP and x + needed > width:
            x, line = GAP, line + 1
        places.append((category, x, line))
        x += needed
    picture = Image.new("RGB", (width, (line + 1) * LEGEND_LINE + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for category, left, line_number in places:
        top = GAP // 2 + line_number * LEGEND_LINE
        square = (left, top + 3, left + LEGEND_TEXT - 1, top + 2 + LEGEND_TEXT)
        draw.rectangle(square, fill=tuple(colors[category]))
        text = (left + LEGEND_TEXT + 5, top + 1)
        draw.text(text, task.categories[category], font=face, fill=INK)
    return np.array(picture)


def _value_legend(task: Task, limits: tuple[float, float], width: int) -> Array:
    """The color scale with its two ends and its middle in the task's unit."""
    picture = Image.new("RGB", (width, BAR_HEIGHT + LEGEND_LINE + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    ramp = value_colors()[np.linspace(0, 255, max(width - 2 * GAP, 1)).round().astype(int)]
    bar_HW3 = np.repeat(ramp[None], BAR_HEIGHT, axis=0)
    picture.paste(Image.fromarray(bar_HW3), (GAP, GAP))
    low, high = limits
    below = GAP + BAR_HEIGHT + 3
    face = font(LEGEND_TEXT)
    draw.text((GAP, below), f"{low:.3g} {task.unit}", font=face, fill=INK, anchor="la")
    middle = f"{(low + high) / 2:.3g}"
    draw.text((width / 2, below), middle, font=face, fill=INK, anchor="ma")
    draw.text((width - GAP, below), f"{high:.3g} {task.unit}", font=face, fill=INK, anchor="ra")
    return np.array(picture)
