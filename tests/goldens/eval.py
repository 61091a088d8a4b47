#!/usr/bin/env python3
"""Makes tests/eval/*.tsv, figures.txt and mecab.txt: texts in many
languages and what sacreBLEU says of them. Needs sacrebleu[ja] 2.6 with numpy below 2 (whose
single-precision scalars widen).

The texts are messages of Debian packages, read from the .mo files below $LOCALES: where two
packages translate one message each in its own way, one translation is the reference and the
other a system's output. A third column is the reference damaged as weak systems damage text.

A line of figures.txt is  TEXT SYSTEMS REFERENCES METRIC OPTIONS KIND RESULTS..., parted by
tabs; SYSTEMS and REFERENCES are columns of TEXT.tsv."""
import collections
import gettext
import logging
import os
import pathlib
import random
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent
OUT = HERE / "eval"
cache = tempfile.TemporaryDirectory()
os.environ["SACREBLEU"] = cache.name
os.environ.pop("SACREBLEU_SEED", None)
import numpy
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

logging.getLogger("sacrebleu").setLevel(logging.ERROR)
assert sacrebleu.__version__ == "2.6.0" and numpy.__version__ < "2"
models = pathlib.Path(cache.name) / "models"
models.mkdir()
shutil.copy(HERE / "tokenizer/unigram.model", models / "sacrebleu_tokenizer_spm.model")
shutil.copy(HERE / "tokenizer/bpe.model", models / "flores200sacrebleuspm")

LANGUAGES = "gl de tr ru el ar he hi bn ta th ka am ja zh_CN ko".split()
SEGMENTS = 14


def messages(language):
    """{English: {translation: packages}}"""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    root = pathlib.Path(os.environ["LOCALES"])
    for path in sorted(root.glob("**/%s/LC_MESSAGES/*.mo" % language)):
        with open(path, "rb") as f:
            try:
                catalog = gettext.GNUTranslations(f)._catalog
            except (UnicodeDecodeError, OSError):
                continue
        for source, text in catalog.items():
            if not isinstance(source, str) or not isinstance(text, str):
                continue
            source = source.split("\4")[-1]
            clean = lambda s: " ".join(s.replace("_", "").split())
            source, text = clean(source), clean(text)
            if 12 <= len(source) <= 220 and text and text != source:
                found[source][text].add(path.stem)
    return found


def damage(text, r, others):
    """The reference as a weak system might say it."""
    words = text.split()
    for _ in range(r.choice([1, 1, 2, 3])):
        kind = r.randrange(9)
        n = len(words)
        i = r.randrange(n) if n else 0
        if kind == 0 and n > 2:
            del words[i]
        elif kind == 1 and n > 3:
            k = r.randrange(1, min(5, n))
            part = words[i:i + k]
            del words[i:i + k]
            j = r.randrange(len(words) + 1)
            words[j:j] = part
        elif kind == 2 and n:
            words[i:i] = [words[i]] * r.choice([1, 1, 3])
        elif kind == 3 and n:
            words[i] = r.choice(others)
        elif kind == 4:
            words = [w.lower() for w in words]
        elif kind == 5:
            words = [w.rstrip(".,:;!?。、।") or w for w in words]
        elif kind == 6:
            words = words[:max(1, n * 2 // 3)]
        elif kind == 7:
            t = list(" ".join(words))
            for _ in range(2):
                j = r.randrange(len(t))
                t[j:j + 2] = reversed(t[j:j + 2])
            words = "".join(t).split()
        else:
            words = [r.choice(others)] + words
    return " ".join(words)


def language_text(language):
    r = random.Random(language)
    found = messages(language)
    several = sorted(s for s, t in found.items() if len(t) > 1)
    r.shuffle(several)
    longer = [s for s in several if len(s) > 45]
    chosen = (longer + [s for s in several if s not in longer])[:SEGMENTS]
    words = sorted({w for s in chosen for t in found[s] for w in t.split()})
    rows = []
    for source in chosen:
        texts = sorted(found[source])
        r.shuffle(texts)
        # source, two references, another translator's, two damaged ones
        second = texts[2] if len(texts) > 2 else damage(texts[0], r, words)
        rows.append([source, texts[0], second, texts[1], damage(texts[0], r, words),
                     damage(texts[1], r, words)])
    return rows


def edge_text():
    """What real text has seldom: source, two references, three outputs."""
    base = [
        ("", "", "", "", ""),
        ("", "", "something", "", "of nothing"),
        ("Something here.", "", "", "Something here.", ""),
        ("...", "!", "...", "?!", ". . ."),
        (".,;:!?", "-", ".,;:!?", ",.", "- -"),
        ("😀 smile 😀", "🙂", "😀 smile", "😀😀", "smile 😀 smile"),
        ("👍🏽 👨‍👩‍👧 🇬🇱", "👍", "👍 👨‍👩‍👧 🇬🇱", "👨‍👩‍👧", "🇬🇱🇬🇱"),
        ("cafe\u0301 nai\u0308ve", "café naïve", "café naïve", "cafe\u0301", "CAFE\u0301 nai\u0308ve"),
        ("\u0301 lone mark", "a\u0301\u0327", "\u0301lone mark", "lone \u0301 mark", "\u0301"),
        ("zero\u200bwidth\u200djoin\u2060er", "zero width", "zero\u200b width", "zerowidth", "\u200b"),
        ("soft\u00adhyphen\ufeff here", "soft", "softhyphen here", "soft\u00ad hyphen", "\ufeff"),
        ("bell\x07 esc\x1b sep\x1c\x1d\x1e\x1funit", "bell", "bell esc sep unit", "bell\x07", "\x1fsep\x1c"),
        ("line\u2028sep\u2029para\x85nel\x0bvt\x0cff", "line sep", "line sep para nel vt ff", "linesep", "\u2028"),
        ("nb\u00a0space\u202fnarrow\u3000wide\u1680og", "nb space", "nb space narrow wide og", "nbspace", "\u00a0"),
        ("cr\rin the middle", "cr", "cr in the middle", "cr\r\rin", "\rmiddle"),
        ("İstanbul ISPARTA ıIiİ", "istanbul", "istanbul isparta ıiii", "İSTANBUL", "I\u0307"),
        ("ΟΔΥΣΣΕΥΣ Σ ΑΣ. ΑΣΑ σς", "Οδυσσεύς", "οδυσσευς σ ας. ασα σς", "ΣΑΣ", "ΑΣ' ΣΣ"),
        ("STRASSE straße ẞ ǅ ﬁ", "strasse", "Straße straße ß ǆ fi", "STRASSE", "ẞ"),
        ("&quot;a&quot; &amp;lt; &lt;b&gt; &amp;amp; &amp;quot;", '"a"', '"a" &lt; <b> &amp; &quot;', "&", "&&amp;;"),
        ("<skipped>x<skip<skipped>ped> &am<skipped>p; <b>", "x", "x <b>", "<skipped>", "<skipped><skipped>"),
        ("1,000.50 1.5-2 3-4 a.b.c a,b 5. .5 -5 5- 1990-х", "1000", "1,000.50 1.5 - 2 3 - 4 a.b.c", "1,000 . 50", "5-.5"),
        ("x.,y .. ,, 1.. ..1 1,,1 .1.", "..", "x . , y .. ,, 1 ..", "1..", ".,.,"),
        ("it's dogs' 's s' o'clock 's.", "its", "it 's dogs' 's s'", "it's", "'s 's"),
        ("(hi) -well- \"quoted\" [x] {y} !", "hi", "hi well quoted x y", "( hi )", "((hi))"),
        ("$5 €6 ¥7 + = < > | ~ ^ ` © ® ™ ° № ½ ² Ⅳ ①", "5", "$ 5 € 6 ¥ 7 + =", "$5", "№½"),
        ("— – … “quoted” «guillemets» ‹x› „low“ ¿qué? ¡no!", "- ...", "– - ... \"quoted\"", "—–…", "¿?"),
        ("١٢٣٫٤ ۱۲۳ १२३.४ ๑๒๓ 一二三 ⅷ 1.2", "123", "١٢٣ ٤ १२३ . ४", "1.2", "١.٢"),
        ("中文、日本語。ｆｕｌｌ　ｗｉｄｔｈ！（ｙｅｓ）", "中文", "中文,日本語。full width!", "日本語", "中 文"),
        ("ひらがな カタカナ ﾊﾝｶｸ ㌔ ㊙ 𠮷野家 豈", "ひらがな", "ひらがなカタカナ", "カタカナひらがな", "𠮷"),
        ("한국어 조합 ㄱㄴ 가나다", "한국어", "한국어 조합", "조합 한국어", "가"),
        ("العربيّة، نعم؟ لا؛ ۔", "العربية", "العربية نعم", "نعم، العربيّة", "؟"),
        ("हिन्दी । क्या है ॥ ९", "हिन्दी", "हिन्दी क्या है", "है क्या", "।।"),
        ("ไทยไม่มีช่องว่าง ๆ ฯลฯ", "ไทย", "ไทยไม่มี ช่องว่าง", "ช่องว่างไทย", "ๆๆ"),
        ("\u2e60 \U0001ccf5 \U0001fae9 \u20c1 \u1b4e new", "new", "\u2e60\U0001ccf5 new", "\U0001fae9", "\u20c1x"),
        ("\U0001d518\U0001d52b\U0001d526 𝟙𝟚 𐌰𐌱 \U0010fffd \ue000", "Uni", "\U0001d518 12", "𐌰", "\ue000"),
        ("the the the the the the the", "the cat", "the the", "the the the the the the the the the the", "the"),
        ("one", "two", "one", "two", "three"),
        ("a b c d e f g h i j", "j i h g f e d c b a", "f g h i j a b c d e", "j i h g f e d c b a", "a c e g i b d f h j"),
        ("a b c d e f g", "g", "c d a b f g e", "b a d c f e g", "g f e d c b a"),
    ]
    r = random.Random(9)
    words = ["w%d" % i for i in range(60)]
    for n in (30, 60, 90):  # beyond the beam and the reach of shifts
        ref = [r.choice(words) for _ in range(n)]
        moved = ref[n // 2:] + ref[:n // 2]
        noisy = [w if r.random() < .7 else r.choice(words) for w in moved]
        base.append((" ".join(ref), " ".join(ref[:n // 3]), " ".join(moved), " ".join(noisy),
                     " ".join(ref[:5])))
    base.append((" ".join(words[:40]), "w1", "w39", " ".join(words[20:22]), " ".join(words * 2)))
    return [["source"] + list(row) for row in base]


def long_text():
    """Lines of 10,000 characters and more."""
    r = random.Random(3)
    rows = []
    for letters in ("abcdefgh ", "абвгдежз ", "的一是不了人我在。"):
        ref = "".join(r.choice(letters) for _ in range(10000))
        hyp = "".join(c if r.random() < .9 else r.choice(letters) for c in ref)
        rows.append(["source", ref, ref[:5000], hyp, hyp[:9000], ref[3000:] + ref[:3000]])
    return rows


def mecab_text():
    rows = [("令和元年と平成三十一年は同じ年です。", "令和の時代", "令和元年は平成三十一年と同じです。", "令 和"),
            ("命令和音、法令和訳", "命令", "命令和音", "法令和訳令和令和"), ("", "", "", "。"),
            (" すもももももももものうち　", "すもも", "すもも桃のうち", "もももももも"),
            ("ＡＢＣ１２３ ABC123 カタカナﾊﾝｶｸ", "ABC", "ABC１２３カタカナ", "ﾊﾝｶｸ"),
            ("EOS <br> 😀日本語\u0301\u200b", "EOS", "EOS日本語😀", "\ufeff日本語\x1f")]
    return [["source"] + list(row) for row in rows]


texts = {}
lines = []


def columns(name, which):
    return [[row[c] for row in texts[name]] for c in which]


def number(x):
    return repr(float(x))


def options(metric, given):
    """The constructor's arguments from "tok=intl,lc"."""
    o = dict((p.split("=") + [True])[:2] for p in given.split(",") if p)
    if metric == "bleu":
        return BLEU(tokenize=o.get("tok"), lowercase="lc" in o, effective_order="eff" in o,
                    smooth_method=o.get("smooth", "exp"),
                    smooth_value=float(o["value"]) if "value" in o else None,
                    max_ngram_order=int(o.get("order", 4)), force=True)
    if metric == "chrf":
        return CHRF(char_order=int(o.get("char", 6)), word_order=int(o.get("word", 0)),
                    beta=int(o.get("beta", 2)), lowercase="lc" in o, whitespace="space" in o,
                    eps_smoothing="eps" in o)
    return TER(normalized="norm" in o, no_punct="nopunct" in o, asian_support="asian" in o,
               case_sensitive="case" in o)


def add(name, systems, references, metric, given, kind, results):
    lines.append("\t".join([name, ",".join(map(str, systems)), ",".join(map(str, references)), metric,
                            given or "-", kind] + results))


def references_of(name, references, optional=False):
    found = columns(name, references)
    if optional:
        found = [[x or None for x in r] for r in found]
    return found


def corpus(name, system, references, metric, given, optional=False):
    m = options(metric, given)
    s = m.corpus_score(columns(name, [system])[0], references_of(name, references, optional))
    add(name, [system], references, metric, given, "optional" if optional else "corpus",
        [number(s.score), s._verbose or "-", str(m.get_signature()), m.get_signature().format(True),
         s.name])


def sentences(name, system, references, metric, given):
    m = options(metric, given)
    hyps, refs = columns(name, [system])[0], columns(name, references)
    scores = [number(m.sentence_score(h, [r[i] for r in refs]).score) for i, h in enumerate(hyps)]
    add(name, [system], references, metric, given, "sentence", [" ".join(scores)])


def confidence(name, system, references, metric, given, trials=1000):
    m = options(metric, given)
    s = m.corpus_score(columns(name, [system])[0], columns(name, references), n_bootstrap=trials)
    add(name, [system], references, metric, given, "confidence",
        [str(trials), number(s.score), number(s._mean), number(s._ci), str(m.get_signature())])


def paired(name, systems, references, metric, given, kind, trials):
    m = options(metric, given)
    m._ref_cache = m._cache_references(columns(name, references))
    named = [(str(c), columns(name, [c])[0]) for c in systems]
    _, scores = PairedTest(named, {"X": m}, references=None, test_type=kind, n_samples=trials)()
    results = [v for k, v in scores.items() if k != "System"][0]
    flat = [str(trials)]
    for r in results:
        flat += [number(r.score), number(1 if r.p_value is None else r.p_value)]
        flat += [number(0 if r.mean is None else r.mean), number(0 if r.ci is None else r.ci)]
    add(name, systems, references, metric, given, kind, flat)


BLEU_OPTIONS = ["", "lc", "tok=none", "tok=intl", "tok=char", "tok=zh", "tok=intl,lc", "tok=zh,lc",
                "tok=spm", "tok=flores101,lc", "tok=flores200", "smooth=none", "smooth=floor",
                "smooth=floor,value=0.01", "smooth=add-k", "smooth=add-k,value=0.5",
                "smooth=add-k,value=3", "eff", "eff,smooth=none", "eff,smooth=add-k", "order=1",
                "order=2", "order=6", "order=6,eff,smooth=floor"]
CHRF_OPTIONS = ["", "word=2", "word=1", "lc", "space", "eps", "word=2,eps", "word=2,lc,space",
                "char=3", "char=8", "char=0,word=2", "beta=1", "beta=3", "beta=3,eps,lc",
                "word=4,space", "char=1,word=1,beta=1"]
TER_OPTIONS = [",".join(f for b, f in enumerate(("norm", "nopunct", "asian", "case")) if n >> b & 1)
               for n in range(16)]


def figures():
    for name in LANGUAGES:
        for given in BLEU_OPTIONS[:8] + ["tok=spm", "eff"]:
            corpus(name, 3, [1], "bleu", given)
        for given in ["", "word=2", "lc", "space", "eps", "word=2,lc,space"]:
            corpus(name, 3, [1], "chrf", given)
        for given in ["", "norm", "norm,asian", "nopunct,asian", "norm,nopunct,asian,case"]:
            corpus(name, 4, [1], "ter", given)
        for metric in ("bleu", "chrf", "ter"):
            corpus(name, 5, [1, 2], metric, "")
            corpus(name, 4, [3, 1, 2], metric, "")
        sentences(name, 4, [1, 2], "bleu", "eff")
        sentences(name, 4, [1], "chrf", "word=2")
        sentences(name, 5, [1], "ter", "")
        confidence(name, 3, [1], "bleu", "")
        confidence(name, 4, [1], "chrf", "")
        paired(name, [4, 5, 3], [1], "bleu", "", "bs", 1000)
        paired(name, [3, 5], [1], "chrf", "word=2", "ar", 300)
    for metric, table in (("bleu", BLEU_OPTIONS), ("chrf", CHRF_OPTIONS), ("ter", TER_OPTIONS)):
        for given in table:
            for system in (3, 4, 5):
                corpus("edge", system, [1], metric, given)
            corpus("edge", 3, [2, 1], metric, given)
            corpus("optional", 4, [1, 2, 3], metric, given, optional=True)
            sentences("edge", 3, [1], metric, given)
            sentences("edge", 5, [1, 2], metric, given)
        confidence("edge", 3, [1, 2], metric, "", 200)
    for given in ("smooth=add-k,value=0.5", "smooth=floor", "eff", "smooth=none", "order=2"):
        paired("edge", [3, 4, 5], [1], "bleu", given, "bs", 100)
        paired("edge", [3, 4, 5], [1], "bleu", given, "ar", 200)
    for given in ("", "eps", "word=2", "beta=3"):
        paired("edge", [3, 4], [1, 2], "chrf", given, "bs", 100)
        paired("edge", [3, 4], [1, 2], "chrf", given, "ar", 200)
    for kind in ("bs", "ar"):
        paired("edge", [3, 4], [1], "ter", "", kind, 100)
        paired("edge", [3, 4, 5], [1, 2], "ter", "norm", kind, 130)
        paired("edge", [4, 5], [1, 2, 3], "ter", "", kind, 200)  # lengths are thirds
        paired("ru", [4, 4], [1], "bleu", "", kind, 50)  # a system against itself
        paired("one", [3, 4], [1], "bleu", "", kind, 20)
    # Not spm: versions of sentencepiece break the ties of a long line each in its own way.
    for given in ("", "tok=char", "tok=intl", "tok=zh"):
        corpus("long", 3, [1], "bleu", given)
        corpus("long", 5, [1, 2], "bleu", given)
    for given in ("", "word=2", "space"):
        corpus("long", 4, [1], "chrf", given)
    corpus("long", 4, [1], "ter", "")


def mecab():
    for name in ("ja", "mecab"):
        for given in ("tok=ja-mecab", "tok=ja-mecab,lc", "tok=ja-mecab,eff,smooth=floor"):
            for system in (3, 4):
                corpus(name, system, [1], "bleu", given)
                corpus(name, system, [1, 2], "bleu", given)
        sentences(name, 3, [1, 2], "bleu", "tok=ja-mecab,eff")


def read_text(name):
    return [l.split("\t") for l in (OUT / (name + ".tsv")).read_text().split("\n")[:-1]]


def write_text(name):
    rows = texts[name]
    assert all(len(r) == len(rows[0]) and not any("\t" in c or "\n" in c for c in r) for r in rows)
    (OUT / (name + ".tsv")).write_text("".join("\t".join(r) + "\n" for r in rows), newline="\n")
    # Columns are read as the command line reads them: without white space at the end.
    texts[name] = [[c.rstrip() for c in r] for r in rows]


def write(name, make):
    lines.clear()
    make()
    (OUT / name).write_text("\n".join(lines) + "\n", newline="\n")
    print(name, len(lines), "lines")


def main():
    OUT.mkdir(exist_ok=True)
    for name in LANGUAGES:
        # Without LOCALES only the figures are made anew.
        texts[name] = language_text(name) if "LOCALES" in os.environ else read_text(name)
    texts["mecab"] = mecab_text()
    texts["edge"] = edge_text()
    texts["one"] = texts["gl"][:1]
    texts["long"] = long_text()
    # An empty cell is no reference at all; the first column is always there.
    texts["optional"] = [[r[0], r[1]] + [r[c] if (i + c) % 3 else "" for c in (2, 3)] + [r[4]]
                         for i, r in enumerate(texts["el"]) if r[1]]
    for name in texts:
        write_text(name)
    write("figures.txt", figures)
    write("mecab.txt", mecab)


if __name__ == "__main__":
    main()
