"""Holds encoder, decoder and upscaler against Zoetrope's own phases, in f32: trained ones of a work folder."""

import torch

import codec
import upscaler
import world
from fitting import load
from latents import USED, Basis
from zoetropec import Phases, compare, options, zeros


@torch.no_grad()
def check(given):
    """Runs all comparisons."""
    work = given.work
    basis = Basis.load(work / "basis.npz")
    decoder, encoder = load(codec.Decoder(), work / "decoder.pt"), load(codec.Encoder(), work / "encoder.pt")
    enlarge = load(upscaler.Upscaler(), work / "upscaler.pt")
    phases = Phases(given, codec.checkpoint(decoder, encoder, basis), upscaler.checkpoint(enlarge, basis))
    spec = world.held_out_specs()[0]
    clips = {size: world.draw(spec, size, 1) for size in (world.LARGE, world.SMALL)}
    large, small = (torch.from_numpy(basis.encode(clip)).movedim(-1, 0)[None] for clip in clips.values())
    pixels = torch.from_numpy(clips[world.LARGE]).movedim(-1, 0)[None].float() / 127.5 - 1
    for frames in (1, world.FRAMES):
        of, rest = pixels[:, :, :frames], large[:, :, : (frames + 7) // 8]
        theirs = phases("video-encode", {"video": of}, frames)["v.latent"].view_as(rest)
        compare(f"video-encode, {frames} frames", encoder(of), theirs[:, :USED])
        zeros("video-encode, unused channels", theirs[:, USED:])
        theirs = phases("video-decode", {"v.latent": rest}, frames)["video"]
        compare(f"video-decode, {frames} frames", decoder(rest[:, :USED]), theirs.view_as(of))
    theirs = phases("upscale", {"v.latent": small})["v.latent"].view_as(large)
    compare("upscale", enlarge(small[:, :USED]), theirs[:, :USED])


if __name__ == "__main__":
    check(options(__doc__))
