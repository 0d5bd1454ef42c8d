"""The factorisation of MHA2MLA-VLM (SVD-LLM v2, its run_svd_init.py at 69a3c6e) and a judge in float64.

  reference.py make FOLDER D_OUT D_IN            weight and two moments, where FOLDER has none yet
  reference.py factorise FOLDER RANK MODALITY [--eigh]    as the reference runs; prints seconds
  reference.py judge FOLDER                      relative errors of all <arm>.<modality>.{up,down}

The reference takes an SVD of S (which is symmetric: --eigh takes its eigenvectors instead, the best
that could be made of it), an SVD of W V E^1/2, and inverses of V and of E^1/2 by LU, all in float32,
vision and then text. PyTorch where it is installed, else NumPy, and NumPy with --eigh: PyTorch 2.6
refuses float32 at these sizes ("Parameter 8 was incorrect on entry to SSYEVD"). Two threads.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")
# Threads that wait by spinning would count as work in CPU seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import sys
import time
from pathlib import Path

import numpy as np

try:
    if "--eigh" in sys.argv:
        raise ImportError
    import torch as library

    library.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    from_numpy, to_numpy = library.from_numpy, lambda x: x.numpy()
except ImportError:
    library = np
    from_numpy = to_numpy = lambda x: x

# Eigenvalues of S fall as i^-decay; of text faster, as inputs with attention sinks have it.
DECAY = {"vision": 1.0, "text": 1.3}


def make(folder: Path, d_out: int, d_in: int) -> None:
    if (folder / "made").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(d_out)
    weight = random.standard_normal((d_out, d_in)) * (1 + random.random(d_in)) / np.sqrt(d_in)
    weight.astype(np.float32).tofile(folder / "weight.f32")
    for modality, decay in DECAY.items():
        moment = turn(np.diag(np.arange(1, d_in + 1.0) ** -decay), modality)
        ((moment + moment.T) / 2).tofile(folder / f"{modality}.f64")
    (folder / "shape.json").write_text(json.dumps([d_out, d_in]))
    (folder / "made").touch()


def turn(moment: np.ndarray, modality: str) -> np.ndarray:
    """Q S Qᵀ for an orthogonal Q with no small entries: signs and Hartley transforms, which are fast."""
    random = np.random.default_rng(len(modality))
    for _ in range(2):
        signs = random.choice([-1.0, 1.0], len(moment))
        moment = moment * signs * signs[:, None]
        for axis in (0, 1):
            spectrum = np.fft.fft(moment, axis=axis, norm="ortho")
            moment = spectrum.real - spectrum.imag
    return moment


def read(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    d_out, d_in = json.loads((folder / "shape.json").read_text())
    weight = np.fromfile(folder / "weight.f32", np.float32).reshape(d_out, d_in)
    moments = {m: np.fromfile(folder / f"{m}.f64").reshape(d_in, d_in) for m in DECAY}
    return weight, moments


def spectrum(moment, symmetric: bool):
    """Directions and sizes of S, the largest first."""
    if not symmetric:
        directions, sizes, _ = library.linalg.svd(moment, full_matrices=False)
        return directions, sizes
    sizes, directions = library.linalg.eigh(moment)
    order = list(range(len(sizes)))[::-1]
    # Rounding leaves the smallest below zero, and their roots would be NaN.
    return directions[:, order], library.clip(sizes[order], 1e-12, None)


def factorise(weight, moment, rank: int, symmetric: bool):
    directions, sizes = spectrum(moment, symmetric)
    scale = library.diag(library.sqrt(sizes))
    left, values, right = library.linalg.svd(weight @ directions @ scale, full_matrices=False)
    half = library.diag(library.sqrt(values[:rank]))
    unscale, back = library.linalg.inv(scale), library.linalg.inv(directions)
    return left[:, :rank] @ half, half @ right[:rank] @ unscale @ back


def run(folder: Path, rank: int, modality: str, symmetric: bool) -> None:
    weight, moments = read(folder)
    arm = "reference-eigh" if symmetric else "reference"
    weight, moment = from_numpy(weight), from_numpy(moments[modality].astype(np.float32))
    start, before = time.perf_counter(), time.process_time()
    factors = dict(zip(("up", "down"), factorise(weight, moment, rank, symmetric)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    for side, factor in factors.items():
        to_numpy(factor).astype(np.float64).tofile(folder / f"{arm}.{modality}.{side}")
    name = f"{library.__name__} {library.__version__}"
    print(json.dumps({"seconds": seconds, "cpuSeconds": cpu, "library": name}))


def judge(folder: Path) -> None:
    weight, moments = read(folder)
    weight = weight.astype(np.float64)
    d_out, d_in = weight.shape
    errors = {}
    for modality, moment in moments.items():
        total = np.sum((weight @ moment) * weight)
        for file in sorted(folder.glob(f"*.{modality}.up")):
            up = np.fromfile(file).reshape(d_out, -1)
            left = weight - up @ np.fromfile(file.with_suffix(".down")).reshape(-1, d_in)
            error = float(np.sqrt(np.sum((left @ moment) * left) / total))
            errors.setdefault(file.name.split(".")[0], {})[modality] = error
    print(json.dumps(errors))


command, folder, *rest = sys.argv[1:]
if command == "make":
    make(Path(folder), *map(int, rest))
elif command == "factorise":
    run(Path(folder), int(rest[0]), rest[1], "--eigh" in rest)
else:
    judge(Path(folder))
