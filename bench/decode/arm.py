"""A small model in PyTorch: `python arm.py MODEL PROMPTS.safetensors loop|generate THREADS`.

`generate` is Hugging Face's, greedy. `loop` is the decoder written out, over a cache that has its room
beforehand. The answers are arm.js's: the time from the first token to the last, prefill left out.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from transformers.generation.streamers import BaseStreamer

folder, file, arm, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
torch.set_grad_enabled(False)
model = AutoModelForImageTextToText.from_pretrained(folder, torch_dtype=torch.float32)
model.generation_config.eos_token_id = None  # as many tokens from all arms
config = getattr(model.config, "text_config", model.config)
prompts = {}
for name, x in load_file(file).items():
    question, key = name.split(".")
    prompts.setdefault(int(question), {})[key] = x if x.is_floating_point() else x.long()


class FirstToken(BaseStreamer):
    """When the first token is out; the prompt comes before it."""

    def __init__(self):
        self.calls, self.started = 0, None

    def put(self, _):
        self.calls += 1
        if self.calls == 2:
            self.started = clocks()

    def end(self):
        pass


def clocks():
    return time.perf_counter(), time.process_time()


def generate(inputs, count):
    first = FirstToken()
    ids = model.generate(**inputs, max_new_tokens=count, do_sample=False, streamer=first)
    return first.started, ids[0, -count:].tolist()


language = model.language_model if hasattr(model, "language_model") else model
decoder, head = language.model, language.lm_head
N, K = config.num_attention_heads, config.num_key_value_heads
H = getattr(config, "head_dim", None) or config.hidden_size // N
frequencies = config.rope_theta ** (-torch.arange(0, H // 2) / (H // 2))


def rms_norm(x, norm):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon) * norm.weight


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def loop(inputs, count):
    out = model(**inputs, use_cache=True)
    length = inputs["input_ids"].shape[1]
    # Generated tokens are text: with M-RoPE all axes are at the highest position so far and one more.
    shift = int(out.rope_deltas) if getattr(out, "rope_deltas", None) is not None else 0
    caches = []
    for key, value in out.past_key_values.to_legacy_cache():
        keys, values = torch.zeros(K, length + count, H), torch.zeros(K, length + count, H)
        keys[:, :length], values[:, :length] = key[0], value[0]
        caches.append((keys, values))
    token = int(out.logits[0, -1].argmax())
    said, started = [token], clocks()
    for at in range(length, length + count - 1):
        angles = ((at + shift) * frequencies).repeat(2)
        cos, sin = angles.cos(), angles.sin()
        x = decoder.embed_tokens.weight[token]
        for layer, (keys, values) in zip(decoder.layers, caches):
            attention, mlp = layer.self_attn, layer.mlp
            y = rms_norm(x, layer.input_layernorm)
            q = rotate(attention.q_proj(y).view(N, H), cos, sin)
            keys[:, at] = rotate(attention.k_proj(y).view(K, H), cos, sin)
            values[:, at] = attention.v_proj(y).view(K, H)
            scores = q.view(K, N // K, H) @ keys[:, : at + 1].transpose(1, 2) * H**-0.5
            attended = scores.softmax(-1) @ values[:, : at + 1]
            x = x + attention.o_proj(attended.reshape(N * H))
            y = rms_norm(x, layer.post_attention_layernorm)
            x = x + mlp.down_proj(F.silu(mlp.gate_proj(y)) * mlp.up_proj(y))
        token = int(head(rms_norm(x, decoder.norm)).argmax())
        said.append(token)
    return started, said


print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    (wall, cpu), said = globals()[arm](prompts[request["question"]], request["tokens"])
    now = clocks()
    answer = {"wall": 1000 * (now[0] - wall), "cpu": 1000 * (now[1] - cpu), "tokens": said}
    print(json.dumps(answer), flush=True)
