"""The demo model's world: what a clip shows, as words and as pictures.

A clip is given by a `Spec`. A seed moves and sizes things by a few per cent only, so that a caption says nearly
everything. Lengths are fractions of the frame's height, time runs from 0 (first frame) to 1 (last frame).
"""

import itertools
import math
import zlib
from dataclasses import dataclass

import numpy as np

from backgrounds import BACKGROUNDS, background
from words import MOTIONS, ONE, TWO, WHERE

FRAMES, FPS = 25, 24
LARGE, SMALL = (192, 256), (96, 128)
ASPECT = 4 / 3
COLOURS = {
    "red": (222, 38, 38),
    "green": (30, 205, 70),
    "blue": (50, 75, 235),
    "yellow": (250, 228, 40),
    "orange": (250, 140, 20),
    "purple": (150, 50, 190),
    "white": (252, 252, 252),
    "black": (14, 14, 14),
    "pink": (250, 130, 185),
    "cyan": (30, 220, 225),
}
SHAPES = ("ball", "square", "triangle", "star", "ring")
HITS = (0.0, 0.5, 1.0)
"""When a bouncing object touches the ground."""


@dataclass(frozen=True)
class Spec:
    """What a clip shows: one or two (colour, shape), the first on the left; keys of `MOTIONS` and `BACKGROUNDS`."""

    objects: tuple
    motion: str
    background: str


@dataclass(frozen=True)
class Track:
    """Where an object is: arrays over time of its centre, radius (fractions of the height) and angle (radians)."""

    colour: str
    shape: str
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


def _pick(rng, of):
    of = tuple(of)
    return of[rng.integers(len(of))]


def random_spec(rng, two=0.15):
    """A random spec, with two objects at probability `two`."""
    count = 2 if rng.random() < two else 1
    objects = [(_pick(rng, COLOURS), _pick(rng, SHAPES))]
    while len(objects) < count:
        other = (_pick(rng, COLOURS), _pick(rng, SHAPES))
        if other != objects[0]:
            objects.append(other)
    return Spec(tuple(objects), _pick(rng, MOTIONS), _pick(rng, BACKGROUNDS))


def is_held_out(spec):
    """Whether training must not see this spec: about a tenth of (colour, shape, motion,
    background), by a fixed hash."""
    names = ("/".join((*thing, spec.motion, spec.background)) for thing in spec.objects)
    return any(zlib.crc32(name.encode()) % 10 == 0 for name in names)


def training_spec(rng):
    """A random spec that training may see."""
    while is_held_out(spec := random_spec(rng)):
        pass
    return spec


def held_out_specs():
    """Every held-out spec with one object, in a fixed order that mixes all kinds."""
    every = itertools.product(COLOURS, SHAPES, MOTIONS, BACKGROUNDS)
    specs = [Spec(((colour, shape),), motion, place) for colour, shape, motion, place in every]
    return sorted(filter(is_held_out, specs), key=lambda spec: zlib.crc32(repr(spec).encode()))


def captions(spec):
    """All wordings of a spec; the first is the plain one."""
    things = dict(zip(("c1", "s1", "c2", "s2"), itertools.chain(*spec.objects)))
    templates, form = (ONE, 0) if len(spec.objects) == 1 else (TWO, 1)
    parts = itertools.product(templates, MOTIONS[spec.motion], WHERE[spec.background])
    written = (t.format(m=m[form], w=w, **things) for t, m, w in parts)
    return [text.replace("a orange", "an orange").replace("A orange", "An orange") for text in written]


def caption(spec, rng):
    """A wording of a spec: the plain one in three of ten cases."""
    every = captions(spec)
    return every[0] if rng.random() < 0.3 else _pick(rng, every)


def _path(motion, t, two):
    """Of one object: offset from the middle of its share of the frame, radius, and distance rolled."""
    still = np.zeros_like(t)
    reach = 0.2 if two else 0.43
    x, y, radius, rolled = still, still, still + (0.14 if two else 0.2), still
    if motion == "rolls right":
        x, y, rolled = reach * (2 * t - 1), still + 0.18, 2 * reach * t
    elif motion == "rolls left":
        x, y, rolled = reach * (1 - 2 * t), still + 0.18, -2 * reach * t
    elif motion == "bounces":
        y = 0.24 - 0.38 * np.abs(np.sin(2 * np.pi * t))
    elif motion == "rises":
        y = 0.3 - 0.6 * t
    elif motion == "falls":
        y = -0.3 + 0.6 * t**2
    elif motion == "grows":
        radius = radius * (0.6 + 0.9 * t)
    elif motion == "shrinks":
        radius = radius * (1.5 - 0.9 * t)
    elif motion == "circles":
        turn = 0.15 if two else 0.23
        x, y = turn * np.cos(2 * np.pi * t), turn * np.sin(2 * np.pi * t)
    return x, y, radius, rolled


def offsets(rng):
    """What a scene differs in: how far things are right, below and larger, each from -1 to 1. These are the first three
    numbers that are drawn of `rng` (a generator or a seed)."""
    return np.random.default_rng(rng).uniform(-1, 1, 3)


def tracks(spec, rng, times=None):
    """The `Track` of each object at `times` (25 frames if None), with the `offsets` of `rng`. `draw` has the same: the
    same seed gives the same tracks."""
    dx, dy, grown = offsets(rng) * (0.02, 0.02, 0.04)
    t = np.linspace(0, 1, FRAMES) if times is None else np.asarray(times, dtype=float)
    two = len(spec.objects) == 2
    x, y, radius, rolled = _path(spec.motion, t, two)
    radius = radius * (1 + grown)
    middles = (0.27, 0.73) if two else (0.5,)
    return [
        Track(colour, shape, x + middle * ASPECT + dx, y + 0.5 + dy, radius, rolled / radius / 2)
        for (colour, shape), middle in zip(spec.objects, middles)
    ]


def _distance(shape, x, y, r, angle):
    """Signed distance (about) of points to the outline of a shape of radius `r` around the origin."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = c * x + s * y, c * y - s * x
    if shape == "ball":
        return np.hypot(x, y) - r
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.74 * r) - 0.26 * r
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.84 * r
    if shape == "triangle":
        y = y - 0.12 * r
        return np.maximum(0.866 * np.abs(x) - 0.5 * y, y) - 0.56 * r
    fifth = math.pi / 5
    fold = np.abs((np.arctan2(x, -y) + fifth) % (2 * fifth) - fifth)
    far, tip, notch = np.hypot(x, y), 1.1 * r, 0.52 * r
    ex, ey = notch * math.cos(fifth) - tip, notch * math.sin(fifth)
    return (ey * (far * np.cos(fold) - tip) - ex * far * np.sin(fold)) / math.hypot(ex, ey)


def _paint(frame, track, i):
    """Paints a track's object of frame `i` on `frame` [height, width, 3]: lit from above, edges one pixel soft."""
    height, width, _ = frame.shape
    x, y, r = (float(a[i]) * height for a in (track.x, track.y, track.radius))
    top, bottom = max(0, int(y - 1.2 * r) - 1), min(height, int(y + 1.2 * r) + 2)
    left, right = max(0, int(x - 1.2 * r) - 1), min(width, int(x + 1.2 * r) + 2)
    py = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    px = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5 - x)
    cover = np.clip(0.5 - _distance(track.shape, px, py, r, float(track.angle[i])), 0, 1)[..., None]
    light = 1.06 - (0.22 * py + 0.06 * px)[..., None] / r
    colour = np.minimum(np.asarray(COLOURS[track.colour], np.float32) * light, 255)
    part = frame[top:bottom, left:right]
    part[:] = np.rint(part + cover * (colour - part))


def draw(spec, size, rng):
    """The clip of a spec at `size` (height, width; a multiple of 3:4): uint8 [25, height, width, 3]. `rng` is a
    generator or a seed; the same seed gives the same scene at every size."""
    clip = np.repeat(background(spec.background, size)[None], FRAMES, axis=0)
    for track in tracks(spec, rng):
        for i, frame in enumerate(clip):
            _paint(frame, track, i)
    return clip
