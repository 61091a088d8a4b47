#!/usr/bin/env python3
"""Makes tests/fuzz/seeds/: small files that the targets of tests/fuzz begin from, where no
other test has them."""
import gzip
import io
import json
import os
import pathlib
import struct
import subprocess
import zipfile

import numpy
import sentencepiece

tests = pathlib.Path(__file__).resolve().parent.parent
out = tests / "fuzz" / "seeds"
out.mkdir(exist_ok=True)
base = tests / "import" / "base"


def put(name, *parts):
    (out / name).write_bytes(b"".join(p.encode() if isinstance(p, str) else p for p in parts))


for folder, name in ("bin", "data"), ("bin4", "data4"), ("hostile", "hostile"):
    archive = zipfile.ZipFile(tests / "import" / "checkpoint" / folder / "pytorch_model.bin")
    entry, = (n for n in archive.namelist() if n.endswith("data.pkl"))
    put(name + ".pkl", archive.read(entry))
# The first byte says which file it is: see directory.c and mozilla.c.
sp = sentencepiece.SentencePieceProcessor(model_file=str(tests / "tokenizer" / "tiny.model"))
pieces = {sp.id_to_piece(i): i for i in range(len(sp))}
put("vocab.json", "-", json.dumps(pieces))
put("added.json", "/", '{"__en__": 101, "__gl__": 102, "</s>": 3}')
put("special.json", "0", '{"additional_special_tokens": ["__en__", {"content": "__gl__"}]}')
put("index.json", "1", '{"weight_map": {"model.shared.weight": "one.safetensors"}}')
# Marian's own, of two pieces a letter: see npz.c.
spm = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["the file could not be opened"] * 9), model_writer=spm, vocab_size=16,
    unk_id=1, eos_id=0, bos_id=-1, pad_id=-1, num_threads=1, minloglevel=2,
    normalization_rule_name="identity")
put("small.vocab.spm", spm.getvalue())
rng = numpy.random.default_rng(3)
n = lambda rows, cols: rng.standard_normal((rows, cols)).astype("float32")
d, ffn, vocab = 4, 6, 16
arrays = {"Wemb": n(vocab, d), "decoder_ff_logit_out_b": n(1, vocab)}
for side, blocks in ("encoder_l1_", ("self",)), ("decoder_l1_", ("self", "context")):
    for block in blocks:
        arrays |= {f"{side}{block}_W{x}": n(d, d) for x in "qkvo"}
        arrays |= {f"{side}{block}_b{x}": n(1, d) for x in "qkvo"}
        arrays |= {f"{side}{block}_Wo_ln_{x}": n(1, d) for x in ("scale", "bias")}
    arrays |= {side + "ffn_W1": n(d, ffn), side + "ffn_b1": n(1, ffn), side + "ffn_W2": n(ffn, d),
               side + "ffn_b2": n(1, d), side + "ffn_ffn_ln_scale": n(1, d),
               side + "ffn_ffn_ln_bias": n(1, d)}
settings = (f"type: transformer\ndim-vocabs: [{vocab}, {vocab}]\ndim-emb: {d}\nenc-depth: 1\n"
            f"dec-depth: 1\ntransformer-heads: 2\ntransformer-dim-ffn: {ffn}\n"
            "transformer-ffn-activation: relu\ntransformer-postprocess: dan\n"
            "tied-embeddings-all: true\n")
arrays["special:model.yml"] = numpy.frombuffer(settings.encode(), "int8")
numpy.savez(out / "small.npz", **arrays)
put("model.yml", settings)
numpy.save(out / "array.npy", arrays["Wemb"])

put("fluent.ftl", "0", """-brand = Firefox
key = Open { -brand }
    .title = { $n ->
        [one] a file
       *[other] { $n } files
    }
# c
b = { "x" }
""")
put("properties", "1", "a.b = text \\u00e9 %S\nc:d \\\n  long\n! no\n# no\n")
put("dtd", "2", "<!-- x --><!ENTITY a.label \"Open &brandShortName;\">\n"
    "<!ENTITY % b \"c\">\n<!ENTITY d 'e'>")
put("pairs.tsv.gz", gzip.compress(b"one\tun\ntwo\tdous\n", mtime=0))
put("page.xml", '<page xmlns="http://projectmallard.org/1.0/" id="a"><title>Open</title>'
    "<p>One <em>two</em>.</p><list><item><p>x</p></item></list></page>")
put("page.html", '<html><body><h1 id="a">Open</h1><p>One <b>two</b></p><ul><li>x</ul></body></html>')
put("page.1", ".TH LS 1\n.SH NAME\nls \\- list\n.SH DESCRIPTION\n.PP\nList \\fBfiles\\fR.\n.TP\n\\-a\nall\n")

ids = [b"", b"file\0files", b"open"]
forms = [b"Content-Type: text/plain; charset=UTF-8\n", b"ficheiro\0ficheiros", b"abrir"]
table, text, at = b"", b"", 28 + 16 * len(ids)
for s in ids + forms:
    table += struct.pack("<2I", len(s), at + len(text))
    text += s + b"\0"
put("two.mo", struct.pack("<7I", 0x950412DE, 0, len(ids), 28, 28 + 8 * len(ids), 0, 0), table, text)

corpus = out / "corpus.txt"
corpus.write_text("The file\n")
subprocess.run([os.environ["DRAGOMAN_BUILD"] + "/dragoman", "import", "--quiet", base / "m2m100", "-o",
                out / "base.safetensors", "--quantize", "int8", "--langs", "en", "--corpus", corpus],
               check=True)
corpus.unlink()
