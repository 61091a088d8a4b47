#!/usr/bin/env python3
"""Makes tests/eval/outputs.txt: figures of what machine translation systems said, out_*.tsv.

The outputs are kept as they were said; without $SYSTEMS only the figures are made anew. To run
the systems again, set SYSTEMS=1, LOCALES as tests/goldens/eval.py has it and BASE, and install
Debian's opencc, cg3 and apertium with the pairs below. The systems:
  dragoman   the base and adapter shipped in data/models
  small      a base made for this: `dragoman pretrain` (d_model 128, two layers a side) for 1,072
             updates on 292,749 messages of Debian packages in twelve languages, less those
             scored here. A poor system, as the first for a language are: it repeats itself and
             leaves things out
  apertium   rules and dictionaries (Forcada et al. 2011)
  opencc     Chinese for Taiwan from that of China, characters and phrases
A row is the source, two references, the output, and the output with odd characters in it. The
references are other translators' where two packages differ, else the reference damaged."""
import os
import pathlib
import random
import subprocess

import eval as goldens

ODD = ["", "...", "😀👍🏽", "e\u0301\u0327", "cr\r", "\ufeffbom", "\x07\x1b\x1c", "z\u200bw\u200d\u2060"]
SEGMENTS = 20
# Text: the language of the source and how it is translated.
SYSTEMS = {"gl": ("en", "dragoman"), "de": ("en", "dragoman"), "es": ("en", "apertium eng-spa"),
           "pt": ("es", "apertium es-pt"), "ca": ("es", "apertium spa-cat"),
           "ru": ("be", "apertium bel-rus"), "bg": ("mk", "apertium mkd-bul"),
           "hi": ("ur", "apertium urd-hin"), "ur": ("hi", "apertium hin-urd"),
           "zh_TW": ("zh_CN", "opencc s2twp")}
SYSTEMS |= {code: ("en", "small") for code in "el ar he bn ta th ka ja ko zh_CN".split()}


def translated(sources, code, system):
    name, _, pair = system.partition(" ")
    dragoman = os.environ["DRAGOMAN_BUILD"] + "/dragoman"
    command = {"dragoman": [dragoman, "translate", "--quiet", "-t", code],
               "small": [dragoman, "translate", "--quiet", "-b", os.environ["BASE"], "-s", "en", "-t",
                         code.split("_")[0]],
               "apertium": ["apertium", "-u", pair], "opencc": ["opencc", "-c", pair + ".json"]}[name]
    # Apertium runs lines together that do not end a sentence: one at a time.
    runs = [[s] for s in sources] if name == "apertium" else [sources]
    out = []
    for lines in runs:
        said = subprocess.run(command, input="".join(l + "\n" for l in lines), capture_output=True, text=True,
                              check=True, cwd=goldens.HERE.parent).stdout
        out += [" ".join(l.split("\t")) for l in said.split("\n")[:len(lines)]]
    return out


def rows_of(code, source):
    """Source and two references."""
    if (goldens.OUT / (code + ".tsv")).exists() and source == "en":
        return [row[:3] for row in goldens.read_text(code)]
    r = random.Random(code)
    target = goldens.messages(code)
    if source == "en":
        first = {m: m for m in target}
    else:
        first = {m: sorted(t)[0] for m, t in goldens.messages(source).items()}
    found = sorted(m for m in target if m in first and first[m] not in target[m])
    r.shuffle(found)
    found = ([m for m in found if len(m) > 45] + [m for m in found if len(m) <= 45])[:SEGMENTS]
    words = sorted({w for m in found for t in target[m] for w in t.split()})
    rows = []
    for m in found:
        references = sorted(target[m])
        second = references[1] if len(references) > 1 else goldens.damage(references[0], r, words)
        rows.append([first[m], references[0], second])
    return rows


def text(code):
    if "SYSTEMS" not in os.environ:
        return goldens.read_text("out_" + code)
    source, system = SYSTEMS[code]
    rows = rows_of(code, source)
    for i, (row, said) in enumerate(zip(rows, translated([row[0] for row in rows], code, system))):
        odd = ODD[i % len(ODD)]
        row += [said, odd if i % 3 == 0 else said + odd]
    return rows


def figures():
    for name in goldens.texts:
        for given in goldens.BLEU_OPTIONS:
            goldens.corpus(name, 3, [1], "bleu", given)
        for given in goldens.CHRF_OPTIONS:
            goldens.corpus(name, 3, [1, 2], "chrf", given)
        for given in goldens.TER_OPTIONS:
            goldens.corpus(name, 3, [1], "ter", given)
        for given in ("", "tok=intl", "tok=char", "tok=zh,lc"):
            goldens.corpus(name, 4, [1, 2], "bleu", given)
        goldens.sentences(name, 3, [1, 2], "bleu", "eff")
        goldens.sentences(name, 4, [1], "chrf", "word=2")
        goldens.sentences(name, 3, [1], "ter", "")
        for metric in ("bleu", "chrf", "ter"):
            goldens.confidence(name, 3, [1], metric, "", 200)
            goldens.paired(name, [3, 4], [1], metric, "", "bs", 100)
            goldens.paired(name, [3, 4], [1, 2], metric, "", "ar", 100)


def main():
    for code in SYSTEMS:
        goldens.texts["out_" + code] = text(code)
        goldens.write_text("out_" + code)
    goldens.write("outputs.txt", figures)


main()
