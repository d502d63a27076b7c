"""The sound of a clip: the stereo waveform that belongs to the motion of its objects.

Every sound is a sum of multiples of 100 Hz with fixed phases, so a harmonic repeats with each frame of the mel
spectrogram. What changes is how loud the harmonics are. It changes linearly between grid points 10 ms apart. So a
vocoder can learn the waveform by plain regression: a spectrogram leaves no phase open.
"""

import numpy as np

from world import ASPECT, HITS, tracks

RATE = 16000
HOP = 160
"""Samples between two grid points, and of one frame of the mel spectrogram."""
FRAMES = 101
"""Frames of the mel spectrogram of a clip: 4 x 26 latents - 3."""
HARMONICS = 32
"""Multiples of 100 Hz in use; the highest is 3.2 kHz."""
HARD = ("wood", "brick")
"""Backgrounds on which rolling and knocks sound bright; on all others they are dull."""

_NUMBERS = np.arange(1, HARMONICS + 1)
_TIMES = np.arange(FRAMES + 1) * HOP / RATE
_FADE = 0.03
_PHASES = -np.pi * _NUMBERS * (_NUMBERS - 1) / HARMONICS


def waveform(spec, rng):
    """Left and right of a spec's clip, f32 [2, 16160] at 16 kHz, within -1 to 1. The same seed (or generator) gives
    the motion that `world.tracks` gives."""
    return synthesise(amplitudes(spec, rng)).astype(np.float32)


def synthesise(loudness):
    """The wave [..., 2, 16160] of amplitudes [..., 2, 32, 102]."""
    later = np.arange(HOP) / HOP
    carrier = np.cos(2 * np.pi * _NUMBERS[:, None] * later + _PHASES[:, None])
    wave = np.einsum("...skn,km->...snm", loudness[..., :-1], carrier * (1 - later), optimize=True)
    wave += np.einsum("...skn,km->...snm", loudness[..., 1:], carrier * later, optimize=True)
    return wave.reshape(*wave.shape[:-2], -1)


def amplitudes(spec, rng):
    """How loud each harmonic is, left and right, at each grid point: [2, 32, 102]."""
    total = np.zeros((2, HARMONICS, len(_TIMES)))
    for track in tracks(spec, rng, np.minimum(_TIMES, 1)):
        place = np.clip(track.x / ASPECT, 0, 1) * np.pi / 2
        sides = np.stack([np.cos(place), np.sin(place)])
        total += sides[:, None] * _VOICES[spec.motion](track, spec.background in HARD)
    return total


def _fade():
    """Zero at both ends of the clip, for sounds that last."""
    return np.clip(np.minimum(_TIMES, _TIMES[-1] - _TIMES) / _FADE, 0, 1)


def _only(shares):
    """The shape [32, 1] of a sound with these harmonics: number to share."""
    shape = np.zeros((HARMONICS, 1))
    for number, share in shares.items():
        shape[number - 1] = share
    return shape


def _roll(track, hard):
    """A rumble, as loud as the object is fast, which flutters with its turns."""
    speed = np.abs(np.gradient(track.x, HOP / RATE))
    flutter = 1 + 0.5 * np.cos(12 * track.angle)
    shape = _NUMBERS**-0.9 * (_NUMBERS <= 16) if hard else _NUMBERS**-1.8 * (_NUMBERS <= 8)
    return 0.16 * shape[:, None] * speed * flutter * _fade()


def _knock(_track, hard):
    """A short burst whenever the object touches the ground."""
    total = np.zeros((HARMONICS, len(_TIMES)))
    length, brightness = (0.12, 6) if hard else (0.08, 3)
    decay = (length / (1 + _NUMBERS / brightness))[:, None]
    # The burst is loudest one point after the contact. What begins at the end of the clip is not heard.
    for peak in (round(hit * RATE / HOP) + 1 for hit in HITS):
        if peak < FRAMES - 5:
            age = _TIMES - _TIMES[peak]
            total += np.where(age >= 0, np.exp(-np.maximum(age, 0) / decay), 0)
    shape = (_NUMBERS + 1.0) ** (-0.7 if hard else -1.1)
    return 0.3 * shape[:, None] * total


def _tone(track, _hard):
    """A note that is struck anew at each step of a scale from 400 to 1200 Hz; a higher place is higher and louder."""
    height = np.clip((0.8 - track.y) / 0.6, 0, 1)
    steps = np.round(4 + 8 * height).astype(int)
    total = np.zeros((HARMONICS, len(_TIMES)))
    struck = 0
    for point, step in enumerate(steps):
        if step != steps[struck]:
            struck = point
        loud = 0.4 * (0.5 + 0.5 * height[point]) * np.exp((struck - point) * HOP / RATE / 0.15)
        total[step - 1, point] = loud
        total[2 * step - 1, point] = 0.35 * loud
    return total * _fade()


def _swell(track, _hard):
    """A low chord, as loud as the object is large."""
    loud = np.clip((track.radius - 0.05) / 0.25, 0, 1)
    return 0.22 * _only({2: 1.0, 3: 0.7, 4: 0.5, 6: 0.3}) * loud * _fade()


def _whirr(track, _hard):
    """A hum above the rumble, louder where the object is lower in the picture, so nearer."""
    return 0.18 * _only({4: 1.0, 5: 0.8, 6: 0.6, 8: 0.4}) * (0.3 + 0.9 * np.clip(track.y, 0, 1)) * _fade()


def _silence(_track, _hard):
    return np.zeros((HARMONICS, len(_TIMES)))


_VOICES = {
    "rolls right": _roll,
    "rolls left": _roll,
    "bounces": _knock,
    "rises": _tone,
    "falls": _tone,
    "grows": _swell,
    "shrinks": _swell,
    "circles": _whirr,
    "stays": _silence,
}
