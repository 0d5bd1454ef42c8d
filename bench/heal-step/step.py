"""Optimiser steps of LoRA in PyTorch with HF PEFT: prints the best time of a step and the first loss.

  step.py MODEL BATCH.safetensors      needs torch, transformers 4.51 and peft; two threads
"""

import json
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

STEPS = 8
torch.set_num_threads(2)
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], torch_dtype=torch.float32)
batch = load_file(sys.argv[2])
predicting, labels = batch.pop("predicting").long(), batch.pop("labels").long()
inputs = {name: x if x.is_floating_point() else x.long() for name, x in batch.items()}
targets = r"^(?!.*(vision|visual)).*self_attn\.[qkvo]_proj$"
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=16, target_modules=targets))
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01)
times, first = [], None
for _ in range(STEPS):
    began = time.perf_counter()
    logits = model(**inputs, use_cache=False).logits.flatten(0, 1)[predicting]
    loss = torch.nn.functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    times.append(time.perf_counter() - began)
    first = loss.item() if first is None else first
print(json.dumps({"milliseconds": 1000 * min(times), "loss": first}))
