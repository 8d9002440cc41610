"""Small pictures of cars in eight body styles: flat faces, lit by the sun and painted in perspective.

Everything is a prism, a side view stretched across the car: the body up to the belt line (the windows' lower edge), the
cabin of glass, the wheels; lamps, doors, roof and pillars are thin ones, painted over these. Faces that look away from
the camera are left out. What is left needs no sorting: body and cabin are convex, and to a camera above the belt line
the cabin can hide the body, never the other way round, so it comes later.

A seed gives the same scene at any size, for no random number depends on it, and the same pixels on every machine: there
is no matrix product (BLAS adds in an order of its own), and places are rounded to six decimals before they are pixels.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# In metres (x forward from the middle, y to the left, z up from the ground): x of nose, windscreen's foot, roof's front
# and rear, rear window's foot, axles; z of the body's lower edge, bonnet's front, belt line, tail, roof; radius of
# the wheels; y of body, cabin, roof. Last, the number of windows on a side.
TABLE = np.loadtxt(Path(__file__).with_name("rendered_styles.csv"), str, delimiter=",", skiprows=1)
STYLES = {style: np.array(numbers, float) for style, *numbers in TABLE.tolist()}
BODY_STYLES = tuple(STYLES)

PAINTS = [(238, 238, 236), (188, 191, 194), (38, 39, 43), (112, 116, 120), (158, 22, 26), (32, 58, 120)]  # frequent
PAINTS += [(70, 74, 80), (196, 182, 152), (24, 66, 52), (96, 150, 190), (222, 170, 32), (204, 86, 28)]
BLACK, GLASS, RIM = (24, 24, 26), (44, 52, 62), (180, 182, 186)
SEAT, LAMP, RED_LAMP = (150, 104, 72), (228, 230, 234), (176, 18, 22)
SKIES = np.array([(196, 214, 235), (222, 226, 230), (236, 218, 198), (120, 122, 126)])
SQUARE = np.array([(1, 0, -1), (1, 0, 1), (-1, 0, 1), (-1, 0, -1)])
CIRCLE = np.array([(math.cos(angle), 0, math.sin(angle)) for angle in np.arange(16) * math.pi / 8])


def prism(colour, left):
    """A side view (k, 3), from the lower front upwards and round, stretched from y to -y: the face on the left, that on
    the right, and one from each corner to the next (of a square: front, top, rear, bottom); each with the colour."""
    right, following = left * (1, -1, 1), np.concatenate([left[1:], left[:1]])
    between = np.stack([left, following, following * (1, -1, 1), right], axis=1)
    return [(face, colour) for face in (left[::-1], right, *between)]


def build(style, car, paint, ground):
    """Yield the faces of a shadow and a car, with their colours, in the order of painting."""
    nose, foot, front, rear, end, *axles, low, bonnet, belt, deck, roof, wheel, side, waist, top, windows = car
    for grown in np.linspace(0.4, 0, 7):
        yield SQUARE[:, [0, 2, 1]] * (nose + grown, side + grown, 0), (0.4 + grown) * ground
    for x in axles:  # from wheel to wheel: it is dark down there
        yield from prism(BLACK, (x, 0.9 * side, wheel) + wheel * CIRCLE)
    x = nose, nose, 0.93 * nose, foot, end, -nose, -nose
    y = 0.9 * side, 0.85 * side, 0.9 * side, side, side, 0.9 * side, 0.9 * side
    yield from prism(paint, np.array([x, y, (low, bonnet - 0.12, bonnet, belt, belt, deck, low)]).T)
    for face, x, z, lamp, middle in (2, nose, bonnet - 0.24, LAMP, BLACK), (4, -nose, deck - 0.16, RED_LAMP, paint):
        yield prism(lamp, (x, 0.84 * side, z) + (0, 0, 0.09) * SQUARE)[face]
        yield prism(middle, (x, 0.5 * side, z) + (0, 0, 0.09) * SQUARE)[face]
        yield prism(BLACK, (x, 0.9 * side, low + 0.1) + (0, 0, 0.08) * SQUARE)[face]  # the bumper
    for x in foot, (foot + end) / 2, end:  # the doors' edges
        yield from prism(BLACK, (x, side, (low + belt) / 2) + (0.015, 0, 0.4 * (belt - low)) * SQUARE)[:2]

    cabin = np.array([(foot, waist, belt), (front, top, roof), (rear, top, roof), (end, waist, belt)])
    if style == "pickup":
        yield prism(BLACK, ((end - nose) / 2, 0.8 * side, deck) + ((end + nose) / 2 - 0.1, 0, 0) * SQUARE)[3]
    if style == "convertible":
        yield prism(BLACK, cabin[[0, 0, 3, 3]])[3]
        yield from prism(GLASS, cabin[[0, 1, 1, 0]] + (0.03, 0, 0) * SQUARE)
        for x in 0.55 * foot + 0.45 * end, 0.1 * foot + 0.9 * end:  # to be seen through the glass too
            yield from prism(SEAT, (x, 0.6 * side, belt + 0.1) + (0.08, 0, 0.1) * SQUARE)
    else:
        yield from prism(GLASS, cabin)
        yield from prism(paint, 0.12 * cabin + 0.88 * cabin[[1, 1, 2, 2]])  # the roof
        for share in np.linspace(0, 1, round(windows) + 1):
            pillar = (1 - share) * cabin[[0, 1, 1, 0]] + share * cabin[[3, 2, 2, 3]]
            yield from prism(paint, pillar + (0.035, 0, 0) * SQUARE)[:2]
    for x in axles:
        for radius, colour in (wheel, BLACK), (0.66 * wheel, RIM), (0.2 * wheel, BLACK):
            yield from prism(colour, (x, side, wheel) + radius * CIRCLE)[:2]


def photograph(faces, length, rng):
    """Each face's corners in a picture (k, 2), as fractions of its side; how light it is; whether it can be seen."""
    azimuth, tilt = math.radians(25 + 130 * rng.random() + 180 * rng.integers(2)), math.radians(5 + 10 * rng.random())
    cos, sin, near, rise = math.cos(azimuth), math.sin(azimuth), math.cos(tilt), math.sin(tilt)
    distance, zoom = 2.3 + 0.9 * rng.random(), 0.64 + 0.2 * rng.random()
    camera = length * distance * np.array((near * cos, near * sin, rise)) + (0, 0, 0.6)
    x, y, z = (camera - np.concatenate(faces)).T
    inward, across = cos * x + sin * y, sin * x - cos * y
    scale = zoom * distance / (near * inward + rise * z)
    places = np.stack([scale * across, scale * (near * z - rise * inward)], axis=1)
    places += 0.42 + 0.16 * rng.random(), 0.37 + 0.26 * rng.random()

    first, second, last = (np.array([face[corner] for face in faces]) for corner in (0, 1, -1))
    normals = np.cross(second - first, last - first)
    normals /= np.sqrt((normals**2).sum(1))[:, None]
    light = 0.65 + 0.4 * (normals * (1.2 * rng.random() - 0.6, 1.2 * rng.random() - 0.6, 0.8)).sum(1)
    corners = np.split(places, np.cumsum([len(face) for face in faces]))
    return corners, light, (normals * (camera - first)).sum(1) > 0


def render(body_style: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture (size, size, 3), uint8, of one car of the given body style."""
    if body_style not in BODY_STYLES:
        raise ValueError(f"body_style must be one of {', '.join(BODY_STYLES)}, not {body_style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16, not {size}")

    car = STYLES[body_style] * (0.97 + 0.06 * rng.random(17))  # neighbouring styles nearly meet
    paint = PAINTS[int(len(PAINTS) * rng.random() ** 1.9)] + 28 * rng.random(3) - 14
    sky, ground = SKIES[rng.integers(4)] * (0.8 + 0.2 * rng.random()), 70 + 130 * rng.random() + 16 * rng.random(3)
    faces, colours = zip(*build(body_style, car, paint, ground), strict=True)
    polygons, light, seen = photograph(faces, 2 * car[0], rng)

    side = 2 * size  # to be halved in the end
    horizon = side * max(0, polygons[0][:, 1].min()) * (0.4 + 0.6 * rng.random())
    pixels = np.full((side, side, 3), sky, np.uint8)
    for left, wide, upper, tone in rng.random((rng.integers(5), 4)) * (side, 0.4 * side, horizon, 255):
        pixels[round(upper) :, round(left) : round(left + wide)] = (sky + tone) / 2  # a building
    pixels[round(horizon) :] = ground
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    colours = np.rint(light[:, None] * colours).clip(0, 255).astype(int).tolist()
    for face in np.flatnonzero(seen):
        corners = np.rint((side * polygons[face]).round(6)).astype(int)
        draw.polygon(corners.ravel().tolist(), fill=tuple(colours[face]))

    contrast, brightness = 0.85 + 0.25 * rng.random(), np.linspace(*(50 * rng.random(2) - 25), size)[:, None, None]
    noise = np.frombuffer(rng.bytes(3 * size * size), np.int8).reshape(size, size, 3) >> 5
    return np.rint(contrast * np.asarray(image.reduce(2)) + brightness + noise).clip(0, 255).astype(np.uint8)


def render_dataset(count: int, size: int, seed: int):
    """Yield pictures (size, size, 3), uint8, and their labels; each depends on seed and its index only."""
    for index in range(count):
        label = index % len(BODY_STYLES)
        yield render(BODY_STYLES[label], np.random.default_rng((seed, index)), size), label
