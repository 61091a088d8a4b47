#!/usr/bin/env python3
"""Makes tests/fuzz/seeds/: small files that the targets of tests/fuzz begin from, where no
other test has them."""
import gzip
import os
import pathlib
import struct
import subprocess
import zipfile

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
# The first byte says which file it is: see vocabulary.c and mozilla.c.
put("vocab.json", "-", (base / "m2m100" / "vocab.json").read_bytes())
put("added.json", "/", '{"__en__": 1001, "__gl__": 1002, "</s>": 2}')
put("special.json", "0", (base / "m2m100" / "special_tokens_map.json").read_bytes())
put("index.json", "1", '{"weight_map": {"model.shared.weight": "one.safetensors"}}')
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
