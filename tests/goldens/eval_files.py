#!/usr/bin/env python3
"""Makes tests/eval/files: texts as programs leave them (CRLF, byte-order marks, no last newline,
control characters, columns, lines of 10,000 characters) and outputs.txt, what sacreBLEU's command
line prints of them. A command is "$ ARGUMENTS of dragoman eval", its output follows; files in
white space alone differ from one another. Needs sacrebleu 2.6 with numpy below 2."""
import pathlib
import random
import shlex
import shutil
import subprocess
import sys

OUT = pathlib.Path(__file__).resolve().parent.parent / "eval/files"
REFERENCE = [
    "The committee met on 12,000.50 occasions - it said \"no\" &amp; left.", "", "...", "¿?! «»",
    "😀 👍🏽 👨‍👩‍👧 🇬🇱 smile", "cafe\u0301 nai\u0308ve \u0327x", "bell\x07 esc\x1b sep\x1c\x1d unit\x1f end", "zero\u200bwidth\u200djoin\u2060er\ufeff",
    "line\u2028sep\u2029para\x85nel\x0bvt\x0cff", " leading and trailing \u00a0", "中文，日本語。한국어 हिन्दी। ไทย",
    "İstanbul ΑΣ. Straße ẞ", "the the the the", "A mesa é grande, pero a cadeira é pequena."]
SYSTEM = [
    "The committee met on 12,000.50 occasions- it said \"no\" & left .", "", "?!", "¿ ?! « »",
    "smile 😀 👍 👨‍👩‍👧 🇬🇱", "café naïve x", "bell esc\x1b sep\x1c unit", "zero width\u200djoiner",
    "line sep\u2029para nel\x0bvt", "leading  and trailing\t", "中文 日本語。한국어 हिन्दी ไทย।",
    "istanbul ας. strasse ß", "the the the the the the", ""]
SECOND = [s[::2] for s in SYSTEM]


def encoded(lines, kind):
    if kind == "lf":
        return "".join(s + "\n" for s in lines)
    if kind == "crlf":
        return "".join(s + "\r\n" for s in lines)
    if kind == "cut":  # no newline at the end
        return "\n".join(lines[:-1] + ["last"])
    if kind == "bom":
        return "\ufeff" + "".join(s + "\n" for s in lines)
    if kind == "bom-crlf-cut":
        return "\ufeff" + "\r\n".join(lines[:-1] + ["last"])
    assert kind == "mixed"
    return "".join(s + ("\n", "\r\n", " \r\n", "\r\r\n")[i % 4] for i, s in enumerate(lines))


KINDS = ["lf", "crlf", "cut", "bom", "bom-crlf-cut", "mixed"]


def long_lines():
    r = random.Random(5)
    reference = ["".join(r.choice(letters) for _ in range(10000)) for letters in ("abcdefgh ", "абв ", "的一是不。")]
    system = ["".join(c if r.random() < .9 else r.choice("abвг的 ") for c in line) for line in reference]
    return reference, system


def write(name, text):
    (OUT / name).write_bytes(text.encode())


def sacrebleu(arguments, stdin=None):
    return subprocess.run([sys.executable, "-m", "sacrebleu"] + arguments, cwd=OUT, capture_output=True,
                          stdin=stdin and open(OUT / stdin), check=True, text=True).stdout


def commands():
    """(references, options of ours, of sacreBLEU, systems, standard input)"""
    every = ("-m bleu,chrf,ter -w 4", "-m bleu chrf ter -w 4 -f text")
    for kind in KINDS:
        yield ["ref." + kind], *every, ["sys." + kind], None
        yield ["ref.lf"], "-m chrf -w 3 --sentence-level --chrf-whitespace", "-m chrf -w 3 --sentence-level --chrf-whitespace", ["sys." + kind], None
    yield ["ref.crlf"], *every, ["sys.bom-crlf-cut"], None
    yield ["ref.bom", "ref.mixed", "sys.second"], *every, ["sys.crlf"], None
    yield ["ref.lf"], *every, [], "sys.lf"
    yield ["ref.cut"], *every, [], "sys.cut"
    yield ["long.ref"], "-m bleu,chrf -w 4", "-m bleu chrf -w 4 -f text", ["long.sys"], None
    yield ["long.ref"], "-m bleu -w 4 --tokenize intl --json", "-m bleu -w 4 -tok intl", ["long.sys"], None
    yield ["columns.ref"], "--num-refs 3 -m chrf -w 4 --chrf-whitespace", "--num-refs 3 -m chrf -w 4 -f text --chrf-whitespace", ["sys.lf"], None
    yield ["ref.lf"], "-m chrf -w 4 --chrf-whitespace --paired-bs --paired-bs-n 20", "-m chrf -w 4 -f text --no-color --chrf-whitespace --paired-bs --paired-bs-n 20", [], "columns.sys"
    yield ["ref.lf"], "-m bleu --confidence --confidence-n 1", "-m bleu -f text --confidence --confidence-n 1", ["sys.lf"], None
    yield ["ref.lf"], "-m bleu --confidence --confidence-n 50 --json", "-m bleu --confidence --confidence-n 50", ["sys.lf"], None
    # Three references: TER's lengths are thirds.
    yield ["ref.lf", "ref.bom", "sys.second"], "-m ter --paired-ar --paired-ar-n 100 --short", "-m ter -f text --short --no-color --paired-ar --paired-ar-n 100", ["sys.lf", "sys.crlf", "sys.cut"], None
    yield ["ref.lf"], "-m bleu,chrf --paired-bs --paired-bs-n 50 --format latex", "-m bleu chrf -f latex --no-color --paired-bs --paired-bs-n 50", ["sys.lf", "sys.bom", "sys.second"], None
    # The baseline named again is passed over.
    yield ["ref.lf"], "-m chrf --paired-bs --paired-bs-n 50 --json", "-m chrf --paired-bs --paired-bs-n 50", ["sys.lf", "sys.second", "sys.lf"], None


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for kind in KINDS:
        write("ref." + kind, encoded(REFERENCE, kind))
        write("sys." + kind, encoded(SYSTEM, kind))
    write("sys.second", encoded(SECOND, "lf"))
    for name, lines in zip(("long.ref", "long.sys"), long_lines()):
        write(name, encoded(lines, "lf"))
    plain = lambda s: s.replace("\t", " ")
    write("columns.ref", "".join("%s\t%s  \t%s x\n" % tuple(map(plain, row)) for row in zip(REFERENCE, SYSTEM, SECOND)))
    write("columns.sys", "".join("%s  \t%s\u3000\tx%s\n" % tuple(map(plain, row)) for row in zip(SYSTEM, REFERENCE, SECOND)))
    blocks = []
    for references, ours, theirs, systems, stdin in commands():
        shown = " ".join("-r " + r for r in references) + " " + " ".join([ours] + systems)
        blocks.append("$ " + shown + (" < " + stdin if stdin else "") + "\n"
                      + sacrebleu(references + shlex.split(theirs) + (["-i"] + systems if systems else []), stdin))
    write("outputs.txt", "".join(blocks))
    print("files/outputs.txt", len(blocks), "commands")


main()
