#!/usr/bin/env python3
"""Models that CTranslate2 converted, here and there: tokens, scores and speed.

    tests/bench/import_ctranslate2.py BUILD [--threads N] [--quantizations LIST]
        [DIRECTORY SRC TGT TEXT]

DIRECTORY holds a converted model, or one of OPUS-MT as Hugging Face has it, which is
converted into each quantization; TEXT has a sentence a line. Without one it takes the
published model in ../shared/data, where that is, and a random Marian of OPUS-MT's size
whose pieces are whole words, so that text tells every token.

In fp32 (by the AVX2 kernels: the best of a CPU may round to bf16), translations must be equal
token for token, greedily and by a beam of four; where the two stop a beam at different times,
ours must score no less. Speed is CTranslate2's time over ours, of interleaved runs by each one's
best kernels, each without the time it takes to load: above 1 we are faster.

Needs: pip install ctranslate2 sentencepiece transformers==4.40 torch protobuf"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

try:
    import ctranslate2
except ImportError:
    raise SystemExit("import_ctranslate2.py: skipped, there is no Python package ctranslate2")
import sentencepiece

ROUNDS, LONGEST = 3, 30
QUANTIZATIONS = "float32 float16 bfloat16 int16 int8 int8_float16 int8_bfloat16".split()
shared = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "ctranslate2-aren"
args = argparse.ArgumentParser()
args.add_argument("build", type=pathlib.Path)
args.add_argument("--threads", type=int, default=1)
args.add_argument("--quantizations", default=QUANTIZATIONS, type=str.split)
args.add_argument("model", nargs="*")
args = args.parse_args()
dragoman = str(args.build / "dragoman")


class Theirs:
    def __init__(self, path, compute):
        self.translator = ctranslate2.Translator(
            str(path), compute_type=compute, intra_threads=args.threads, inter_threads=1)
        files = [path / name for name in ("source.spm", "target.spm")]
        load = lambda file: sentencepiece.SentencePieceProcessor(model_file=str(file))
        self.models = list(map(load, files)) if files[0].exists() else None

    def translate(self, lines, beam):
        cut = (lambda x: self.models[0].encode(x, out_type=str) + ["</s>"]) if self.models else list
        found = self.translator.translate_batch(
            [cut(x) for x in lines], beam_size=beam, length_penalty=1, min_decoding_length=0,
            max_decoding_length=LONGEST, return_scores=True, max_batch_size=32)
        join = self.models[1].decode if self.models else "".join
        return [(join(x.hypotheses[0]), x.scores[0]) for x in found]


def ours(base, source, target, lines, beam, **environment):
    found = subprocess.run(
        [dragoman, "translate", "--quiet", "--json", "--threads", str(args.threads), "-b", base,
         "-s", source, "-t", target, "--beam", str(beam), "--max-length", str(LONGEST)],
        input="".join(x + "\n" for x in lines), capture_output=True, text=True, check=True,
        env=os.environ | environment).stdout
    rows = [json.loads(x)["translations"][0] for x in found.splitlines()]
    return [(x["text"], x["score"]) for x in rows]


def seconds(run):
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def bring(path, base, source, target, storage):
    subprocess.run([dragoman, "import", "--quiet", path, "-o", base, "-s", source, "-t", target,
                    "--quantize", storage], check=True)


def compare(name, path, source, target, lines, quantization):
    """A line of the table."""
    with tempfile.TemporaryDirectory() as scratch:
        base = scratch + "/base"
        bring(path, base, source, target, "fp32")
        exact, worse, equal = Theirs(path, "float32"), 0, []
        for beam in 1, 4:
            mine = ours(base, source, target, lines, beam, DRAGOMAN_ISA="avx2")
            pairs = list(zip(exact.translate(lines, beam), mine))
            equal.append(sum(a[0] == b[0] for a, b in pairs))
            worse += sum(a[0] != b[0] and (beam == 1 or b[1] < a[1] - 1e-3) for a, b in pairs)
        whole = quantization.startswith("int8")
        if whole:
            bring(path, base, source, target, "int8")
        fast = Theirs(path, "int8" if whole else "float32")
        ratios = []
        for _ in range(ROUNDS):
            theirs = seconds(lambda: fast.translate(lines, 4))
            mine = seconds(lambda: ours(base, source, target, lines, 4))
            mine -= seconds(lambda: ours(base, source, target, lines[:1], 1))
            ratios.append(theirs / mine)
        print(f"| {name} | {quantization} | {equal[0]} of {len(lines)} | {equal[1]} of "
              f"{len(lines)} | {worse} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |",
              flush=True)
        return worse


def converted(path, source, target, lines):
    from ctranslate2.converters.transformers import TransformersConverter

    class Converter(TransformersConverter):
        # As transformers 4.40 names it.
        def load_model(self, cls, directory, dtype=None, **options):
            return cls.from_pretrained(directory, torch_dtype=dtype, **options)

    worse = 0
    for quantization in args.quantizations:
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch) / path.name
            Converter(str(path), copy_files=["source.spm", "target.spm"]).convert(
                str(out), quantization=quantization)
            worse += compare(path.name, out, source, target, lines, quantization)
    return worse


def random_marian(path):
    import torch
    import transformers as hf
    from sentencepiece import sentencepiece_model_pb2 as pb

    spm = pb.ModelProto()
    words = [f"▁w{i}" for i in range(8000)]
    for text, kind in [("<unk>", 2), *((w, 1) for w in words)]:
        spm.pieces.add(piece=text, score=0, type=kind)
    spm.trainer_spec.model_type = 1
    spm.normalizer_spec.name = "identity"
    path.mkdir()
    for name in "source.spm", "target.spm":
        (path / name).write_bytes(spm.SerializeToString())
    tokens = ["</s>", "<unk>", *words, "<pad>"]
    (path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (path / "tokenizer_config.json").write_text(json.dumps(
        {"source_lang": "en", "target_lang": "gl", "tokenizer_class": "MarianTokenizer"}))
    pad = len(tokens) - 1
    torch.manual_seed(1)
    model = hf.MarianMTModel(hf.MarianConfig(
        vocab_size=len(tokens), d_model=512, encoder_layers=6, decoder_layers=6,
        encoder_attention_heads=8, decoder_attention_heads=8, encoder_ffn_dim=2048,
        decoder_ffn_dim=2048, activation_function="swish", scale_embedding=True, pad_token_id=pad,
        decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=None, init_std=0.06))
    with torch.no_grad():
        model.model.shared.weight[pad] = 0
        model.final_logits_bias[0] = 0.5 * torch.randn(len(tokens))
        model.final_logits_bias[0, 0] = 6
    model.save_pretrained(path)
    rng = random.Random(2)
    return [" ".join(rng.choice(words)[1:] for _ in range(rng.randint(6, 20))) for _ in range(24)]


print(f"ctranslate2 {ctranslate2.__version__}, {args.threads} threads\n")
print("| model | quantization | equal, greedy | equal, beam 4 | worse | speed, beam 4 |\n"
      "|---|---|--:|--:|--:|--:|")
worse = 0
if args.model:
    path, source, target, text = args.model
    path, lines = pathlib.Path(path), pathlib.Path(text).read_text("utf8").splitlines()
    if (path / "model.bin").exists():
        worse = compare(path.name, path, source, target, lines, "as it is")
    else:
        worse = converted(path, source, target, lines)
else:
    names = ("محمد فاطمة القاهرة دمشق بغداد الرياض مرحبا سلام كتاب مدرسة بيت شمس قمر نهر جبل بحر "
             "طريق مدينة قرية صديق أحمد خالد يوسف إبراهيم مريم زينب حسن حسين عمر علي").split()
    for name, quantization in (("aren-transliteration", "float32"),
                               ("aren-transliteration-i8", "int8")):
        if (shared / name).exists():
            worse += compare(name, shared / name, "ar", "en", names, quantization)
        else:
            print(f"{name}: skipped, there is no {shared / name}")
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "random"
        worse += converted(path, "en", "gl", random_marian(path))
raise SystemExit(worse > 0)
