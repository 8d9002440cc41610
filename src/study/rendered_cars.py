"""Small pictures of cars in eight body styles, drawn from simple three-dimensional bodies.

A car is a row of proportions (`STYLES`), jittered, turned into four-cornered faces, shaded, and painted from
back to front. Car coordinates are metres: x forward, y to the left, z up, the origin on the ground below the
car's middle. Picture coordinates are fractions of its side, x to the right, y down. The scene's random numbers
are drawn without regard to the picture's size: the same scene can be had at any size.
"""

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
    Style(4.35, 1.80, 1.32, .92, .17, .33, .72, .90, (.31, .43, .68, .74), (.61,), (.18, .79), .68, (.4, .7), False),
    Style(4.45, 1.83, 1.32, .91, .16, .34, .71, .87, (.31, .46, .62, .90), (.66,), (.18, .79), .64),
    Style(3.95, 1.74, 1.49, .95, .18, .31, .78, .93, (.24, .40, .84, .96), (.56, .78), (.19, .83)),
    Style(5.40, 1.92, 1.82, 1.13, .32, .39, 1.02, 1.13, (.25, .34, .52, .545), (.44,), (.17, .79), .72, (.575, .97)),
    Style(4.70, 1.82, 1.44, .95, .18, .33, .76, .94, (.28, .42, .67, .82), (.53, .71), (.19, .80)),
    Style(4.60, 1.88, 1.76, 1.11, .28, .38, .98, 1.08, (.26, .38, .90, .965), (.53, .73), (.19, .80), .70),
    Style(4.95, 1.94, 2.08, 1.15, .22, .33, .92, 1.11, (.13, .27, .945, .965), (.40, .68), (.17, .78), .80),
    Style(4.75, 1.81, 1.47, .95, .18, .33, .77, .93, (.27, .41, .88, .965), (.52, .71), (.19, .79)))))

# Layers in painting order. From CABIN on all lies above the plane of the belt line, and so does the camera:
# the upper parts can hide the lower ones, never the other way round.
UNDERSIDE, WALLS, SEATS, BODY, BODY_DETAIL, CABIN, CABIN_DETAIL = range(7)

# A surface is red, green, blue, gloss in 0..1, opacity in 0..255. Paints: the most frequent ones first.
GLASS, BLACK, LINING = (22, 27, 33, .75, 255), (26, 26, 28, .1, 255), (44, 41, 39, 0, 255)
LAMP, PLATE, RED_LAMP = (225, 228, 232, .5, 255), (225, 224, 212, .1, 255), (168, 18, 22, .4, 255)
PAINTS = np.array([(238, 238, 236), (188, 191, 194), (28, 29, 32), (112, 116, 120), (158, 22, 26), (32, 58, 120),
                   (70, 74, 80), (196, 182, 152), (24, 66, 52), (96, 150, 190), (222, 170, 32), (204, 86, 28)])
TURN = np.arange(20) * np.pi / 10
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], -1)


def jitter(style, rng):
    """The style with its proportions moved at random, by enough for neighbouring styles to meet."""
    sizes = style[:8] * (1 + np.array((.06, .03, .04, .035, .12, .06, .05, .03)) * rng.uniform(-1, 1, 8))
    foot, front, rear, end = (style.cabin + rng.uniform(-.022, .022, 4)).tolist()
    new = style._make(sizes.tolist() + list(style[8:]))
    return new._replace(nose=min(new.nose, new.belt - .06), deck=min(new.deck, new.belt),
                        cabin=(foot, front, min(rear, .956), min(end, .968)),
                        axles=style.axles + rng.uniform(-.012, .012, 2))


def along(style, place):
    """Metres ahead of the car's middle, from a fraction of its length."""
    return style.length * (.5 - place)


def flip(point):
    """The same point on the car's other side."""
    return point[0], -point[1], point[2]


class Mesh(list):
    """A heap of faces whose corners run anticlockwise as seen from outside."""

    def add(self, layer, surface, corners, part=(0, 1, 0, 1), twin=True):
        """Add a face's part (left, right, low, high, left and right above if different), and its mirror image."""
        self.append((layer, surface, corners, (*part, *part[:2])[:6], twin))

    def box(self, layer, surface, x, y, z, twin=True, inward=1):
        """Add a box between pairs of coordinates; inward=-1 shows its inner walls instead."""
        points = [(a, b, c) for a in x for b in y for c in z]
        for face in ((4, 6, 7, 5), (2, 0, 1, 3), (6, 2, 3, 7), (0, 4, 5, 1), (5, 7, 3, 1), (0, 2, 6, 4)):
            self.add(layer, surface, [points[corner] for corner in face][::inward], twin=twin)

    def loft(self, layer, surface, rings, hollow=-1):
        """Skin a row of cross-sections, left halves from low to high, open on top behind the station hollow."""
        first, last = ([(x, 0, z) for x, _, z in ring] for ring in (rings[0], rings[-1]))
        for station, (a, b) in enumerate(zip([first, *rings], [*rings, last])):
            for j in range(len(a) - 1):
                self.add(layer, surface, (a[j], b[j], b[j + 1], a[j + 1]))
            if station != hollow + 1:
                self.add(layer, surface, (flip(a[-1]), a[-1], b[-1], flip(b[-1])), twin=False)

    def arrays(self):
        """Return faces (n, 4, 3), surfaces (n, 5) and layers (n,)."""
        layers, surfaces, corners, parts, twin = (np.array(column) for column in zip(*self))
        u, v = parts[:, [0, 1, 5, 4]], parts[:, [2, 2, 3, 3]]
        faces = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1) @ corners
        return (np.concatenate([faces, faces[twin][:, ::-1] * (1, -1, 1)]),
                np.concatenate([surfaces, surfaces[twin]]), np.concatenate([layers, layers[twin]]))


def build_body(mesh, style, paint, rng):
    """Add all that lies below the belt line, and the mirrors."""
    foot, end, boxy = style.cabin[0], style.cabin[3], .96 if style.height > 1.6 else .85
    places = sorted({0, .03, .09, .16, foot, end, .88, .965, 1, *(style.opening or ())})
    widths = np.interp(places, (0, .03, .09, .16, .88, .965, 1), (.76, .9, .975, 1, 1, .5 + boxy / 2, boxy))
    tops = np.interp(places, (0, .03, .1, foot, end, .97, 1), (
        style.nose - .12, style.nose - .03, style.nose * .65 + style.belt * .35, style.belt, style.belt,
        style.deck, style.deck - .05)).tolist()
    sills = (style.clearance + np.interp(places, (0, .05, .95, 1), (.06, 0, 0, .07))).tolist()
    rings = [[(along(style, place), width * wide, low + (top - low) * rise)  # sill, waist, shoulder, deck
              for wide, rise in ((.94, 0), (1, .5), (.975, .88), (.86, 1))]
             for place, width, top, low in zip(places, (widths * style.width / 2).tolist(), tops, sills)]
    mesh.loft(BODY, paint, rings, places.index(style.opening[0]) if style.opening else -2)

    skirt = BLACK if rng.random() < (.5 if style.clearance > .24 else .15) else paint
    bumper = BLACK if rng.random() < .3 else skirt
    grille, lamp, rear_lamp, rear_width = rng.uniform((.32, .5, .5, .48), (.6, .66, .68, .76)).tolist()
    (a, b), (c, d), straight = rings[:2], rings[-2:], (rings[places.index(foot)], rings[places.index(.88)])
    nose = (a[0][0], 0, a[0][2]), a[0], a[3], (a[0][0], 0, a[3][2])  # the left halves, from the middle outwards
    tail = d[0], (d[0][0], 0, d[0][2]), (d[0][0], 0, d[3][2]), d[3]
    front_corner, rear_corner = (a[1], b[1], b[2], a[2]), (c[1], d[1], d[2], c[2])
    lower, upper = ((p[j], q[j], q[j + 1], p[j + 1]) for p, q in [straight] for j in (0, 1))
    details = [(bumper, nose, 0, 1.02, 0, .3), (BLACK, nose, 0, .6, .04, .2), (PLATE, nose, 0, .24, .3, .43),
               (BLACK, nose, 0, grille, lamp - .05, .92), (LAMP, nose, grille + .06, grille + .34, lamp, .9),
               (LAMP, front_corner, 0, .95, .15, .95), (bumper, tail, -.02, 1, 0, .3),
               (BLACK, tail, .04, 1, .36, .375), (PLATE, tail, .74, 1, .5, .66),
               (RED_LAMP, tail, 0, 1 - rear_width, rear_lamp, .93), (RED_LAMP, rear_corner, .2, 1, .2, .97)]
    for door in (foot + .03, *style.pillars, *((end - .01,) if end < .6 else ())):
        u = (door - foot) / (.88 - foot)
        details += (BLACK, lower, u - .004, u + .004, .4, 1), (BLACK, upper, u - .004, u + .004, 0, 1)
    if skirt is BLACK:
        details += [(BLACK, (p[0], q[0], q[1], p[1]), 0, 1, 0, .4) for p, q in zip(rings, rings[1:])]
    for surface, face, *part in details:
        mesh.add(BODY_DETAIL, surface, face, part)

    y, belt, wheel = .43 * style.width, style.belt, style.wheel
    for axle in along(style, style.axles).tolist():  # tyres: boxes between the discs that end them
        for reach, low in ((.62 * wheel, .2 * wheel), (.3 * wheel, .04 * wheel)):
            mesh.box(UNDERSIDE, BLACK, (axle - reach, axle + reach), (1.14 * y - .22, 1.14 * y), (low, wheel))
    mirror = along(style, foot + .06)
    mesh.box(CABIN, paint, (mirror - .05, mirror + .1), (y, 1.3 * y), (belt + .03, belt + .16))
    if style.opening:
        front, rear = (along(style, place) for place in style.opening)
        mesh.box(WALLS, LINING, (rear, front), (-y, y), (belt - .45, style.deck), False, -1)


def build_cockpit(mesh, style, paint, rng):
    """Add a convertible's seats, folded top and windscreen."""
    belt, f, r, y = style.belt, *(along(style, place) for place in style.opening), .43 * style.width
    leather = ((74, 64, 56, 0, 255), (34, 34, 36, 0, 255), (150, 110, 76, 0, 255))[rng.integers(3)]
    for x in (.52 * f + .48 * r, .14 * f + .86 * r):
        for layer, low, high, wide in ((SEATS, -.4, 0, .27), (CABIN, 0, .12, .25), (CABIN, .13, .26, .14)):
            mesh.box(layer, leather, (x - .1, x + .05), (.37 - wide, .37 + wide), (belt + low, belt + high))
    mesh.box(CABIN, BLACK, (r - .3, r - .02), (-.93 * y, .93 * y), (belt - .02, belt + .06), False)
    low = along(style, style.cabin[0]), y, belt
    high = along(style, style.cabin[1]), style.roof_width * style.width / 2, style.height
    for screen in ((flip(low), low, high, flip(high)), (low, flip(low), flip(high), high)):  # from both sides
        mesh.add(CABIN, (120, 135, 150, .5, 90), screen, twin=False)
        for part in ((0, .05, 0, 1), (0, 1, .9, 1)):
            mesh.add(CABIN, paint, screen, part)


def build_cabin(mesh, style, paint, rng):
    """Add the roof, its pillars and the windows."""
    foot, front, rear, end = style.cabin
    base, bend = .43 * style.width, np.linspace(-1, 1, 5)
    widths = style.roof_width * style.width / 2 * (1 - .03 * bend ** 2)
    tops = style.height - (.05 + rng.uniform(0, .05) * (bend > 0)) * bend ** 2
    roof = zip(np.linspace(front, rear, 5).tolist(), widths.tolist(), tops.tolist())
    a, b, *_, c, d = rings = [
        [(along(style, place), base, style.belt), (along(style, place), width, max(style.belt, top - .06)),
         (along(style, place), .86 * width, top)]
        for place, width, top in ((foot, base, style.belt), *roof, (end, base, style.belt))]
    mesh.loft(CABIN, paint, rings)
    mesh.add(CABIN_DETAIL, GLASS, (flip(a[2]), a[2], b[2], flip(b[2])), (-.05, 1.05, .04, .96), False)
    low = .3 if style.height > 1.6 else .12
    mesh.add(CABIN_DETAIL, GLASS, (d[2], flip(d[2]), flip(c[2]), c[2]), (-.02, 1.02, low, .93), False)
    # Pillars stand upright in slanting sides: their fractions differ along the lower and the upper edge.
    edges = [(foot + .035, front + .015), *zip(style.pillars, style.pillars),
             (min(end - .035, rear + rng.uniform(.06, .12)), rear - .015)]
    edges = [((low - foot) / (end - foot), min(.93, (high - front) / (rear - front))) for low, high in edges]
    if style.height > 1.95 and rng.random() < .4:
        edges = edges[:2]  # a panel van
    panes = [(*pair, GLASS, .012) for pair in zip(edges, edges[1:])]
    for left, right, surface, gap in [(edges[0], edges[-1], BLACK if rng.random() < .5 else paint, 0), *panes]:
        part = left[0] + gap, right[0] - gap, .09, .93, left[1] + gap, right[1] - gap
        mesh.add(CABIN_DETAIL, surface, (a[0], d[0], c[1], b[1]), part)


def wheel_discs(style, y):
    """Return arch, tyre, rim and spokes of the two wheels in the plane y: polygons (8, 20, 3)."""
    reach = style.wheel * np.array([1.14, 1, .68, .62])[:, None] * np.ones(20)
    reach[3] *= np.where(np.arange(20) % 4 < 2, 1, .35)
    up = style.wheel + reach * np.sin(TURN + .15)
    up[0] = np.maximum(up[0], style.clearance)  # an arch ends at the sill
    across = along(style, style.axles)[:, None, None] + reach * np.cos(TURN + .15)
    return np.stack(np.broadcast_arrays(across, y, up), -1).reshape(8, 20, 3)


class Camera:
    """A pinhole camera at about eye height, framed so that the car fills most of the picture."""

    def __init__(self, style, faces, rng):
        favoured = (35, -35, 145, -145, 90, -90)[rng.integers(6)] + 14 * rng.standard_normal()
        azimuth = np.radians(favoured if rng.random() < .75 else rng.uniform(-180, 180))
        elevation, distance = np.radians(3 + 22 * rng.random() ** 2), rng.uniform(1.7, 3.5) * style.length
        outward, middle = np.array([np.cos(azimuth), np.sin(azimuth), 0]), .45 * style.height
        self.place = distance * np.cos(elevation) * outward
        self.place[2] = max(middle + distance * np.sin(elevation), style.belt + .25)  # the layers rely on it
        ahead = (0, 0, middle) - self.place
        ahead /= np.sqrt((ahead ** 2).sum())
        right = np.array([-outward[1], outward[0], 0])
        self.axes, self.scale, self.shift = np.stack([right, np.cross(right, ahead), ahead], -1), 1, 0
        corners = self(faces).reshape(-1, 2)
        low, extent = corners.min(0), np.ptp(corners, 0)
        self.scale = rng.uniform(.8, .97) / extent.max()
        spare = 1 - extent * self.scale
        self.shift = spare / 2 + rng.uniform(-.4, .4, 2) * spare.clip(0, .25) - low * self.scale

    def __call__(self, points):
        """Project points (..., 3) to picture coordinates (..., 2)."""
        seen = (points - self.place) @ self.axes
        return seen[..., :2] * (1, -1) / np.maximum(seen[..., 2:], .3) * self.scale + self.shift


def shade(camera, faces, surfaces, sky, sun, ambient):
    """Return the faces' colours (n, 4) and which of them the camera sees (n,)."""
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    views = camera.place - faces.mean(1)
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
    colours = np.rint(colours).clip(0, 255).astype(int).tolist()
    for corners, colour in zip(np.rint(shapes * draw.im.size[0]).astype(int).tolist(), colours):
        draw.polygon(corners, fill=tuple(colour))


def paint_bush(draw, x, y, reach, rng):
    """Paint foliage round a point."""
    middles, radii = rng.uniform((-.7, -.5), (.7, .5), (5, 2)), rng.uniform(.3, .6, 5)
    leaves = (x, y) + reach * (middles[:, None] + radii[:, None, None] * CIRCLE)
    fill(draw, leaves, ((60, 84, 48) + rng.uniform(-20, 20, 3)) * rng.uniform(.75, 1.2, (5, 1)))


def paint_surroundings(draw, foot, rng):
    """Paint what stands far behind the car, down to the height foot."""
    for _ in range(rng.integers(0, 7)):
        left, width, tall, kind = rng.uniform((-.2, .05, .08, 0), (1, .45, .5, 1)).tolist()
        tone = rng.uniform(40, 215) + rng.uniform(-16, 16, 3)
        if kind < .45:  # a pole or a tree
            fill(draw, [(left, foot - 1.3 * tall, left + .06 * width, foot)], [.7 * tone])
            if kind < .25:
                paint_bush(draw, left, foot - 1.3 * tall, .2, rng)
        else:  # low ones pass for other cars, high ones for houses
            tall *= .4 if kind < .65 else 1
            fill(draw, [(left, foot - tall, left + width, foot)] + [
                (left + width * u, foot - .9 * tall, left + width * (u + .2), foot - .5 * tall) for u in (.1, .4, .7)],
                np.outer((1, .5, .5, .5), tone))


def render(body_style: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture (size, size, 3), uint8, of one car of the given body style."""
    if body_style not in BODY_STYLES:
        raise ValueError(f"body_style must be one of {', '.join(BODY_STYLES)}, not {body_style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16, not {size}")
    style, mesh = jitter(STYLES[body_style], rng), Mesh()
    colour = PAINTS[int(len(PAINTS) * rng.random() ** 1.5)] + rng.uniform(-14, 14, 3)
    paint = (*colour.clip(12, 245).tolist(), rng.uniform(.15, .5), 255)
    build_body(mesh, style, paint, rng)
    (build_cabin if style.roofed else build_cockpit)(mesh, style, paint, rng)
    faces, surfaces, layers = mesh.arrays()
    camera = Camera(style, faces, rng)
    bearing, height, ambient = rng.uniform((0, .5, .45), (2 * np.pi, 1.2, .75)).tolist()
    sun = np.array([np.cos(bearing) * np.cos(height), np.sin(bearing) * np.cos(height), np.sin(height)])
    sky = np.array([(196, 214, 235), (222, 226, 230), (236, 218, 198)][rng.integers(3)]) * rng.uniform(.8, 1.05)
    colours, seen = shade(camera, faces, surfaces, sky, sun, ambient)

    outdoors = rng.random() < .75
    behind = -rng.uniform(.4, 8 if outdoors else 1.2) * camera.place * (1, 1, 0)
    foot = float(camera(behind)[1].clip(.05, .8))
    wall, ground = rng.uniform((90, 70), (235, 190))[:, None] + rng.uniform(-8, 8, (2, 3))
    finer = 2  # painted larger, then averaged
    rows = (np.arange(size * finer)[:, None, None] + .5) / (size * finer)
    column = np.where(rows < foot, (sky if outdoors else wall) * (.75 + .25 * rows / foot),
                      ground * (.85 + .25 * (rows - foot) / (1 - foot))).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(column).resize((size * finer, size * finer), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image, "RGBA")
    if outdoors:
        fill(draw, [(0, foot - rng.uniform(0, .12), 1, foot)], [(74, 90, 62) + rng.uniform(-25, 25, 3)])
    paint_surroundings(draw, foot, rng)
    for place, wide in rng.uniform((-6, .08), (6, .2), (rng.integers(0, 4), 2)).tolist():  # lines on the ground
        line = np.array([(place, -8, 0), (place, 8, 0), (place + wide, 8, 0), (place + wide, -8, 0)])
        fill(draw, camera(line[:, [0, 1, 2] if rng.random() < .5 else [1, 0, 2]])[None], [(225, 222, 205, 130)])

    # The shadow: the car's rounded footprint, larger layers shifted farther from the sun.
    grown = np.linspace(1.18, .88, 9)[:, None, None]
    rim = np.sign(CIRCLE) * np.sqrt(np.abs(CIRCLE)) * (style.length / 2, style.width / 2)
    spots = rim * grown - sun[:2] * style.height * (grown - .85) * (1.2 - ambient)
    fill(draw, camera(np.pad(spots, ((0, 0), (0, 0), (0, 1)))), [(8, 9, 12, 30)] * 9)

    # From far to near within each layer; the wheels come over the body and under the cabin.
    nearness = -((faces.mean(1) - camera.place) ** 2).sum(-1)
    nearness[(layers == BODY_DETAIL) | (layers == CABIN_DETAIL)] = 0  # patches keep the order of their making
    order = np.lexsort((nearness, layers))
    order = order[seen[order]]
    below, corners = (layers[order] < CABIN).sum(), camera(faces)
    side, spokes = np.sign(camera.place[1]) * .49 * style.width, rng.uniform(120, 215)
    fill(draw, camera(wheel_discs(style, -side * .8))[[1, 5]], [(27, 27, 29)] * 2)
    fill(draw, corners[order[:below]], colours[order[:below]])
    if abs(camera.place[1]) > style.width / 2:
        fill(draw, camera(wheel_discs(style, side)), [(14,) * 3, (27,) * 3, (72,) * 3, (spokes,) * 3] * 2)
    fill(draw, corners[order[below:]], colours[order[below:]])

    occluder, left = rng.uniform((0, 0), (1, .95)).tolist()
    if occluder < .08:
        fill(draw, [(left, 0, left + rng.uniform(.02, .07), 1)], [rng.uniform(40, 200) + rng.uniform(-15, 15, 3)])
    elif occluder < .2:
        paint_bush(draw, left, rng.uniform(.8, 1), rng.uniform(.15, .28), rng)
    contrast, brightness = rng.uniform((.8, -18), (1.15, 18)).tolist()
    noise = np.random.default_rng(rng.integers(2 ** 32)).integers(-6, 7, (size, size, 3), np.int8)
    picture = (np.asarray(image.reduce(finer), np.float32) - 128) * contrast + (128 + brightness) + noise
    return picture.round().clip(0, 255).astype(np.uint8)


def render_dataset(count: int, size: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield pictures (size, size, 3), uint8, with labels index % 8; each depends on seed and its index alone."""
    for index in range(count):
        label = index % len(BODY_STYLES)
        yield render(BODY_STYLES[label], np.random.default_rng((seed, index)), size), label
