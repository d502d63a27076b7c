"""What the codec's training begins with: the best linear decoder and encoder that look at one latent at a time.

Each level of the decoder gets the principal components of what the level after it wants; the encoder averages as
`latents.pooled` does. Pixel norm hardly changes features beside a large constant one, so they pass it as they are.
Features are scaled to the square root of their deviation, so that steps of training disturb all alike.
"""

import math

import numpy as np
import torch

import latents
import world
from codec import fold, norm_silu, patchify
from latents import USED

CONSTANT = 30.0


def samples(basis, clips, per_clip=24):
    """Patches [n, 3, 8, 32, 32] of random large clips, -1 to 1, and their normalised latents [n, 128]."""
    pixels, wanted = [], []
    for number in range(clips):
        rng = np.random.default_rng([6, number])
        clip = world.draw(world.random_spec(rng), world.LARGE, rng)
        keep = rng.choice(192, per_clip, replace=False)
        pixels.append(latents.patches(clip).reshape(192, 8, 32, 32, 3)[keep])
        wanted.append(basis.encode(clip).reshape(192, -1)[keep])
    pixels = torch.from_numpy(np.concatenate(pixels)).movedim(-1, 1).float() / 127.5 - 1
    return pixels, torch.from_numpy(np.concatenate(wanted))


def _rows(x):
    """Features [n, c, ...] as rows [n * ..., c]."""
    return x.movedim(1, -1).flatten(0, -2)


def _like(rows, x):
    """`rows` as features that lie as `x` does."""
    return rows.view(*x.movedim(1, -1).shape[:-1], -1).movedim(-1, 1)


def _components(rows, count):
    """Of the first `count` principal components of rows [n, c]: mean [c], vectors [c, count] and scales [count]. A
    component over its scale is about 1."""
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    deviation = values.flip(0)[:count].clamp(min=1e-8).sqrt()
    return mean, vectors.flip(1)[:, :count], (deviation * deviation.mean()).sqrt()


def _regression(known, wanted):
    """Matrix [known, wanted] and offset of the best linear map from rows to rows."""
    known_mean, wanted_mean = known.mean(0), wanted.mean(0)
    known, wanted = known - known_mean, wanted - wanted_mean
    gram = known.T @ known
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram))
    matrix = torch.linalg.solve(gram, known.T @ wanted)
    return matrix, wanted_mean - known_mean @ matrix


def _set(module, matrix, offset):
    """Makes a `codec.Conv` a linear map of each place by itself: `matrix` [in, out]."""
    weight, bias = module.conv.weight.zero_(), module.conv.bias.zero_()
    here = 1 if module.before is None else 2
    weight[: matrix.shape[1], : matrix.shape[0], here, 1, 1] = matrix.T
    bias[: len(offset)] = offset


def _ignore_constant(weight, channels=1):
    """Keeps a convolution from reading the constant channels, the first ones, in training, too: each step would shift
    all that it makes."""
    weight[:, :channels] = 0
    constant = torch.arange(channels)
    weight.register_hook(lambda gradient: gradient.index_fill(1, constant, 0))


@torch.no_grad()
def decoder(module, pixels, wanted):
    """Sets `module` from `samples`."""
    ups = [block for block in module.up_blocks if hasattr(block, "strides")]
    patches = patchify(pixels)
    width = module.conv_out.conv.in_channels
    mean, vectors, scale = _components(_rows(patches), width - 1)
    features = _like((_rows(patches) - mean) @ vectors, patches)
    features = torch.cat([torch.full_like(features[:, :1], CONSTANT), features], 1)
    scale = torch.cat([torch.ones(1), scale])
    scaled = features / scale.view(1, -1, 1, 1, 1)
    matrix, offset = _regression(_rows(norm_silu(scaled)[:, 1:]), _rows(patches))
    _set(module.conv_out, torch.cat([torch.zeros(1, len(offset)), matrix]), offset)
    for conv in (module.conv_out, *(block["conv1"] for block in module.up_blocks[-1].res_blocks)):
        _ignore_constant(conv.conv.weight)
    for up in reversed(ups):
        folded, after = fold(features, up.strides), scale.repeat_interleave(math.prod(up.strides))
        mean, vectors, scale = _components(_rows(folded), up.conv.conv.in_channels)
        features = _like((_rows(folded) - mean) @ vectors, folded)
        _set(up.conv, (vectors * scale).T / after, mean / after)
    _set(module.conv_in, *_regression(wanted[:, :USED], features.flatten(1) / scale))


@torch.no_grad()
def encoder(module, pixels, wanted):
    """Sets `module` from `samples`. Its blocks must keep all that is pooled up to the last `Down`."""
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
    main = _like(_rows(features) @ forth + offset, features)
    skip = fold(features, last.strides).unflatten(1, (-1, last.group)).mean(2)
    features = norm_silu(fold(main, last.strides) + skip)
    constant = math.prod(last.strides)
    matrix, offset = _regression(features.flatten(1)[:, constant:], wanted[:, :USED])
    _set(module.conv_out, torch.cat([torch.zeros(constant, USED), matrix]), offset)
    _ignore_constant(module.conv_out.conv.weight, constant)
