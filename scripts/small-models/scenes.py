"""Scenes of emoji on a 3x3 grid, with questions about them: a small visual question answering task.

Images come from the npm package emoji-datasource-google (64 px PNG files, Noto Emoji artwork).
"""
import random
from pathlib import Path
import numpy as np
from PIL import Image

OBJECTS = {
    "monkey": "1f412", "dog": "1f436", "cat": "1f431", "tiger": "1f42f", "horse": "1f434", "cow": "1f42e",
    "pig": "1f437", "sheep": "1f411", "camel": "1f42b", "elephant": "1f418", "mouse": "1f42d", "rabbit": "1f430",
    "bear": "1f43b", "koala": "1f428", "owl": "1f989", "duck": "1f986", "swan": "1f9a2", "penguin": "1f427",
    "frog": "1f438", "turtle": "1f422", "snake": "1f40d", "dragon": "1f409", "whale": "1f433", "dolphin": "1f42c",
    "fish": "1f41f", "octopus": "1f419", "shell": "1f41a", "crab": "1f980", "snail": "1f40c", "bug": "1f41b",
    "bee": "1f41d", "spider": "1f577-fe0f", "lotus": "1fab7", "rose": "1f339", "tulip": "1f337", "cactus": "1f335",
    "mushroom": "1f344", "grapes": "1f347", "lemon": "1f34b", "banana": "1f34c", "apple": "1f34e", "pear": "1f350",
    "cherries": "1f352", "tomato": "1f345", "carrot": "1f955", "corn": "1f33d", "broccoli": "1f966", "bread": "1f35e",
    "pizza": "1f355", "taco": "1f32e", "sushi": "1f363", "cookie": "1f36a", "cake": "1f370", "candy": "1f36c",
    "coffee": "2615", "teapot": "1fad6", "mountain": "26f0-fe0f", "volcano": "1f30b", "tent": "26fa", "train": "1f68b",
    "bus": "1f68c", "taxi": "1f695", "car": "1f697", "truck": "1f69a", "bike": "1f6b2", "boat": "26f5",
    "airplane": "2708-fe0f", "rocket": "1f680", "watch": "231a", "moon": "1f314", "star": "2b50", "cloud": "2601-fe0f",
    "rainbow": "1f308", "umbrella": "2602-fe0f", "fire": "1f525", "balloon": "1f388", "gift": "1f381", "medal": "1f396-fe0f",
    "trophy": "1f3c6", "soccer": "26bd", "kite": "1fa81", "guitar": "1f3b8", "trumpet": "1f3ba", "violin": "1f3bb",
    "crown": "1f451", "ring": "1f48d", "bell": "1f514", "phone": "260e-fe0f", "camera": "1f4f7", "book": "1f4d6",
    "coin": "1fa99", "key": "1f511", "hammer": "1f528", "bomb": "1f4a3", "lock": "1f512", "magnet": "1f9f2",
}
COLORS = {"white": (245, 245, 245), "black": (25, 25, 25), "blue": (120, 160, 235),
          "green": (140, 205, 140), "yellow": (240, 225, 130), "pink": (240, 170, 200)}
ROWS, COLS = ["top", "middle", "bottom"], ["left", "center", "right"]
NUMBERS = ["zero", "one", "two", "three", "four", "five"]
NAMES = list(OBJECTS)
# Kinds of question and how often each is asked.
KINDS = {"what": 2, "locate": 2, "count": 1.5, "exists": 1.5, "beside": 1.5, "color": 0.5, "list": 1}


def load_sprites(folder, size=26):
    out = {}
    for name, code in OBJECTS.items():
        image = Image.open(Path(folder) / f"{code}.png").convert("RGBA").resize((size, size), Image.BICUBIC)
        out[name] = np.asarray(image).astype(np.float32) / 255
    return out


class Scene:
    """One picture: `grid` maps (row, col) to an object's name, `color` names the background."""

    def __init__(self, rng, most=5):
        self.color = rng.choice(list(COLORS))
        cells = [(r, c) for r in range(3) for c in range(3)]
        count = rng.randint(2, most)
        # Few distinct names, so that counting is not always "one".
        names = rng.sample(NAMES, rng.randint(1, count))
        self.grid = {cell: rng.choice(names) for cell in rng.sample(cells, count)}
        self.jitter = {cell: (rng.randint(0, 2), rng.randint(0, 2)) for cell in self.grid}

    def draw(self, sprites, cell=28):
        """RGB uint8 array [84, 84, 3]."""
        canvas = np.empty((3 * cell, 3 * cell, 3), np.float32)
        canvas[:] = np.array(COLORS[self.color], np.float32) / 255
        for (r, c), name in self.grid.items():
            sprite = sprites[name]
            dy, dx = self.jitter[(r, c)]
            y, x = r * cell + dy, c * cell + dx
            h, w = sprite.shape[:2]
            alpha = sprite[:, :, 3:]
            canvas[y:y + h, x:x + w] = canvas[y:y + h, x:x + w] * (1 - alpha) + sprite[:, :, :3] * alpha
        return (canvas * 255 + 0.5).clip(0, 255).astype(np.uint8)

    def question(self, rng, mix=KINDS):
        """A (kind, question, answer) triple."""
        kind = rng.choices(list(mix), mix.values())[0]
        present = sorted(set(self.grid.values()))
        single = [(cell, n) for cell, n in self.grid.items() if list(self.grid.values()).count(n) == 1]
        if kind in ("locate", "beside") and not single:
            kind = "what"
        if kind == "what":
            r, c = rng.choice(list(self.grid)) if rng.random() < 0.8 else (rng.randrange(3), rng.randrange(3))
            return kind, f"what is in the {ROWS[r]} {COLS[c]}?", self.grid.get((r, c), "nothing")
        if kind == "locate":
            (r, c), name = rng.choice(single)
            return kind, f"where is the {name}?", f"{ROWS[r]} {COLS[c]}"
        if kind == "count":
            name = rng.choice(present) if rng.random() < 0.85 else rng.choice(NAMES)
            return kind, f"how many pictures of a {name} are there?", NUMBERS[sum(v == name for v in self.grid.values())]
        if kind == "exists":
            name = rng.choice(present) if rng.random() < 0.5 else rng.choice([n for n in NAMES if n not in present])
            return kind, f"is there a {name}?", "yes" if name in present else "no"
        if kind == "beside":
            (r, c), name = rng.choice(single)
            word, dr, dc = rng.choice([("left of", 0, -1), ("right of", 0, 1), ("above", -1, 0), ("below", 1, 0)])
            return kind, f"what is {word} the {name}?", self.grid.get((r + dr, c + dc), "nothing")
        if kind == "color":
            return kind, "what color is the background?", self.color
        return "list", "list all the objects in order.", ", ".join(self.grid[cell] for cell in sorted(self.grid))
