"""Small pictures of cars in eight body styles, drawn from simple three-dimensional bodies.

A car is a row of proportions (`STYLES`), jittered, turned into four-cornered faces, shaded, and painted from
back to front. Car coordinates are metres: x forward, y to the left, z up, the origin on the ground below the
middle. Picture coordinates are fractions of its side, x to the right, y down. The scene's random numbers are
drawn without regard to the picture's size: the same scene can be had at any size.
"""

# Its tables of numbers stand closer than the formatter would set them:
# fmt: off
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
    Style(4.3, 1.8, 1.3, .91, .17, .33, .7, .9, (.3, .43, .7, .74), (.61,), (.18, .79), .68, (.4, .7), False),
    Style(4.45, 1.83, 1.32, .91, .16, .34, .71, .87, (.31, .46, .62, .90), (.66,), (.18, .79), .64),
    Style(3.95, 1.74, 1.49, .95, .18, .31, .78, .93, (.24, .40, .84, .96), (.56, .78), (.19, .83)),
    Style(5.40, 1.92, 1.86, 1.14, .34, .39, 1, 1.1, (.25, .34, .52, .54), (.44,), (.17, .79), .7, (.58, .97)),
    Style(4.70, 1.82, 1.44, .95, .18, .33, .76, .94, (.28, .42, .67, .82), (.53, .71), (.19, .80)),
    Style(4.55, 1.88, 1.80, 1.13, .30, .39, 1.0, 1.10, (.26, .38, .90, .965), (.53, .73), (.19, .80), .70),
    Style(4.95, 1.94, 2.08, 1.15, .22, .33, .92, 1.11, (.13, .27, .945, .965), (.40, .68), (.17, .78), .80),
    Style(4.75, 1.81, 1.47, .95, .18, .33, .77, .93, (.27, .41, .88, .965), (.52, .71), (.19, .79)))))

# Layers in painting order. From CABIN on all lies above the plane of the belt line, and so does the camera:
# the upper parts can hide the lower ones, never the other way round.
TYRES, WALLS, SEATS, BODY, BODY_DETAIL, CABIN, CABIN_DETAIL = range(7)
# A surface is red, green, blue, gloss in 0..1, opacity in 0..255. Paints: the most frequent ones first.
GLASS, BLACK, LINING = (22, 27, 33, .75, 255), (26, 26, 28, .1, 255), (44, 41, 39, 0, 255)
LAMP, PLATE, RED_LAMP = (225, 228, 232, .5, 255), (225, 224, 212, .1, 255), (168, 18, 22, .4, 255)
PAINTS = np.array([
    (238, 238, 236), (188, 191, 194), (28, 29, 32), (112, 116, 120), (158, 22, 26), (32, 58, 120),
    (70, 74, 80), (196, 182, 152), (24, 66, 52), (96, 150, 190), (222, 170, 32), (204, 86, 28)])
CIRCLE = np.exp(.15j + .1j * np.pi * np.arange(20)).view(float).reshape(20, 2)


def jitter(style, rng):
    """The style with its proportions moved at random, by enough for neighbouring styles to meet."""
    sizes = style[:8] * (1 + np.array((.06, .03, .04, .035, .12, .06, .04, .03)) * rng.uniform(-1, 1, 8))
    sizes[-1] = min(sizes[-1], sizes[3])  # a deck no higher than the belt
    cabin = np.minimum(style.cabin + rng.uniform(-.022, .022, 4), (1, 1, .956, .968))
    axles = style.axles + rng.uniform(-.012, .012, 2)
    return Style(*sizes.tolist(), cabin.tolist(), style.pillars, axles.tolist(), *style[11:])


class Mesh(list):
    """The left half of a car: faces with corners (place, y, z), anticlockwise as seen from outside."""

    def add(self, layer, surface, corners, part=(0, 1, 0, 1)):
        """Add part of a face: left, right, low, high (and left and right at high, if different)."""
        self.append((layer, surface, corners, (*part, *part[:2])[:6]))

    def box(self, layer, surface, x, y, z, inward=1):
        """Add a box between pairs of coordinates, x (rear, front); inward=-1 shows its inner walls."""
        points = [(a, b, c) for a in x for b in y for c in z]
        sides = (4, 6, 7, 5), (2, 0, 1, 3), (6, 2, 3, 7), (5, 7, 3, 1), (0, 2, 6, 4), (0, 4, 5, 1)
        for side in sides if y[0] else sides[:5]:  # nothing divides a box that spans both halves
            self.add(layer, surface, [points[corner] for corner in side][::inward])

    def loft(self, layer, surface, rings, hollow=(2, 2)):
        """Skin a row of cross-sections, each from low to high, open on top between two places."""
        ends = ([(x, 0, z) for x, _, z in ring] for ring in (rings[0], rings[-1]))
        for a, b in zip([next(ends), *rings], [*rings, next(ends)]):
            for j in range(len(a) - 1 - (hollow[0] <= a[0][0] < b[0][0] <= hollow[1])):
                self.add(layer, surface, (a[j], b[j], b[j + 1], a[j + 1]))

    def arrays(self, length):
        """Return the whole car's faces (n, 4, 3) in metres, surfaces (n, 5) and layers (n,)."""
        layers, surfaces, corners, parts = (np.array(column) for column in zip(*self))
        u, v = parts[:, [0, 1, 5, 4]], parts[:, [2, 2, 3, 3]]
        faces = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1) @ corners
        faces[..., 0] = length * (.5 - faces[..., 0])
        whole = np.concatenate([faces, faces[:, ::-1] * (1, -1, 1)])
        return whole, np.concatenate([surfaces] * 2), np.concatenate([layers] * 2)


def build_body(mesh, style, paint, rng):
    """Add all that lies below the belt line, and the mirrors."""
    foot, end, boxy = style.cabin[0], style.cabin[3], .96 if style.height > 1.6 else .85
    places = sorted({0, .03, .09, .16, foot, end, .88, .965, 1, *(style.opening or ())})
    widths = np.interp(places, (0, .03, .09, .16, .88, .965, 1), (.76, .9, .975, 1, 1, .5 + boxy / 2, boxy))
    sills = style.clearance + np.interp(places, (0, .05, .95, 1), (.06, 0, 0, .07))
    tops = np.interp(places, (0, .03, .1, foot, end, .97, 1), (
        style.nose - .12, style.nose - .03, style.nose * .65 + style.belt * .35, style.belt, style.belt,
        style.deck, style.deck - .05))
    stations = np.stack([places, widths * style.width / 2, sills, tops], 1).tolist()
    rings = [[(place, width * wide, low + (top - low) * rise)  # sill, waist, shoulder, deck's edge, middle
              for wide, rise in ((.94, 0), (1, .5), (.975, .88), (.86, 1), (0, 1))]
             for place, width, low, top in stations]
    mesh.loft(BODY, paint, rings, style.opening or (2, 2))

    skirt = BLACK if rng.random() < (.5 if style.clearance > .24 else .15) else paint
    bumper = BLACK if rng.random() < .3 else skirt
    grille, lamp, rear_lamp, rear_width = rng.uniform((.32, .5, .5, .24), (.6, .66, .68, .52)).tolist()
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
        details += (BLACK, lower, u - .004, u + .004, .4, 1), (BLACK, upper, u - .004, u + .004, 0, 1)
    for surface, face, *part in details:
        mesh.add(BODY_DETAIL, surface, face, part)

    y, belt, reach = .43 * style.width, style.belt, .5 * style.wheel / style.length
    for axle in style.axles:  # the tyres' treads, between the discs that end them
        mesh.box(TYRES, BLACK, (axle + reach, axle - reach), (1.14 * y - .22, 1.14 * y), (.04, .5))
    mesh.box(CABIN, paint, (foot + .075, foot + .04), (y, 1.25 * y), (belt + .03, belt + .16))
    if style.opening:
        mesh.box(WALLS, LINING, style.opening[::-1], (0, y), (belt - .45, style.deck), -1)


def build_cockpit(mesh, style, paint, rng):
    """Add a convertible's seats, folded top and windscreen."""
    belt, (foot, front, *_), (start, stop) = style.belt, style.cabin, style.opening
    leather = ((74, 64, 56, 0, 255), (34, 34, 36, 0, 255), (150, 110, 76, 0, 255))[rng.integers(3)]
    for x in (start + .16, stop - .05):
        for layer, low, high, wide in ((SEATS, -.4, 0, .27), (CABIN, 0, .12, .25), (CABIN, .13, .26, .14)):
            mesh.box(layer, leather, (x + .02, x - .01), (.37 - wide, .37 + wide), (belt + low, belt + high))
    mesh.box(CABIN, BLACK, (stop + .065, stop + .005), (0, .4 * style.width), (belt - .02, belt + .06))
    a, b = (foot, 0, belt), (foot, .43 * style.width, belt)
    c, d = (front, style.roof_width * style.width / 2, style.height), (front, 0, style.height)
    for surface, left, low in (((120, 135, 150, .5, 90), 0, 0), (paint, .9, 0), (paint, 0, .9)):
        mesh.add(CABIN, surface, (a, b, c, d), (left, 1, low, 1))
        mesh.add(CABIN, surface, (b, a, d, c), (0, 1 - left, low, 1))  # the same from behind


def build_cabin(mesh, style, paint, rng):
    """Add the roof, its pillars and the windows."""
    foot, front, rear, end = style.cabin
    base, bend = .43 * style.width, np.linspace(-1, 1, 5)
    widths = style.roof_width * style.width / 2 * (1 - .03 * bend ** 2)
    tops = style.height - (.05 + rng.uniform(0, .05) * (bend > 0)) * bend ** 2
    belt, roof = style.belt, np.stack([np.linspace(front, rear, 5), widths, tops], 1).tolist()
    a, b, *_, c, d = rings = [
        [(x, base, belt), (x, width, max(belt, top - .06)), (x, .86 * width, top), (x, 0, top)]
        for x, width, top in ((foot, base, belt), *roof, (end, base, belt))]
    mesh.loft(CABIN, paint, rings)
    low = .3 if style.height > 1.6 else .12
    mesh.add(CABIN_DETAIL, GLASS, (a[3], a[2], b[2], b[3]), (0, 1.09, .04, .96))
    mesh.add(CABIN_DETAIL, GLASS, (d[2], d[3], c[3], c[2]), (-.04, 1, low, .93))
    # Pillars stand upright in slanting sides: their fractions differ along the lower and the upper edge.
    edges = [(foot + .035, front + .015), *zip(style.pillars, style.pillars),
             (min(end - .035, rear + rng.uniform(.06, .12)), rear - .015)]
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
    radii = style.wheel * np.array([1.14, 1, .68, .62])[:, None] * np.ones(20)
    radii[3, np.arange(20) % 4 > 1] *= .35
    x, z = radii * CIRCLE[:, 0], style.wheel + radii * CIRCLE[:, 1]
    z[0] = np.maximum(z[0], style.clearance)  # an arch ends at the sill
    return np.concatenate([np.stack([style.length * (.5 - axle) + x, 0 * z, z], -1) for axle in style.axles])


def aim(style, faces, rng):
    """Return a camera's place (3,) and its projection of points (..., 3) into the picture (..., 2)."""
    favoured = (35, -35, 145, -145, 90, -90)[rng.integers(6)] + 12 * rng.standard_normal()
    azimuth = np.radians(favoured if rng.random() < .8 else rng.uniform(-180, 180))
    elevation, distance = np.radians(3 + 22 * rng.random() ** 2), rng.uniform(1.7, 3.5) * style.length
    outward, middle = np.array([np.cos(azimuth), np.sin(azimuth), 0]), .45 * style.height
    place = distance * np.cos(elevation) * outward
    place[2] = max(middle + distance * np.sin(elevation), style.belt + .25)  # the layers rely on it
    ahead = (0, 0, middle) - place
    ahead /= np.sqrt((ahead ** 2).sum())
    right = np.array([-outward[1], outward[0], 0])
    axes = np.stack([right, np.cross(right, ahead), ahead], -1)

    def project(points, scale, shift):
        seen = (points - place) @ axes
        return seen[..., :2] * (1, -1) / np.maximum(seen[..., 2:], .3) * scale + shift

    corners = project(faces, 1, 0).reshape(-1, 2)
    low, extent = corners.min(0), np.ptp(corners, 0)
    scale = rng.uniform(.82, .97) / extent.max()  # the car fills most of the picture
    spare = 1 - extent * scale
    shift = spare / 2 + rng.uniform(-.3, .3, 2) * spare.clip(0, .25) - low * scale
    return place, lambda points: project(points, scale, shift)


def shade(eye, faces, surfaces, sky, sun, ambient):
    """Return the faces' colours (n, 4) and which of them can be seen from eye (n,)."""
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    views = eye - faces.mean(1)
    normals, views = (v / np.sqrt((v ** 2).sum(-1, keepdims=True) + 1e-12) for v in (normals, views))
    facing = (normals * views).sum(-1, keepdims=True)
    light = ambient * (.82 + .18 * normals[:, 2:]) + (1.1 - ambient) * (normals @ sun).clip(0)[:, None]
    # A glossy face mirrors the sky where the mirrored ray rises, and the darker ground where it falls.
    rising = 2 * facing * normals[:, 2:] - views[:, 2:]
    mirrored = np.where(rising > 0, sky, .3 * sky) * (.75 + .25 * np.abs(rising))
    share = surfaces[:, 3:4] * (.18 + .82 * (1 - facing.clip(0)) ** 3)
    colours = surfaces[:, :3] * light * (1 - share) + mirrored * share
    return np.concatenate([colours, surfaces[:, 4:]], -1), facing[:, 0] > 0


def fill(draw, shapes, colours):
    """Paint polygons (n, k, 2) or boxes (n, 4: left, top, right, bottom), in colours (n, 3 or 4)."""
    shapes = np.asarray(shapes)
    shapes = shapes[:, [0, 1, 2, 1, 2, 3, 0, 3]] if shapes.ndim == 2 else shapes.reshape(len(shapes), -1)
    shapes, colours = np.rint(shapes * draw.im.size[0]).astype(int), np.rint(colours).clip(0, 255).astype(int)
    for corners, colour in zip(shapes.tolist(), colours.tolist()):
        draw.polygon(corners, fill=tuple(colour))


def paint_bush(draw, x, y, reach, rng):
    """Paint foliage round a point."""
    middles, radii = rng.uniform((-.7, -.5), (.7, .5), (5, 2)), rng.uniform(.3, .6, 5)
    leaves = (x, y) + reach * (middles[:, None] + radii[:, None, None] * CIRCLE)
    fill(draw, leaves, ((60, 84, 48) + rng.uniform(-20, 20, 3)) * rng.uniform(.75, 1.2, (5, 1)))


def paint_surroundings(draw, foot, rng):
    """Paint poles, trees and houses far behind the car, down to the height foot."""
    for _ in range(rng.integers(0, 6)):
        left, wide, tall, kind = rng.uniform((-.2, .05, .05, 0), (1, .45, .5, 1)).tolist()
        wide *= .06 if kind < .45 else 1
        parts = (0, 1, 1, 0), (.1, .3, .9, .5), (.4, .6, .9, .5), (.7, .9, .9, .5)  # a wall and its windows
        boxes = [(left + wide * a, foot - tall * c, left + wide * b, foot - tall * d) for a, b, c, d in parts]
        fill(draw, boxes, np.outer((1, .6, .6, .6), rng.uniform(40, 215) + rng.uniform(-16, 16, 3)))
        if kind < .25:
            paint_bush(draw, left, foot - tall, .2, rng)


def render(body_style: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture (size, size, 3), uint8, of one car of the given body style."""
    if body_style not in BODY_STYLES:
        raise ValueError(f"body_style must be one of {', '.join(BODY_STYLES)}, not {body_style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16, not {size}")
    style, mesh = jitter(STYLES[body_style], rng), Mesh()
    colour = PAINTS[int(len(PAINTS) * rng.random() ** 1.9)] + rng.uniform(-14, 14, 3)
    paint = (*colour.clip(12, 245).tolist(), rng.uniform(.15, .5), 255)
    build_body(mesh, style, paint, rng)
    (build_cabin if style.roofed else build_cockpit)(mesh, style, paint, rng)
    faces, surfaces, layers = mesh.arrays(style.length)
    eye, project = aim(style, faces, rng)
    bearing, height, ambient = rng.uniform((0, .5, .45), (2 * np.pi, 1.2, .75)).tolist()
    sun = np.array([np.cos(bearing) * np.cos(height), np.sin(bearing) * np.cos(height), np.sin(height)])
    tints = np.array([(196, 214, 235), (222, 226, 230), (236, 218, 198)])
    sky = tints[rng.integers(3)] * rng.uniform(.8, 1.05)
    colours, seen = shade(eye, faces, surfaces, sky, sun, ambient)

    outdoors = rng.random() < .75
    foot = project(-rng.uniform(.4, 8 if outdoors else 1.2) * eye * (1, 1, 0))[1].clip(.05, .8)
    wall, ground = rng.uniform((90, 70), (235, 190))[:, None] + rng.uniform(-8, 8, (2, 3))
    rows = np.linspace(0, 1, 2 * size)[:, None, None]
    column = np.where(rows < foot, (sky if outdoors else wall) * (.75 + .25 * rows / foot),
                      ground * (.85 + .25 * (rows - foot) / (1 - foot))).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(column).resize((2 * size, 2 * size), Image.Resampling.NEAREST)  # to be halved
    draw = ImageDraw.Draw(image, "RGBA")
    if outdoors:
        fill(draw, [(0, foot - rng.uniform(0, .12), 1, foot)], [(74, 90, 62) + rng.uniform(-25, 25, 3)])
    paint_surroundings(draw, foot, rng)
    for x, wide in rng.uniform((-6, .08), (6, .2), (rng.integers(0, 4), 2)).tolist():  # lines on the ground
        line = np.array([(x, -8, 0), (x, 8, 0), (x + wide, 8, 0), (x + wide, -8, 0)])
        fill(draw, project(line[:, [[0, 1, 2], [1, 0, 2]][rng.integers(2)]])[None], [(225, 222, 205, 130)])

    # The shadow: the car's rounded footprint, larger layers shifted farther from the sun.
    grown, spots = np.linspace(1.2, .86, 14)[:, None, None], np.zeros((14, 20, 3))
    rim = np.sign(CIRCLE) * np.sqrt(np.abs(CIRCLE)) * (style.length / 2, style.width / 2)
    spots[..., :2] = rim * grown - sun[:2] * style.height * (grown - .85) * (1.2 - ambient)
    fill(draw, project(spots), [(8, 9, 12, 22)] * 14)

    # From far to near within each layer; the wheels come over the body and under the cabin.
    nearness = -((faces.mean(1) - eye) ** 2).sum(-1)
    nearness[(layers == BODY_DETAIL) | (layers == CABIN_DETAIL)] = 0  # these keep the order of their making
    order = np.lexsort((nearness, layers))
    order = order[seen[order]]
    below, corners = (layers[order] < CABIN).sum(), project(faces)
    discs, side = wheel_discs(style), (0, np.sign(eye[1]) * .49 * style.width, 0)
    tones = np.outer((14, 27, 72, rng.uniform(120, 215)) * 2, (1, 1, 1))
    fill(draw, project(discs[[1, 5]] - np.multiply(side, .8)), tones[[1, 5]])
    fill(draw, corners[order[:below]], colours[order[:below]])
    if abs(eye[1]) > style.width / 2:
        fill(draw, project(discs + side), tones)
    fill(draw, corners[order[below:]], colours[order[below:]])

    occluder, left = rng.uniform((0, 0), (1, .95)).tolist()
    if occluder < .08:
        fill(draw, [(left, 0, left + rng.uniform(.02, .07), 1)], rng.uniform(50, 200, (1, 1)) * (1, .96, .9))
    elif occluder < .2:
        paint_bush(draw, left, rng.uniform(.8, 1), rng.uniform(.15, .28), rng)
    contrast, brightness = rng.uniform((.8, -18), (1.15, 18)).tolist()
    noise = np.random.default_rng(rng.integers(2 ** 32)).integers(-6, 7, (size, size, 3), np.int8)
    picture = (np.asarray(image.reduce(2), np.float32) - 128) * contrast + (128 + brightness) + noise
    return picture.round().clip(0, 255).astype(np.uint8)


def render_dataset(count: int, size: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield pictures (size, size, 3), uint8, and their labels; each depends on seed and its index only."""
    for index in range(count):
        label = index % len(BODY_STYLES)
        yield render(BODY_STYLES[label], np.random.default_rng((seed, index)), size), label
