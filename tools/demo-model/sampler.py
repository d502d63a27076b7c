"""Sampling with the distilled steps, as Zoetrope does it: Euler from noise, with all 1024 rows of text."""

import torch
from torch.nn import functional as F

import latents
from connector import PLACES, all_places, bias_of

AUDIO_TOKENS = 26


class Sampler:
    """Clips' latents from a trained model (weights averaged or not). Batches are of one caption length each."""

    def __init__(self, model, encoder, with_audio):
        self.model, self.encoder, self.with_audio = model, encoder, with_audio

    @torch.no_grad()
    def contexts(self, ids):
        """Contexts of both streams and their bias, of `ids` [prompts, tokens] without padding."""
        n = ids.shape[1]
        counts = torch.full((len(ids),), n)
        features = self.encoder.features(ids)
        places = all_places(n).expand(len(ids), -1)
        video, audio, _ = self.model.text(features, counts, places, self.with_audio)
        return (video, audio), bias_of(counts, n, PLACES - n)

    @torch.no_grad()
    def denoise(self, noise, initial, levels, size, contexts, bias, image=None):
        """Latents (video [prompts, tokens, 128], audio or None) after all `levels`.

        They start at `noise`, or between it and `initial` where that is given. `image` [prompts, rows·columns, 128] is
        held as the first latent frame.
        """
        tables = self.model.tables_of(size)
        tokens, held = size[0] * size[1] * size[2], size[1] * size[2]
        first = (torch.arange(tokens) < held)[:, None]
        top = levels[0]
        x = [n if i is None else i + top * (n - i) for n, i in zip(noise, initial) if n is not None]
        clean = None if image is None else F.pad(image, (0, 0, 0, tokens - held))
        if clean is not None:
            x[0] = torch.where(first, clean, x[0])
        for level, following in zip(levels, (*levels[1:], 0.0)):
            sigma = torch.full((len(x[0]), 1), level)
            timesteps = sigma.repeat(1, 2)
            if clean is not None:
                timesteps[:, 1] = 0
            streams = x[0], x[1] if len(x) == 2 else None
            with torch.autocast("cpu", torch.bfloat16):
                velocity = self.model.transformer(streams, timesteps, sigma, first, tables, contexts, bias)
            x = [s + v.float() * (following - level) for s, v in zip(x, velocity)]
            if clean is not None:
                x[0] = torch.where(first, clean, x[0])
        return x[0], x[1] if len(x) == 2 else None

    def noise(self, count, size, generator):
        """Standard normal latents of both streams."""
        video = torch.randn(count, size[0] * size[1] * size[2], latents.CHANNELS, generator=generator)
        audio = torch.randn(count, AUDIO_TOKENS, latents.CHANNELS, generator=generator)
        return video, audio if self.with_audio else None

    def by_length(self, captions, sample):
        """Results of `sample(ids, numbers)` [len(numbers), ...] for all captions, in their order."""
        tokens = [self.encoder.tokenizer.encode(c).ids for c in captions]
        results = [None] * len(captions)
        for length in sorted({len(t) for t in tokens}):
            numbers = [i for i, t in enumerate(tokens) if len(t) == length]
            for at in range(0, len(numbers), 32):
                part = numbers[at : at + 32]
                for i, result in zip(part, sample(torch.tensor([tokens[i] for i in part]), part)):
                    results[i] = result
        return results

