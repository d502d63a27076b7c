"""Training of the audio parts: the VAE's decoder by regression of spectrograms, the vocoder by that of waves."""

import contextlib
from pathlib import Path

import torch
from torch import nn

from audio_data import basis, sounds
from audio_latents import denormalised
from audio_vae import AudioDecoder
from fitting import fit
from vocoder import Activation, Vocoder, smooth_snake

DECODER_CHANNELS, DECODER_BLOCKS = 16, 1
VOCODER_CHANNELS, EXTENSION_CHANNELS = 128, 32
DECODER_STEPS, DECODER_BATCH, DECODER_RATE = 1200, 8, 2e-3
CLEAN_STEPS, DECODED_STEPS, VOCODER_BATCH = 4000, 1200, 4
CLEAN_RATE, DECODED_RATE = 4e-4, 2e-4
NOISE = 0.3
"""Latents get noise of up to this deviation in training, since a sampler's are not exact."""
_BLOCK = 32
"""Samples that the vocoder's first stage makes at a time, of each side: the product of all later rates."""
_GAIN = 0.1
"""The first stage makes waves this many times too large, so that its values are about 1."""


class _Sounds:
    """Waves, spectrograms and latents to learn from; a batch is drawn from the number of a step."""

    def __init__(self, work: Path):
        self.waves, self.mel = sounds(work)
        components = basis(work)
        self.latents, self.statistics = components.encode(self.mel), components.statistics()

    def batch(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The clips of a batch, and what the decoder takes of their latents with some noise."""
        generator = torch.Generator().manual_seed(step)
        at = torch.randint(len(self.mel), (size,), generator=generator)
        strength = NOISE * torch.rand(size, 1, 1, generator=generator) ** 2
        noise = strength * torch.randn(size, *self.latents.shape[1:], generator=generator)
        return at, denormalised(self.latents[at] + noise, self.statistics)


def train_decoder(work: Path) -> AudioDecoder:
    """The decoder that makes spectrograms of given latents."""
    data = _Sounds(work)

    def loss(model, step):
        at, latents = data.batch(step, DECODER_BATCH)
        # As the decoder is run.
        with torch.autocast("cpu", torch.bfloat16):
            made = model(latents)
        return (made.float() - data.mel[at]).abs().mean()

    torch.manual_seed(0)
    model = AudioDecoder(DECODER_CHANNELS, DECODER_BLOCKS)
    return fit(model, work / "audio-decoder.pt", DECODER_STEPS, loss, DECODER_RATE)


class _FirstStage(nn.Module):
    """The vocoder up to its first blocks, shared with `vocoder`: 64 channels at 500 Hz."""

    def __init__(self, vocoder: Vocoder):
        super().__init__()
        base = vocoder.vocoder
        self.conv_pre, self.up, self.blocks = base.conv_pre, base.ups[0], base.resblocks[:3]

    def forward(self, mel):
        x = self.up(self.conv_pre(mel.transpose(2, 3).flatten(1, 2)))
        return sum(block(x) for block in self.blocks) / len(self.blocks)


def _order() -> list[int]:
    """Which sample of a block a channel of the first stage is.

    Each later upsampling turns channels 2 c and 2 c + 1 into even and odd samples of channel c, so the order is that
    of the numbers with their bits reversed, which is its own inverse.
    """
    bits = _BLOCK.bit_length() - 1
    return [int(f"{i:0{bits}b}"[::-1], 2) for i in range(_BLOCK)]


def _as_channels(wave: torch.Tensor) -> torch.Tensor:
    """What the first stage has to make for `wave` [batch, 2, samples]: [batch, 64, samples / 32]."""
    return wave.unflatten(-1, (-1, _BLOCK))[..., _order()].transpose(2, 3).flatten(1, 2)


def _as_wave(channels: torch.Tensor) -> torch.Tensor:
    """The inverse of `_as_channels`, which is what the prepared later stages do."""
    return channels.unflatten(1, (2, _BLOCK)).transpose(2, 3)[..., _order()].flatten(2)


def _prepared() -> Vocoder:
    """A vocoder whose first stage is random and whose later ones only rearrange channels as samples."""
    torch.manual_seed(0)
    model = Vocoder(VOCODER_CHANNELS, EXTENSION_CHANNELS)
    base = model.vocoder
    with torch.no_grad():
        # A spectrogram around zero.
        base.conv_pre.bias += 5 * base.conv_pre.weight.sum((1, 2))
        for block in base.resblocks[:3]:
            for conv in block.convs2:
                conv.weight *= 0.3
        for layer in (*base.resblocks[3:], *base.ups[1:], base.conv_post):
            for parameter in layer.parameters():
                parameter.zero_()
        for up in base.ups[1:]:
            for channel in range(up.out_channels):
                up.weight[2 * channel, channel, 1] = 1
                up.weight[2 * channel + 1, channel, 2] = 1
        for side in range(2):
            base.conv_post.weight[side, side, 3] = _GAIN
        # Linear, but for the filters.
        base.act_post.act.beta.fill_(10)
    return model.requires_grad_(False)


def _spectra(wave: torch.Tensor) -> list[torch.Tensor]:
    """Magnitudes of short-time Fourier transforms with windows of 256, 512 and 1024 samples."""
    flat, spectra = wave.flatten(0, 1), []
    for size in (256, 512, 1024):
        window = torch.hann_window(size)
        spectrum = torch.stft(flat, size, size // 4, window=window, return_complex=True)
        # The root of a sum that is never zero has a gradient everywhere.
        power = spectrum.real.square() + spectrum.imag.square()
        spectra.append((power / size + 1e-10).sqrt().unflatten(0, wave.shape[:2]))
    return spectra


def wave_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Distance of waves [batch, 2, samples] and of their spectra, relative to how loud a clip is."""
    scale = 1 / (wanted.square().mean((1, 2)).sqrt() + 0.02)
    total = (made - wanted).abs().mean((1, 2)) * scale
    for mine, theirs in zip(_spectra(made), _spectra(wanted)):
        total = total + 0.3 * (mine - theirs).abs().mean((1, 2, 3)) * scale
    return total.mean()


def train_vocoder(work: Path, decoder: AudioDecoder) -> Vocoder:
    """The vocoder. Its first stage is where a spectrogram becomes a wave, and all that is trained.

    It learns by squares on clean spectrograms, then by `wave_loss` on those that the decoder makes of noisy latents.
    """
    data, model = _Sounds(work), _prepared()
    stage, base = _FirstStage(model).requires_grad_(True), model.vocoder

    def by_squares(stage, step):
        at, _ = data.batch(step, VOCODER_BATCH)
        wanted = _as_channels(data.waves[at])
        scale = wanted.square().mean((1, 2), keepdim=True) + 0.03**2
        return ((_GAIN * stage(data.mel[at]) - wanted).square() / scale).mean()

    def by_sound(stage, step):
        at, latents = data.batch(step, VOCODER_BATCH)
        with torch.no_grad():
            mel = decoder(latents)
        return wave_loss(base.conv_post(base.act_post(_as_wave(stage(mel)))), data.waves[at])

    with _compiled_activations():
        best = fit(stage, work / "vocoder-clean.pt", CLEAN_STEPS, by_squares, CLEAN_RATE)
        stage.load_state_dict(best.state_dict())
        best = fit(stage, work / "vocoder.pt", DECODED_STEPS, by_sound, DECODED_RATE)
        stage.load_state_dict(best.state_dict())
    return model.requires_grad_(False)


@contextlib.contextmanager
def _compiled_activations():
    """Makes the anti-aliased activations three times as fast, by way of a C++ compiler."""
    torch._dynamo.config.recompile_limit = 64
    Activation.run = staticmethod(torch.compile(smooth_snake, dynamic=False))
    try:
        yield
    finally:
        Activation.run = staticmethod(smooth_snake)
