#!/usr/bin/env python3
"""200 updates of an adapter by dragoman and by PyTorch: same frozen base with random weights, same
initial adapter, same sentences in the same order, no dropout; the losses side by side.

  curve.py DIR DRAGOMAN

PyTorch runs in fp32 and in double precision: their difference is the noise. Ours runs on the base
in fp32, in int8, and with the sampled part of the vocabulary.

Needs: pip install torch transformers safetensors sentencepiece protobuf
"""
import csv
import pathlib
import random
import subprocess
import sys

import safetensors.torch
import torch
import transformers as hf

from bench import WORDS, spelling, with_bottlenecks, word

UPDATES, SENTENCES, PAIRS, PIECES, WIDTH = 200, 32, 4000, 12000, 64
RATE, WARMUP, SMOOTHING, CLIP = 0.005, 100, 0.1, 1.0
directory, dragoman = pathlib.Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(2)

# --- dragoman's order of sentences: mt/core/rng.h and the sampler of mt/train/examples.c ---

MASK = 2**64 - 1


def hash64(x):
    x = x + 0x9E3779B97F4A7C15 & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def stream(seed, number):
    key, counter = hash64(hash64(seed) ^ number & MASK), 0
    while True:
        yield hash64(key + hash64(counter) & MASK)
        counter += 1


def shuffled(items, rng):
    for i in range(len(items), 1, -1):
        k = next(rng) * i >> 64
        items[i - 1], items[k] = items[k], items[i - 1]
    return items


def sentence_order(seed, count):
    epoch, left = 0, []

    def draw():
        nonlocal epoch, left
        if not left:
            left = shuffled(list(range(count)), stream(seed, hash64(epoch * 4096)))
            epoch += 1
        return left.pop(0)

    pool = 0
    while True:  # all sentences are of one length, so that only the random half of a key counts
        rng, items = stream(seed, ~pool), []
        for _ in range(32 * SENTENCES):
            next(rng)  # which direction: there is one
            pair = draw()
            items.append((next(rng) >> 32, pair))
        items.sort()
        for u in shuffled(list(range(32)), rng):
            yield [pair for _, pair in items[u * SENTENCES:(u + 1) * SENTENCES]]
        pool += 1


# --- the checkpoint and its text ---


def make():
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model, words = spelling(PIECES)
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    order = ["<s>", "<pad>", "</s>", "<unk>"] + words
    (directory / "vocab.json").write_text('{%s}' % ", ".join(
        f'"{p}": {i}' for i, p in enumerate(order)))
    hf.M2M100Tokenizer(str(directory / "vocab.json"),
                       str(directory / "sentencepiece.bpe.model")).save_pretrained(directory)
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    hf.M2M100ForConditionalGeneration(hf.M2M100Config(
        vocab_size=len(order) + 108, d_model=256, encoder_layers=3, decoder_layers=3,
        encoder_ffn_dim=1024, decoder_ffn_dim=1024, encoder_attention_heads=4,
        decoder_attention_heads=4, init_std=0.06)).save_pretrained(directory)
    rng = random.Random(2)
    weights = [1 / (r + 2) for r in range(1000)]
    for name, count in ("train.tsv", PAIRS), ("dev.tsv", 8):
        with open(directory / name, "w") as out:
            for _ in range(count):  # a word of the source has its own in the target
                drawn = rng.choices(range(1000), weights, k=WORDS)
                print(" ".join(map(word, drawn)), " ".join(word(5000 + w) for w in drawn),
                      sep="\t", file=out)


def ours(storage, updates, *more):
    base, out = directory / f"base.{storage}.safetensors", directory / "ours.safetensors"
    if not base.exists():
        subprocess.run([dragoman, "import", directory, "-o", base, "--quantize", storage], check=True)
    for old in directory.glob("ours*"):
        old.unlink()
    subprocess.run(
        [dragoman, "train", "-b", base, "-s", "en", "-t", "gl", "--train", directory / "train.tsv",
         "--dev", directory / "dev.tsv", "--keep-problems", "-o", out, "--width", str(WIDTH),
         "--batch-tokens", str(SENTENCES * (WORDS + 1)), "--max-updates", str(updates),
         "--eval-every", "1", "--eval-sentences", "0", "--patience", "0", "--metric", "loss",
         "--rdrop", "0", "--subword-alpha", "0", "--word-dropout", "0", "--average-best", "1",
         "--ema", "0", "--warmup", str(WARMUP), "--clip", str(CLIP), "--storage", "fp32",
         "--dropout", "0", "--adapter-dropout", "0", "--label-smoothing", str(SMOOTHING),
         "--log", directory / "ours.tsv", "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
    rows = csv.DictReader(open(directory / "ours.tsv"), delimiter="\t")
    return [float(r["loss"]) for r in rows if int(r["update"]) > 0]


def peer(initial, double):
    tokenizer = hf.M2M100Tokenizer.from_pretrained(directory, src_lang="en", tgt_lang="gl")
    pairs = [l.split("\t") for l in (directory / "train.tsv").read_text().splitlines()]
    batch = tokenizer([a for a, _ in pairs], text_target=[b for _, b in pairs], return_tensors="pt")
    model = hf.M2M100ForConditionalGeneration.from_pretrained(directory, attn_implementation="sdpa")
    blocks = with_bottlenecks(model, WIDTH, dropout=0)
    weights = safetensors.torch.load_file(initial)
    for i, block in enumerate(blocks):
        path = f"{'encoder' if i < 3 else 'decoder'}.layers.{i % 3}"
        with torch.no_grad():
            for part, theirs in ("norm.gain", block.norm.weight), ("norm.bias", block.norm.bias), \
                    ("down.weight", block.down.weight), ("down.bias", block.down.bias), \
                    ("up.weight", block.up.weight), ("up.bias", block.up.bias):
                theirs.copy_(weights[f"{path}.{part}"])
    model, blocks = (model.double(), blocks.double()) if double else (model, blocks)
    model.eval()  # no dropout anywhere
    adam = torch.optim.AdamW(blocks.parameters(), betas=(0.9, 0.98), eps=1e-8, weight_decay=0)
    losses, order = [], sentence_order(1, len(pairs))
    for update in range(1, UPDATES + 1):
        for group in adam.param_groups:
            group["lr"] = RATE * min(update / WARMUP, (WARMUP / update) ** 0.5)
        part = torch.tensor(next(order))
        labels = batch["labels"][part]
        read = torch.cat([torch.full_like(labels[:, :1], 2), labels[:, :-1]], 1)
        logits = model(input_ids=batch["input_ids"][part], decoder_input_ids=read).logits
        # the tag is given, not predicted
        loss = torch.nn.functional.cross_entropy(logits[:, FIRST:].flatten(0, 1),
                                                 labels[:, FIRST:].flatten(),
                                                 label_smoothing=SMOOTHING)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(blocks.parameters(), CLIP)
        adam.step()
        losses.append(loss.item())
    return losses


FIRST = 1
make()
ours("fp32", 1, "--learning-rate", "0")
initial = directory / "initial.safetensors"
(directory / "ours.safetensors").rename(initial)
more = "--learning-rate", str(RATE)  # the same seed begins alike on the base in int8
runs = {"PyTorch fp32": peer(initial, False), "PyTorch fp64": peer(initial, True),
        "ours fp32": ours("fp32", UPDATES, "--sampled-pieces", "0", "--init", initial, *more),
        "ours int8": ours("int8", UPDATES, "--sampled-pieces", "0", *more),
        "ours int8, 1024 sampled": ours("int8", UPDATES, "--sampled-pieces", "1024", *more)}
reference = runs["PyTorch fp64"]
print("| update | " + " | ".join(runs) + " |\n|--:|" + "--:|" * len(runs))
for u in (1, 10, 25, 50, 100, 150, 200):
    print(f"| {u} | " + " | ".join(f"{r[u - 1]:.4f}" for r in runs.values()) + " |")
away = lambda r: [abs(a - b) for a, b in zip(r, reference)]
print("| mean distance from fp64 | " + " | ".join(f"{sum(away(r)) / UPDATES:.5f}" for r in runs.values()) + " |")
print("| largest | " + " | ".join(f"{max(away(r)):.5f}" for r in runs.values()) + " |")
