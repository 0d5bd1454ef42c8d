"""Turns a trained model into a Hugging Face folder in the published layout (BF16 safetensors, tokenizer, processor,
template) and scores it on DATA/test.jsonl through the processor, as a user would run it.
usage: python finish.py FAMILY RAW_FOLDER DATA_FOLDER OUT [questions]"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, processors
family, raw, data, out = sys.argv[1], *map(Path, sys.argv[2:5])

LLAVA = "{% for message in messages %}{{ message['role'].upper() + ': ' }}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
NEXT = "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
QWEN = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
picture = dict(image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])
patches = dict(patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1)
words = dict(padding_side="left", model_input_names=["input_ids", "attention_mask"], model_max_length=2048, clean_up_tokenization_spaces=False)
tok = Tokenizer.from_file(str(raw.parent / "tokenizer.json"))


def begin_with(token):
    template = processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, tok.token_to_id(token))])
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])


if family == "llava":
    begin_with("<s>")
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"}, **words)
    images = tf.CLIPImageProcessor(size={"shortest_edge": 84}, crop_size={"height": 84, "width": 84}, **picture)
    processor = tf.LlavaProcessor(image_processor=images, tokenizer=tokenizer, chat_template=LLAVA, **patches)
    kind, end = tf.LlavaForConditionalGeneration, "</s>"
elif family == "llava_next":
    begin_with("<|begin_of_text|>")
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"}, **words)
    images = tf.LlavaNextImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]], **picture)
    processor = tf.LlavaNextProcessor(image_processor=images, tokenizer=tokenizer, chat_template=NEXT, **patches)
    kind, end = tf.LlavaNextForConditionalGeneration, "<|eot_id|>"
else:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = tf.Qwen2TokenizerFast(tokenizer_object=tok, unk_token=None, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=special, **words)
    images = tf.Qwen2VLImageProcessor(min_pixels=168 * 168, max_pixels=168 * 168, patch_size=14, temporal_patch_size=2, merge_size=2, **picture)
    processor = tf.Qwen2_5_VLProcessor(image_processor=images, tokenizer=tokenizer, chat_template=QWEN)
    kind, end = tf.Qwen2_5_VLForConditionalGeneration, "<|im_end|>"

model = kind.from_pretrained(raw, torch_dtype=torch.bfloat16)
model.generation_config = tf.GenerationConfig(eos_token_id=tok.token_to_id(end), pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, max_new_tokens=32)
shutil.rmtree(out, ignore_errors=True)
model.save_pretrained(out, safe_serialization=True)
processor.save_pretrained(out)
config = json.loads((out / "config.json").read_text())
for part in (config, config.get("text_config"), config.get("vision_config")):
    for key in ("_name_or_path", "_attn_implementation_autoset"):
        if isinstance(part, dict): part.pop(key, None)
(out / "config.json").write_text(json.dumps(config, indent=1))

model = kind.from_pretrained(out, torch_dtype=torch.float32).eval()
processor = tf.AutoProcessor.from_pretrained(out)
processor.tokenizer.padding_side = "left"
rows = [json.loads(line) for line in open(data / "test.jsonl")][:int(sys.argv[5]) if len(sys.argv) > 5 else None]
right = {}
for i in range(0, len(rows), 50):
    part = rows[i:i + 50]
    chats = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["messages"][0]["content"].replace("<image>", "")}]}] for row in part]
    text = [processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    inputs = processor(text=text, images=[Image.open(data / row["images"][0]) for row in part], padding=True, return_tensors="pt")
    with torch.no_grad(): tokens = model.generate(**inputs, do_sample=False, max_new_tokens=24)
    answers = processor.tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    for row, answer in zip(part, answers):
        right.setdefault(row["kind"], []).append(answer.strip() == row["messages"][1]["content"])
share = lambda hits: round(sum(hits) / len(hits), 4)
print({kind: share(hits) for kind, hits in sorted(right.items())} | {"all": share(sum(right.values(), []))})
