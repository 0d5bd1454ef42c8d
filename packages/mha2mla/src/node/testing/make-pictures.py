"""Small pictures and what Pillow makes of them, `exif_transpose(Image.open(...)).convert("RGB")`, as
`load_image` of Hugging Face's transformers has it. Writes `pictures.json` beside this file; made with Pillow 13.0.0.

Run: python make-pictures.py
"""

import base64
import io
import json
import pathlib
import struct
import zlib

from PIL import Image, ImageCms, ImageOps

WIDTH, HEIGHT = 6, 4
PIXELS = [
    ((40 * x + 17 * y) % 256, (90 * y + 5 * x) % 256, (200 - 30 * x + 11 * y) % 256)
    for y in range(HEIGHT)
    for x in range(WIDTH)
]


def rgb():
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.putdata(PIXELS)
    return image


def smooth():
    image = Image.new("RGB", (20, 12))
    image.putdata([(12 * x, 20 * y, 255 - 6 * (x + y)) for y in range(12) for x in range(20)])
    return image


def save(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(color, depth, rows, chunks=()):
    """A PNG by hand, for depths and chunks that Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    body = b"".join(b"\0" + row for row in rows)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *[chunk(*one) for one in chunks]]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [*parts, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    )


def rows(values):
    per_row = len(values) // HEIGHT
    return [bytes(values[y * per_row : (y + 1) * per_row]) for y in range(HEIGHT)]


def wide_gamut():
    """A profile with red and blue swapped, which no reader can apply without a trace."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def transposed():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FLAT = [v for pixel in PIXELS for v in pixel]
ALPHA = [(37 * i) % 256 for i in range(WIDTH * HEIGHT)]
RGBA = [v for pixel, alpha in zip(PIXELS, ALPHA) for v in (*pixel, alpha)]
DEEP = [v for value in FLAT for v in (value, 255 - value)]
GREY = [r for r, _, _ in PIXELS]
PALETTE = rgb().quantize(8)
CMYK = Image.new("CMYK", (16, 16))
CMYK.putdata([(16 * x, 255 - 9 * y, 8 * (x + y), 5 * x) for y in range(16) for x in range(16)])

FILES = {
    "png": save(rgb(), "PNG"),
    "png with a profile": save(rgb(), "PNG", icc_profile=wide_gamut()),
    "png with gamma": png(2, 8, rows(FLAT), [(b"gAMA", struct.pack(">I", 100000))]),
    "png marked sRGB": png(2, 8, rows(FLAT), [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))]),
    "png of 16 bits": png(2, 16, rows(DEEP)),
    "png of 16 bits with alpha": png(
        6, 16, rows([v for i, p in enumerate(PIXELS) for c in (*p, ALPHA[i]) for v in (c, 7)])
    ),
    "grey png": png(0, 8, rows(GREY)),
    "grey png with gamma": png(0, 8, rows(GREY), [(b"gAMA", struct.pack(">I", 100000))]),
    "grey png of 1 bit": save(rgb().convert("1"), "PNG"),
    "grey png with alpha": png(4, 8, rows([v for g, a in zip(GREY, ALPHA) for v in (g, a)])),
    "grey png of 16 bits": png(0, 16, rows([v for g in GREY for v in (g, 255 - g)])),
    "palette png": save(PALETTE, "PNG"),
    "palette png with alpha": save(PALETTE, "PNG", transparency=bytes([0, 100, 200])),
    "png with alpha": png(6, 8, rows(RGBA)),
    "png with a transparent colour": png(
        2, 8, rows(FLAT), [(b"tRNS", struct.pack(">HHH", *PIXELS[0]))]
    ),
    "png with EXIF orientation": save(rgb(), "PNG", exif=transposed()),
    "jpeg": save(smooth(), "JPEG", quality=90, subsampling=0),
    "jpeg of halved colour": save(smooth(), "JPEG", quality=90, subsampling=2),
    "progressive jpeg": save(smooth(), "JPEG", quality=90, progressive=True),
    "grey jpeg": save(smooth().convert("L"), "JPEG", quality=90),
    "jpeg with EXIF orientation": save(smooth(), "JPEG", quality=90, exif=transposed()),
    "jpeg with a profile": save(smooth(), "JPEG", quality=90, icc_profile=wide_gamut()),
    "cmyk jpeg": save(CMYK, "JPEG", quality=95),
    "webp": save(rgb(), "WEBP", lossless=True),
    "webp with alpha": save(
        Image.frombytes("RGBA", (WIDTH, HEIGHT), bytes(RGBA)), "WEBP", lossless=True, exact=True
    ),
    "animated webp": save(
        rgb(), "WEBP", lossless=True, save_all=True, append_images=[rgb().rotate(180)], duration=50
    ),
    "animated png": save(rgb(), "PNG", save_all=True, append_images=[rgb().rotate(180)]),
}

OUT = {}
for name, data in FILES.items():
    image = Image.open(io.BytesIO(data))
    mode = image.mode
    image = ImageOps.exif_transpose(image).convert("RGB")
    OUT[name] = {
        "mode": mode,
        "file": base64.b64encode(data).decode(),
        "width": image.width,
        "height": image.height,
        "rgb": base64.b64encode(image.tobytes()).decode(),
    }

target = pathlib.Path(__file__).with_name("pictures.json")
target.write_text(json.dumps(OUT, indent=2) + "\n")
