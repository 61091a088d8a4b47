#!/usr/bin/env python3
"""Makes tests/eval/metrics.tsv: what sacreBLEU makes of small systems.

A line "#signature BLEU CHRF", then sets of segments: a line "#set NAME BLEU CHRF
SYSTEM-LENGTH REFERENCE-LENGTH BREVITY-PENALTY COUNTS TOTALS PRECISIONS" (four
numbers each, separated by blanks), followed by lines "=HYPOTHESIS REFERENCE".
Columns are separated by tabs. References are the sentences of tests/tokenizer (dates
and names of languages from CLDR) and the hard cases below; systems are these
with words and characters lost, swapped and changed.

Needs: pip install sacrebleu
"""
import pathlib
import random
import warnings

from sacrebleu.metrics import BLEU, CHRF

here = pathlib.Path(__file__).resolve().parent.parent
warnings.simplefilter("ignore")

hard = {
    "the same": [("The cat sat on the mat.", "The cat sat on the mat."), ("Oui, bien sûr !", "Oui, bien sûr !")],
    "nothing in common": [("abc def ghi jkl", "vwx yz. uts 12"), ("q", "p")],
    "one word": [("yes", "yes")],
    "two words": [("yes no", "yes no")],
    "short": [("a b c", "a b c d"), ("x", "x y"), ("z z z z z z", "z z")],
    "too long": [("the the the the the the the", "the cat is on the mat"), ("a b c d e f g h", "a b c")],
    "too short": [("the cat", "the cat is on the mat , and so is the dog"), ("a", "a b c d e f g")],
    "empty hypotheses": [("", "one two three four"), ("one two three four", "one two three four"), (" ", "five")],
    "empty references": [("one two three four", ""), ("one two three four", "one two three four"), ("", "")],
    "all empty hypotheses": [("", "one two"), ("", "three")],
    "all empty references": [("one two", ""), ("three", "")],
    "no word at all": [("", ""), (" ", "  ")],
    "punctuation only": [("...", "..."), ("?!", "!?"), (".,;:", ".,;:"), ("- - -", "---"), ("«»", "«»")],
    "numbers": [("1,000.50 and 3.14", "1,000.50 and 3,14"), ("1990-2000, 5-6", "1990 - 2000, 5-6"),
                ("$5.00/kg; 50%.", "$5.00/kg; 50% ."), (".5 5. ,5 5,", ".5 5. ,5 5,"), ("1.2.3.4", "1.2.3.4"),
                ("a.b.c 1.a a.1 1-a a-1", "a.b.c 1.a a.1 1-a a-1"), ("..1..2..", "..1..2..")],
    "entities": [("&quot;a&quot; &amp; &lt;b&gt;", "\"a\" & <b>"), ("&amp;quot; &amp;amp;", "&quot; &amp;"),
                 ("<skipped> x <skipped>y", "x y"), ("&apos; &nbsp; &#39;", "' &nbsp; '"), ("&quot &amp", "\" &")],
    "symbols": [("a+b=c*d/e\\f|g~h`i^j_k@l#m", "a + b = c * d / e \\ f | g ~ h ` i ^ j _ k @ l # m"),
                ("(a)[b]{c}<d>", "( a ) [ b ] { c } < d >"), ("it's o'clock", "it 's o' clock"), ("a--b a-b -a", "a -- b a-b - a")],
    "emoji": [("I 😀 you 👨‍👩‍👧‍👦", "I 😀 you 👨‍👩‍👧"), ("🇬🇱🇪🇸 👍🏽", "🇬🇱 🇪🇸 👍"), ("😀😀😀", "😀")],
    "combining marks": [("cafe\u0301 no\u0308el", "café noël"), ("e\u0301\u0323", "e\u0323\u0301"), ("\u0301", "\u0301 a\u0301")],
    "spaces of all kinds": [("a\u00a0b\u2003c\u3000d", "a b c d"), ("a\u200bb\u2028c", "ab c"), ("a\u0085b\u001fc\u000bd", "a b c d"),
                            ("  lead  and   trail  ", "lead and trail"), ("\ufeffx \u180ey", "x y")],
    "case": [("THE Cat Sat", "the cat sat"), ("İstanbul ISSIZ", "istanbul ıssız"), ("STRASSE", "straße")],
    "scripts": [("我喜欢 猫 。", "我喜欢猫。"), ("私は猫が好きです。", "私は犬が好きです。"), ("나는 고양이를 좋아한다.", "나는 강아지를 좋아한다."),
                ("أنا أحب القطط، حقًا؟", "أنا أحب الكلاب، حقا؟"), ("אני אוהב חתולים.", "אני אוהב כלבים."),
                ("मुझे बिल्लियाँ पसंद हैं।", "मुझे कुत्ते पसंद हैं।"), ("ฉันชอบแมว", "ฉันชอบหมา"), ("Я люблю кошек…", "Я люблю собак…"),
                ("Μου αρέσουν οι γάτες;", "Μου αρέσουν οι σκύλοι;"), ("ես սիրում եմ կատուներ։", "ես սիրում եմ շներ։"),
                ("მე მიყვარს კატები.", "მე მიყვარს ძაღლები."), ("ድመቶችን እወዳለሁ።", "ውሾችን እወዳለሁ።"), ("𐌰𐌱𐌲 𝒳𝒴", "𐌰𐌱𐌲 𝒳𝒵")],
    "galician": [("O gato durmía na cadeira vella.", "O gato durmiu na vella cadeira."),
                 ("Onde está a biblioteca, por favor?", "Por favor, onde está a biblioteca?"),
                 ("Non se puido gardar o ficheiro «%s».", "Non foi posíbel gardar o ficheiro «%s»."),
                 ("Chovía a cachón.", "Chovía moito.")],
    "repeats": [("a a a b b b a a a", "a a b b a a b b"), ("ba ba ba ba", "ba ba ba"), ("aaaaaa", "aaaa")],
}


def damage(text, r):
    words = text.split(" ")
    for _ in range(r.randrange(4)):
        i = r.randrange(len(words))
        how = r.randrange(5)
        if how == 0:
            del words[i]
            words = words or [""]
        elif how == 1:
            words.insert(i, r.choice(words))
        elif how == 2:
            j = r.randrange(len(words))
            words[i], words[j] = words[j], words[i]
        elif words[i]:
            k = r.randrange(len(words[i]))
            words[i] = words[i][:k] + (r.choice(text) if how == 3 else "") + words[i][k + 1:]
    return " ".join(words)


def sets():
    yield from hard.items()
    lines = [s.replace("\\t", " ").replace("\\\\", "\\") for s in
             (here / "tokenizer" / "sentences.txt").read_text(encoding="utf-8").split("\n") if s]
    r = random.Random(13)
    for i in range(0, len(lines), 20):
        yield f"sentences {i}", [(damage(s, r), s) for s in lines[i:i + 20]]
    yield "everything", [pair for pairs in hard.values() for pair in pairs]


(here / "eval").mkdir(exist_ok=True)
with open(here / "eval" / "metrics.tsv", "w", encoding="utf-8", newline="\n") as f:
    bleu, chrf = BLEU(), CHRF()
    body = []
    for name, pairs in sets():
        pairs = [(h, s) for h, s in pairs if not set("\t\n\r\0") & set(h + s)]
        hypotheses, references = map(list, zip(*pairs))
        b = bleu.corpus_score(hypotheses, [references])
        c = chrf.corpus_score(hypotheses, [references])
        numbers = [" ".join(map(repr, x)) for x in (b.counts, b.totals, b.precisions)]
        body.append("\t".join(["#set", name, repr(b.score), repr(c.score), str(b.sys_len), str(b.ref_len),
                               repr(b.bp), *numbers]))
        body += [f"={h}\t{s}" for h, s in pairs]
    f.write(f"#signature\t{bleu.get_signature()}\t{chrf.get_signature()}\n" + "\n".join(body) + "\n")
