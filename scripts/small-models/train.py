"""Trains a small vision-language model of one family, with the real Hugging Face classes, to answer
questions about scenes (scenes.py).   usage: python train.py FAMILY EMOJI_FOLDER OUT [options, below]

FAMILY: llava | llava_next | qwen2_5_vl. Questions about one picture are packed behind its tokens, each seeing
the picture and itself. Matrix products run in bfloat16, in float32 at the end. The learning rate falls to zero
in --steps or --minutes, whichever is first; OUT/raw holds the weights, saved every three minutes.
"""
import argparse, functools, math, random, time
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
import transformers as tf
from PIL import Image
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from scenes import COLORS, COLS, KINDS, NAMES, ROWS, Scene, load_sprites

args = argparse.ArgumentParser()
for name in ("family", "emoji", "out"): args.add_argument(name)
option = args.add_argument
option("--steps", type=int, default=100_000)
option("--minutes", type=float, default=1e9)
option("--init", nargs="*", default=[], help="trained folders of any family, one over the other as far as shapes allow; FOLDER:seeing gives tower, projector, embeddings")
option("--look", type=int, default=0, help="steps that train tower and projector alone at first, to name what they see")
option("--columns", action="store_true", help="see column_head; qwen2_5_vl")
option("--curriculum", type=float, default=0.4, help="share of the run with fewer objects and more names to find")
option("--lr", type=float, default=1.5e-3)
option("--pictures", type=int, default=8)
option("--questions", type=int, default=12)
option("--seed", type=int, default=0)
option("--threads", type=int, default=1)
args = args.parse_args()
family, QUESTIONS = args.family, args.questions
torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)
out = Path(args.out)
out.mkdir(parents=True, exist_ok=True)
sprites = load_sprites(args.emoji)

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
VOCAB = 640
# Special tokens; prompt, answer; the tokens that stand for a picture, an end, padding.
SPECIAL, PROMPT, ANSWER, MARKS = {
    "llava": (
        ["<unk>", "<s>", "</s>", "<pad>", "<image>"],
        "<s>USER: <image>\n{q} ASSISTANT:", " {a}</s>", ("<image>", "</s>", "<pad>")),
    "llava_next": (
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<pad>", "<image>"],
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\n{q}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "{a}<|eot_id|>", ("<image>", "<|eot_id|>", "<pad>")),
    "qwen2_5_vl": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"],
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{q}<|im_end|>\n<|im_start|>assistant\n",
        "{a}<|im_end|>", ("<|image_pad|>", "<|im_end|>", "<|endoftext|>")),
}[family]


def make_tokenizer():
    rng, corpus = random.Random(1), []
    for _ in range(6000):
        _, q, a = Scene(rng).question(rng)
        corpus += [f"USER: {q} ASSISTANT: {a}", f"user\n{q} assistant\n{a}"]
    tok = Tokenizer(models.BPE(unk_token=None))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCAB - len(SPECIAL), special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return tok


tok = make_tokenizer()
tid = tok.token_to_id
IMAGE, EOS, PAD = (tid(mark) for mark in MARKS)
text = dict(vocab_size=VOCAB, hidden_size=192, intermediate_size=384, num_hidden_layers=4, num_attention_heads=6,
            max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=False,
            bos_token_id=tid(SPECIAL[1 if family == "llava" else 0]), eos_token_id=EOS, pad_token_id=PAD)
clip = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, patch_size=14, projection_dim=128)
llava = dict(image_token_index=IMAGE, vision_feature_layer=-2, vision_feature_select_strategy="default", tie_word_embeddings=False)
if family == "llava":
    model = tf.LlavaForConditionalGeneration(tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(image_size=84, **clip),
        text_config=tf.LlamaConfig(num_key_value_heads=6, **text), image_seq_length=36, **llava))
elif family == "llava_next":
    model = tf.LlavaNextForConditionalGeneration(tf.LlavaNextConfig(
        vision_config=tf.CLIPVisionConfig(image_size=56, **clip),
        text_config=tf.LlamaConfig(num_key_value_heads=2, rope_theta=500000.0, **text),
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]], image_seq_length=16, **llava))
else:
    model = tf.Qwen2_5_VLForConditionalGeneration(tf.Qwen2_5_VLConfig(
        num_key_value_heads=2, rope_theta=1000000.0, rope_scaling={"type": "mrope", "mrope_section": [4, 6, 6]},
        use_sliding_window=False, **text,
        vision_config=dict(depth=4, hidden_size=128, intermediate_size=256, num_heads=4, patch_size=14, spatial_merge_size=2,
                           temporal_patch_size=2, spatial_patch_size=14, window_size=56, fullatt_block_indexes=[1, 3],
                           out_hidden_size=192, tokens_per_second=2, in_chans=3, hidden_act="silu"),
        image_token_id=IMAGE, video_token_id=tid("<|video_pad|>"), vision_token_id=tid("<|vision_pad|>"),
        vision_start_token_id=tid("<|vision_start|>"), vision_end_token_id=tid("<|vision_end|>")))
N_IMAGE = {"llava": 36, "llava_next": 16 + 64 + 8, "qwen2_5_vl": 36}[family]


def fit(value, like):
    """A weight of another family in this one's shape: positions interpolated, KV heads averaged."""
    if value.shape == like.shape: return value
    if value.dim() == 2 and value.shape[1] == like.shape[1] == 128:  # positions of patches behind a class token
        side, new = (round((len(x) - 1) ** 0.5) for x in (value, like))
        grid = value[1:].T.reshape(1, 128, side, side)
        return torch.cat([value[:1], F.interpolate(grid, (new, new), mode="bicubic").reshape(128, -1).T])
    if value.shape[0] == 192 and like.shape[0] == 64: return value.reshape(2, 3, 32, -1).mean(1).reshape(like.shape)
    return like


SEEING = ("vision_tower", "multi_modal_projector", "image_newline", "visual.")


def initialise(folder):
    folder, _, seeing = folder.partition(":")
    own, weights = model.state_dict(), load_file(f"{folder}/model.safetensors")
    strip = lambda name: name.removeprefix("language_model.")
    given = {strip(name): value.float() for name, value in weights.items() if not seeing or name.startswith(SEEING) or "embed_tokens" in name}
    beside = Path(folder, "tokenizer.json")
    source = Tokenizer.from_file(str(beside if beside.exists() else Path(folder).parent / "tokenizer.json"))
    rows = [source.token_to_id(tok.id_to_token(i)) for i in range(VOCAB)]
    taken = 0
    for name, value in own.items():
        other = given.get(strip(name))
        if other is None:
            if name.endswith("proj.bias") and strip(name).replace("bias", "weight") in given: value.zero_()  # Llama has none
            continue
        if value.shape == other.shape and value.shape[0] == VOCAB:
            for i, row in enumerate(rows):
                if row is not None: value[i] = other[row]
        else:
            value.copy_(fit(other, value))
        taken += 1
    model.load_state_dict(own)
    print(f"{taken} of {len(own)} tensors from {folder}", flush=True)


for folder in args.init: initialise(folder)
print("parameters", sum(p.numel() for p in model.parameters()), flush=True)


def norm(x):  # [H, W, 3] uint8 -> [3, H, W]
    return ((x.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)


def pixels(image):
    resize = lambda size: norm(np.asarray(Image.fromarray(image).resize((size, size), Image.BICUBIC)))
    if family == "llava": return norm(image)
    if family == "llava_next":
        big = resize(112)
        return np.stack([resize(56), big[:, :56, :56], big[:, :56, 56:], big[:, 56:, :56], big[:, 56:, 56:]])
    t = np.stack([resize(168)] * 2).reshape(1, 2, 3, 6, 2, 14, 6, 2, 14)
    return t.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(144, -1)


@functools.lru_cache(None)
def prompt(q):
    """Ids up to and with the picture, ids of the question behind it, where in these the name asked for ends, the name."""
    line = PROMPT.format(q=q)
    code = tok.encode(line, add_special_tokens=False)
    at = code.ids.index(IMAGE)
    name = next((word for word in q[:-1].split() if word in CLASS), None)
    end = line.rindex(f" {name}") + len(name) + 1 if name else 0
    last = next((i for i, (_, stop) in enumerate(code.offsets) if stop == end), 0)
    return code.ids[:at] + [IMAGE] * N_IMAGE, code.ids[at + 1:], last - at - 1 if name else -1, name


@functools.lru_cache(None)
def reply(a):
    """Ids of the answer, which of its items each belongs to (or -1)."""
    line = ANSWER.format(a=a)
    code, at, item = tok.encode(line, add_special_tokens=False), line.index(a), []
    for k, name in enumerate(a.split(", ")):
        item += [k] * len(name) + [-1] * 2
    item = [-1] * at + item[:len(a)] + [-1] * (len(line) - at - len(a))
    return code.ids, [item[stop - 1] for _, stop in code.offsets]


def looked_up(scene, kind, q):
    """The cells, as bits, that each item of an answer is read from; 0 is outside."""
    words = q[:-1].split()
    if kind == "what": return [1 << (3 * ROWS.index(words[-2]) + COLS.index(words[-1]))]
    if kind == "list": return [1 << (3 * r + c) for r, c in sorted(scene.grid)]
    if kind != "beside": return []
    (r, c), = (cell for cell, name in scene.grid.items() if name == words[-1])
    dr, dc = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}[words[2]]
    return [1 << (3 * (r + dr) + c + dc) if r + dr in range(3) and c + dc in range(3) else 0]


# How often kinds are asked at first: names have to be found.
FIND = {"what": 2.5, "locate": 2, "count": 1.5, "exists": 2, "beside": 3, "color": 1, "list": 0.6}


def batch(rng, pictures, most=5, mix=KINDS):
    """Pictures, each with its questions packed into one row of (token, segment, position, next token, cells to find as bits or -1)."""
    px, cells, colors, rows, kinds = [], [], [], [], []
    for _ in range(pictures):
        scene = Scene(rng, most)
        px.append(pixels(scene.draw(sprites)))
        cells.append([[CLASS[scene.grid.get((r, c))] for c in range(3)] for r in range(3)])
        colors.append(list(COLORS).index(scene.color))
        row, own = None, []
        for k in range(QUESTIONS):
            kind, q, a = scene.question(rng, mix)
            (prefix, question, end, name), (answer, items) = prompt(q), reply(a)
            row = row or [(t, 0, i, -100, -1, -1) for i, t in enumerate(prefix)]
            labels = [-100] * (len(question) - 1) + answer + [-100]  # of the next token
            found = [-1] * len(labels)
            if name: found[end] = sum(1 << (3 * r + c) for (r, c), n in scene.grid.items() if n == name)
            source = looked_up(scene, kind, q)
            source = [-1] * (len(question) - 1) + [source[i] if source and i >= 0 else -1 for i in items] + [-1]
            row += [(t, k + 1, len(prefix) + i, *x) for i, (t, *x) in enumerate(zip(question + answer, labels, found, source))]
            own.append(kind)
        rows.append(row), kinds.append(own)
    length = max(map(len, rows))
    table = torch.tensor([row + [(PAD, -1, 0, -100, -1, -1)] * (length - len(row)) for row in rows])
    return torch.from_numpy(np.stack(px)), table, torch.tensor(cells), torch.tensor(colors), kinds


def equal_segments(attention):
    """Attention of Qwen's tower in batched form: its windows, or its pictures, are all of one size here."""
    def forward(hidden, cu_seqlens, rotary_pos_emb=None, position_embeddings=None):
        q, k, v = attention.qkv(hidden).view(len(hidden), 3, attention.num_heads, -1).unbind(1)
        q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
        q, k, v = (x.to(v.dtype).view(-1, int(cu_seqlens[1]), *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        return attention.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(hidden.shape))
    return forward


if family == "qwen2_5_vl":
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_multimodal_rotary_pos_emb, apply_rotary_pos_emb_vision
    rotate = functools.partial(apply_multimodal_rotary_pos_emb, mrope_section=[4, 6, 6])
    for block in model.visual.blocks: block.attn.forward = equal_segments(block.attn)
else:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate


def features(px):
    n = len(px)
    if family == "llava":
        return model.get_image_features(px, vision_feature_layer=-2, vision_feature_select_strategy="default")
    if family == "llava_next":
        sizes = torch.tensor([[84, 84]] * n)
        feats = model.get_image_features(px, sizes, vision_feature_layer=-2, vision_feature_select_strategy="default")
        return model.pack_image_features(feats, sizes, "default", image_newline=model.image_newline)[0].view(n, N_IMAGE, -1)
    return model.visual(px.flatten(0, 1), grid_thw=torch.tensor([[1, 12, 12]] * n)).view(n, N_IMAGE, -1)


def forward(px, table):
    """Logits where there is an answer, the pictures' features, the states behind each layer, positions."""
    ids, segment, position, label = table.unbind(-1)[:4]
    feats = features(px)
    embeds = model.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter((ids == IMAGE).unsqueeze(-1), feats.to(embeds.dtype))
    L = ids.shape[1]
    seen = (segment[:, None, :] == 0) | (segment[:, None, :] == segment[:, :, None])
    seen &= torch.ones(L, L, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]
    lm = model
    if family == "qwen2_5_vl":
        first = (ids[0] == IMAGE).nonzero()[0].item()
        grid, _ = model.get_rope_index(ids[:1, :first + N_IMAGE], torch.tensor([[1, 12, 12]]), None)
        behind = int(grid.max()) + 1 - (first + N_IMAGE)
        position = (position + torch.where(segment == 0, 0, behind)).expand(3, *ids.shape).clone()
        position[..., :first + N_IMAGE] = grid
    else:
        lm = model.language_model
    states = lm.model(inputs_embeds=embeds, attention_mask=mask, position_ids=position, use_cache=False, output_hidden_states=True)
    return lm.lm_head(states.last_hidden_state[label != -100]).float(), feats, states.hidden_states, position


# Auxiliary tasks, dropped after training, that lay the way from a name to its place. Likeness: an image token names
# what its cell of the picture holds, by its likeness to the names' own embeddings, so that words and pictures meet in
# one space. Placing: behind the first layer it tells its cell. Matching: a head of the second layer looks from a name
# asked for at the tokens that show it. Finding: behind that layer the name tells which cells hold it.
CLASS = {None: 0} | {n: i + 1 for i, n in enumerate(NAMES)}
NAME_MIX = torch.zeros(len(NAMES), VOCAB)
for i, n in enumerate(NAMES):
    ids = tok.encode(" " + n, add_special_tokens=False).ids
    NAME_MIX[i, ids] = 1 / len(ids)
grid = lambda n: [(int((r + 0.5) / n * 3), int((c + 0.5) / n * 3)) for r in range(n) for c in range(n)]
WHERE = list(enumerate(grid(6)))
if family == "llava_next":  # the whole picture, then its tiles, a newline behind each row
    WHERE = list(enumerate(grid(4))) + [(16 + 9 * (i // 8) + i % 8, cell) for i, cell in enumerate(grid(8))]
TOKENS, ROW, COL = (torch.tensor(x) for x in zip(*[(t, r, c) for t, (r, c) in WHERE]))
CELL, START = 3 * ROW + COL, len(prompt("")[0]) - N_IMAGE
LENGTH = 4.0  # of the features: long ones would drown all that the first layers add to them
empty = torch.nn.Parameter(torch.randn(1, 192) * 0.02)
temperature = torch.nn.Parameter(torch.tensor(2.0))
placer, finder, painter = torch.nn.Linear(192, 9), torch.nn.Linear(192, 9), torch.nn.Linear(192, 6)


@torch.no_grad()
def rescale():
    last = model.visual.merger.mlp[2] if family == "qwen2_5_vl" else model.multi_modal_projector.linear_2
    scale = LENGTH / features(batch(random.Random(0), 8)[0]).norm(dim=-1)[:, TOKENS].mean()
    for weight in (last.weight, last.bias): weight *= scale
    if family == "llava_next": model.image_newline *= scale


@torch.no_grad()
def column_head(size=26.0):
    """Lets a head of Qwen's first layer count the columns: M-RoPE turns by width too slowly for six columns to differ.
    By height it falls off so steeply that an image token sees its own row so far and the first token, whose key is kept
    out of it: the first token's share, one of the column + 2, is written as a value into the token."""
    px, table, *_ = batch(random.Random(0), 8)
    states, layer = forward(px, table)[2], model.model.layers[0]
    hidden = layer.input_layernorm(states[0])
    shown, first = hidden[:, START + TOKENS].flatten(0, 1), hidden[0, 0]
    tell = torch.linalg.solve(shown.T @ shown / len(shown) + 1e-3 * torch.eye(192), first)
    tell /= tell @ first  # 1 at the first token, about 0 at image tokens
    q, k, v, o = (getattr(layer.self_attn, f"{name}_proj") for name in "qkvo")
    q.weight[96:128], q.bias[96:128] = 0, 0
    q.bias[96 + 4] = size
    for head in (4, 5): q.weight[[32 * head + 4, 32 * head + 20]], q.bias[[32 * head + 4, 32 * head + 20]] = 0, 0
    k.weight[32 + 4], k.bias[32 + 4] = 0, 0
    k.weight[32 + 20], k.bias[32 + 20] = size * tell, -size
    v.weight[63], v.bias[63] = tell, 0
    o.weight[:, 96:128] = 0
    for head in (3, 4, 5): o.weight[:, 32 * head + 31] = 0
    o.weight[:, 96 + 31] = F.normalize(torch.randn(192), dim=0) * 16


def likeness_loss(feats, cells):
    names = torch.cat([empty, NAME_MIX @ model.get_input_embeddings().weight])
    likeness = F.normalize(feats[:, TOKENS].float(), dim=-1) @ F.normalize(names, dim=-1).T * temperature.exp()
    length = (feats.float().norm(dim=-1).log() - math.log(LENGTH)).square().mean()
    return F.cross_entropy(likeness.flatten(0, 1), cells[:, ROW, COL].flatten()) + 0.1 * length


def coloring_loss(feats, colors):
    shades = painter(F.rms_norm(feats[:, TOKENS].float(), (192,)))
    return F.cross_entropy(shades.flatten(0, 1), colors.repeat_interleave(len(TOKENS)))


def placing_loss(state):
    maps = placer(F.rms_norm(state[:, START + TOKENS].float(), (192,)))
    return F.cross_entropy(maps.flatten(0, 1), CELL.repeat(len(state)))


def looking_loss(number, head, states, position, cells):
    """Of one head of a layer, among the picture's tokens and the first one, which stands for nothing."""
    lm = model if family == "qwen2_5_vl" else model.language_model
    layer, rotary = lm.model.layers[number], lm.model.rotary_emb
    hidden = layer.input_layernorm(states[number].float())
    part = lambda proj, h: F.linear(hidden, proj.weight[32 * h:32 * h + 32], None if proj.bias is None else proj.bias[32 * h:32 * h + 32])[:, None]
    q, k = part(layer.self_attn.q_proj, head), part(layer.self_attn.k_proj, head if family == "llava" else head // 3)
    q, k = rotate(q, k, *rotary(hidden, position))
    rows, at = (cells >= 0).nonzero(as_tuple=True)
    shown = torch.cat([torch.tensor([0]), START + TOKENS])
    scores = (k[rows][:, 0, shown] @ q[rows, 0, at][:, :, None])[..., 0] / 32 ** 0.5
    hit = (cells[rows, at][:, None] >> CELL & 1).float()
    target = torch.cat([(hit.sum(1, keepdim=True) == 0).float(), hit], 1)
    return F.cross_entropy(scores, target / target.sum(1, keepdim=True)) - target.sum(1).log().mean()


def finding_loss(state, found):
    asked = found >= 0
    maps = finder(F.rms_norm(state[asked].float(), (192,)))
    return F.binary_cross_entropy_with_logits(maps, (found[asked][:, None] >> torch.arange(9) & 1).float()) * 3


def evaluate(pictures=64):
    model.eval()
    rng, by = random.Random(10_000_019), {}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(pictures // 16):
            px, table, _, _, kinds = batch(rng, 16)
            answered = table[..., 3] != -100
            wrong = torch.zeros_like(answered).masked_scatter(answered, forward(px, table)[0].argmax(-1) != table[..., 3][answered])
            for row, own in enumerate(kinds):
                for k, kind in enumerate(own):
                    by.setdefault(kind, []).append(not (wrong[row] & (table[row, :, 1] == k + 1)).any())
    model.train()
    share = lambda v: round(sum(map(float, v)) / len(v), 3)
    return {k: share(v) for k, v in sorted(by.items())} | {"all": share([x for v in by.values() for x in v])}


def optimizer(parameters):
    return torch.optim.AdamW([{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.02},
                              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0}], lr=args.lr, betas=(0.9, 0.98))


def descend(opt, loss, rate):
    for group in opt.param_groups: group["lr"] = rate
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()


def save():
    model.save_pretrained(out / "raw")
    tok.save(str(out / "tokenizer.json"))


def look(rng, steps):
    opt = optimizer([empty, temperature, *(p for name, p in model.named_parameters() if name.startswith(SEEING))])
    for step in range(steps):
        scenes = [Scene(rng) for _ in range(24)]
        px = torch.from_numpy(np.stack([pixels(scene.draw(sprites)) for scene in scenes]))
        cells = torch.tensor([[[CLASS[scene.grid.get((r, c))] for c in range(3)] for r in range(3)] for scene in scenes])
        with torch.autocast("cpu", torch.bfloat16): feats = features(px)
        loss = likeness_loss(feats, cells)
        descend(opt, loss, args.lr * min(1, (step + 1) / 50, (steps - step) / (0.3 * steps)))
        if step % 50 == 49: print("look", step + 1, round(loss.item(), 4), flush=True)
    save()


def answer(rng):
    opt = optimizer([*model.parameters(), empty, temperature, *placer.parameters(), *finder.parameters(), *painter.parameters()])
    start = saved = time.time()
    step, done = 0, 0.0
    while done < 1:
        done = max(step / args.steps, (time.time() - start) / 60 / args.minutes)
        early = max(0.0, 1 - done / args.curriculum) if args.curriculum else 0.0
        mix = {kind: early * FIND[kind] + (1 - early) * KINDS[kind] for kind in KINDS}
        px, table, cells, colors, _ = batch(rng, args.pictures, 3 + (rng.random() >= early) + (rng.random() >= early), mix)
        with torch.autocast("cpu", torch.bfloat16, enabled=done < 0.9): logits, feats, states, position = forward(px, table)
        loss = F.cross_entropy(logits, table[..., 3][table[..., 3] != -100])
        helps = (likeness_loss(feats, cells), coloring_loss(feats, colors), placing_loss(states[1]), looking_loss(1, 0, states, position, table[..., 4]),
             finding_loss(states[2], table[..., 4]), looking_loss(3, 3, states, position, table[..., 5]))
        descend(opt, loss + max(0.0, 1 - done / 0.8) * sum(helps),
                args.lr * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1, done))))
        step += 1
        if step % 50 == 0: print(step, *(round(x.item(), 4) for x in (loss, *helps)), f"{time.time() - start:.0f}s", flush=True)
        if time.time() - saved > 170 or done >= 1:
            print("eval", step, evaluate(), flush=True)
            save()
            saved = time.time()


if args.init: rescale()
if args.columns: column_head()
if args.look: look(random.Random(args.seed + 3), args.look)
if args.steps: answer(random.Random(args.seed + 7))
