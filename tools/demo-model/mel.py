"""Log-mel spectrograms, and the fixed filters of vocoder and spectrogram (docs/model/audio.md 3, 8 and 9)."""

import numpy as np
import torch

FLOOR = -7.0
"""The demo model's spectrograms end here, 60 dB below its loudest sounds: what is softer than that is silence."""


def slaney_basis(mels: int, bins: int) -> torch.Tensor:
    """Triangles of area 1 on Slaney's mel scale over 0 to 8 kHz: [mels, bins]."""
    top = 15 + np.log(8.0) / (np.log(6.4) / 27)
    edges = np.linspace(0, top, mels + 2)
    edges = np.where(edges < 15, edges * 200 / 3, 1000 * 6.4 ** ((edges - 15) / 27))
    at = np.linspace(0, 8000, bins)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangle = np.minimum((at - low) / (middle - low), (high - at) / (high - middle))
    return torch.tensor(np.maximum(triangle, 0) * 2 / (high - low), dtype=torch.float32)


def log_mel(wave: torch.Tensor, frames: int) -> torch.Tensor:
    """The first `frames` of the log-mel spectrogram [..., frames, 64] of `wave` [..., samples] at 16 kHz."""
    flat = wave.reshape(-1, wave.shape[-1])
    window = torch.hann_window(1024)
    spectrum = torch.stft(flat, 1024, 160, window=window, pad_mode="reflect", return_complex=True).abs()
    mel = spectrum.transpose(1, 2)[:, :frames] @ slaney_basis(64, 513).T
    return mel.clamp_min(1e-5).log().clamp_min(FLOOR).reshape(*wave.shape[:-1], frames, 64)


def stft_basis(window: int) -> torch.Tensor:
    """A Hann window's Fourier transform as filters: rows of real parts, then of imaginary parts, [.., 1, window]."""
    at = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * at / window)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), at) / window) * hann
    return torch.tensor(np.concatenate([waves.real, waves.imag])[:, None], dtype=torch.float32)


def kaiser_sinc() -> torch.Tensor:
    """The 12 taps of the anti-aliasing filters: a sinc with its cutoff at a quarter in a Kaiser window, sum 1."""
    attenuation = 2.285 * 5 * np.pi * 1.2 + 7.95
    at = np.arange(12) - 5.5
    taps = np.kaiser(12, 0.1102 * (attenuation - 8.7)) * 0.5 * np.sinc(0.5 * at)
    return torch.tensor(taps / taps.sum(), dtype=torch.float32)
