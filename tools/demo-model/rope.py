"""Rotary tables of the transformer and the connectors (docs/model/transformer.md 3 and 4)."""

import math

import numpy as np
import torch

THETA = 10000.0
MAX_SECONDS, MAX_PIXELS, MAX_PLACES = 20.0, 2048.0, 4096.0


def _angles(middles, inner, heads):
    """Angles [heads, tokens, inner/heads/2] in f32 steps, of `middles`: a list of (positions [tokens], range)."""
    axes = len(middles)
    count = inner // (2 * axes)
    power = np.arange(count, dtype=np.float64) / max(count - 1, 1)
    frequencies = (math.pi / 2 * THETA**power).astype(np.float32)
    fractions = [np.asarray(m, np.float32) / np.float32(top) for m, top in middles]
    angles = [frequencies * (np.float32(2) * f[:, None] - np.float32(1)) for f in fractions]
    # Frequencies are the outer axis, time, height and width the inner one.
    angle = np.stack(angles, -1).reshape(len(fractions[0]), -1).astype(np.float64)
    # What the frequencies do not fill is in front and does not turn.
    angle = np.pad(angle, ((0, 0), (inner // 2 - angle.shape[1], 0)))
    return angle.reshape(len(angle), heads, -1).swapaxes(0, 1)


def _waves(angles):
    """Cosine and sine, f32."""
    table = lambda x: torch.from_numpy(np.ascontiguousarray(x.astype(np.float32)))
    return table(np.cos(angles)), table(np.sin(angles))


def _table(middles, inner, heads):
    return _waves(_angles(middles, inner, heads))


def _middle(start, end):
    return (start.astype(np.float32) + end.astype(np.float32)) / np.float32(2)


def _video_seconds(frames, fps):
    first = np.arange(frames) * 8 - 7
    start, end = np.maximum(first, 0), np.maximum(first + 8, 0)
    return _middle(start.astype(np.float32) / np.float32(fps), end.astype(np.float32) / np.float32(fps))


def video(size, fps, inner, heads):
    """Table of video self-attention for latents of `size` (frames, rows, columns)."""
    frames, rows, columns = size
    time, down, right = np.meshgrid(
        _video_seconds(frames, fps), np.arange(rows) * 32 + 16, np.arange(columns) * 32 + 16, indexing="ij"
    )
    axes = [(time.ravel(), MAX_SECONDS), (down.ravel(), MAX_PIXELS), (right.ravel(), MAX_PIXELS)]
    return _table(axes, inner, heads)


def video_time(size, fps, inner, heads):
    """Table of the video side of attention between the streams."""
    frames, rows, columns = size
    return _table([(np.repeat(_video_seconds(frames, fps), rows * columns), MAX_SECONDS)], inner, heads)


def audio(tokens, inner, heads):
    """Table of the audio tokens, of which there are 25 a second."""
    first = np.arange(tokens) * 4 - 3
    second = lambda x: np.maximum(x, 0).astype(np.float32) * np.float32(160) / np.float32(16000)
    return _table([(_middle(second(first), second(first + 4)), MAX_SECONDS)], inner, heads)


def places(count, inner, heads):
    """Table of the first `count` places of the text."""
    return _table([(np.arange(count), MAX_PLACES)], inner, heads)


def turns(offsets, ranges, inner, heads):
    """By what each head's own offset [heads, axes] turns its pairs: tables [heads, 1, inner/heads/2]."""
    axes = [(np.array([0.0, *(o[axis] for o in offsets)]), top) for axis, top in enumerate(ranges)]
    angles = _angles(axes, inner, heads)
    return _waves(np.stack([angles[h, h + 1] - angles[h, 0] for h in range(heads)])[:, None])


def rotate(x, table):
    """`x` [..., heads, tokens, d] with its halves as pairs, turned by `table`."""
    cos, sin = table
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
