#!/usr/bin/env python3
"""Train the demo model's tokenizer: a small one of Gemma 3's kind, on the text below.

    pip install tokenizers
    python tests/reference/demo_tokenizer.py > src/demo/tokenizer.json

Same layout as Gemma's: special ids 0 to 3, turns at 105 and 106, byte tokens for what the
vocabulary lacks, spaces as U+2581, <bos> added by the post-processor. Only the merges are learnt.
"""

from __future__ import annotations

import json
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TOKENS = 1500
SPACE = "\u2581"
ALPHABET = [chr(c) for c in range(0x21, 0x7F)] + [SPACE, "\n", "é", "–", "—", "‘", "’", "“", "”", "…"]

CORPUS = """
A quiet harbour at dawn, small boats rocking on grey water while gulls circle above the pier.
The camera pans slowly from left to right as an old man in a wool coat walks along the wet stones.
A close-up of a woman's face in warm evening light; she looks up, smiles, and the wind moves her hair.
Wide shot of a mountain valley in early morning mist, pine trees in the foreground, snow on the peaks.
A red fox runs through deep snow, the camera follows it at ground level, snow flies behind its feet.
Night in the city: rain on the street, neon signs in blue and pink, people with umbrellas cross the road.
A child in a yellow raincoat jumps into a puddle, water splashes toward the lens in slow motion.
Aerial view of the ocean, waves break on black rocks, white foam, seabirds, the sound of wind and water.
Inside a small kitchen a cook cuts vegetables with a sharp knife, steam rises from a pot on the stove.
A train passes over an old stone bridge, smoke drifts across the river, the whistle echoes in the hills.
Two friends sit by a fire on the beach under the stars and talk in low voices while the sea moves behind them.
A dancer turns on an empty stage, a single light from above, dust in the air, soft piano music.
The sun sets behind a field of wheat, golden light, long shadows, a dog runs toward the camera and barks.
A glass of water on a wooden table; a drop falls into it and rings spread over the surface, macro shot.
Handheld shot in a busy market, voices, fruit in baskets, a man laughs and holds up a fish.
An astronaut walks on red sand, two moons in the sky, breathing and radio noise are heard.
A robot made of old metal sits at a window and draws a picture of a tree, its hand moves with care.
A paper boat floats down a small stream in the forest, sunlight falls through green leaves.
A cat sleeps on a chair in the sun, its ear moves, birds sing outside the open window.
An orchestra plays in a large hall, the conductor raises both hands, the strings begin slowly.
A car drives through the desert at noon, heat over the road, dust behind the wheels, the engine roars.
A girl opens an old book and golden letters rise from the page and turn into butterflies.
The lighthouse stands on a cliff in a storm, its beam cuts through rain, thunder rolls over the sea.
Slow dolly shot through a library, tall shelves, warm lamps, a clock ticks, pages turn.
A painter mixes blue and white on a palette, the brush touches the canvas, the room is quiet.
A horse gallops along the shore at sunrise, hooves beat on wet sand, the camera tracks beside it.
Time-lapse of clouds over a city, shadows move over the buildings, lights come on one after another.
A baker takes fresh bread out of the oven, the crust cracks, flour hangs in the light of the morning.
An owl turns its head and looks straight into the camera, its eyes are large and yellow, the forest is dark.
A boy plays the guitar on the steps of a house and sings softly: "Come home before the snow."
She says: "I have never seen anything like this." He answers: "Wait until the sun comes up."
He whispers: "Do not move." The door opens, light falls into the room, and everything is silent.
An old film look, grain, faded colours, a family waves from a green car in the summer of 1968.
Cinematic lighting, shallow depth of field, 35mm lens, high detail, natural colours, smooth motion.
A drone flies up over a frozen lake, cracks run through the ice, the horizon is orange and purple.
A flower opens in fast motion, petals unfold, drops of dew shine, a bee lands and the stem bends.
A puppet theatre with three small figures made of wood and cloth, the curtain opens, the audience claps.
Clay animation of a small blue bird that builds a nest from wires, screws and pieces of paper.
Anime style, a young hero stands on a roof at night, the coat moves in the wind, the moon is huge.
A wolf howls on a hill, fog fills the valley, the first snow of the year begins to fall.
Fireworks over a river, people on a bridge look up, colours reflect in the water, a crowd cheers.
The camera moves through a keyhole into a garden full of strange plants that glow in the dark.
A blacksmith strikes hot iron, sparks fly, each blow rings through the workshop, the fire glows.
A woman in a white dress walks down a long corridor, doors close behind her one by one.
Static shot of a street corner in winter: a bus stops, three people get out, it drives away again.
An elephant and her calf cross a shallow river, birds rise from the grass, distant thunder.
A scientist looks into a microscope; inside, tiny living shapes swim through green light.
Underwater shot of a coral reef, fish in bright colours, sunlight moves over the sand, bubbles rise.
The astronaut looks back at the blue planet, the reflection of the earth moves over the helmet.
A potter shapes wet clay on a turning wheel, both hands, the form grows, then it collapses and she laughs.
blurry, low quality, still image, distorted face, extra fingers, watermark, text, noise, flicker, artifacts
worst quality, inconsistent motion, jittery, static, overexposed, low contrast, deformed hands, subtitles
"""

WORDS = """
the of and in to with on from over under through behind between toward into out up down left right above below
man woman child girl boy people person friend crowd face eyes hair hand hands head mouth voice smile coat dress hat
dog cat horse bird fish fox wolf bear lion tiger elephant butterfly owl rabbit deer whale dolphin snake spider
city street house room door window wall floor table chair kitchen garden forest tree leaf flower grass field hill
mountain valley river lake sea ocean beach sand rock stone cliff island desert road bridge tower castle village
sun moon star sky cloud rain snow storm wind fog mist fire smoke dust light shadow dark night day morning evening
red green blue yellow orange purple pink white black grey brown golden silver bright warm cold soft sharp deep
large small tall short long old young new wet dry hot empty full open closed quiet loud slow fast gentle strong
camera shot close wide angle view lens focus zoom pan tilt track follow move motion slow still handheld aerial
walks runs jumps falls flies swims stands sits sleeps looks turns opens closes moves rises holds takes gives says
sings plays dances laughs cries whispers shouts speaks talks answers asks listens begins stops waits drives rides
music sound noise piano guitar drum song thunder waves footsteps engine bell whistle echo silence breathing
style film cinematic realistic animation cartoon painting watercolor photo portrait landscape detail texture colour
water glass metal wood paper cloth leather ice clay plastic gold iron steel bread fruit coffee book letter picture
one two three four five six seven eight nine ten first second last next each every both many few some all
car train bus boat ship plane rocket bicycle robot machine computer screen phone clock lamp candle mirror
"""


def learnt() -> list[tuple[str, str]]:
    """The merges that the text teaches, best first; they never cross a space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    lines = [line.replace(" ", SPACE) for line in CORPUS.splitlines()] * 2
    lines += [SPACE + word for word in WORDS.split()] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=2, initial_alphabet=ALPHABET, limit_alphabet=len(ALPHABET), show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge) for merge in merges]


def main() -> None:
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    added = special + ["<mask>", "[multimodal]"] + [f"<unused{i}>" for i in range(99)]
    added += ["<start_of_turn>", "<end_of_turn>"]
    vocab = {token: i for i, token in enumerate(added + [f"<0x{i:02X}>" for i in range(256)] + ALPHABET)}
    merges = []
    for left, right in learnt():
        if len(vocab) < TOKENS and left in vocab and right in vocab:
            vocab.setdefault(left + right, len(vocab))
            merges.append([left, right])

    def piece(kind: str, name: str) -> dict:
        return {kind: {"id": name, "type_id": 0}}

    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": token in special or token.endswith("_of_turn>"),
            }
            for i, token in enumerate(added)
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("SpecialToken", "<bos>"), piece("Sequence", "A")],
            "pair": [piece("SpecialToken", "<bos>"), piece("Sequence", "A"), piece("Sequence", "B")],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    Tokenizer.from_str(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
