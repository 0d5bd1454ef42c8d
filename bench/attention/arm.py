"""The layer in PyTorch, eager: `python arm.py SHAPE_JSON THREADS`, with the requests of arm.js.

The cache has its room beforehand and is written in place. Decode attends by two products and a
softmax, queries of a KV head side by side so that nothing is repeated; prefill by
scaled_dot_product_attention, as a whole score matrix of 16k tokens does not fit.
"""

import json
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

SEEDS = {"input": 1, "q_proj": 2, "k_proj": 3, "v_proj": 4, "o_proj": 5, "key": 1000, "value": 5000}
PIECE = 256
shape = json.loads(sys.argv[1])
D, N, K, H = (shape[name] for name in ("hiddenSize", "numAttentionHeads", "numKeyValueHeads", "headDim"))
torch.set_num_threads(int(sys.argv[2]))
torch.set_grad_enabled(False)


def noise(length, seed, size=1.0):
    with np.errstate(over="ignore"):
        x = (np.arange(length, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 % 2**32)) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0xC2B2AE35)
        x = x ^ (x >> np.uint32(13))
    return torch.from_numpy(((x / 2**31 - 1) * size).astype(np.float32))


def weight(name, rows, columns):
    return noise(rows * columns, SEEDS[name], math.sqrt(3 / columns)).view(rows, columns)


W = {
    "q": weight("q_proj", N * H, D),
    "k": weight("k_proj", K * H, D),
    "v": weight("v_proj", K * H, D),
    "o": weight("o_proj", D, N * H),
}
cache = {}
filled = position = capacity = 0


def angles(positions):
    frequencies = shape["ropeTheta"] ** (-torch.arange(0, H // 2) / (H // 2))
    turned = positions[:, None] * frequencies.repeat(2)
    return turned.cos(), turned.sin()


def rotate(x, table):
    cos, sin = table
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def reserve(context):
    global capacity
    if context + PIECE <= capacity:
        return
    for name in ("key", "value"):
        grown = torch.zeros(K, context + PIECE, H)
        if name in cache:
            grown[:, :filled] = cache[name][:, :filled]
        cache[name] = grown
    capacity = context + PIECE


def fill(context):
    global filled, position
    reserve(context)
    for start in range(filled, context, PIECE):
        for name in ("key", "value"):
            piece = noise(K * PIECE * H, SEEDS[name] + start // PIECE)
            cache[name][:, start : start + PIECE] = piece.view(K, PIECE, H)
        filled = start + PIECE
    position = filled


def step(q, k, v):
    global position
    table = angles(torch.tensor([position], dtype=torch.float32))
    cache["key"][:, position] = rotate(k.view(K, H), table)
    cache["value"][:, position] = v.view(K, H)
    position += 1
    query = rotate(q.view(N, H), table).view(K, N // K, H)
    scores = query @ cache["key"][:, :position].transpose(1, 2) / math.sqrt(H)
    return (scores.softmax(-1) @ cache["value"][:, :position]).view(1, N * H)


TOKEN = noise(D, SEEDS["input"]).view(1, D)
PROJECTED = noise(N * H, 7), noise(K * H, 8), noise(K * H, 9)


def decode(_):
    return F.linear(step(*(F.linear(TOKEN, W[name]) for name in "qkv")), W["o"])


def core(_):
    return step(*PROJECTED)


def prefill(length):
    x = noise(length * D, SEEDS["input"]).view(length, D)
    table = angles(torch.arange(length, dtype=torch.float32))
    heads = lambda name, count: F.linear(x, W[name]).view(length, count, H).transpose(0, 1)
    q, k = rotate(heads("q", N), table), rotate(heads("k", K), table)
    out = F.scaled_dot_product_attention(q[None], k[None], heads("v", K)[None], is_causal=True, enable_gqa=N > K)
    return F.linear(out[0].transpose(0, 1).reshape(length, N * H), W["o"])[-1:]


print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    answer = {"wall": [], "cpu": []}
    if request["kind"] != "prefill":
        fill(request["context"])
    for _ in range(request["steps"]):
        cpu, wall = time.process_time(), time.perf_counter()
        output = globals()[request["kind"]](request["context"])
        answer["wall"].append(1000 * (time.perf_counter() - wall))
        answer["cpu"].append(1000 * (time.process_time() - cpu))
        answer.setdefault("output", output.flatten()[:8].tolist())
    position = filled
    print(json.dumps(answer), flush=True)
