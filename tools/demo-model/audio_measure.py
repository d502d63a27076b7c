"""How well waves fit the sounds that were drawn for the same captions."""

from dataclasses import dataclass

import numpy as np

from sound import HOP, waveform

WINDOW = 2 * HOP
"""Samples at 16 kHz whose loudness is one number: 20 ms."""


def loudness(wave: np.ndarray) -> np.ndarray:
    """Root mean squares of left, then right, of `wave` [2, samples] at 16 kHz, one number for each 20 ms."""
    whole = wave.shape[-1] // WINDOW * WINDOW
    return np.sqrt(np.square(wave[:, :whole], dtype=np.float64).reshape(2, -1, WINDOW).mean(-1)).ravel()


def correlation(wave: np.ndarray, wanted: np.ndarray) -> float:
    """Pearson's correlation of the loudness of two waves [2, samples]; 0 where one of them does not change."""
    mine, theirs = (side - side.mean() for side in map(loudness, (wave, wanted)))
    size = np.sqrt(np.square(mine).sum() * np.square(theirs).sum())
    return float((mine * theirs).sum() / size) if size > 0 else 0.0


def decibels(amplitude: float) -> float:
    """Of full scale; at least -120."""
    return 20 * np.log10(max(amplitude, 1e-6))


@dataclass(frozen=True)
class Report:
    """Of many clips: correlations of those with a sound, the loudest 20 ms (dBFS) of those without, largest sample."""

    correlations: list[float]
    floors: list[float]
    peak: float

    def __str__(self) -> str:
        low, middle = np.quantile(self.correlations, [0.1, 0.5])
        floor = f"{max(self.floors):.1f} dBFS in {len(self.floors)} silent clips" if self.floors else "no silent clip"
        return (
            f"loudness correlates by {np.mean(self.correlations):.3f} on average (median {middle:.3f}, worst tenth "
            f"below {low:.3f}, {len(self.correlations)} clips); loudest {floor}; peak {self.peak:.3f}"
        )


def measure(waves, specs, scenes) -> Report:
    """The report on `waves`, each [2, samples] at 16 kHz, made for these specs; `scenes` are the drawn clips' seeds."""
    correlations, floors, peak = [], [], 0.0
    for wave, spec, scene in zip(waves, specs, scenes):
        wanted = waveform(spec, scene)
        peak = max(peak, float(np.abs(wave).max()))
        if np.abs(wanted).max() > 0:
            correlations.append(correlation(wave, wanted))
        else:
            floors.append(decibels(loudness(wave).max()))
    return Report(correlations, floors, peak)
