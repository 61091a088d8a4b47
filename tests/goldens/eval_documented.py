#!/usr/bin/env python3
"""Makes tests/eval/documented.txt: the examples that sacreBLEU documents, in its README and in
the tables of its tests, with the results it documents. Then runs the README's commands on the
outputs of WMT 2017 that its tests carry, and wants the very lines the README shows of them.

Needs sacrebleu 2.6 and its source distribution, which pip fetches unless $SACREBLEU_SDIST is
the unpacked one, and a build of dragoman.

A line is  WHERE METRIC OPTIONS KIND WANT TOLERANCE DETAIL SIGNATURE SEGMENTS..., parted by tabs.
KIND is corpus, optional (an empty reference is none) or statistics (what BLEU counts, in place
of segments). DETAIL is BLEU's verbose score, or TER's reference words; it and SIGNATURE may be
"-". A segment is HYPOTHESIS ||| REFERENCE ||| REFERENCE ..."""
import ast
import bz2
import importlib.util
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import types

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER

VERSION = "2.6.0"
OUT = pathlib.Path(__file__).resolve().parent.parent / "eval/documented.txt"
DRAGOMAN = os.environ["DRAGOMAN_BUILD"] + "/dragoman"
assert sacrebleu.__version__ == VERSION
lines = []


def sdist(folder):
    if "SACREBLEU_SDIST" in os.environ:
        return pathlib.Path(os.environ["SACREBLEU_SDIST"])
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                    ":all:", "sacrebleu==" + VERSION], cwd=folder, check=True)
    with tarfile.open(next(pathlib.Path(folder).glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return pathlib.Path(folder) / ("sacrebleu-" + VERSION)


def tables(path):
    """A module of tests without its tests' frame."""
    sys.modules["pytest"] = types.SimpleNamespace(mark=types.SimpleNamespace(
        parametrize=lambda *names: lambda f: f))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add(where, metric, given, want, tolerance, hyps, refs, kind="corpus", detail="-", signature="-"):
    segments = [" ||| ".join([h] + [r[i] or "" for r in refs]) for i, h in enumerate(hyps)]
    assert not any("\t" in s or "\n" in s for s in segments)
    lines.append("\t".join([where, metric, given or "-", kind, repr(float(want)), repr(tolerance),
                            detail, signature] + segments))


def bleu_options(smooth="exp", value=None, lowercase=False, tok="13a", effective=False, order=4):
    shown = ["tok=" + tok, "smooth=" + smooth]
    shown += ["value=%g" % value] if value is not None else []
    shown += ["lc"] if lowercase else []
    shown += ["eff"] if effective else []
    shown += ["order=%d" % order] if order != 4 else []
    return ",".join(shown)


def readme(text):
    """The examples in Python."""
    hyps = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    refs = [["The dog bit the man.", "It was not unexpected.", "The man bit him first."],
            ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."]]
    fewer = [[None] + refs[0][1:], refs[1]]
    assert all(repr(s) in text for s in hyps + refs[0] + refs[1])
    for given, kind, metric in ((refs, "corpus", BLEU()), (fewer, "optional", BLEU()), (refs, "corpus", CHRF())):
        score = metric.corpus_score(hyps, given)
        assert str(score) in text
        signature = str(metric.get_signature())
        if score.name == "BLEU":
            assert signature.replace(VERSION, "2.0.0") in text
        add("README.md", "bleu" if score.name == "BLEU" else "chrf", "", "%.2f" % score.score, .005,
            hyps, given, kind, score._verbose or "-", signature)


def test_bleu(t):
    raw = bleu_options("floor", .01, tok="none", effective=True)
    for hyps, refs, want in t.test_raw_bleu_cases + t.test_case_effective_order:
        add("test_bleu.py", "bleu", raw, 100 * want, 1e-6, hyps, refs)
    for hyps, refs, given, want in t.test_corpus_bleu_cases:
        add("test_bleu.py", "bleu", bleu_options(tok=given.get("tokenize", "13a"),
                                                 smooth=given.get("smooth_method", "exp")),
            want, 1e-5, hyps, refs)
    for order, hyps, refs, want in t.test_bleu_max_order:
        add("test_bleu.py", "bleu", bleu_options(order=order), want, .005, hyps, refs)
    for hyps, refs, with_offset, without in t.test_case_offset:
        for value, want in ((0, without), (None, with_offset)):
            add("test_bleu.py", "bleu", bleu_options("floor", value, tok="none", effective=True),
                100 * want, 1e-6, hyps, refs)
    for hyps, refs, statistics in t.test_case_statistics:
        score = sacrebleu.raw_corpus_bleu(hyps, refs, .01)
        assert (score.counts, score.totals) == statistics
        add("test_bleu.py", "bleu", raw, score.score, 1e-9, hyps, refs, "corpus", score._verbose)
    for (statistics, hyp, ref), want in t.test_case_scoring:
        add("test_bleu.py", "bleu", "", 100 * want, 1e-6, [" ".join(map(str, [hyp, ref] + statistics.common + statistics.total))],
            [], "statistics")
    for (statistics, hyp, ref), value, want in t.test_case_degenerate_stats:
        add("test_bleu.py", "bleu", bleu_options("floor", value), 100 * want, 0.0,
            [" ".join(map(str, [hyp, ref] + statistics.common + statistics.total))], [], "statistics")


def test_sentence_bleu(t):
    for table, hyp, ref in ((t.test_cases, t.SYS, t.REF), (t.test_cases_zero_bleu, t.SYS_0, t.REF_0)):
        for smooth, value, lowercase, tok, want in table:
            add("test_sentence_bleu.py", "bleu", bleu_options(smooth, value, lowercase, tok, True),
                want, 1e-3, [hyp], [[ref]])


def test_chrf(t):
    for table, given in ((t.test_cases, "beta=3,eps"), (t.test_cases_effective_order, "beta=3"),
                         (t.test_cases_keep_whitespace, "beta=3,space")):
        for hyps, refs, want in table:
            add("test_chrf.py", "chrf", given, want, 1e-4, hyps, [refs])
    for hyp, refs, want in t.test_sentence_level_chrf:
        add("test_chrf.py", "chrf", "eps", want, 1e-4, [hyp], [refs])


def test_ter(t):
    for hyps, refs, want in t.test_cases:
        add("test_ter.py", "ter", "", 100 * want, 1e-3, hyps, [refs])


def test_tokenizer_ter(t):
    """Text and its words: no edits between them, and as many words."""
    for table, given in ((t.test_cases_default, ""), (t.test_cases_no_punct, "nopunct"),
                         (t.test_cases_norm, "norm"), (t.test_cases_asian, "norm,asian")):
        for text, words in table:
            for hyp, ref in ((text, words), (words, text)):
                add("test_tokenizer_ter.py", "ter", given, 0, 0.0, [hyp], [[ref]],
                    detail=str(len(words.split())))


def check():
    """Documented is what sacreBLEU says today, too."""
    import eval as goldens
    for line in lines:
        where, metric, given, kind, want, tolerance, detail, signature, *segments = line.split("\t")
        if kind == "statistics":
            continue
        parts = [s.split(" ||| ") for s in segments]
        refs = [[(p[r] or None) if kind == "optional" else p[r] for p in parts] for r in range(1, len(parts[0]))]
        m = goldens.options(metric, "" if given == "-" else given)
        score = m.corpus_score([p[0] for p in parts], refs).score
        assert abs(score - float(want)) <= float(tolerance), (line, score)


def wmt17(folder, root):
    """The README's commands, of which output.detok.txt is online-A."""
    text = re.sub(r"""(version:|v:|"version": ")2\.0\.0""", lambda m: m[0].replace("2.0.0", VERSION),
                  (root / "README.md").read_text())
    *systems, (_, (reference,)) = pickle.load(bz2.open(root / "test/wmt17_en_de_systems.pkl.bz2"))
    work = pathlib.Path(folder)
    for name, segments in systems + [("ref", reference)]:
        (work / name).write_text("".join(s + "\n" for s in segments), newline="\n")
    output, online = "newstest2017.online-A.0.en-de", sorted(n for n, _ in systems if "online" in n)
    several = ["newstest2017.LIUM-NMT.4900.en-de"] + online
    commands = [["-m", "bleu", "--json", output], ["-m", "bleu", output], ["-m", "bleu", "--short", output],
                ["-m", "bleu", "--quiet", "-w", "4", output], ["-m", "bleu,chrf,ter", output],
                ["-m", "bleu,chrf++,ter", output], ["-m", "bleu,chrf"] + online,
                ["-m", "bleu,chrf", "--format", "latex"] + online,
                ["-m", "bleu,chrf", "--paired-bs"] + several, ["-m", "bleu,chrf", "--paired-ar"] + several]
    shown = re.sub(" <stripped>", "", text)
    for given in commands:
        out = subprocess.run([DRAGOMAN, "eval", "-r", "ref"] + given, cwd=folder, capture_output=True,
                             text=True, check=True).stdout
        if given[1].endswith("ter"):
            out = re.sub(r"(= 20\.8) .*", r"\1", out)
        if "latex" in given:
            out = out[:out.index("\n\n")]
        missing = [l for l in out.split("\n") if l not in shown]
        assert not missing and (out in shown or "--quiet" in given), (given, missing or out)
        print("  README: dragoman eval -r ref", *given)


def significance(folder, root):
    """test_significance.py's p-values by Moses and MultEval, as near as it wants them."""
    source = ast.parse((root / "test/test_significance.py").read_text())
    tables = {n.targets[0].id: ast.literal_eval(n.value) for n in source.body
              if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "").endswith("_P_VALS")}
    systems = ["newstest2017.LIUM-NMT.4900.en-de"] + list(tables["MOSES_P_VALS"])
    for table, given in (("MOSES_P_VALS", ["--paired-bs", "--paired-bs-n", "2000"]),
                         ("MULTEVAL_P_VALS", ["--paired-ar"])):
        out = subprocess.run([DRAGOMAN, "eval", "-r", "ref", "-m", "bleu", "--tokenize", "none", "--force",
                              "--json"] + given + systems, cwd=folder, capture_output=True, check=True).stdout
        for result in json.loads(out)[1:]:
            want = tables[table][result["system"]]
            want = want[0] if isinstance(want, tuple) else want
            assert abs(result["BLEU"]["p_value"] - want) < 1e-2, (table, result, want)
        print(" ", table, "of", len(systems) - 1, "systems")


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = sdist(folder)
        readme((root / "README.md").read_text())
        for make in (test_bleu, test_sentence_bleu, test_chrf, test_ter, test_tokenizer_ter):
            make(tables(root / "test" / (make.__name__ + ".py")))
        check()
        wmt17(folder, root)
        significance(folder, root)
    OUT.write_text("\n".join(lines) + "\n", newline="\n")
    print("documented.txt", len(lines), "lines")


main()
