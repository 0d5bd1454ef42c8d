"""Writes the question-answering task: pictures and JSONL files.   usage: python data.py EMOJI_FOLDER OUT [shared|held]
`shared` gives test, heal and calibration; `held` another test of the same kind; `ablation` the questions of
bench/ablation, so many that accuracies can be told apart. No picture is in two files."""
import json, random, sys
from pathlib import Path
from PIL import Image
from scenes import Scene, load_sprites

# Name, pictures, questions about each, seed.
SPLITS = {"shared": (("test", 150, 4, 990_001), ("heal", 400, 5, 880_001), ("calibration", 64, 2, 770_001)),
          "held": (("test", 150, 4, 550_007),),
          "ablation": (("ablation", 300, 8, 660_001),)}
sprites, out = load_sprites(sys.argv[1]), Path(sys.argv[2])
(out / "images").mkdir(parents=True, exist_ok=True)
for split, pictures, each, seed in SPLITS[sys.argv[3] if len(sys.argv) > 3 else "shared"]:
    rng = random.Random(seed)
    with open(out / f"{split}.jsonl", "w") as lines:
        for picture in range(pictures):
            scene, name = Scene(rng), f"images/{split}-{picture:03d}.png"
            Image.fromarray(scene.draw(sprites)).save(out / name, optimize=True)
            for _ in range(each):
                kind, q, a = scene.question(rng)
                chat = [{"role": "user", "content": "<image>" + q}, {"role": "assistant", "content": a}]
                lines.write(json.dumps({"images": [name], "kind": kind, "messages": chat}) + "\n")
