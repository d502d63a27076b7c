"""Background pictures: the same at every size and in every clip.

They are functions of a place in pixels of a frame of 256 x 192, averaged over each pixel. Textures repeat every 32 or
64 of these pixels: so latents, which are made of patches of 32 x 32, need few components for them.
"""

from functools import lru_cache

import numpy as np

WIDTH, HEIGHT = 256, 192
_TURN = 2 * np.pi / 32
_FINE = 4


def _waves(x, y, seed, count, low, high, stretch=(1, 1)):
    """A texture of period 32: `count` random waves, about -1 to 1. `stretch` weighs frequencies across and down."""
    rng = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for _ in range(count):
        across, down = (int(k) for k in np.rint(rng.uniform(low, high, 2) * stretch * rng.choice([-1, 1], 2)))
        total += np.cos(_TURN * (across * x + down * y) + rng.uniform(0, 2 * np.pi))
    return np.clip(total / np.sqrt(count) / 1.4, -1, 1)


def _spots(x, y, period, places):
    """Round soft spots (x, y, radius, brightness), repeated every `period`."""
    total = np.zeros_like(x)
    for cx, cy, radius, bright in places:
        dx, dy = ((a - c + period / 2) % period - period / 2 for a, c in ((x, cx), (y, cy)))
        total += bright * np.exp(-((dx**2 + dy**2) / radius**2))
    return total


def _wood(x, y):
    at = y % 32
    grain = np.sin(_TURN * (5 * y + 1.2 * np.sin(_TURN * x))) + 0.6 * np.sin(_TURN * (9 * y + np.cos(_TURN * x)))
    seam = np.minimum(at, 32 - at) < 1
    return 0.5 + 0.22 * grain - 1.1 * seam


def _brick(x, y):
    row = (y // 16).astype(int)
    mortar = (y % 16 < 2) | ((x + 16 * (row % 2)) % 32 < 2)
    return np.where(mortar, 1.0, 0.1 * _waves(x, y, 3, 12, 0, 4))


def _sky(x, y):
    cloud = np.clip(np.sin(_TURN / 2 * y + 0.8 * np.sin(_TURN / 2 * x)) + 0.4 * np.cos(_TURN / 2 * (x - 2 * y)), 0, 2)
    return 0.75 * y / HEIGHT + 0.22 * cloud


def _night(x, y):
    stars = [(9, 12, 1.5, 2.6), (41, 25, 1.2, 2.2), (23, 47, 1.7, 2.8), (55, 56, 1.2, 2.0), (50, 6, 1.0, 1.8)]
    return 0.7 * y / HEIGHT + _spots(x, y, 64, stars)


def _water(x, y):
    wave = np.sin(_TURN * 2 * y + 1.3 * np.sin(_TURN * x) + 0.7 * np.sin(_TURN * 2 * x + 1))
    return 0.5 + 0.42 * wave - 0.25 * (y / HEIGHT - 0.5)


BACKGROUNDS = {
    "wood": ((112, 72, 42), (176, 122, 76), _wood),
    "grass": ((46, 96, 40), (104, 150, 70), lambda x, y: 0.5 + 0.45 * _waves(x, y, 5, 24, 1, 6, (1.2, 0.5))),
    "sky": ((110, 168, 236), (206, 228, 250), _sky),
    "snow": ((192, 204, 224), (226, 233, 244), lambda x, y: 0.5 + 0.45 * _waves(x, y, 11, 10, 1, 3)),
    "night": ((16, 18, 58), (52, 50, 104), _night),
    "sand": ((184, 156, 104), (222, 196, 142),
             lambda x, y: 0.5 + 0.3 * np.sin(_TURN * 2 * y + 0.9 * np.sin(_TURN * x)) + 0.2 * _waves(x, y, 7, 24, 2, 7)),
    "brick": ((156, 70, 54), (196, 184, 170), _brick),
    "water": ((18, 52, 88), (48, 104, 142), _water),
}
"""Of each background: its dark colour, its light colour, and how light a place is."""


@lru_cache
def background(name, size=(HEIGHT, WIDTH)):
    """The background picture, uint8 [height, width, 3], read only."""
    height, width = size
    y = (np.arange(height * _FINE) + 0.5) * HEIGHT / (height * _FINE)
    x = (np.arange(width * _FINE) + 0.5) * WIDTH / (width * _FINE)
    x, y = np.meshgrid(x, y)
    dark, light, how = BACKGROUNDS[name]
    lit = how(x, y).reshape(height, _FINE, width, _FINE).mean((1, 3))[..., None]
    picture = np.asarray(dark) + (np.asarray(light, float) - dark) * lit
    picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture
