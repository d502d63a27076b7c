"""Wordings of captions. Every list begins with the plain one."""

MOTIONS = {
    "rolls right": [
        ("rolls from left to right", "roll from left to right"),
        ("rolls to the right", "roll to the right"),
        ("is rolling from left to right", "are rolling from left to right"),
        ("moves from left to right", "move from left to right"),
        ("rolls rightwards", "roll rightwards"),
    ],
    "rolls left": [
        ("rolls from right to left", "roll from right to left"),
        ("rolls to the left", "roll to the left"),
        ("is rolling from right to left", "are rolling from right to left"),
        ("moves from right to left", "move from right to left"),
        ("rolls leftwards", "roll leftwards"),
    ],
    "bounces": [
        ("bounces", "bounce"),
        ("bounces up and down", "bounce up and down"),
        ("is bouncing", "are bouncing"),
        ("hops up and down", "hop up and down"),
        ("jumps", "jump"),
    ],
    "rises": [
        ("rises", "rise"),
        ("goes up", "go up"),
        ("moves upwards", "move upwards"),
        ("is rising", "are rising"),
        ("floats up", "float up"),
    ],
    "falls": [
        ("falls", "fall"),
        ("falls down", "fall down"),
        ("drops down", "drop down"),
        ("is falling", "are falling"),
        ("goes down", "go down"),
    ],
    "stays": [
        ("stays still", "stay still"),
        ("stands still", "stand still"),
        ("does not move", "do not move"),
        ("rests", "rest"),
        ("stays in place", "stay in place"),
    ],
    "grows": [
        ("grows", "grow"),
        ("gets bigger", "get bigger"),
        ("is growing", "are growing"),
        ("becomes larger", "become larger"),
        ("gets larger", "get larger"),
    ],
    "shrinks": [
        ("shrinks", "shrink"),
        ("gets smaller", "get smaller"),
        ("is shrinking", "are shrinking"),
        ("becomes smaller", "become smaller"),
        ("becomes tiny", "become tiny"),
    ],
    "circles": [
        ("moves in a circle", "move in a circle"),
        ("goes round in a circle", "go round in a circle"),
        ("is moving in a circle", "are moving in a circle"),
        ("circles", "circle"),
        ("goes around", "go around"),
    ],
}
"""Of each motion: (one object, two objects)."""

WHERE = {
    "wood": ["on a wooden table", "across a wooden table", "on a table", "on wood", "over a wooden table"],
    "grass": ["on green grass", "on the grass", "across a lawn", "on a meadow", "over green grass"],
    "sky": ["in a blue sky", "in the blue sky", "against a blue sky", "in the sky by day", "before a blue sky"],
    "snow": ["on white snow", "in the snow", "across the snow", "on snow", "over white snow"],
    "night": ["in the night sky", "at night", "against the night sky", "under the stars", "before a night sky"],
    "sand": ["on yellow sand", "on the sand", "across the sand", "on a beach", "over yellow sand"],
    "brick": ["before a brick wall", "in front of a brick wall", "against a brick wall", "by a brick wall",
              "along a brick wall"],
    "water": ["on dark water", "on the water", "across dark water", "on the sea", "over dark water"],
}

ONE = [
    "a {c1} {s1} {m} {w}",
    "the {c1} {s1} {m} {w}",
    "A {c1} {s1} {m} {w}.",
    "a {s1} that is {c1} {m} {w}",
    "a clip of a {c1} {s1}: it {m} {w}",
]
TWO = [
    "a {c1} {s1} and a {c2} {s2} {m} {w}",
    "the {c1} {s1} and the {c2} {s2} {m} {w}",
    "A {c1} {s1} and a {c2} {s2} {m} {w}.",
    "a {c1} {s1} on the left and a {c2} {s2} on the right {m} {w}",
    "two things {m} {w}: a {c1} {s1} on the left, a {c2} {s2} on the right",
]
