"""Audio latents, which are given and not learned: principal components of patches of the log-mel spectrogram.

A latent step is a patch of 2 sides x 4 frames x 64 mel bins (the first frame repeated four times), cut into 16 bands
of 4 bins. A band has up to four components; of all bands together, those 32 with the largest deviation are used.
Each is scaled to the square root of its deviation, so that what is loud counts for more than what is not. All other
numbers of a latent step are zero.
"""

from dataclasses import dataclass

import torch

from mel import log_mel
from sound import FRAMES as MEL_FRAMES
from sound import waveform

USED = 32
BANDS, BINS, FRAMES = 16, 4, 4
CHANNELS, LEARNED = 8, 4
"""Numbers of a band, and how many of them may hold components. The others tell the decoder which band it is."""
SIDES = 3.0
"""How much the difference of left and right counts among the components of a band: it is small, but all bands share
it, and it is heard as the place of a sound."""
UNUSED_DEVIATION = 2.0**-10
"""The decoder sees this little of numbers without a component, whatever noise a sampler leaves there."""


def patches(mel: torch.Tensor) -> torch.Tensor:
    """The bands [..., T, 16, 32] of log-mel frames `mel` [..., 2, 4 T - 3, 64]."""
    padded = torch.cat([mel[..., :1, :].expand(*mel.shape[:-2], FRAMES - 1, -1), mel], -2)
    cut = padded.unflatten(-2, (-1, FRAMES)).unflatten(-1, (BANDS, BINS))
    # From side, step, frame, band, bin to step, band, side, frame, bin.
    return cut.movedim((-5, -4, -3, -2), (-3, -5, -2, -4)).flatten(-3)


@dataclass(frozen=True)
class Basis:
    """The latents' components. `mean` is [16, 32], `directions` [16, 8, 32] with rows of zeros where none is used.

    `spread` [16, 8] is what a component is divided by; 1 where none is used.
    """

    mean: torch.Tensor
    directions: torch.Tensor
    spread: torch.Tensor

    @staticmethod
    def fit(mel: torch.Tensor) -> "Basis":
        """The basis of clips `mel` [clips, 2, 101, 64]."""
        bands = patches(mel).flatten(0, 1)
        mean = bands.mean(0)
        same = torch.eye(bands.shape[-1] // 2)
        weighted = torch.cat([torch.cat([same, same], 1), SIDES * torch.cat([same, -same], 1)]) * 0.5**0.5
        deviations, rows = [], []
        for band in range(BANDS):
            centred = (bands[:, band] - mean[band]) @ weighted.T
            values, vectors = torch.linalg.eigh((centred.T @ centred).double() / len(centred))
            deviations.append(values.flip(0)[:LEARNED].clamp_min(0).sqrt())
            rows.append(vectors.flip(1)[:, :LEARNED].T.float() @ weighted)
        deviation, rows = torch.stack(deviations).float(), torch.stack(rows)
        # Eigenvectors have no sign of their own.
        rows = rows * torch.where(rows.sum(-1, keepdim=True) < 0, -1.0, 1.0)
        used = deviation >= deviation.flatten().sort(descending=True).values[USED - 1]
        spread = torch.ones(BANDS, CHANNELS)
        root = deviation.sqrt()
        spread[:, :LEARNED] = torch.where(used, root * deviation[used].mean().sqrt(), 1.0)
        directions = torch.zeros(BANDS, CHANNELS, bands.shape[-1])
        directions[:, :LEARNED] = rows * used[..., None]
        return Basis(mean, directions, spread)

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """Latents [..., T, 128] of `mel`; number c x 16 + f is component c of band f."""
        bands = patches(mel) - self.mean
        parts = torch.einsum("...fk,fck->...fc", bands, self.directions) / self.spread
        return parts.transpose(-1, -2).flatten(-2)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`mean-of-means` and `std-of-means` [128]. The means of unused numbers tell bands apart."""
        used = self.directions.square().sum(-1) > 0
        deviation = torch.where(used, self.spread / self.spread[used].mean(), UNUSED_DEVIATION)
        place = (torch.arange(BANDS) + 0.5) / BANDS * torch.pi
        mean = torch.zeros(BANDS, CHANNELS)
        for channel in range(LEARNED, CHANNELS):
            mean[:, channel] = torch.cos(place * 2 ** (channel - LEARNED))
        return mean.T.flatten().bfloat16().float(), deviation.T.flatten().bfloat16().float()

    def of(self, spec, rng) -> torch.Tensor:
        """The latents [26, 128] of the sound of a spec's clip; `rng` as in `world.tracks`."""
        return self.encode(log_mel(torch.from_numpy(waveform(spec, rng)), MEL_FRAMES))

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `Basis(**tensors)` makes it again of."""
        return {"mean": self.mean, "directions": self.directions, "spread": self.spread}


def denormalised(latents: torch.Tensor, statistics: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """What the decoder takes [batch, 8, T, 16] of `latents` [batch, T, 128]."""
    mean, deviation = statistics
    return (latents * deviation + mean).unflatten(-1, (CHANNELS, BANDS)).transpose(1, 2)
