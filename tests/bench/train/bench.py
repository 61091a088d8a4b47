#!/usr/bin/env python3
"""Steps of training with a frozen base, against PyTorch on the same shapes and text.

  bench.py make DIR              checkpoints with random weights, and text, for every shape
  bench.py compare DIR DRAGOMAN  runs both in turn and prints the table
      [--shapes m2m100,nllb,small,small-full,base-full] [--rounds 2] [--updates 4] [--sentences 32]
      [--precision fp32,bf16] [--train "--memory 800"]
  bench.py peer DIR SHAPE        one run of PyTorch, as JSON
  bench.py ours DIR SHAPE DRAGOMAN

Every sentence has 25 tokens on either side. The peer's settings are its best here: see
train.md. Needs: pip install torch transformers sentencepiece protobuf
"""
import argparse
import csv
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import time

PIECES = 10000  # of the pair: about what 5,000 sentences of one language need
WORDS = 23      # and a tag and an end make 25 tokens
SHAPES = {
    "m2m100": dict(vocab=128112, d=1024, layers=(12, 12), ffn=4096, heads=16),
    "nllb": dict(vocab=256206, d=1024, layers=(12, 12), ffn=4096, heads=16),
    "small": dict(vocab=32000, d=512, layers=(6, 6), ffn=2048, heads=8),
    "base": dict(vocab=16000, d=256, layers=(6, 2), ffn=1024, heads=4),  # of configs/base.conf
}
# All weights learn; or adapters in the decoder alone, as for text in a new language.
SHAPES |= {f"{name}-full": SHAPES[name] for name in ("small", "base")}
SHAPES |= {f"{name}-decoder": SHAPES[name] for name in ("m2m100", "nllb", "small")}


def checkpoint(shape):
    return shape.removesuffix("-full").removesuffix("-decoder")


def word(i):
    return "".join(chr(97 + i // 26 ** k % 26) for k in range(4))


def spelling(pieces):
    """A sentencepiece model of that many pieces, each a word."""
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    for name, kind in ("<unk>", 2), ("<s>", 3), ("</s>", 3):
        m.pieces.add(piece=name, score=0, type=kind)
    for i in range(pieces):
        m.pieces.add(piece="▁" + word(i), score=-1 - i * 1e-5, type=1)
    m.trainer_spec.model_type = 1
    m.trainer_spec.vocab_size = len(m.pieces)
    m.normalizer_spec.name = "identity"
    return m.SerializeToString(), ["▁" + word(i) for i in range(pieces)]


def make(directory, shapes):
    import torch
    import transformers as hf
    for name in shapes:
        s = SHAPES[name]
        if name != checkpoint(name):
            continue
        path = directory / name
        path.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(1)
        hf.M2M100ForConditionalGeneration(hf.M2M100Config(
            vocab_size=s["vocab"], d_model=s["d"], encoder_layers=s["layers"][0],
            decoder_layers=s["layers"][1], encoder_ffn_dim=s["ffn"], decoder_ffn_dim=s["ffn"],
            encoder_attention_heads=s["heads"], decoder_attention_heads=s["heads"],
        )).save_pretrained(path)
        nllb = name == "nllb"
        pieces = s["vocab"] - (209 if nllb else 112)
        model, words = spelling(pieces)
        (path / "sentencepiece.bpe.model").write_bytes(model)
        if nllb:
            tokenizer = hf.NllbTokenizer(str(path / "sentencepiece.bpe.model"))
        else:
            order = ["<s>", "<pad>", "</s>", "<unk>"] + words
            (path / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(order)}))
            tokenizer = hf.M2M100Tokenizer(str(path / "vocab.json"),
                                           str(path / "sentencepiece.bpe.model"))
        tokenizer.save_pretrained(path)
        (path / "sentencepiece.bpe.model").write_bytes(model)
        rng = random.Random(1)
        sides = [[word(i) for i in rng.sample(range(pieces), PIECES)] for _ in range(2)]
        weights = [1 / (r + 2) for r in range(PIECES)]  # Zipf
        for file, count in ("train.tsv", 5000), ("dev.tsv", 32):
            with open(path / file, "w") as out:
                for _ in range(count):
                    print(*(" ".join(rng.choices(side, weights, k=WORDS)) for side in sides),
                          sep="\t", file=out)
        print(name, "made", flush=True)


def text(path, count):
    lines = (path / "train.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines[:count]]


def with_bottlenecks(model, width, dropout=0.1, encoder=True):
    import torch

    class Bottleneck(torch.nn.Module):
        def __init__(self, d):
            super().__init__()
            self.norm, self.drop = torch.nn.LayerNorm(d), torch.nn.Dropout(dropout)
            self.down, self.up = torch.nn.Linear(d, width), torch.nn.Linear(width, d)
            torch.nn.init.zeros_(self.up.weight)
            torch.nn.init.zeros_(self.up.bias)

        def forward(self, x):
            return x + self.drop(self.up(torch.relu(self.down(self.norm(x)))))

    for p in model.parameters():
        p.requires_grad = False
    added = torch.nn.ModuleList()
    for stack in ([model.model.encoder] if encoder else []) + [model.model.decoder]:
        for layer in stack.layers:
            block = Bottleneck(model.config.d_model)
            added.append(block)

            def after(module, args, output, block=block):
                return (block(output[0]),) + output[1:] if isinstance(output, tuple) else block(output)
            layer.register_forward_hook(after)
    return added


def peer(args):
    import torch
    import transformers as hf
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    path = args.directory / checkpoint(args.shape)
    nllb = checkpoint(args.shape) == "nllb"
    tokenizer = (hf.NllbTokenizer if nllb else hf.M2M100Tokenizer).from_pretrained(path)
    tokenizer.src_lang, tokenizer.tgt_lang = ("eng_Latn", "glg_Latn") if nllb else ("en", "gl")
    pairs = text(path, args.sentences * (args.updates + 1))
    batch = tokenizer([a for a, _ in pairs], text_target=[b for _, b in pairs], return_tensors="pt")
    assert batch["input_ids"].shape[1] == batch["labels"].shape[1] == WORDS + 2
    model = hf.M2M100ForConditionalGeneration.from_pretrained(path, attn_implementation=args.attention)
    decoder = args.shape.endswith("-decoder")
    trained = model if args.shape.endswith("-full") else with_bottlenecks(model, 64, encoder=not decoder)
    model.train()
    parameters = [p for p in trained.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    half = args.precision == "bf16"
    run = torch.compile(model) if args.compile else model
    seconds = []
    for u in range(args.updates + 1):
        begun = time.perf_counter()
        part = slice(u * args.sentences, (u + 1) * args.sentences)
        labels = batch["labels"][part]
        read = torch.cat([torch.full_like(labels[:, :1], 2), labels[:, :-1]], 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = run(input_ids=batch["input_ids"][part], decoder_input_ids=read,
                         attention_mask=torch.ones_like(batch["input_ids"][part]),
                         use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(),
                                                 label_smoothing=0.1)
        del logits
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - begun)
    tokens = args.sentences * (WORDS + 2)
    return dict(tokens_per_second=tokens / min(seconds[1:]),
                mean=tokens * args.updates / sum(seconds[1:]))


def ours(args):
    path = args.directory / checkpoint(args.shape)
    base = path / f"base.{args.storage}.safetensors"
    dragoman = str(args.dragoman)
    if not base.exists():
        subprocess.run([dragoman, "import", path, "-o", base, "--quantize", args.storage], check=True)
    log = path / "ours.tsv"
    for old in path.glob("ours*"):
        old.unlink()
    full, decoder = (args.shape.endswith(end) for end in ("-full", "-decoder"))
    pairs, first, more = path / "train.tsv", 1, []
    if decoder:
        # What counts are the epochs after the first, when the states of the frozen encoder come
        # from disk: of so few sentences that all have been seen by then, with as many sampled
        # pieces in place of those that only the others have.
        first, more = 8, ["--encoder-layers", "none", "--sampled-pieces", str(4096 + PIECES)]
        lines = pairs.read_text().splitlines(keepends=True)
        pairs = path / "ours.train.tsv"
        pairs.write_text("".join(lines[:2 * args.sentences]))
    subprocess.run(
        [dragoman, "train", "-b", base, "-s", "en", "-t", "gl", "--train", pairs,
         "--dev", path / "dev.tsv", "--keep-problems", "-o", path / "ours.safetensors",
         "--method", "full" if full else "bottleneck", *([] if full else ["--width", "64"]), *more,
         "--batch-tokens", str(args.sentences * (WORDS + 2)), "--eval-every", "1",
         "--max-updates", str(args.updates + first), "--eval-sentences", "0", "--patience", "0",
         "--rdrop", "0", "--subword-alpha", "0", "--word-dropout", "0", "--average-best", "1",
         "--metric", "loss", "--learning-rate", "0.001", "--ema", "0",
         "--threads", str(args.threads), "--log", log, "--quiet", *args.train.split()],
        check=True, stdout=subprocess.DEVNULL)
    rows = list(csv.DictReader(open(log), delimiter="\t"))
    rates = [float(r["tokens_per_second"]) for r in rows if float(r["update"]) > first]
    return dict(tokens_per_second=max(rates), mean=len(rates) / sum(1 / r for r in rates))


def alone(args, what, shape, **more):
    """A run in a process of its own, with its peak of resident memory."""
    given = [f"--{k}={v}" for k, v in more.items()]
    positional = [args.dragoman] if what == "ours" else []
    command = [sys.executable, __file__, what, args.directory, shape, *positional,
               f"--updates={args.updates}", f"--sentences={args.sentences}",
               f"--threads={args.threads}", f"--train={args.train}", f"--storage={args.storage}",
               f"--attention={args.attention}", *(["--compile"] if args.compile else []), *given]
    done = subprocess.run([str(x) for x in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(args):
    runs = {}
    for _ in range(args.rounds):
        for shape in args.shapes.split(","):
            todo = [("ours", {})] + [("peer", dict(precision=p)) for p in args.precision.split(",")]
            for what, more in todo:
                found = alone(args, what, shape, **more)
                print(shape, what, more, found, file=sys.stderr, flush=True)
                runs.setdefault(shape, {}).setdefault(what, []).append(found)
    print("| shape | PyTorch tokens/s | ours | ratio | PyTorch peak MB | ours | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for shape, both in runs.items():
        fast = {k: max(r["tokens_per_second"] for r in v) for k, v in both.items()}
        best = max(both["peer"], key=lambda r: r["tokens_per_second"])
        mb = {"ours": max(r["peak_mb"] for r in both["ours"]), "peer": best["peak_mb"]}
        print(f"| {shape} | {fast['peer']:.0f} | {fast['ours']:.0f} | {fast['ours'] / fast['peer']:.2f}"
              f" | {mb['peer']:.0f} | {mb['ours']:.0f} | {mb['ours'] / mb['peer']:.2f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=["make", "compare", "peer", "ours"])
    p.add_argument("directory", type=pathlib.Path)
    p.add_argument("rest", nargs="*")
    p.add_argument("--shapes", default=",".join(SHAPES))
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--updates", type=int, default=4)
    p.add_argument("--sentences", type=int, default=32)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--precision", default="fp32,bf16")
    p.add_argument("--attention", default="sdpa")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--storage", default="int8")
    p.add_argument("--train", default="", help="more settings of dragoman train")
    args = p.parse_args()
    if args.what == "make":
        return make(args.directory, args.shapes.split(","))
    args.shape = args.rest[0] if args.what != "compare" else None
    args.dragoman = args.rest[-1] if args.rest else None
    if args.what == "compare":
        return compare(args)
    found = peer(args) if args.what == "peer" else ours(args)
    who = resource.RUSAGE_SELF if args.what == "peer" else resource.RUSAGE_CHILDREN
    print(json.dumps(found | dict(peak_mb=resource.getrusage(who).ru_maxrss / 1024)))


if __name__ == "__main__":
    main()
