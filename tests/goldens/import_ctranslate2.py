#!/usr/bin/env python3
"""Makes tests/import/formats/ct2_NAME/: tiny random models with the tokenizers of
tests/import/base and tests/import/formats, converted by ctranslate2 in each of its
quantizations, and what it computes of them in float32:

  scores.tsv   source ids, target ids, log-probabilities of these and of the end
  search.tsv   beam, score, source ids, forced ids, ids found (length penalty 1)
  ids.tsv      of each of tests/import/sentences.tsv the ids of its pieces, as a source and
               as a target
  expected.safetensors   of those in floating point, what transformers makes of the same
               weights, as in shared/checkpoints.py

and argos.argosmodel, a package of one as Argos Translate has it. Ids are places in the
vocabulary. ct2_small is also in the formats of earlier versions, model-2.bin to model-5.bin,
of which ctranslate2 computes the same.

Needs: pip install torch transformers==4.40 sentencepiece ctranslate2
"""
import filecmp
import json
import pathlib
import random
import shutil
import struct
import tempfile
import zipfile

import ctranslate2
import numpy
import sentencepiece
import torch
import transformers as hf
from ctranslate2.converters.transformers import TransformersConverter
from ctranslate2.specs import common_spec, transformer_spec
from shared.checkpoints import exactly, expect, randomize

tests = pathlib.Path(__file__).resolve().parent.parent
out = tests / "import" / "formats"
base = tests / "import" / "base"
torch.set_num_threads(1)
LONGEST = 24


class Converter(TransformersConverter):
    def load_model(self, cls, path, dtype=None, **options):  # as transformers 4.40 names it
        return cls.from_pretrained(path, torch_dtype=dtype, **options)


def fresh(name):
    shutil.rmtree(out / name, ignore_errors=True)
    return out / name


def record(name, tokens, target_tokens, prefix, tail, forced, compute="float32"):
    """prefix and tail surround a source; forced begins a target."""
    path = out / name
    translator = ctranslate2.Translator(str(path), compute_type=compute, intra_threads=1)
    ids = {t: i for i, t in reversed(list(enumerate(tokens)))}
    target_ids = {t: i for i, t in reversed(list(enumerate(target_tokens)))}
    rng = random.Random(name)
    plain = lambda t: not t.startswith(("<", "_", ">"))
    words = [t for t in tokens[4:] if plain(t) and ids[t] < len(tokens) - 60]
    target_words = list(filter(plain, target_tokens[4:]))
    draw = lambda n, words: [rng.choice(words) for _ in range(n)]
    text = lambda table, list_: " ".join(str(table[t]) for t in list_)
    rows = []
    for n in 3, 1, 6:
        source = prefix + draw(n, words) + tail
        target = forced + draw(n + 1, target_words)
        result = translator.score_batch([source], [target])[0]
        rows.append([text(ids, source), text(target_ids, target),
                     " ".join(f"{x:.5f}" for x in result.log_probs)])
    (path / "scores.tsv").write_text("".join("\t".join(r) + "\n" for r in rows))
    rows = []
    for beam in 1, 4:
        for _ in range(6):
            source = prefix + draw(6, words) + tail
            result = translator.translate_batch(
                [source], target_prefix=[forced] if forced else None, beam_size=beam,
                length_penalty=1, min_decoding_length=0, max_decoding_length=LONGEST,
                return_scores=True)[0]
            found = result.hypotheses[0]
            rows.append([str(beam), f"{result.scores[0]:.5f}", text(ids, source),
                         text(target_ids, forced), text(target_ids, found[len(forced):])])
    (path / "search.tsv").write_text("".join("\t".join(r) + "\n" for r in rows))
    for file in path.iterdir():
        file.chmod(0o644)


sentences = [line.split("\t")[1] for line in
             (tests / "import" / "sentences.tsv").read_text("utf8").splitlines()]


def record_ids(name, spms, vocabularies, unknown="<unk>"):
    columns = []
    for spm, tokens in zip(spms, vocabularies):
        sp = sentencepiece.SentencePieceProcessor(model_file=str(out / name / spm))
        ids = {t: i for i, t in reversed(list(enumerate(tokens)))}
        cut = lambda text: sp.encode(text, out_type=str)
        columns.append([" ".join(str(ids.get(p, ids[unknown])) for p in cut(text))
                        for text in sentences])
    (out / name / "ids.tsv").write_text("".join("\t".join(row) + "\n" for row in zip(*columns)))


def converted(name, directory, quantization, copy, prefix, tail, forced, **change):
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch) / "model"
        shutil.copytree(directory, work)
        for file in work.glob("*.tsv"):
            file.unlink()
        config = hf.AutoConfig.from_pretrained(work)
        for key, value in change.items():
            setattr(config, key, value)
        model = hf.AutoModelForSeq2SeqLM.from_config(config)
        randomize(model, name)
        if config.model_type == "marian":
            with torch.no_grad():
                model.model.encoder.embed_tokens.weight[-1] = 0
                model.model.decoder.embed_tokens.weight[-1] = 0
                model.final_logits_bias[0, config.eos_token_id] = 3
        for file in work.glob("*model*.[sb]*"):
            if file.suffix in (".safetensors", ".bin"):
                file.unlink()
        model.save_pretrained(work)
        if config.model_type == "t5":
            (work / "tokenizer_config.json").write_text(
                json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "eos_token": "</s>",
                            "pad_token": "<s>", "unk_token": "<unk>"}))
        if name == "ct2_m2m100":  # where the published one lists its tags
            tags = list(hf.M2M100Tokenizer.from_pretrained(work).lang_code_to_token.values())
            for file in work.glob("*ken*.json"):
                settings = json.loads(file.read_text())
                if "bos_token" in settings:
                    file.write_text(json.dumps(settings | {"additional_special_tokens": tags}))
        if name == "ct2_mbart":  # as published
            for file in work.glob("*ken*.json"):
                settings = json.loads(file.read_text())
                file.write_text(json.dumps(settings | {"bos_token": "<s>"}))
        Converter(str(work), copy_files=copy).convert(
            str(fresh(name)), quantization=quantization)
    tokens = json.loads((out / name / "shared_vocabulary.json").read_text("utf8"))
    rounded = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
    if quantization in rounded:
        sinusoids = config.model_type == "marian"
        twin = exactly(model.to(rounded[quantization]))
        if sinusoids:  # stored like the rest
            with torch.no_grad():
                for side in twin.model.encoder, twin.model.decoder:
                    x = side.embed_positions.weight
                    x.copy_(x.float().to(rounded[quantization]))
        generator = torch.Generator().manual_seed(3)
        draw = lambda n, target: torch.randint(2, len(tokens), (n,), generator=generator)
        expect(out / name, twin, draw, generator, columns=int(sinusoids),
               outputs=len(tokens) if sinusoids else None)  # without its <pad>
        torch.set_default_dtype(torch.float32)
    record_ids(name, (copy * 2)[:2], [tokens, tokens])
    record(name, tokens, tokens, prefix, tail, forced)


wide = dict(d_model=8, encoder_ffn_dim=12, decoder_ffn_dim=12, encoder_attention_heads=2,
            decoder_attention_heads=2, decoder_layers=2)
converted("ct2_m2m100", base / "m2m100", "float32", ["sentencepiece.bpe.model"], ["__en__"],
          ["</s>"], ["__gl__"], **wide)
converted("ct2_nllb", base / "nllb", "int8", ["sentencepiece.bpe.model"], ["zho_Hant"], ["</s>"],
          ["glg_Latn"], activation_function="gelu", **wide)
converted("ct2_mbart", base / "mbart", "float16", ["sentencepiece.bpe.model"], ["en_XX"], ["</s>"],
          ["gl_ES"], scale_embedding=True, normalize_before=True,
          normalize_embedding=True, tokenizer_class="MBart50Tokenizer", **wide)
converted("ct2_madlad", base / "madlad", "int8_bfloat16", ["spiece.model"], ["<2zh_Hant>"],
          ["</s>"], [], d_model=8, d_kv=3, num_heads=2, d_ff=10, num_decoder_layers=2)
converted("ct2_marian", out / "marian", "int16", ["source.spm", "target.spm"], [], ["</s>"], [])
converted("ct2_marian_tags", out / "marian_tags", "bfloat16", ["source.spm", "target.spm"],
          [">>pt_BR<<"], ["</s>"], [])


# --- OpenNMT-py's shape, in a package of Argos ---------------------------------------------------

def opennmt(name, spm, source, target, d, ffn, layers, end):
    """A random model of these pieces, in 8 bits, as OpenNMT-py's are converted; `end` makes
    its sentences end."""
    spec = transformer_spec.TransformerSpec.from_config(
        layers, 2, activation=common_spec.Activation.RELU)
    rng = numpy.random.default_rng(5)
    n = lambda *shape: (0.6 * rng.standard_normal(shape)).astype("float32")

    def linear(s, rows, cols):
        s.weight, s.bias = n(rows, cols), n(rows)

    def norm(s):
        s.gamma, s.beta = 1 + 0.5 * n(d), 0.2 * n(d)

    def layer(l, decoder):
        for a, first in [(l.self_attention, 3)] + ([(l.attention, 1)] if decoder else []):
            norm(a.layer_norm)
            linear(a.linear[0], first * d, d)
            if first == 1:
                linear(a.linear[1], 2 * d, d)
            linear(a.linear[-1], d, d)
        norm(l.ffn.layer_norm)
        linear(l.ffn.linear_0, ffn, d)
        linear(l.ffn.linear_1, d, ffn)

    angle = numpy.exp(numpy.arange(0, d, 2) * -(numpy.log(10000.0) / d))
    place = numpy.arange(64)[:, None]
    table = numpy.zeros((64, d), "float32")
    table[:, 0::2], table[:, 1::2] = numpy.sin(place * angle), numpy.cos(place * angle)
    spec.encoder.embeddings[0].weight = n(len(source), d)
    spec.decoder.embeddings.weight = n(len(target), d)
    for side in spec.encoder, spec.decoder:
        side.position_encodings.encodings = table  # not one half sines, one half cosines
        norm(side.layer_norm)
    for l in spec.encoder.layer:
        layer(l, False)
    for l in spec.decoder.layer:
        layer(l, True)
    linear(spec.decoder.projection, len(target), d)
    spec.decoder.projection.bias[target.index("</s>")] += end
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.validate()
    spec.optimize("int8")
    path = fresh(name)
    path.mkdir(parents=True)
    spec.save(str(path))
    (path / "sentencepiece.model").write_bytes(spm)
    record(name, source, target, [], [], [])
    return path


def argos(name, path):
    metadata = {"package_version": "1.9", "from_code": "en", "to_code": "gl", "type": "translate"}
    with zipfile.ZipFile(out / name, "w", zipfile.ZIP_DEFLATED) as z:
        date = lambda name: zipfile.ZipInfo("translate-en_gl-1_9/" + name, (2024, 1, 1, 0, 0, 0))
        z.writestr(date("metadata.json"), json.dumps(metadata), zipfile.ZIP_DEFLATED)
        spm = "sentencepiece.model"
        z.writestr(date(spm), (path / spm).read_bytes(), zipfile.ZIP_DEFLATED)
        for file in sorted(path.glob("*.json")) + [path / "model.bin"]:
            z.writestr(date("model/" + file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    (out / name).chmod(0o644)


def pieces_of(spm):
    sp = sentencepiece.SentencePieceProcessor(model_proto=spm)
    return [p for p in map(sp.id_to_piece, range(len(sp))) if not p.startswith("<")]


spm = (base / "madlad" / "spiece.model").read_bytes()
words = pieces_of(spm)
source = ["<unk>", "<s>", "</s>", *words[:-30]]  # some pieces are unknown
target = ["<blank>", "<unk>", "<s>", "</s>", *words[40:]]
argos("argos.argosmodel", opennmt("ct2_opennmt", spm, source, target, 8, 12, (1, 2), 3))
record_ids("ct2_opennmt", ["sentencepiece.model"] * 2, [source, target])


# --- earlier versions (ctranslate2/specs/model_spec.py and src/models/model.cc) ------------------

def earlier(binary, version):
    """The same variables as that version writes them."""
    types = [("f", 4), ("b", 1), ("h", 2), ("i", 4), ("e", 2), (None, 2)]
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, binary, at)
        at += struct.calcsize("<" + form)
        return values[0]

    text = lambda: take(f"{take('H')}s")
    put = lambda name: struct.pack("<H", len(name)) + name
    assert take("I") == 6
    made = struct.pack("<I", version) + put(text()) + struct.pack("<I", take("I"))
    variables = {}
    for _ in range(take("I")):
        name, shape = text(), [take("I") for _ in range(take("B"))]
        variables[name] = (shape, take("B"), take(f"{take('I')}s"))
    aliases = [(text(), text()) for _ in range(take("I"))]
    assert at == len(binary)
    if version < 3:
        variables |= {name: variables[of] for name, of in aliases}
    made += struct.pack("<I", len(variables))
    for name, (shape, kind, data) in variables.items():
        made += put(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
        width = types[kind][1]
        if version >= 4:
            made += struct.pack("<BI", kind, len(data))
        else:
            made += struct.pack("<BI", width, len(data) // width)
        made += data
    if version >= 3:
        made += struct.pack("<I", len(aliases)) + b"".join(put(x) for pair in aliases for x in pair)
    return made


spm = (tests / "tokenizer" / "tiny.model").read_bytes()
words = ["<blank>", "<unk>", "<s>", "</s>", *pieces_of(spm)]
path = opennmt("ct2_small", spm, words, words, 4, 6, (1, 1), 4.2)
argos("small.argosmodel", path)
for version in 2, 3, 4, 5:
    with tempfile.TemporaryDirectory() as scratch:
        old = pathlib.Path(scratch) / "ct2_small"
        shutil.copytree(path, old)
        binary = earlier((path / "model.bin").read_bytes(), version)
        (old / "model.bin").write_bytes(binary)
        (old / "config.json").unlink()
        out, newest = old.parent, out
        record("ct2_small", words, words, [], [], [])
        out = newest
        for file in "scores.tsv", "search.tsv":
            assert filecmp.cmp(old / file, path / file, shallow=False), (version, file)
    (path / f"model-{version}.bin").write_bytes(binary)
