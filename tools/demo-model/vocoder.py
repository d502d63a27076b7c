"""The vocoder: a waveform of a log-mel spectrogram (docs/model/audio.md 7 to 9), with the checkpoint's names."""

import torch
from torch import nn
from torch.nn import functional

from mel import kaiser_sinc, slaney_basis, stft_basis

KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)
BASE = ((5, 11), (2, 4), (2, 4), (2, 4), (2, 4), (2, 4))
"""Rate and kernel of each upsampling of the base generator, 160 times in all."""
EXTENSION = ((6, 12), (5, 11), (2, 4), (2, 4), (2, 4))
"""The same of the bandwidth extension, 240 times in all."""


def smooth_snake(x, alpha, beta, up, down):
    """SnakeBeta at twice the rate. `x` is [batch, channels, samples], both filters have 12 taps.

    The samples in between are never interleaved: even and odd ones are two tensors, each made by half of the taps.
    """
    length = x.shape[-1]
    x = functional.pad(x, (3, 3), mode="replicate")
    alpha, beta = alpha.exp()[:, None], beta.exp()[:, None] + 1e-9
    even = sum(2 * up[2 * j + 1] * x[..., 5 - j : 5 - j + length] for j in range(6))
    odd = sum(2 * up[2 * j] * x[..., 6 - j : 6 - j + length] for j in range(6))
    even = even + (even * alpha).sin().square() / beta
    odd = odd + (odd * alpha).sin().square() / beta
    first, last = even[..., :1].expand(-1, -1, 3), odd[..., -1:].expand(-1, -1, 3)
    even, odd = torch.cat([first, even, last], -1), torch.cat([first, odd, last], -1)
    total = sum(down[2 * j + 1] * even[..., j + 1 : j + 1 + length] for j in range(6))
    return total + sum(down[2 * j] * odd[..., j : j + length] for j in range(6))


class _Snake(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


class _Filter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("filter", kaiser_sinc().reshape(1, 1, 12))


class _Down(nn.Module):
    def __init__(self):
        super().__init__()
        self.lowpass = _Filter()


class Activation(nn.Module):
    """An anti-aliased SnakeBeta. `run` is replaced by its compiled form in training."""

    run = staticmethod(smooth_snake)

    def __init__(self, channels):
        super().__init__()
        self.act = _Snake(channels)
        self.upsample = _Filter()
        self.downsample = _Down()

    def forward(self, x):
        up, down = self.upsample.filter.flatten(), self.downsample.lowpass.filter.flatten()
        return Activation.run(x, self.act.alpha, self.act.beta, up, down)


class AmpBlock(nn.Module):
    """Three pairs of convolutions of one kernel size, each pair added to its input."""

    def __init__(self, channels, kernel):
        super().__init__()

        def convs(dilations):
            return nn.ModuleList(
                nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) * d // 2, dilation=d) for d in dilations
            )

        self.convs1 = convs(DILATIONS)
        self.convs2 = convs([1] * len(DILATIONS))
        self.acts1 = nn.ModuleList(Activation(channels) for _ in DILATIONS)
        self.acts2 = nn.ModuleList(Activation(channels) for _ in DILATIONS)

    def forward(self, x):
        for conv1, conv2, act1, act2 in zip(self.convs1, self.convs2, self.acts1, self.acts2):
            x = x + conv2(act2(conv1(act1(x))))
        return x


class Generator(nn.Module):
    """Left and right [batch, 2, samples] of log-mel frames [batch, 128, frames], left bins first."""

    def __init__(self, channels, stages):
        super().__init__()
        widths = [channels >> i for i in range(len(stages) + 1)]
        self.conv_pre = nn.Conv1d(128, channels, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, kernel, rate, (kernel - rate) // 2)
            for wide, narrow, (rate, kernel) in zip(widths, widths[1:], stages)
        )
        self.resblocks = nn.ModuleList(AmpBlock(width, kernel) for width in widths[1:] for kernel in KERNELS)
        self.act_post = Activation(widths[-1])
        self.conv_post = nn.Conv1d(widths[-1], 2, 7, padding=3, bias=False)

    def forward(self, mel):
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(x)
            blocks = self.resblocks[len(KERNELS) * i : len(KERNELS) * (i + 1)]
            x = sum(block(x) for block in blocks) / len(KERNELS)
        return self.conv_post(self.act_post(x))


class _Transform(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("forward_basis", stft_basis(512))


class _MelStft(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mel_basis", slaney_basis(64, 257))
        self.stft_fn = _Transform()

    def forward(self, wave):
        """The log-mel frames [batch, 128, frames] of `wave` [batch, 2, samples], looking back only."""
        flat = functional.pad(wave.reshape(-1, 1, wave.shape[-1]), (432, 0))
        real, imaginary = functional.conv1d(flat, self.stft_fn.forward_basis, stride=80).chunk(2, 1)
        mel = self.mel_basis @ (real.square() + imaginary.square()).sqrt()
        return mel.clamp_min(1e-5).log().reshape(wave.shape[0], 128, -1)


class Vocoder(nn.Module):
    """Base generator and bandwidth extension: 48 kHz [batch, 2, samples] of log-mel [batch, 2, frames, 64].

    The demo model's extension ends in zeros, so the wave is that of the base generator at three times the rate.
    """

    def __init__(self, base_channels, extension_channels):
        super().__init__()
        self.vocoder = Generator(base_channels, BASE)
        self.bwe_generator = Generator(extension_channels, EXTENSION)
        self.mel_stft = _MelStft()
        nn.init.zeros_(self.bwe_generator.conv_post.weight)

    def base(self, mel):
        """The wave at 16 kHz, before it is clamped."""
        return self.vocoder(mel.transpose(2, 3).flatten(1, 2))

    def forward(self, mel):
        wave = self.base(mel).clamp(-1, 1)
        return (self.bwe_generator(self.mel_stft(wave)) + _resample(wave)).clamp(-1, 1)


def _resample(wave):
    """`wave` [batch, 2, samples] at three times the rate, by a windowed sinc."""
    at = (torch.arange(43, dtype=torch.float64) / 3 - 7) * 0.99
    window = (at.clamp(-6, 6) * torch.pi / 12).cos().square()
    taps = (torch.sinc(at) * window * 0.99).float()
    padded = functional.pad(wave, (7, 7), mode="replicate").reshape(-1, 1, wave.shape[-1] + 14)
    longer = functional.conv_transpose1d(padded, taps.reshape(1, 1, 43), stride=3)
    return longer[..., 42:-40].reshape(*wave.shape[:-1], -1)
