"""Make fixtures/image: a picture and what Pillow's bicubic makes of it at several sizes.

Run with Pillow 13 and numpy, from the root of the repository: python scripts/make_resize_golden.py
Black and white noise makes the overshoot of the kernel clip; the gradient shows rounding.
"""

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = [(20, 29), (74, 61), (37, 20), (11, 53), (50, 12)]  # width, height; the last goes down first

folder = Path(__file__).parent.parent / "fixtures" / "image"
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
height, width = 53, 37
y, x = np.mgrid[:height, :width]
gradient = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2)], -1)
noise = rng.choice([0, 255], (height, width, 3))
picture = np.where((x + y < 45)[..., None], gradient, noise).astype(np.uint8)
source = Image.fromarray(picture)
source.save(folder / "source.png", optimize=True)
for size in SIZES:
    source.resize(size, Image.Resampling.BICUBIC).save(folder / f"bicubic_{size[0]}x{size[1]}.png", optimize=True)
