"""Labels as pictures that a person can judge: masks, depths, boxes, tags, and what nobody knows.

Unknown is drawn as hatched gray, never as black or as a category's color: a whole unknown label and
the ignored or invalid pixels of a known one alike. H, W pixels; C categories.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array, Boxes
from goldseam.dataset.schema import Kind, Task

INK = (34, 32, 28)
PAPER = (250, 248, 243)
SEAM_GOLD = (240, 186, 60)
NIGHT = (38, 44, 58)
FAINT = (140, 136, 128)
# colors that people with the common kinds of color blindness tell apart; none is black or gray,
# which stand for what is unknown
DISTINCT = (
    (38, 110, 180),
    (238, 160, 30),
    (20, 150, 110),
    (205, 85, 25),
    (110, 190, 232),
    (200, 115, 165),
    (242, 226, 80),
    (100, 70, 150),
)
HATCH = ((176, 174, 170), (206, 204, 200))


def draw_label(
    task: Task,
    label: Any,
    image_HW3: Array,
    *,
    scale: int = 1,
    limits: tuple[float, float] | None = None,
) -> Array:
    """Draw one label in the size of its image.

    Args:
        task: what the label means.
        label: as `codecs.decode_label` gives it; None, the unknown label, becomes a hatched tile.
        image_HW3: uint8; boxes are drawn over it, and it gives the size.
        scale: enlargement; pixels are repeated, text and lines are drawn in the larger size.
        limits: smallest and largest value of a regression task's colors; by default those of
            the label.

    Returns:
        `uint8 [H * scale, W * scale, 3]`.
    """
    height, width = image_HW3.shape[0] * scale, image_HW3.shape[1] * scale
    if label is None:
        return unknown_tile(height, width)
    if task.kind is Kind.DETECTION:
        return _draw_boxes(task, label, enlarge(image_HW3, scale), scale)
    if task.kind is Kind.TAGS:
        return _text_tile(_tag_lines(task, label), height, width)
    if task.kind is Kind.CAPTION:
        return _text_tile([(str(label), INK)], height, width)
    if task.kind is Kind.REGRESSION:
        color_HW3, counted_HW = _color_values(label, limits)
    elif task.kind is Kind.NORMALS:
        counted_HW = np.isfinite(label).all(axis=0)
        unit_3HW = np.where(counted_HW, label, 0)
        color_HW3 = np.moveaxis(np.rint((unit_3HW + 1) * 127.5), 0, 2).clip(0, 255)
    else:
        if task.kind is Kind.SEGMENTATION:
            palette = category_colors(len(task.categories))
        else:
            palette = np.array([NIGHT, SEAM_GOLD], np.uint8)
        counted_HW = label < len(palette)
        color_HW3 = palette[np.where(counted_HW, label, 0)]
    counted_HW = enlarge(counted_HW, scale)
    hatch_HW3 = hatching(*counted_HW.shape)
    return np.where(counted_HW[:, :, None], enlarge(color_HW3.astype(np.uint8), scale), hatch_HW3)


def value_limits(value_HW: Array) -> tuple[float, float] | None:
    """Smallest and largest known value of a regression label; None where no pixel is known."""
    known = value_HW[np.isfinite(value_HW)]
    return (float(known.min()), float(known.max())) if known.size else None


def enlarge(array: Array, scale: int) -> Array:
    """Repeat each pixel `scale` times along both axes."""
    if scale == 1:
        return array
    larger: Array = array.repeat(scale, axis=0).repeat(scale, axis=1)
    return larger


def category_colors(count: int) -> Array:
    """A color for each category id: `uint8 C3`, the same for the same id in every picture."""
    colors = list(DISTINCT[:count])
    for number in range(len(colors), count):
        # steps of the golden angle never come back to a hue that was used
        hue = math.tau * (number * 0.61803398875 % 1)
        colors.append(_from_oklch((0.80, 0.55, 0.68)[number % 3], 0.13, hue))
    return np.array(colors, np.uint8).reshape(-1, 3)


def hatching(height: int, width: int, pitch: int = 8) -> Array:
    """Diagonal gray stripes: `uint8 HW3`."""
    stripe_HW = (np.arange(height)[:, None] + np.arange(width)[None]) // (pitch // 2) % 2
    hatch_HW3: Array = np.array(HATCH, np.uint8)[stripe_HW]
    return hatch_HW3


def unknown_tile(height: int, width: int, text: str = "unknown") -> Array:
    """What stands where nobody looked: `uint8 HW3`, without the text where there is no room."""
    picture = Image.fromarray(hatching(height, width))
    if font(6).getlength(text) > width - 8 or height < 12:
        return np.array(picture)
    draw = ImageDraw.Draw(picture)
    face = _fitting(text, width - 8, largest=max(8, min(height, width) // 6))
    left, top, right, bottom = draw.textbbox((width / 2, height / 2), text, font=face, anchor="mm")
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=PAPER)
    draw.text((width / 2, height / 2), text, font=face, fill=INK, anchor="mm")
    return np.array(picture)


def describe_label(task: Task, label: Any) -> str:
    """What a drawn label cannot show: the range of values, or how many boxes or tags."""
    if label is None:
        return ""
    if task.kind is Kind.REGRESSION:
        known = label[np.isfinite(label)]
        text = (
            f"{known.min():.4g} to {known.max():.4g} {task.unit}" if known.size else "all invalid"
        )
    elif task.kind is Kind.DETECTION:
        text = {0: "no boxes", 1: "1 box"}.get(len(label), f"{len(label)} boxes")
        if label.ignore_N.any():
            text += f", {int(label.ignore_N.sum())} ignored"
    elif task.kind is Kind.TAGS:
        known_count = int((np.asarray(label) != UNKNOWN).sum())
        text = f"{known_count} of {len(task.categories)} known"
    elif task.kind is Kind.SEGMENTATION:
        ids = [int(i) for i in np.unique(label) if i < len(task.categories)]
        text = ", ".join(task.categories[i] for i in ids) or "all ignored"
    else:
        text = ""
    return text


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow carries, in px."""
    return ImageFont.load_default(size=size)


@functools.cache
def value_colors() -> Array:
    """256 colors `uint8 [256, 3]`, dark violet to pale yellow, in even steps of lightness."""
    place = np.linspace(0, 1, 256)
    lightness = 0.27 + 0.68 * place
    chroma = 0.06 + 0.09 * np.sin(np.pi * np.clip(place * 0.9 + 0.1, 0, 1))
    hue = np.deg2rad(295 - 190 * place)
    return np.array(
        [_from_oklch(*lch) for lch in zip(lightness, chroma, hue, strict=True)], np.uint8
    )


def _from_oklch(lightness: float, chroma: float, hue: float) -> tuple[int, int, int]:
    """SRGB of a color in OKLCh (B. Ottosson, "A perceptual color space for image processing")."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    cone = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ cone**3
    ).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (round(float(value) * 255) for value in srgb)
    return red, green, blue


def _color_values(value_HW: Array, limits: tuple[float, float] | None) -> tuple[Array, Array]:
    counted_HW = np.isfinite(value_HW)
    low, high = limits or value_limits(value_HW) or (0.0, 1.0)
    place_HW = (np.where(counted_HW, value_HW, low) - low) / max(high - low, 1e-12)
    return value_colors()[np.rint(place_HW.clip(0, 1) * 255).astype(np.int64)], counted_HW


def _draw_boxes(task: Task, boxes: Boxes, image_HW3: Array, scale: int) -> Array:
    picture = Image.fromarray(image_HW3)
    draw = ImageDraw.Draw(picture)
    colors = category_colors(len(task.categories)).tolist()
    line = max(1, min(image_HW3.shape[:2]) // 90)
    face = font(max(9, min(image_HW3.shape[:2]) // 15))
    if not len(boxes):
        _name_on_patch(draw, (3, 3), "no boxes", face, PAPER)
    # ignored boxes first and without a name: they must not hide those that count
    for number in np.argsort(~np.asarray(boxes.ignore_N), kind="stable").tolist():
        category = int(boxes.category_N[number])
        left, top, right, bottom = (round(c * scale) for c in boxes.corners_N4[number].tolist())
        # pixel i covers [i, i + 1), so the last pixel that a box covers is one before its end
        right, bottom = max(right - 1, left), max(bottom - 1, top)
        if boxes.ignore_N[number]:
            draw.rectangle((left, top, right, bottom), outline=FAINT, width=line)
            continue
        named = 0 <= category < len(colors)
        color = tuple(colors[category]) if named else PAPER
        draw.rectangle((left, top, right, bottom), outline=color, width=line)
        name = task.categories[category] if named else f"id {category}"
        height = round(draw.textbbox((0, 0), name, font=face)[3]) + 4
        above = top - height if top >= height else bottom + 1
        _name_on_patch(draw, (left, above), name, face, color)
    return np.array(picture)


def _name_on_patch(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, face: Any, color: Any
) -> None:
    """A name on a patch of its color, kept inside the picture."""
    width, height = draw.im.size
    left, top, right, bottom = draw.textbbox((0, 0), text, font=face)
    x = max(0, min(place[0], round(width - right - 4)))
    y = max(0, min(place[1], round(height - bottom - 4)))
    draw.rectangle((x, y, x + right - left + 3, y + bottom - top + 3), fill=color)
    ink = INK if sum(color) > 330 else PAPER
    draw.text((x + 2 - left, y + 2 - top), text, font=face, fill=ink)


def _tag_lines(task: Task, state_C: Array) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [
        (f"+ {name}" if state == PRESENT else f"- {name}", INK if state == PRESENT else FAINT)
        for name, state in sorted(
            zip(task.categories, np.asarray(state_C).tolist(), strict=True),
            key=lambda pair: -pair[1],
        )
        if state != UNKNOWN
    ]
    unknown = len(task.categories) - len(lines)
    return [*lines, *([(f"? {unknown} unknown", FAINT)] if unknown else [])]


def _text_tile(lines: Sequence[tuple[str, tuple[int, int, int]]], height: int, width: int) -> Array:
    """Lines of text, wrapped, in the largest size that fits; what does not fit is counted."""
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    for size in range(max(9, min(height, width) // 9), 6, -1):
        face = font(size)
        wrapped = [(part, color) for text, color in lines for part in _wrap(text, face, width - 8)]
        step = round(size * 1.3)
        if len(wrapped) * step <= height - 6:
            break
    room = max(1, (height - 6) // step)
    if len(wrapped) > room:
        wrapped = [*wrapped[: room - 1], (f"... {len(wrapped) - room + 1} more", FAINT)]
    for number, (text, color) in enumerate(wrapped):
        draw.text((4, 3 + number * step), text, font=face, fill=color)
    return np.array(picture)


def _wrap(text: str, face: Any, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _fitting(text: str, width: float, largest: int) -> Any:
    """The font in the largest size, down to 6 px, in which a text fits."""
    for size in range(largest, 6, -1):
        if font(size).getlength(text) <= width:
            return font(size)
    return font(6)
