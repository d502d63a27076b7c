"""What a clip shows, by simple rules on its frames: background, colour, shape and motion of one object."""

import numpy as np

import world

NAMES = {"background": tuple(world.BACKGROUNDS), "colour": tuple(world.COLOURS), "shape": world.SHAPES,
         "motion": tuple(world.MOTIONS)}
_FAR = 70
"""Sum of the differences of red, green and blue from which a pixel is not background."""


def _background(clip):
    """The background that most pixels of the clip are nearest to, and the picture of it."""
    size = clip.shape[1:3]
    pictures = {name: world.background(name, size).astype(np.int16) for name in world.BACKGROUNDS}
    middle = np.median(clip, 0).astype(np.int16)
    name = min(pictures, key=lambda n: np.median(np.abs(middle - pictures[n]).sum(-1)))
    return name, pictures[name]


def _neighbours(mask):
    """How many of the nine pixels around each one are in `mask`."""
    padded = np.pad(mask, 1).astype(np.uint8)
    h, w = mask.shape
    return sum(padded[y : y + h, x : x + w] for y in range(3) for x in range(3))


def _colour(clip, masks):
    """The colour nearest to the pixels that are not at an edge."""
    inner = np.stack([_neighbours(mask) == 9 for mask in masks])
    middle = np.median(clip[inner if inner.sum() > 0.1 * masks.sum() else masks], 0)
    return min(world.COLOURS, key=lambda c: np.abs(middle - world.COLOURS[c]).sum())


def _places(masks, height):
    """Centre and radius of a disc of the same area of each mask, in frame heights; NaN where it is empty."""
    rows = []
    for mask in masks:
        y, x = np.nonzero(mask)
        rows.append((x.mean(), y.mean(), np.sqrt(len(x) / np.pi)) if len(x) > 8 else (np.nan,) * 3)
    return (np.array(rows) + (0.5, 0.5, 0)) / height


def _share(shape):
    """Radius of a disc as large as the shape of radius 1."""
    y, x = np.mgrid[-1.5:1.5:300j, -1.5:1.5:300j]
    return np.sqrt((world._distance(shape, x, y, 1.0, 0.0) < 0).sum() * 1e-4 / np.pi)


_SHARES = {shape: _share(shape) for shape in world.SHAPES}


def _motion(places, shape):
    """The motion whose track is nearest to the places."""
    seen = ~np.isnan(places[:, 0])
    if seen.sum() < 6:
        return None

    def distance(motion):
        track = world.tracks(world.Spec((("red", shape),), motion, "wood"), 0)[0]
        wanted = np.stack([track.x, track.y, track.radius], 1)[seen]
        # Of the size only how it changes: how much of the object is seen depends on its colour.
        change = places[seen, 2] / places[seen, 2].mean() - wanted[:, 2] / wanted[:, 2].mean()
        return np.abs(places[seen, :2] - wanted[:, :2]).sum(1).mean() + np.abs(change).mean()

    return min(world.MOTIONS, key=distance)


def _shape(masks, places, motion):
    """The shape whose drawing covers the masks best, at the places and angles of the motion."""
    height, width = masks.shape[1:]
    y, x = np.mgrid[:height, :width] + 0.5
    scores = dict.fromkeys(world.SHAPES, 0.0)
    for shape in world.SHAPES:
        track = world.tracks(world.Spec((("red", shape),), motion or "stays", "wood"), 0)[0]
        for i in range(0, len(masks), 4):
            if np.isnan(places[i, 0]):
                continue
            cx, cy, r = places[i] * height
            r /= _SHARES[shape]
            inside = world._distance(shape, x - cx, y - cy, r, track.angle[i]) < 0
            scores[shape] += (inside & masks[i]).sum() / max((inside | masks[i]).sum(), 1)
    return max(scores, key=scores.get)


def judge(clip):
    """Of a clip, uint8 [25, height, width, 3]: names of background, colour, shape and motion, None where there is none."""
    name, picture = _background(clip)
    masks = np.abs(clip.astype(np.int16) - picture).sum(-1) > _FAR
    masks = np.stack([mask & (_neighbours(mask) >= 6) for mask in masks])
    seen = {"background": name, "colour": None, "shape": None, "motion": None}
    if masks.sum() < 100:
        return seen
    seen["colour"] = _colour(clip, masks)
    places = _places(masks, clip.shape[1])
    seen["motion"] = _motion(places, "ball")
    seen["shape"] = _shape(masks, places, seen["motion"])
    return seen


def hits(specs, clips):
    """Share of the clips that show what their spec (of one object) says, by kind."""
    right = dict.fromkeys(NAMES, 0)
    for spec, clip in zip(specs, clips):
        (colour, shape), = spec.objects
        wanted = {"background": spec.background, "colour": colour, "shape": shape, "motion": spec.motion}
        seen = judge(clip)
        for kind in right:
            right[kind] += seen[kind] == wanted[kind]
    return {kind: count / len(specs) for kind, count in right.items()}
