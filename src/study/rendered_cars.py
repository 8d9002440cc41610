"""Small pictures of cars in eight body styles, drawn from simple three-dimensional bodies.

A car is a row of proportions (`STYLES`), jittered, turned into four-cornered faces, shaded, and painted from back to
front. Car coordinates are metres: x forward, y to the left, z up, the origin on the ground below the middle. Picture
coordinates are fractions of its side, x to the right, y down. The scene's random numbers are drawn without regard to
the picture's size: the same scene can be had at any size.

A seed gives the same pixels on every machine. So there is no matrix product here (BLAS adds in an order of its own),
and places and colours are rounded twice: the last digit of another machine's cosine is gone before it tips a pixel.
"""

# Its tables of numbers stand closer than the formatter would set them:
# fmt: off
import math
from collections import namedtuple
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

BODY_STYLES = ("convertible", "coupe", "hatchback", "pickup", "sedan", "suv", "van", "wagon")

# Eight sizes in metres (belt: the windows' lower edge; wheel: radius; nose, deck: the bonnet's front and the
# tail's upper edge), then places as fractions of the length from the nose: the cabin's windscreen foot, roof
# front, roof rear and rear window foot; pillars between side windows; axles; a load bed's or cockpit's ends.
Style = namedtuple("Style", "length width height belt clearance wheel nose deck cabin pillars axles "
                            "roof_width opening roofed", defaults=(.67, None, True))
STYLES = dict(zip(BODY_STYLES, (
    Style(4.2, 1.8, 1.28, .88, .17, .33, .7, .87, (.32, .43, .7, .74), (.61,), (.18, .79), .68, (.4, .7), False),
    Style(4.45, 1.86, 1.24, .87, .15, .35, .68, .85, (.33, .48, .62, .90), (.66,), (.18, .79), .64),
    Style(3.8, 1.72, 1.45, .94, .16, .30, .78, .93, (.24, .40, .84, .96), (.56, .78), (.19, .83)),
    Style(5.40, 1.92, 1.86, 1.14, .34, .39, 1, 1.1, (.25, .34, .52, .54), (.44,), (.17, .79), .7, (.58, .97)),
    Style(4.75, 1.82, 1.47, .95, .18, .33, .78, .95, (.27, .40, .65, .79), (.53, .71), (.19, .80)),
    Style(4.6, 1.88, 1.86, 1.18, .35, .41, 1.0, 1.10, (.26, .38, .90, .965), (.53, .73), (.19, .80), .70),
    Style(4.95, 1.94, 2.08, 1.15, .22, .33, .92, 1.11, (.13, .27, .945, .965), (.40, .68), (.17, .78), .80),
    Style(4.90, 1.81, 1.50, .95, .18, .33, .77, .94, (.25, .38, .90, .965), (.52, .71), (.19, .79)))))

# Layers in painting order. From CABIN on all lies above the plane of the belt line, and so does the camera:
# the upper parts can hide the lower ones, never the other way round.
TYRES, WALLS, SEATS, BODY, BODY_DETAIL, CABIN, CABIN_DETAIL = range(7)
# A surface is red, green, blue, gloss in 0..1, opacity in 0..255. Paints: the most frequent ones first.
GLASS, BLACK, LINING = (22, 27, 33, .75, 255), (26, 26, 28, .1, 255), (44, 41, 39, 0, 255)
GAP, WINDSCREEN = (14, 15, 17, 0, 140), (120, 135, 150, .5, 90)
LAMP, PLATE, RED_LAMP = (225, 228, 232, .5, 255), (225, 224, 212, .1, 255), (168, 18, 22, .4, 255)
PAINTS = np.array([(238, 238, 236), (188, 191, 194), (38, 39, 43), (112, 116, 120), (158, 22, 26), (32, 58, 120),
                   (70, 74, 80), (196, 182, 152), (24, 66, 52), (96, 150, 190), (222, 170, 32), (204, 86, 28)])
SKIES = np.array([(196, 214, 235), (222, 226, 230), (236, 218, 198)])

# The same for all cars: the spread of the sizes, the corners of a box's sides (the last one inmost), how wide and how
# high the body's lines run (sill, waist, shoulder, deck's edge, middle), places along a roof.
SPREAD = np.array((.05, .02, .025, .025, .1, .05, .03, .02))
SIDES = np.array([(4, 6, 7, 5), (2, 0, 1, 3), (6, 2, 3, 7), (5, 7, 3, 1), (0, 2, 6, 4), (0, 4, 5, 1)])
WIDE, RISE = np.array((.94, 1, .975, .86, 0)), np.array((0, .5, .88, 1, 1))
BEND = np.linspace(-1, 1, 5)
CIRCLE = np.exp(.15j + .1j * np.pi * np.arange(20)).view(float).reshape(20, 2)
ROUNDED = np.sign(CIRCLE) * np.sqrt(np.abs(CIRCLE))  # as a car's outline from above
GROWN = np.linspace(1.2, .86, 10)[:, None, None]  # the shadow's layers
WHEEL = np.array([1.14, 1, .68, .62])[:, None, None] * CIRCLE  # arch, tyre, rim and spokes
WHEEL[3, np.arange(20) % 4 > 1] *= .35


def uniform(rng, low, high):
    """Random numbers between low and high, as floats (for a few, faster than arrays)."""
    return [a + (b - a) * part for a, b, part in zip(low, high, rng.random(len(low)).tolist())]


def jitter(style, rng):
    """The style with its proportions moved at random, by enough for neighbouring styles to meet."""
    moves = 2 * rng.random(14) - 1
    sizes = (style[:8] * (1 + SPREAD * moves[:8])).tolist()
    sizes[-1] = min(sizes[-1], sizes[3])  # a deck no higher than the belt
    cabin = np.minimum(style.cabin + .012 * moves[8:12], (1, 1, .956, .968)).tolist()
    return Style(*sizes, cabin, style.pillars, (style.axles + .012 * moves[12:]).tolist(), *style[11:])


class Mesh:
    """The left half of a car: faces with corners (place, y, z), anticlockwise as seen from outside."""

    def __init__(self):
        self.blocks, self.parts = [], []

    def add(self, layer, surface, corners, part):
        """Add part of a face: left, right, low, high (and left and right at high, if different)."""
        self.parts.append((layer, surface, corners, (*part, *part[:2])[:6]))

    def box(self, layer, surface, x, y, z, inward=1):
        """Add a box between pairs of coordinates, x (rear, front); inward=-1 shows its inner walls."""
        points = np.array([(a, b, c) for a in x for b in y for c in z])
        sides = SIDES if y[0] else SIDES[:5]  # nothing divides a box that spans both halves
        self.blocks.append((layer, surface, points[sides[:, ::inward]]))

    def loft(self, layer, surface, rings, hollow=(2, 2)):
        """Skin cross-sections (n, k, 3), each from low to high, open on top between two places."""
        ends = rings[[0, -1]] * (1, 0, 1)
        rings = np.concatenate([ends[:1], rings, ends[1:]])
        low, high, places = rings[:, :-1], rings[:, 1:], rings[:, 0, 0]
        faces = np.stack([low[:-1], low[1:], high[1:], high[:-1]], 2)
        keep = np.ones(faces.shape[:2], bool)
        keep[:, -1] = (places[:-1] < hollow[0]) | (places[1:] > hollow[1]) | (places[:-1] == places[1:])
        self.blocks.append((layer, surface, faces[keep]))

    def arrays(self, length):
        """Return the whole car's faces (n, 4, 3) in metres, surfaces (5, n) and layers (n,)."""
        layers, surfaces, faces = zip(*self.blocks)
        counts = [len(block) for block in faces]
        part_layers, part_surfaces, corners, parts = (np.array(column) for column in zip(*self.parts))
        u, v = parts[:, [0, 1, 5, 4]], parts[:, [2, 2, 3, 3]]
        weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1)
        faces = np.concatenate([*faces, (weights[..., None] * corners[:, None]).sum(2)])
        faces[..., 0] = length * (.5 - faces[..., 0])
        surfaces = np.concatenate([np.repeat(surfaces, counts, 0), part_surfaces] * 2).T
        layers = np.concatenate([np.repeat(layers, counts), part_layers] * 2)
        return np.concatenate([faces, faces[:, ::-1] * (1, -1, 1)]), surfaces, layers


def build_body(mesh, style, paint, rng):
    """Add all that lies below the belt line, and the mirrors."""
    foot, end, boxy = style.cabin[0], style.cabin[3], .96 if style.height > 1.6 else .85
    places = sorted({0, .03, .09, .16, foot, end, .88, .965, 1, *(style.opening or ())})
    widths = np.interp(places, (0, .03, .09, .16, .88, .965, 1), (.76, .9, .975, 1, 1, .5 + boxy / 2, boxy))
    sills = style.clearance + np.interp(places, (0, .05, .95, 1), (.06, 0, 0, .07))
    nose, belt, deck = style.nose, style.belt, style.deck
    tops = np.interp(places, (0, .03, .1, foot, end, .97, 1),
                     (nose - .12, nose - .03, nose * .65 + belt * .35, belt, belt, deck, deck - .05))
    rings = np.empty((len(places), 5, 3))
    rings[..., 0], rings[..., 1] = np.array(places)[:, None], widths[:, None] * (style.width / 2 * WIDE)
    rings[..., 2] = sills[:, None] + (tops - sills)[:, None] * RISE
    mesh.loft(BODY, paint, rings, style.opening or (2, 2))
    rings = rings.tolist()

    grille, lamp, rear_lamp, rear_width, dark, darker = uniform(
        rng, (.32, .5, .5, .24, 0, 0), (.6, .66, .68, .52, 1, 1))
    skirt = BLACK if dark < (.8 if style.clearance > .24 else .15) else paint
    bumper = BLACK if darker < .3 else skirt
    (a, b), (c, d), p, q = rings[:2], rings[-2:], rings[places.index(foot)], rings[places.index(.88)]
    nose, tail = ((0, 0, a[0][2]), a[0], a[3], a[4]), (d[0], (1, 0, d[0][2]), d[4], d[3])
    front_corner, rear_corner = (a[1], b[1], b[2], a[2]), (c[1], d[1], d[2], c[2])
    lower, upper = (p[0], q[0], q[1], p[1]), (p[1], q[1], q[2], p[2])
    details = [(bumper, nose, 0, 1.02, 0, .3), (BLACK, nose, 0, .6, .04, .2), (PLATE, nose, 0, .24, .3, .43),
               (BLACK, nose, 0, grille, lamp - .05, .92), (LAMP, nose, grille + .06, grille + .34, lamp, .9),
               (LAMP, front_corner, 0, .95, .15, .95), (bumper, tail, -.02, 1, 0, .3),
               (BLACK, tail, .04, 1, .36, .375), (PLATE, tail, .74, 1, .5, .66),
               (RED_LAMP, tail, 0, rear_width, rear_lamp, .93), (RED_LAMP, rear_corner, .2, 1, .2, .97)]
    if skirt is BLACK:
        details += [(BLACK, (a[0], b[0], b[1], a[1]), 0, 1, 0, .4) for a, b in zip(rings, rings[1:])]
    for door in (foot + .03, *style.pillars, *((end - .01,) if end < .6 else ())):
        u = (door - foot) / (.88 - foot)
        details += (GAP, lower, u - .004, u + .004, .4, 1), (GAP, upper, u - .004, u + .004, 0, .88)
    for surface, face, *part in details:
        mesh.add(BODY_DETAIL, surface, face, part)

    y, reach = .43 * style.width, .5 * style.wheel / style.length
    for axle in style.axles:  # the tyres' treads, between the discs that end them
        mesh.box(TYRES, BLACK, (axle + reach, axle - reach), (1.14 * y - .22, 1.14 * y), (.04, .5))
    mesh.box(CABIN, paint, (foot + .075, foot + .04), (y, 1.25 * y), (belt + .03, belt + .16))
    if style.opening:
        mesh.box(WALLS, LINING, style.opening[::-1], (0, y), (belt - .45, deck), -1)


def build_cockpit(mesh, style, paint, rng):
    """Add a convertible's seats, folded top and windscreen."""
    belt, (foot, front, *_), (start, stop) = style.belt, style.cabin, style.opening
    leather = ((206, 190, 160, 0, 255), (110, 36, 30, 0, 255), (168, 122, 82, 0, 255))[rng.integers(3)]
    for x in (start + .16, stop - .05):
        for layer, low, high, wide in ((SEATS, -.4, 0, .27), (CABIN, 0, .12, .25), (CABIN, .13, .26, .14)):
            mesh.box(layer, leather, (x + .02, x - .01), (.37 - wide, .37 + wide), (belt + low, belt + high))
    mesh.box(CABIN, BLACK, (stop + .065, stop + .005), (0, .4 * style.width), (belt - .02, belt + .06))
    a, b = (foot, 0, belt), (foot, .43 * style.width, belt)
    c, d = (front, style.roof_width * style.width / 2, style.height), (front, 0, style.height)
    for surface, left, low in ((WINDSCREEN, 0, 0), (paint, .9, 0), (paint, 0, .9)):
        mesh.add(CABIN, surface, (a, b, c, d), (left, 1, low, 1))
        mesh.add(CABIN, surface, (b, a, d, c), (0, 1 - left, low, 1))  # the same from behind


def build_cabin(mesh, style, paint, rng):
    """Add the roof, its pillars and the windows."""
    foot, front, rear, end = style.cabin
    base, wide, arch = .43 * style.width, style.roof_width * style.width / 2, .05 * rng.random()
    roof = zip(((front + rear + (rear - front) * BEND) / 2).tolist(), (wide * (1 - .03 * BEND ** 2)).tolist(),
               (style.height - (.05 + arch * (BEND > 0)) * BEND ** 2).tolist())
    a, b, *_, c, d = rings = [
        [(x, base, style.belt), (x, width, max(style.belt, top - .06)), (x, .86 * width, top), (x, 0, top)]
        for x, width, top in ((foot, base, style.belt), *roof, (end, base, style.belt))]
    mesh.loft(CABIN, paint, np.array(rings))
    low = .3 if style.height > 1.6 else .12
    mesh.add(CABIN_DETAIL, GLASS, (a[3], a[2], b[2], b[3]), (0, 1.09, .04, .96))
    mesh.add(CABIN_DETAIL, GLASS, (d[2], d[3], c[3], c[2]), (-.04, 1, low, .93))
    # Pillars stand upright in slanting sides: their fractions differ along the lower and the upper edge.
    edges = [(foot + .035, front + .015), *zip(style.pillars, style.pillars),
             (min(end - .035, rear + .06 + .06 * rng.random()), rear - .015)]
    edges = [((low - foot) / (end - foot), min(.93, (high - front) / (rear - front))) for low, high in edges]
    if style.height > 1.95 and rng.random() < .4:
        edges = edges[:2]  # a panel van
    panes = [(*pair, GLASS, .012) for pair in zip(edges, edges[1:])]
    frame = BLACK if rng.random() < .5 else paint
    for left, right, surface, gap in [(edges[0], edges[-1], frame, 0), *panes]:
        part = left[0] + gap, right[0] - gap, .09, .93, left[1] + gap, right[1] - gap
        mesh.add(CABIN_DETAIL, surface, (a[0], d[0], c[1], b[1]), part)


def wheel_discs(style):
    """Return arch, tyre, rim and spokes of two wheels in the plane y = 0: polygons (8, 20, 3)."""
    discs = np.zeros((2, 4, 20, 3))
    discs[..., 0] = style.wheel * WHEEL[..., 0] + style.length * (.5 - np.array(style.axles))[:, None, None]
    discs[..., 2] = style.wheel * (1 + WHEEL[..., 1])
    discs[:, 0, :, 2] = np.maximum(discs[:, 0, :, 2], style.clearance)  # an arch ends at the sill
    return discs.reshape(8, 20, 3)


def aim(style, faces, rng):
    """Return a camera's place (3,), the projection of points (..., 3) into the picture (..., 2), the faces so."""
    favoured = (45, -45, 45, -45, 130, -130)[rng.integers(6)] + 7 * rng.standard_normal()
    anywhere, rise, away, share, *aside = uniform(rng, (-180, 0, 2.3, .78, -.45, -.45), (180, 1, 3.2, .95, .45, .45))
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

    seen = project(faces)
    low, high = seen.min((0, 1)), seen.max((0, 1))
    scale = share / (high - low).max()  # the car fills most of the picture
    spare = 1 - (high - low) * scale
    shift = spare / 2 + aside * spare.clip(0, .4) - low * scale
    return place, lambda points: project(points) * scale + shift, seen * scale + shift


def shade(faces, views, surfaces, sky, sun, ambient):
    """Return the faces' colours (n, 4) and which of them can be seen (n,), for the ways to the eye (3, n)."""
    a, b = (faces[:, 2] - faces[:, 0]).T, (faces[:, 3] - faces[:, 1]).T
    normals = np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
    normals, views = (v / np.sqrt((v * v).sum(0) + 1e-12) for v in (normals, views))
    facing, upward, sunward = (normals * views).sum(0), normals[2], (normals * sun[:, None]).sum(0)
    light = ambient * (.82 + .18 * upward) + (1.1 - ambient) * sunward.clip(0)
    # A glossy face mirrors the sky where the mirrored ray rises, and the darker ground where it falls.
    rising = 2 * facing * upward - views[2]
    mirrored = np.where(rising > 0, 1, .3) * (.75 + .25 * np.abs(rising))
    grazing = 1 - facing.clip(0)
    share = surfaces[3] * (.18 + .82 * grazing * grazing * grazing)
    colours = surfaces[:3] * (light * (1 - share)) + sky[:, None] * (mirrored * share)
    return np.concatenate([colours, surfaces[4:]]).T, facing > 0


def fill(draw, shapes, colours):
    """Paint polygons (n, k, 2) or boxes (n, 4: left, top, right, bottom), in colours (n, 3 or 4)."""
    shapes = np.rint((np.asarray(shapes) * draw.im.size[0]).round(6)).astype(int)
    shapes = shapes[:, [0, 1, 2, 1, 2, 3, 0, 3]] if shapes.ndim == 2 else shapes.reshape(len(shapes), -1)
    colours = np.rint(np.asarray(colours).round(6)).clip(0, 255).astype(int)
    for corners, colour in zip(shapes.tolist(), colours.tolist()):
        draw.polygon(corners, fill=tuple(colour))


def paint_bush(draw, x, y, reach, rng):
    """Paint foliage round a point."""
    across, along, wide, tone = rng.random((4, 7))
    middles = np.stack([1.4 * across - .7, along - .5], -1)
    leaves = (x, y) + reach * (middles[:, None] + (.25 + .3 * wide)[:, None, None] * CIRCLE)
    fill(draw, leaves, ((36, 62, 26) + 24 * rng.random(3)) * (.75 + .45 * tone)[:, None])


def paint_surroundings(draw, foot, rng):
    """Paint poles, trees and houses far behind the car, down to the height foot."""
    for _ in range(rng.integers(0, 4)):
        left, wide, tall, kind, *tone = uniform(rng, (-.2, .05, .05, 0, 40, -16, -16), (1, .45, .5, 1, 215, 16, 16))
        walls, wide = (4, wide) if kind > .45 else (1, .06 * wide)  # a house has windows
        parts = ((0, 1, 1, 0), (.1, .3, .9, .5), (.4, .6, .9, .5), (.7, .9, .9, .5))[:walls]
        boxes = [(left + wide * a, foot - tall * c, left + wide * b, foot - tall * d) for a, b, c, d in parts]
        fill(draw, boxes, [[shade * (tone[0] + more) for more in (0, *tone[1:])] for shade in (1, .6, .6, .6)[:walls]])
        if kind < .25:
            paint_bush(draw, left, foot - tall, .2, rng)


def render(body_style: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture (size, size, 3), uint8, of one car of the given body style."""
    if body_style not in BODY_STYLES:
        raise ValueError(f"body_style must be one of {', '.join(BODY_STYLES)}, not {body_style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16, not {size}")
    style, mesh = jitter(STYLES[body_style], rng), Mesh()
    colour = PAINTS[int(len(PAINTS) * rng.random() ** 1.9)] + 28 * rng.random(3) - 14
    paint = (*colour.clip(12, 245).tolist(), .15 + .35 * rng.random(), 255)
    for build in build_body, build_cabin if style.roofed else build_cockpit:
        build(mesh, style, paint, rng)
    faces, surfaces, layers = mesh.arrays(style.length)
    eye, project, corners = aim(style, faces, rng)
    bearing, height, ambient, clear, indoors, back = uniform(rng, (0, .5, .45, .8, 0, 0), (6.283, 1.2, .75, 1.05, 1, 1))
    sun = np.array([math.cos(bearing) * math.cos(height), math.sin(bearing) * math.cos(height), math.sin(height)])
    sky, outdoors = SKIES[rng.integers(3)] * clear, indoors < .75
    views = eye[:, None] - faces.sum(1).T / 4
    colours, seen = shade(faces, views, surfaces, sky, sun, ambient)

    foot = project(-(.4 + back * (7.6 if outdoors else .8)) * eye * (1, 1, 0))[1].clip(.05, .8)
    wall, ground = np.split(np.repeat(uniform(rng, (90, 70), (235, 190)), 3) + 16 * rng.random(6) - 8, 2)
    rows = np.arange(2 * size)[:, None] / (2 * size - 1)  # twice the size, to be halved
    column = np.where(rows < foot, (sky if outdoors else wall) * (.75 + .25 * rows / foot),
                      ground * (.85 + .25 * (rows - foot) / (1 - foot))).round(6).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(column[:, None]).resize((2 * size, 2 * size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image, "RGBA")
    if outdoors:
        fill(draw, [(0, foot - .12 * rng.random(), 1, foot)], [(49, 65, 37) + 50 * rng.random(3)])
    paint_surroundings(draw, foot, rng)
    for x, wide, turn in (rng.random((rng.integers(0, 4), 3)) * (12, .12, 2) - (6, -.08, 0)).tolist():
        line = np.array([(x, -8, 0), (x, 8, 0), (x + wide, 8, 0), (x + wide, -8, 0)])  # on the ground
        fill(draw, project(line[:, [[0, 1, 2], [1, 0, 2]][int(turn)]])[None], [(225, 222, 205, 130)])

    # The shadow: the car's rounded footprint, larger layers shifted farther from the sun.
    spots = np.zeros((len(GROWN), 20, 3))
    spots[..., :2] = ROUNDED * (style.length / 2, style.width / 2) * GROWN
    spots[..., :2] -= sun[:2] * (style.height * (1.2 - ambient)) * (GROWN - .85)
    fill(draw, project(spots), [(8, 9, 12, 30)] * len(GROWN))

    # From far to near within each layer; the wheels come over the body and under the cabin.
    nearness = -(views * views).sum(0)
    nearness[(layers == BODY_DETAIL) | (layers == CABIN_DETAIL)] = 0  # these keep the order of their making
    order = np.lexsort((nearness, layers))
    order = order[seen[order]]
    below = np.count_nonzero(layers[order] < CABIN)
    discs, side = wheel_discs(style), np.array((0, math.copysign(.49, eye[1]) * style.width, 0))
    tones = np.repeat((14, 27, 72, 120 + 95 * rng.random()) * 2, 3).reshape(8, 3)
    fill(draw, project(discs[[1, 5]] - .8 * side), tones[[1, 5]])
    fill(draw, corners[order[:below]], colours[order[:below]])
    if abs(eye[1]) > style.width / 2:
        fill(draw, project(discs + side), tones)
    fill(draw, corners[order[below:]], colours[order[below:]])

    occluder, left, wide, tone, high, reach, contrast, brightness = uniform(
        rng, (0, 0, .02, 50, .8, .15, .9, -12), (1, .95, .07, 200, 1, .28, 1.15, 12))
    if occluder < .08:
        fill(draw, [(left, 0, left + wide, 1)], [(tone, .96 * tone, .9 * tone)])
    elif occluder < .2:
        paint_bush(draw, left, high, reach, rng)
    levels = np.rint(((np.arange(256) - 128) * contrast + 128 + brightness).round(6)).astype(np.int16)
    noise = np.frombuffer(rng.bytes(3 * size * size), np.int8).reshape(size, size, 3) >> 5  # last: as many as pixels
    return (levels.take(image.reduce(2)) + noise).clip(0, 255).astype(np.uint8)


def render_dataset(count: int, size: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield pictures (size, size, 3), uint8, and their labels; each depends on seed and its index only."""
    for index in range(count):
        label = index % len(BODY_STYLES)
        yield render(BODY_STYLES[label], np.random.default_rng((seed, index)), size), label
