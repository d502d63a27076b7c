"""Trains the video VAE by regression: pixels of given latents, and given latents of pixels."""

import numpy as np
import torch
from torch.nn import functional as F

import codec
import latents
import starts
import world
from fitting import export, fit, load, muon
from latents import USED, Basis

CLIPS, SAMPLED_CLIPS = 4, 60
DECODER_STEPS = 4000
PATCH = 32
BASIS_CLIPS = 1200


def _tensor(arrays):
    return torch.from_numpy(np.stack(arrays)).float().movedim(-1, 1)


def _corner(rng, spec, scene, side):
    """The corner (row, column of latents) of a crop of a large clip: three times in four around an object."""
    most = [n // PATCH - side for n in world.LARGE]
    if rng.random() < 0.25:
        return [int(rng.integers(n + 1)) for n in most]
    tracks = world.tracks(spec, scene)
    track, frame = tracks[rng.integers(len(tracks))], rng.integers(world.FRAMES)
    middle = np.array([track.y[frame], track.x[frame]]) * world.LARGE[0] / PATCH - side / 2
    return [int(np.clip(np.rint(m + rng.uniform(-1, 1)), 0, n)) for m, n in zip(middle, most)]


def batch(basis, seed, step, small, side=4):
    """Random clips and their latents: crops of large ones, or whole `small` ones.

    Returns pixels [CLIPS, 3, 25, h, w], -1 to 1, and latents [CLIPS, USED, 4, h / 32, w / 32].
    """
    rng = np.random.default_rng([seed, step])
    clips, given = [], []
    for _ in range(CLIPS):
        spec, scene = world.training_spec(rng), int(rng.integers(2**31))
        if small:
            clip = world.draw(spec, world.SMALL, scene)
        else:
            row, column = _corner(rng, spec, scene, side)
            rows, columns = (slice(PATCH * n, PATCH * (n + side)) for n in (row, column))
            clip = np.ascontiguousarray(world.draw(spec, world.LARGE, scene)[:, rows, columns])
        clips.append(clip)
        given.append(basis.encode(clip)[..., :USED])
    return _tensor(clips) / 127.5 - 1, _tensor(given)


def _noise(given, step):
    """A little noise, of another strength for each clip: generated latents are not exact."""
    rng = torch.Generator().manual_seed(step)
    strength = 0.05 * torch.rand((len(given), 1, 1, 1, 1), generator=rng)
    return strength * torch.randn(given.shape, generator=rng)


def trained_decoder(work, steps=DECODER_STEPS):
    """The decoder of a work folder, trained as far as it is not. One step in six takes small clips, one a single
    latent frame, as previews do."""
    basis = Basis.load(work / "basis.npz")

    def loss(decoder, step):
        kind = step % 6
        pixels, given = batch(basis, 4, step, small=kind == 1)
        if kind == 2:
            frame = step // 6 % 4
            pixels, given = pixels[:, :, 8 * frame : 8 * frame + 1], given[:, :, frame : frame + 1]
        given = given + _noise(given, step)
        with torch.autocast("cpu", torch.bfloat16):
            found = decoder(given.to(memory_format=torch.channels_last_3d))
        # Squares for small differences, absolute values for those at misplaced edges.
        return F.huber_loss(found.float(), pixels, delta=0.2)

    path = work / "decoder.pt"
    torch.manual_seed(0)
    decoder = codec.Decoder()
    starts.ignore_constant(decoder)
    if not path.exists():
        starts.decoder(decoder, starts.clips(basis, SAMPLED_CLIPS))
    return fit(decoder.to(memory_format=torch.channels_last_3d), path, steps, loss, 3e-3, optimizers=muon)


def solved_encoder(work):
    """The encoder of a work folder. It is linear but for its norms and needs no training."""
    torch.manual_seed(0)
    encoder = codec.Encoder()
    starts.encoder(encoder, starts.clips(Basis.load(work / "basis.npz"), SAMPLED_CLIPS))
    torch.save({"average": encoder.state_dict()}, work / "encoder.pt")
    return encoder


def train(work, workers=2):
    """The part `video`: components, data sets (`train`, `held`), decoder and encoder, and their export."""
    if not (work / "basis.npz").exists():
        basis, kept = latents.fit(BASIS_CLIPS, workers)
        basis.save(work / "basis.npz")
        print(f"basis: {USED} components keep {kept[USED - 1]:.4f} of the variance")
    basis = Basis.load(work / "basis.npz")
    for folder, kind, clips in (("train", latents.TRAINING, 12_000), ("held", latents.HELD_OUT, 300)):
        if not (work / folder / "clips.json").exists():
            latents.dataset(work / folder, basis, kind, clips, workers)
    decoder, encoder = trained_decoder(work), solved_encoder(work)
    export(codec.checkpoint(decoder, encoder, basis), work / "export/video.safetensors")


@torch.no_grad()
def measure(work, clips=50):
    """Prints PSNR on held-out clips: of decoded given latents, of decode(encode(clip)), of single frames."""
    decoder, encoder = load(codec.Decoder(), work / "decoder.pt"), load(codec.Encoder(), work / "encoder.pt")
    large, _, specs, scenes = latents.read_dataset(work / "held")
    found = {"decode(given latents)": [], "decode(encode(clip))": [], "decode(encode(first frame))": []}
    for number in range(clips):
        clip = _tensor([world.draw(specs[number], world.LARGE, scenes[number])]) / 127.5 - 1
        shown = (
            (clip, _tensor([large[number].astype(np.float32)])),
            (clip, encoder(clip)),
            (clip[:, :, :1], encoder(clip[:, :, :1])),
        )
        for of, (wanted, latent) in zip(found.values(), shown):
            error = (decoder(latent).clamp(-1, 1) - wanted).square().mean() / 4
            of.append(-10 * error.log10().item())
    for what, of in found.items():
        print(f"{what}: {np.mean(of):.1f} dB on average, median {np.median(of):.1f}, least {min(of):.1f}")
