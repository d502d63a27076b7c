"""What the transformer has learned: clips of held-out captions, judged by rules, as numbers and as a picture."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import audio
import audio_measure
import codec
import judge
import latents
import world
from examples import LARGE, LEVELS, SECOND_LEVELS, SMALL
from fitting import load
from flow import trained
from sampler import Sampler
from text import TextEncoder
from upscaler import Upscaler


class Clips:
    """Makes clips of captions with the trained parts in the folder `work`.

    With `stages` 1 they have half the size and are linear pictures of their latents: for a look while decoder and
    upscaler are not trained. With 2 they are what Zoetrope shows.
    """

    def __init__(self, work, encoder, stages):
        self.basis = latents.Basis.load(work / "basis.npz")
        model, self.steps = trained(work / "transformer.pt", TextEncoder(encoder))
        self.sampler, self.stages = Sampler(model, TextEncoder(encoder), self.steps["audio"] > 0), stages
        if stages == 2:
            self.upscaler = load(Upscaler(), work / "upscaler.pt")
            self.decoder = load(codec.Decoder(), work / "decoder.pt")

    @property
    def size(self):
        return world.SMALL if self.stages == 1 else world.LARGE

    @torch.no_grad()
    def latents(self, captions, seed):
        """Of each caption the latents of the last stage: video [4, rows, columns, 128], and audio [26, 128] or None."""

        def sample(ids, numbers):
            generator = torch.Generator().manual_seed(seed + numbers[0])
            contexts, bias = self.sampler.contexts(ids)

            def denoised(levels, size, initial):
                noise = self.sampler.noise(len(ids), size, generator)
                made = self.sampler.denoise(noise, initial, levels, size, contexts, bias)
                return made[0].unflatten(1, size), made[1]

            video, audio = denoised(LEVELS, SMALL, (None, None))
            if self.stages == 2:
                grown = self.upscaler(video[..., : latents.USED].movedim(-1, 1)).movedim(1, -1)
                grown = torch.nn.functional.pad(grown, (0, latents.CHANNELS - grown.shape[-1]))
                video, audio = denoised(SECOND_LEVELS, LARGE, (grown.flatten(1, 3), audio))
            return zip(video, [None] * len(ids) if audio is None else audio)

        return self.sampler.by_length(captions, sample)

    @torch.no_grad()
    def frames(self, latent):
        """A clip, uint8 [25, height, width, 3]."""
        if self.stages == 1:
            return self.basis.decode(latent.numpy())
        frames = self.decoder(latent[None, ..., : latents.USED].movedim(-1, 1))[0].movedim(0, -1)
        return ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def psnr(a, b):
    """Peak signal-to-noise ratio of two clips in dB."""
    error = np.square(a.astype(np.float32) - b).mean()
    return 10 * np.log10(255**2 / max(error, 1e-3))


def picture(clips, path):
    """A PNG of clips [25, height, width, 3]: five frames of each in a row."""
    strips = [np.concatenate([clip[i] for i in (0, 6, 12, 18, 24)], 1) for clip in clips]
    Image.fromarray(np.concatenate(strips)).save(path)


def measure(work, encoder, count=200, stages=2, seed=0):
    """Prints the measures of `count` held-out captions. Saves twelve clips, each below the drawn one, as a picture."""
    maker = Clips(Path(work), encoder, stages)
    specs = world.held_out_specs()[:count]
    captions = [world.caption(spec, np.random.default_rng(i)) for i, spec in enumerate(specs)]
    sampled = maker.latents(captions, seed)
    made = [maker.frames(video) for video, _ in sampled]
    drawn = [world.draw(spec, maker.size, i) for i, spec in enumerate(specs)]
    if stages == 1:
        drawn = [maker.basis.decode(maker.basis.encode(clip)) for clip in drawn]
    ratios = [psnr(m, d) for m, d in zip(made, drawn)]
    share = lambda clips: ", ".join(f"{kind} {100 * s:.1f} %" for kind, s in judge.hits(specs, clips).items())
    print(f"transformer, step {maker.steps['video']}: {count} held-out captions, {stages} of 2 stages")
    print(f"  against the drawn clip: median {np.median(ratios):.1f} dB, worst tenth {np.quantile(ratios, 0.1):.1f} dB")
    print(f"  right in the clips:       {share(made)}")
    print(f"  right in the drawn clips: {share(drawn)}")
    picture([clip for pair in zip(drawn[:12], made[:12]) for clip in pair], Path(work) / f"transformer-{stages}.png")
    if maker.steps["audio"]:
        decoder, vocoder, basis = audio.trained(work)
        waves = [audio.wave(sound[None], decoder, vocoder, basis)[0].numpy() for _, sound in sampled]
        print(f"  sound: {audio_measure.measure(waves, specs, range(count))}")
