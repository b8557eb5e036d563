"""The picture that a camera takes: textures, a light with soft shadows, ambient light, a sensor.

Shapes: S samples, H = W the picture's size. Light is linear until the sensor's gamma of 2.2.
"""

import numpy as np

from goldseam.dataset.examples.rooms.camera import Camera, pixel_centers
from goldseam.dataset.examples.rooms.models import TEXTURE_PX, Array
from goldseam.dataset.examples.rooms.surfaces import SURFACE_PX, Surface, linear
from goldseam.dataset.examples.rooms.tracing import MISS, SIDES, Hits, Scene

SAMPLES = 2  # a side of a pixel
CHUNK = 4096  # pixels at a time, so that what is computed of them stays in the processor's cache
LIGHT_RADIUS_M = 0.12
OPEN_M = 0.6  # a surface is darker where something is nearer than this
DARKEST = 0.05  # share of the ambient light in a room whose lamp is shut away
REACHED = 0.15  # share of a view that the lamp has to reach for all of it
OFFSET_M = 2e-3  # a shadow ray starts off the surface, else the surface would shade itself
MEAN = 0.5  # what the exposure aims at, in stored values
GAIN = (0.7, 1.8)  # a camera cannot make a dark room bright


def photograph(
    scene: Scene, camera: Camera, size: int, texture_T: Array, random: np.random.Generator
) -> Array:
    """Take a picture.

    Args:
        scene: the room.
        camera: where from.
        size: of the picture, px.
        texture_T: the library's textures.
        random: of the light's samples, the exposure and the sensor's noise.

    Returns:
        uint8 HW3.
    """
    x_P, y_P = pixel_centers(size)
    place = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * 2 / size
    aside, above = (shift.ravel() for shift in np.meshgrid(place, place))
    direct_P3 = np.zeros((size**2, 3), np.float32)
    around_P3 = np.zeros((size**2, 3), np.float32)
    reached = 0
    for start in range(0, size**2, CHUNK):
        pixels = slice(start, start + CHUNK)
        x_S = (x_P[pixels, None] + aside).ravel()
        y_S = (y_P[pixels, None] + above).ravel()
        origin_S3, direction_S3 = camera.rays(x_S, y_S)
        hits = scene.tracer.first(origin_S3, direction_S3)
        point_S3 = origin_S3 + hits.depth_R[:, None] * direction_S3
        point_S3[hits.face_R == MISS] = 0.0
        direct_S3, around_S3, free_S = _radiance(scene, hits, point_S3, texture_T, random)
        for light_S3, light_P3 in ((direct_S3, direct_P3), (around_S3, around_P3)):
            light_S3[hits.face_R == MISS] = 0.0
            light_P3[pixels] = light_S3.reshape(-1, SAMPLES**2, 3).mean(axis=1)
        reached += int(free_S.sum())
    # ambient light is the lamp's light thrown back by the room: there is none where none arrives
    share = reached / (size * SAMPLES) ** 2
    around_P3 *= min(1.0, DARKEST + share / REACHED)
    return _expose((direct_P3 + around_P3).reshape(size, size, 3), random)


def _radiance(
    scene: Scene, hits: Hits, point_S3: Array, texture_T: Array, random: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Light that comes back along each ray: from the lamp, from all around; and who sees the lamp.

    What a surface shines by itself counts as the lamp's.
    """
    room = scene.room
    instance_S = scene.instance_F[hits.face_R]
    albedo_S3 = _albedo(scene, hits, instance_S, point_S3, texture_T)
    normal_S3 = _shading_normals(scene, hits, instance_S)
    start_S3 = point_S3 + OFFSET_M * hits.normal_R3
    lamp_S3 = room.light + LIGHT_RADIUS_M * _directions(random, len(point_S3))
    to_lamp_S3 = (lamp_S3 - start_S3).astype(np.float32)
    free_S = ~scene.tracer.met(start_S3, to_lamp_S3)
    squared_S = np.einsum("ij,ij->i", to_lamp_S3, to_lamp_S3)
    cosine_S = np.einsum("ij,ij->i", normal_S3, to_lamp_S3) / np.sqrt(squared_S + 1e-9)
    # falls with the square of the distance, and is finite beside the lamp
    lamp_S = (1 - room.ambient) * np.maximum(cosine_S, 0) * free_S * 5 / (1 + squared_S)
    near_S3 = OPEN_M * (hits.normal_R3 + np.float32(0.95) * _directions(random, len(point_S3)))
    open_S = ~scene.tracer.met(start_S3, near_S3)
    around_S = room.ambient * (0.5 + 0.5 * open_S) * (0.8 + 0.2 * normal_S3[:, 1])
    glow_S = np.float32(1.2) * scene.glow_F[hits.face_R]
    direct_S3 = albedo_S3 * (lamp_S[:, None] * room.light_color + glow_S[:, None])
    around_S3 = albedo_S3 * around_S[:, None] * room.light_color
    return direct_S3.astype(np.float32), around_S3.astype(np.float32), free_S


def _directions(random: np.random.Generator, count: int) -> Array:
    """Unit vectors, uniform on the sphere; those of a pixel's samples are spread evenly over it."""
    per_pixel = SAMPLES**2
    turn_S, rise_S = random.random((2, count // per_pixel, per_pixel), np.float32)
    order = np.arange(per_pixel, dtype=np.float32)
    # each sample has a slice of heights and a slice of azimuths of its own
    height_S = (
        (order * 2 % per_pixel + order * 2 // per_pixel + rise_S) / per_pixel * 2 - 1
    ).ravel()
    azimuth_S = ((order + turn_S) * np.float32(2 * np.pi / per_pixel)).ravel()
    radius_S = np.sqrt(np.maximum(1 - height_S**2, 0))
    return np.stack([radius_S * np.cos(azimuth_S), height_S, radius_S * np.sin(azimuth_S)], axis=1)


def _shading_normals(scene: Scene, hits: Hits, instance_S: Array) -> Array:
    """Smooth normals of pieces, on the viewer's side; else the triangle's own."""
    rows = np.flatnonzero(instance_S >= len(SIDES))
    flat_N3 = hits.normal_R3[rows]
    corner_N33 = scene.normal_F33[hits.face_R[rows]]
    local_N3 = np.einsum("si,sij->sj", hits.weight_R3[rows], corner_N33)
    smooth_N3 = np.einsum("sij,sj->si", scene.rotation_I33[instance_S[rows]], local_N3)
    length_N1 = np.sqrt(np.einsum("ij,ij->i", smooth_N3, smooth_N3))[:, None]
    smooth_N3 /= np.maximum(length_N1, 1e-6)
    facing_N1 = np.einsum("ij,ij->i", smooth_N3, flat_N3)[:, None]
    # a smooth normal far from the triangle's own comes from a mesh that does not hang together
    usable_N1 = (np.abs(facing_N1) > 0.3) & (length_N1 > 1e-3)
    normal_S3 = hits.normal_R3.copy()
    normal_S3[rows] = np.where(usable_N1, smooth_N3 * np.sign(facing_N1), flat_N3)
    return normal_S3


def _albedo(
    scene: Scene, hits: Hits, instance_S: Array, point_S3: Array, texture_T: Array
) -> Array:
    """Share of each color that the surface gives back."""
    room = scene.room
    albedo_S3 = np.empty((len(instance_S), 3), np.float32)
    for sides, surface, axes in (
        ((0,), room.floor, [0, 2]),
        ((1,), room.ceiling, [0, 2]),
        ((2, 3), room.wall, [1, 2]),
        ((4, 5), room.wall, [1, 0]),
    ):
        rows = np.flatnonzero((instance_S >= sides[0]) & (instance_S <= sides[-1]))
        albedo_S3[rows] = _covering(surface, point_S3[rows][:, axes])
    wall_S = (instance_S > 1) & (instance_S < len(SIDES))
    albedo_S3[wall_S & (point_S3[:, 1] < room.skirting_height)] = room.skirting
    rows = np.flatnonzero(instance_S >= len(SIDES))
    face_N, weight_N3 = hits.face_R[rows], hits.weight_R3[rows]
    stored_N3 = scene.color_F3[face_N]
    texture_N = scene.texture_F[face_N]
    textured = np.flatnonzero(texture_N >= 0)
    uv_N2 = np.einsum("si,sij->sj", weight_N3[textured], scene.uv_F32[face_N[textured]])
    # the first row of a texture is its upper edge, v points upwards
    place_N2 = np.stack([1 - uv_N2[:, 1], uv_N2[:, 0]], axis=1) * TEXTURE_PX
    stored_N3[textured] = _between(texture_T, place_N2, texture_N[textured]) / 255
    # no surface is quite black or white
    albedo_S3[rows] = linear(0.04 + 0.9 * stored_N3)
    return albedo_S3


def _covering(surface: Surface, meters_S2: Array) -> Array:
    place_S2 = meters_S2 / surface.meters * SURFACE_PX
    return _between(surface.pixels_PP3[None], place_S2, np.zeros(len(place_S2), np.int64))


def _between(texture_T: Array, place_S2: Array, number_S: Array) -> Array:
    """Bilinear look-up in textures that repeat; pixel i has its center at i + 0.5."""
    side = texture_T.shape[1]
    pixels_Q3 = texture_T.reshape(-1, 3)
    shifted_S2 = place_S2 - np.float32(0.5)
    low_S2 = np.floor(shifted_S2)
    part_S2 = (shifted_S2 - low_S2).astype(np.float32)
    first_S2 = low_S2.astype(np.int64) % side
    next_S2 = (first_S2 + 1) % side
    total_S3 = np.zeros((len(place_S2), 3), np.float32)
    for row_S, down_S in ((first_S2[:, 0], 1 - part_S2[:, 0]), (next_S2[:, 0], part_S2[:, 0])):
        start_S = (number_S * side + row_S) * side
        for column_S, across_S in (
            (first_S2[:, 1], 1 - part_S2[:, 1]),
            (next_S2[:, 1], part_S2[:, 1]),
        ):
            total_S3 += pixels_Q3[start_S + column_S] * (down_S * across_S)[:, None]
    return total_S3


def _expose(light_HW3: Array, random: np.random.Generator) -> Array:
    """What the sensor stores: exposure, tint, gamma, shot and read-out noise."""
    tint = 1 + random.normal(0.0, 0.03, 3)
    brightness = max(float((light_HW3.mean() + 1e-6) ** (1 / 2.2)), 1e-3)
    gain = np.clip(MEAN / brightness, *GAIN) * np.exp(random.normal(0.0, 0.12))
    stored_HW3 = np.clip(light_HW3 * tint * gain**2.2, 0.0, None) ** (1 / 2.2)
    # highlights roll off instead of being cut
    stored_HW3 = np.where(stored_HW3 > 0.8, 1 - 0.2 * np.exp(-(stored_HW3 - 0.8) / 0.2), stored_HW3)
    strength = random.uniform(0.004, 0.016)
    noise_HW3 = random.standard_normal(stored_HW3.shape, np.float32)
    stored_HW3 += strength * (0.5 + np.sqrt(stored_HW3)) * noise_HW3
    return np.asarray(np.rint(stored_HW3.clip(0, 1) * 255), np.uint8)
