"""What the codec's training begins with: solved, not searched.

The decoder's levels get the principal components of what the level after them wants. Then its convolutions are solved
one after the other, from latents to pixels, by linear regression of these components on what has been made so far.
The encoder averages as `latents.pooled` does, and its last layers are the projection on the latents' components.

Pixel norm hardly changes features beside a large constant one, so they pass it as they are. Features are scaled to
about the square root of their deviation, so that steps of training disturb all alike.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

import latents
import world
from codec import fold, norm_silu, patchify
from latents import USED

CONSTANT = 30.0
RIDGE, NOISE, ROWS, ENOUGH = 1e-3, 0.05, 3000, 10


def clips(basis, count):
    """Random clips, every other one small: pixels [1, 3, 32, h, w], -1 to 1, the first frame repeated, and normalised
    latents [1, USED, 4, h / 32, w / 32]."""
    made = []
    for number in range(count):
        rng = np.random.default_rng([6, number])
        clip = world.draw(world.training_spec(rng), (world.LARGE, world.SMALL)[number % 2], rng)
        latent = torch.from_numpy(basis.encode(clip)[None, ..., :USED]).movedim(-1, 1)
        pixels = torch.from_numpy(np.concatenate([np.repeat(clip[:1], 7, axis=0), clip])[None]).movedim(-1, 1)
        made.append((pixels.float() / 127.5 - 1, latent))
    return made


def _rows(x):
    """Features [n, c, ...] as rows [n * ..., c]."""
    return x.movedim(1, -1).flatten(0, -2)


def _some(features):
    """Random rows of a list of features."""
    rng = torch.Generator().manual_seed(0)
    rows = map(_rows, features)
    return torch.cat([r[torch.randperm(len(r), generator=rng)[:ROWS]] for r in rows])


def _components(rows, count):
    """Of the first `count` principal components of rows [n, c]: mean [c], vectors [c, count] and scales [count]. A
    component over its scale is about 1."""
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    deviation = values.flip(0)[:count].clamp(min=1e-8).sqrt()
    return mean, vectors.flip(1)[:, :count], (deviation * deviation.mean()).sqrt()


def _project(x, mean, vectors, scale):
    """Scaled components [n, count, ...] of features [n, c, ...]."""
    return ((x.movedim(1, -1) - mean) @ (vectors / scale)).movedim(-1, 1)


def _solved(gram, cross, ridge):
    """Weights [known, wanted] by ridge regression, of sums over rows."""
    size = gram.diagonal()
    return torch.linalg.solve(gram + torch.diag(ridge * size + 1e-9 * size.mean()), cross)


def _regression(known, wanted):
    """Matrix [known, wanted] and offset of the best linear map from rows to rows."""
    known_mean, wanted_mean = known.mean(0), wanted.mean(0)
    known, wanted = known - known_mean, wanted - wanted_mean
    matrix = _solved(known.T @ known, known.T @ wanted, 1e-6)
    return matrix, wanted_mean - known_mean @ matrix


def _columns(x):
    """What a decoder's convolution sees at each place of [n, c, f, h, w]: rows [n * f * h * w, c * 27]."""
    x = F.pad(torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2), (1, 1, 1, 1))
    for axis in (2, 3, 4):
        x = x.unfold(axis, 3, 1)
    return x.movedim(1, 4).flatten(4).flatten(0, 3)


def _solve(module, given, wanted):
    """Sets a decoder's `codec.Conv` to what makes best the last frames of features `wanted` of features `given`. Where
    examples are few it looks at each place alone, not at the 27 around it."""
    rng = torch.Generator().manual_seed(0)
    weight = module.conv.weight.zero_()
    alone = sum(min(x[0, 0].numel(), ROWS) for x in given) < ENOUGH * weight[0].numel()
    gram, cross = 0, 0
    for x, y in zip(given, wanted):
        y = _rows(y[:, :, -x.shape[2] :])
        x = _rows(x) if alone else _columns(x)
        keep = torch.randperm(len(x), generator=rng)[:ROWS]
        x, y = F.pad(x[keep], (0, 1), value=1.0), y[keep]
        gram, cross = gram + (x.T @ x).double(), cross + (x.T @ y).double()
    solved = _solved(gram, cross, RIDGE).float()
    if alone:
        weight[:, :, 1, 1, 1] = solved[:-1].T
    else:
        weight.copy_(solved[:-1].T.reshape(weight.shape))
    module.conv.bias.copy_(solved[-1])


@torch.no_grad()
def ignore_constant(module):
    """Keeps a decoder's convolutions from reading the constant channel, the first one: in training each step there
    would shift all that they make."""
    for reader in (module.conv_out, *(block["conv1"] for block in module.up_blocks[-1].res_blocks)):
        reader.conv.weight[:, 0] = 0
        reader.conv.weight.register_hook(lambda gradient: gradient.index_fill(1, torch.tensor([0]), 0))


@torch.no_grad()
def decoder(module, clips):
    """Sets `module` for `clips`."""
    patches = [patchify(pixels) for pixels, _ in clips]
    mean, vectors, scale = _components(_some(patches), module.conv_out.conv.in_channels - 1)
    features = [_project(p, mean, vectors, scale) for p in patches]
    features = [torch.cat([torch.full_like(f[:, :1], CONSTANT), f], 1) for f in features]
    scale, levels = torch.cat([torch.ones(1), scale]), [features]
    for up in reversed([block for block in module.up_blocks if hasattr(block, "strides")]):
        folded = [fold(f * scale.view(1, -1, 1, 1, 1), up.strides) for f in features]
        mean, vectors, scale = _components(_some(folded), up.conv.conv.in_channels)
        features = [_project(f, mean, vectors, scale) for f in folded]
        levels.append(features)
    rng = torch.Generator().manual_seed(0)
    noisy = [z + NOISE * torch.randn(z.shape, generator=rng) for _, z in clips]
    wanted = levels.pop()
    _solve(module.conv_in, noisy, wanted)
    made = [module.conv_in(z) for z in noisy]
    for block in module.up_blocks:
        if hasattr(block, "strides"):
            wanted = levels.pop()
            _solve(block.conv, made, [fold(w, block.strides) for w in wanted])
        else:
            for pair in block.res_blocks:
                hidden = [norm_silu(pair["conv1"](norm_silu(x))) for x in made]
                _solve(pair["conv2"], hidden, [w[:, :, -x.shape[2] :] - x for w, x in zip(wanted, made)])
        made = [block(x) for x in made]
    known = [norm_silu(x).index_fill(1, torch.tensor([0]), 0) for x in made]
    _solve(module.conv_out, known, patches)


def _set(module, matrix, offset):
    """Makes an encoder's `codec.Conv` a linear map of each place by itself: `matrix` [in, out]."""
    weight, bias = module.conv.weight.zero_(), module.conv.bias.zero_()
    weight[: matrix.shape[1], : matrix.shape[0], -1, 1, 1] = matrix.T
    bias[: len(offset)] = offset


@torch.no_grad()
def encoder(module, clips):
    """Sets `module` for `clips`. Its blocks must keep all that is pooled up to the last `Down`."""
    pixels = torch.cat([fold(p, (8, 32, 32)).unflatten(1, (3, 8, 32, 32)).movedim((5, 6, 7), (1, 2, 3)).flatten(0, 3)
                        for p, _ in clips])
    wanted = torch.cat([_rows(z) for _, z in clips])
    keep = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[:ROWS]
    pixels, wanted = pixels[keep], wanted[keep]
    *lossless, last = [block for block in module.down_blocks if hasattr(block, "strides")]
    colours, offsets = torch.eye(3), torch.arange(4) // 2
    inside = (offsets[:, None] == torch.arange(2)).float() / 2
    pool = torch.einsum("cC,xX,yY->cxyCXY", colours, inside, inside).reshape(48, 12)
    _set(module.conv_in, pool, torch.zeros(12))
    features = torch.einsum("nc...,cd->nd...", patchify(pixels), pool)
    for down in lossless:
        _set(down.conv, torch.zeros(1, 1), torch.zeros(1))
        features = fold(features, down.strides).unflatten(1, (-1, down.group)).mean(2)
    mean, vectors, scale = _components(_rows(features), last.conv.conv.out_channels - 1)
    forth = torch.cat([torch.zeros(len(mean), 1), vectors / scale], 1)
    offset = -mean @ forth
    offset[0] = 30 * CONSTANT
    _set(last.conv, forth, offset)
    main = (features.movedim(1, -1) @ forth + offset).movedim(-1, 1)
    skip = fold(features, last.strides).unflatten(1, (-1, last.group)).mean(2)
    constant = math.prod(last.strides)
    features = norm_silu(fold(main, last.strides) + skip).flatten(1)[:, constant:]
    matrix, offset = _regression(features, wanted)
    _set(module.conv_out, torch.cat([torch.zeros(constant, USED), matrix]), offset)
