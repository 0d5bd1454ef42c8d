"""Loads a model that `mha2mla convert --layout reference` has written with the reference's own Python,
the way its evaluation loads one, and compares its logits with those of `mha2mla trace`.

usage: python check_reference.py FAMILY REFERENCE MODEL INPUTS TRACE
FAMILY: llava | llavanext | qwen2_5_vl; REFERENCE: a clone of JT-Ushio/MHA2MLA-VLM (69a3c6e).
INPUTS and TRACE are the files that `mha2mla trace MODEL --inputs INPUTS --output TRACE` reads and writes.
Needs torch 2.6.0, transformers 4.51.0, safetensors.
"""
import inspect, os, sys, types
from pathlib import Path
import torch
from safetensors.torch import load_file
import transformers
from transformers.modeling_utils import load_sharded_checkpoint

family, reference, model_folder, inputs, trace = sys.argv[1:6]
inputs, trace = load_file(inputs), load_file(trace)
sys.path.insert(0, str(Path(reference).resolve() / "src/mha2mla-vlm" / family))
os.chdir(model_folder)  # the config names its rank file and first stage relative to the model
from patching_model_load import patch_model, patch_model_stage2_multimodal

CLASSES = {"llava": "LlavaForConditionalGeneration", "llavanext": "LlavaNextForConditionalGeneration",
           "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration"}
config = transformers.AutoConfig.from_pretrained(".")
stage2 = types.SimpleNamespace(**config.mha2mla)
config_s1 = transformers.AutoConfig.from_pretrained(stage2.stage1_path)
model = getattr(transformers, CLASSES[family])(config_s1).to(torch.float32)
text = model.config.get_text_config()
model, q_idx, k_idx = patch_model(model, text, types.SimpleNamespace(**config_s1.mha2mla))
options = {} if "if_train" not in inspect.signature(patch_model_stage2_multimodal).parameters else {"if_train": False}
model = patch_model_stage2_multimodal(model, text, stage2, **options)
missing = load_sharded_checkpoint(model, ".")
print("loaded; missing", missing.missing_keys, "unexpected", missing.unexpected_keys)
if family == "qwen2_5_vl":
    from patching_qwenvl_stage2 import mha2mla_qwenvl_stage2_mutlimodal as patch
else:
    from patching_llama_stage2 import mha2mla_llama_stage2_mutlimodal as patch
patch(q_idx, k_idx)
# Float32 arithmetic, with what its evaluation's cast of the whole model leaves of buffers.
model = model.to(config.torch_dtype).to(torch.float32).eval()

integers = ("input_ids", "attention_mask", "image_sizes", "image_grid_thw", "video_grid_thw")
given = {k: v.long() if k in integers else v for k, v in inputs.items()
         if k in (*integers, "pixel_values", "pixel_values_videos", "second_per_grid_ts")}
with torch.no_grad():
    logits = model(**given, use_cache=False).logits
print("largest difference of logits", float((logits - trace["logits"]).abs().max()), "standard deviation", float(logits.std()))
