"""Small pictures of cars in eight body styles, drawn from simple three-dimensional bodies.

A car is a row of proportions, jittered, turned into four-cornered faces, shaded, and painted from back to front. Car
coordinates are metres: x forward, y to the left, z up, the origin on the ground below the middle. Picture coordinates
are fractions of its side, x to the right, y down. Random numbers are drawn without regard to the picture's size: the
same scene can be had at any size. A seed gives the same pixels on every machine. So there is no matrix product (BLAS
adds in an order of its own), and places and colours are rounded twice, before another machine's cosine tips a pixel.
"""

# Its tables of numbers stand closer than the formatter would set them:
# fmt: off
import math
from collections import namedtuple
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# The columns: eight sizes in metres (belt: the windows' lower edge; wheel: radius; nose, deck: the bonnet's front and
# the tail's upper edge), then places as fractions of the length from the nose: the cabin's windscreen foot, roof front,
# roof rear and rear window foot; axles; pillars between side windows (0: none); the ends of a load bed or cockpit
# (1, 1: none). Last, the roof's width as a fraction of the car's.
(_, *columns), *rows = np.loadtxt(Path(__file__).with_name("rendered_styles.csv"), str, delimiter=",").tolist()
Style = namedtuple("Style", columns)
STYLES = {name: np.array(cells, float) for name, *cells in rows}
BODY_STYLES = tuple(STYLES)

# Layers in painting order. From CABIN on all lies above the plane of the belt line, and so does the camera:
# the upper parts can hide the lower ones, never the other way round.
TYRES, WALLS, SEATS, BODY, BODY_DETAIL, CABIN, CABIN_DETAIL = range(7)
# A surface is red, green, blue and opacity in 0..255, gloss in 0..1. Paints: the most frequent ones first.
BLACK, GLASS, GAP = (26, 26, 28, 255, .1), (22, 27, 33, 255, .75), (14, 15, 17, 140, 0)
LAMP, RED_LAMP, PLATE = (225, 228, 232, 255, .5), (168, 18, 22, 255, .4), (225, 224, 212, 255, .1)
PAINTS = np.array([(238, 238, 236), (188, 191, 194), (38, 39, 43), (112, 116, 120), (158, 22, 26), (32, 58, 120),
                   (70, 74, 80), (196, 182, 152), (24, 66, 52), (96, 150, 190), (222, 170, 32), (204, 86, 28)])
SKIES = np.array([(196, 214, 235), (222, 226, 230), (236, 218, 198)])

# The corners of a box's sides (the last one inmost), and the outlines of a wheel's arch, tyre, rim and spokes.
SIDES = np.array([(4, 6, 7, 5), (2, 0, 1, 3), (6, 2, 3, 7), (5, 7, 3, 1), (0, 2, 6, 4), (0, 4, 5, 1)])
CIRCLE = np.exp(.15j + .1j * np.pi * np.arange(20)).view(float).reshape(20, 2)
WHEEL = np.tile([4 * [1.14], 4 * [1], 4 * [.68], [.62, .62, .217, .217]], 5)[..., None] * np.insert(CIRCLE, 1, 0, 1)

# A car's left half is made face by face: its layer, its surface, four corners (place, y, z), anticlockwise as seen from
# outside, and what part of it there is: left, right, low, high (and left and right at high, if different).


def box(layer, surface, x, y, z, inward=1):
    """Yield a box between pairs of coordinates, x (rear, front); inward=-1 shows its inner walls."""
    points = np.array([(a, b, c) for a in x for b in y for c in z])
    for side in SIDES if y[0] else SIDES[:5]:  # nothing divides a box that spans both halves
        yield layer, surface, points[side[::inward]], 0, 1, 0, 1


def loft(layer, surface, rings, start=1, stop=1):
    """Yield the skin over cross-sections (n, k, 3), each from low to high, open on top from start to stop."""
    for a, b in pairwise([rings[0] * (1, 0, 1), *rings, rings[-1] * (1, 0, 1)]):
        uncovered = start <= a[0, 0] < b[0, 0] <= stop
        for corners in np.stack([a[:-1], b[:-1], b[1:], a[1:]], 1)[:-1 if uncovered else None]:
            yield layer, surface, corners, 0, 1, 0, 1


def build_body(style, paint, rng):
    """Yield all that lies below the belt line, and the mirrors."""
    foot, end, belt, nose, deck = style.foot, style.end, style.belt, style.nose, min(style.deck, style.belt)
    boxy, opening = .96 if style.height > 1.6 else .85, (style.open_from, style.open_to)
    x = np.unique((0, .03, .09, .16, foot, end, .88, .965, 1, *opening))[:, None]
    widths = np.interp(x, (0, .03, .09, .16, .88, .965, 1), (.76, .9, .975, 1, 1, .5 + boxy / 2, boxy))
    y = widths * (style.width / 2 * np.array((.94, 1, .975, .86, 0)))  # sill, waist, shoulder, deck's edge, middle
    sills = style.clearance + np.interp(x, (0, .05, .95, 1), (.06, 0, 0, .07))
    tops = np.interp(x, (0, .03, .1, foot, end, .97, 1),
                     (nose - .12, nose - .03, nose * .65 + belt * .35, belt, belt, deck, deck - .05))
    rings = np.stack(np.broadcast_arrays(x, y, sills + (tops - sills) * (0, .5, .88, 1, 1)), -1)
    yield from loft(BODY, paint, rings, *opening)

    grille, lamp, rear_lamp, rear_width, dark, darker = rng.uniform((.32, .5, .5, .24, 0, 0), (.6, .66, .68, .52, 1, 1))
    skirt = BLACK if dark < (.8 if style.clearance > .24 else .15) else paint
    bumper = BLACK if darker < .3 else skirt
    (a, b), (c, d), (p, q) = rings[:2], rings[-2:], rings[np.searchsorted(x[:, 0], (foot, .88))]
    nose, tail = (a[0] * (1, 0, 1), a[0], a[3], a[4]), (d[0], d[0] * (1, 0, 1), d[4], d[3])
    for detail in ((bumper, nose, 0, 1.02, 0, .3), (BLACK, nose, 0, .6, .04, .2), (PLATE, nose, 0, .24, .3, .43),
                   (BLACK, nose, 0, grille, lamp - .05, .92), (LAMP, nose, grille + .06, grille + .34, lamp, .9),
                   (LAMP, (a[1], b[1], b[2], a[2]), 0, .95, .15, .95), (bumper, tail, -.02, 1, 0, .3),
                   (BLACK, tail, .04, 1, .36, .375), (PLATE, tail, .74, 1, .5, .66),
                   (RED_LAMP, tail, 0, rear_width, rear_lamp, .93),
                   (RED_LAMP, (c[1], d[1], d[2], c[2]), .2, 1, .2, .97)):
        yield BODY_DETAIL, *detail
    for a, b in pairwise(rings) if skirt is BLACK else ():
        yield BODY_DETAIL, BLACK, (a[0], b[0], b[1], a[1]), 0, 1, 0, .4
    for door in filter(None, (foot + .03, style.pillar, style.rear_pillar, (end < .6) * (end - .01))):
        u = (door - foot) / (.88 - foot)
        yield BODY_DETAIL, GAP, (p[0], q[0], q[1], p[1]), u - .004, u + .004, .4, 1
        yield BODY_DETAIL, GAP, (p[1], q[1], q[2], p[2]), u - .004, u + .004, 0, .88

    y, reach = .43 * style.width, .5 * style.wheel / style.length
    for axle in style.front_axle, style.rear_axle:  # the tyres' treads, between the discs that end them
        yield from box(TYRES, BLACK, (axle + reach, axle - reach), (1.14 * y - .22, 1.14 * y), (.04, .5))
    yield from box(CABIN, paint, (foot + .075, foot + .04), (y, 1.25 * y), (belt + .03, belt + .16))
    if opening != (1, 1):
        yield from box(WALLS, (44, 41, 39, 255, 0), opening[::-1], (0, y), (belt - .45, deck), -1)


def build_top(style, paint, rng):
    """Yield the roof, its pillars and the windows, or a convertible's seats, folded top and windscreen."""
    foot, front, rear, end, belt, height = style.foot, style.front, style.rear, style.end, style.belt, style.height
    base, wide = .43 * style.width, style.roof_width * style.width / 2
    if style.open_from < end:  # a convertible
        leather = ((206, 190, 160, 255, 0), (110, 36, 30, 255, 0), (168, 122, 82, 255, 0))[rng.integers(3)]
        for x in style.open_from + .16, style.open_to - .05:
            for layer, low, high, y in (SEATS, -.4, 0, .27), (CABIN, 0, .12, .25), (CABIN, .13, .26, .14):
                yield from box(layer, leather, (x + .02, x - .01), (.37 - y, .37 + y), (belt + low, belt + high))
        folded = style.open_to + .065, style.open_to + .005
        yield from box(CABIN, BLACK, folded, (0, .4 * style.width), (belt - .02, belt + .06))
        a, b, c, d = (foot, 0, belt), (foot, base, belt), (front, wide, height), (front, 0, height)
        for surface, left, low in ((120, 135, 150, 90, .5), 0, 0), (paint, .9, 0), (paint, 0, .9):
            yield CABIN, surface, (a, b, c, d), left, 1, low, 1
            yield CABIN, surface, (b, a, d, c), 0, 1 - left, low, 1  # the same from behind
        return

    arch = .05 * rng.random()
    roof = [((front + rear + (rear - front) * bend) / 2, wide * (1 - .03 * bend * bend),
             height - (.05 + arch * (bend > 0)) * bend * bend) for bend in (-1, -.5, 0, .5, 1)]
    a, b, *_, c, d = rings = np.array([[(x, base, belt), (x, y, max(belt, z - .06)), (x, .86 * y, z), (x, 0, z)]
                                       for x, y, z in ((foot, base, belt), *roof, (end, base, belt))])
    yield from loft(CABIN, paint, rings)
    yield CABIN_DETAIL, GLASS, (a[3], a[2], b[2], b[3]), 0, 1.09, .04, .96
    yield CABIN_DETAIL, GLASS, (d[2], d[3], c[3], c[2]), -.04, 1, .3 if height > 1.6 else .12, .93
    # Pillars stand upright in slanting sides: their fractions differ along the lower and the upper edge.
    edges = [(foot + .035, front + .015), (style.pillar, style.pillar), (style.rear_pillar, style.rear_pillar),
             (min(end - .035, rear + .06 + .06 * rng.random()), rear - .015)]
    edges = [((low - foot) / (end - foot), min(.93, (high - front) / (rear - front))) for low, high in edges if low]
    if height > 1.95 and rng.random() < .4:
        edges = edges[:2]  # a panel van
    panes = [(GLASS, .012, *pair) for pair in pairwise(edges)]
    for surface, gap, left, right in [(BLACK if rng.random() < .5 else paint, 0, edges[0], edges[-1]), *panes]:
        part = left[0] + gap, right[0] - gap, .09, .93, left[1] + gap, right[1] - gap
        yield CABIN_DETAIL, surface, (a[0], d[0], c[1], b[1]), *part


def aim(style, faces, rng):
    """Return a camera's place (3,) and the projection of points (..., 3) into the picture (..., 2)."""
    favoured = (45, -45, 45, -45, 130, -130)[rng.integers(6)] + 7 * rng.standard_normal()
    anywhere, rise, away, share, *aside = rng.uniform((-180, 0, 2.3, .78, -.45, -.45), (180, 1, 3.2, .95, .45, .45))
    azimuth = math.radians(favoured if rng.random() < .92 else anywhere)
    elevation, distance = math.radians(5 + 10 * rise * rise), away * style.length
    ahead, middle, near = (-math.cos(azimuth), -math.sin(azimuth)), .45 * style.height, distance * math.cos(elevation)
    z = max(middle + distance * math.sin(elevation), style.belt + .25)  # the layers rely on it
    place, above, far = np.array([-near * ahead[0], -near * ahead[1], z]), z - middle, math.hypot(near, z - middle)

    def project(points):
        x, y, z = (points - place).T
        inward, right = ahead[0] * x + ahead[1] * y, ahead[1] * x - ahead[0] * y
        depth = np.maximum(near * inward - above * z, .3 * far)
        return np.array([far * right / depth, -(near * z + above * inward) / depth]).T

    low, high = project(faces).min((0, 1)), project(faces).max((0, 1))
    scale = share / (high - low).max()  # the car fills most of the picture
    spare = 1 - (high - low) * scale
    shift = spare / 2 + aside * spare.clip(0, .4) - low * scale
    return place, lambda points: project(points) * scale + shift


def fill(draw, shapes, colours):
    """Paint polygons (n, k, 2) or boxes (n, 4: left, top, right, bottom), in colours (n, 3 or 4)."""
    shapes = np.rint((np.asarray(shapes) * draw.im.size[0]).round(6)).astype(int)
    shapes = shapes[:, [0, 1, 2, 1, 2, 3, 0, 3]] if shapes.ndim == 2 else shapes.reshape(len(shapes), -1)
    colours = np.rint(np.asarray(colours).round(6)).clip(0, 255).astype(int)
    for corners, colour in zip(shapes.tolist(), colours.tolist(), strict=True):
        draw.polygon(corners, fill=tuple(colour))


def paint_bush(draw, x, y, reach, rng):
    """Paint foliage round a point."""
    across, along, wide, tone = rng.random((4, 7))
    middles = np.stack([1.4 * across - .7, along - .5], -1)
    leaves = (x, y) + reach * (middles[:, None] + (.25 + .3 * wide)[:, None, None] * CIRCLE)
    fill(draw, leaves, ((36, 62, 26) + 24 * rng.random(3)) * (.75 + .45 * tone)[:, None])


def render(body_style: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture (size, size, 3), uint8, of one car of the given body style."""
    if body_style not in BODY_STYLES:
        raise ValueError(f"body_style must be one of {', '.join(BODY_STYLES)}, not {body_style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16, not {size}")

    # The car. Its proportions move at random, by enough for neighbouring styles to meet.
    sizes, places, others = np.split(STYLES[body_style], (8, 14))
    sizes = sizes * (1 + (.05, .02, .025, .025, .1, .05, .03, .02) * (2 * rng.random(8) - 1))
    places = np.minimum(places + .012 * (2 * rng.random(6) - 1), (1, 1, .956, .968, 1, 1))
    style = Style(*sizes.tolist(), *places.tolist(), *others.tolist())
    colour = PAINTS[int(len(PAINTS) * rng.random() ** 1.9)] + 28 * rng.random(3) - 14
    paint = (*colour.clip(12, 245).tolist(), 255, .15 + .35 * rng.random())
    rows = [(layer, surface, corners, (*part, *part[:2])[:6]) for layer, surface, corners, *part in
            (*build_body(style, paint, rng), *build_top(style, paint, rng))]
    layers, surfaces, corners, parts = (np.array(column * 2) for column in zip(*rows, strict=True))
    u, v = parts[:, [0, 1, 5, 4]], parts[:, [2, 2, 3, 3]]
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1)
    faces = (weights[..., None] * corners[:, None]).sum(2)
    faces[..., 0] = style.length * (.5 - faces[..., 0])
    faces[len(rows):] = faces[len(rows):, ::-1] * (1, -1, 1)  # the right half

    # Camera and light. A glossy face mirrors the sky where the mirrored ray rises, the darker ground where it falls.
    eye, project = aim(style, faces, rng)
    bearing, height, ambient, clear, indoors, back = rng.uniform((0, .5, .45, .8, 0, 0), (6.283, 1.2, .75, 1.05, 1, 1))
    sun = np.array([math.cos(bearing) * math.cos(height), math.sin(bearing) * math.cos(height), math.sin(height)])
    sky, outdoors = SKIES[rng.integers(3)] * clear, indoors < .75
    views = eye - faces.sum(1) / 4
    nearness = np.where(np.isin(layers, (BODY_DETAIL, CABIN_DETAIL)), 0, -(views * views).sum(1))
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    normals, views = (v / np.sqrt((v * v).sum(1) + 1e-12)[:, None] for v in (normals, views))
    facing, upward = (normals * views).sum(1), normals[:, 2]
    light = ambient * (.82 + .18 * upward) + (1.1 - ambient) * (normals * sun).sum(1).clip(0)
    rising = 2 * facing * upward - views[:, 2]
    mirrored = np.where(rising > 0, 1, .3) * (.75 + .25 * np.abs(rising))
    share = surfaces[:, 4] * (.18 + .82 * (1 - facing.clip(0)) ** 3)
    surfaces[:, :3] = surfaces[:, :3] * (light * (1 - share))[:, None] + sky * (mirrored * share)[:, None]

    # The surroundings: walls or sky, a hedge; poles, trees and houses with windows far behind; lines on the ground.
    foot = project(-(.4 + back * (7.6 if outdoors else .8)) * eye * (1, 1, 0))[1].clip(.05, .8)
    wall, ground = np.split(np.repeat(rng.uniform((90, 70), (235, 190)), 3) + 16 * rng.random(6) - 8, 2)
    y = np.arange(2 * size)[:, None] / (2 * size - 1)  # twice the size, to be halved
    column = np.where(y < foot, (sky if outdoors else wall) * (.75 + .25 * y / foot),
                      ground * (.85 + .25 * (y - foot) / (1 - foot))).round(6).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(column[:, None]).resize((2 * size, 2 * size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image, "RGBA")
    if outdoors:
        fill(draw, [(0, foot - .12 * rng.random(), 1, foot)], [(49, 65, 37) + 50 * rng.random(3)])
    for _ in range(rng.integers(0, 4)):
        left, wide, tall, kind, r, g, b = rng.uniform((-.2, .05, .05, 0, 40, -16, -16), (1, .45, .5, 1, 215, 16, 16))
        walls = [(0, 1, 1, 0), (.1, .3, .9, .5), (.4, .6, .9, .5), (.7, .9, .9, .5)] if kind > .45 else [(0, .06, 1, 0)]
        boxes = [(left + wide * a, foot - tall * c, left + wide * b, foot - tall * d) for a, b, c, d in walls]
        fill(draw, boxes, np.outer((1, .6, .6, .6), (r, r + g, r + b))[:len(boxes)])
        if kind < .25:
            paint_bush(draw, left, foot - tall, .2, rng)
    for x, wide, turn in (rng.random((rng.integers(0, 4), 3)) * (12, .12, 2) - (6, -.08, 0)).tolist():
        line = np.array([(x, -8, 0), (x, 8, 0), (x + wide, 8, 0), (x + wide, -8, 0)])
        fill(draw, project(line[:, [[0, 1, 2], [1, 0, 2]][int(turn)]])[None], [(225, 222, 205, 130)])

    # The shadow: the car's rounded footprint, larger layers shifted farther from the sun.
    grown = np.linspace(1.2, .86, 10)[:, None, None]
    spots = np.sign(CIRCLE) * np.sqrt(np.abs(CIRCLE)) * (style.length / 2, style.width / 2) * grown
    spots -= sun[:2] * (style.height * (1.2 - ambient)) * (grown - .85)
    fill(draw, project(np.insert(spots, 2, 0, -1)), [(8, 9, 12, 30)] * 10)

    # Within each layer from far to near, details as they were made; the wheels come over the body and under the cabin.
    order = np.array([face for face in np.lexsort((nearness, layers)) if facing[face] > 0])
    lower, upper = np.split(order, [np.count_nonzero(layers[order] < CABIN)])
    wheel = style.wheel * np.add(WHEEL, (0, 0, 1))
    wheel[0, :, 2] = wheel[0, :, 2].clip(style.clearance)  # an arch ends at the sill
    discs = np.concatenate([wheel - (style.length * (axle - .5), 0, 0) for axle in (style.front_axle, style.rear_axle)])
    side = np.array((0, math.copysign(.49, eye[1]) * style.width, 0))
    tones = np.repeat((14, 27, 72, 120 + 95 * rng.random()) * 2, 3).reshape(8, 3)
    fill(draw, project(discs[[1, 5]] - .8 * side), tones[[1, 5]])
    fill(draw, project(faces[lower]), surfaces[lower, :4])
    if abs(eye[1]) > style.width / 2:
        fill(draw, project(discs + side), tones)
    fill(draw, project(faces[upper]), surfaces[upper, :4])

    occluder, left, wide, tone, high, reach, contrast, brightness = rng.uniform(
        (0, 0, .02, 50, .8, .15, .9, -12), (1, .95, .07, 200, 1, .28, 1.15, 12))
    if occluder < .08:
        fill(draw, [(left, 0, left + wide, 1)], [(tone, .96 * tone, .9 * tone)])
    elif occluder < .2:
        paint_bush(draw, left, high, reach, rng)
    levels = np.rint(((np.arange(256) - 128) * contrast + 128 + brightness).round(6)).astype(np.int16)
    noise = np.frombuffer(rng.bytes(3 * size * size), np.int8).reshape(size, size, 3) >> 5  # last: as many as pixels
    return (levels.take(image.reduce(2)) + noise).clip(0, 255).astype(np.uint8)


def render_dataset(count: int, size: int, seed: int):
    """Yield pictures (size, size, 3), uint8, and their labels; each depends on seed and its index only."""
    for index in range(count):
        label = index % len(BODY_STYLES)
        yield render(BODY_STYLES[label], np.random.default_rng((seed, index)), size), label
