#!/usr/bin/env python3
"""Makes tests/tokenizer/: small sentencepiece models trained by the Python
package, and what it makes of sentences in some 200 languages with them.

  sentences.txt  dates and names of languages from CLDR (Unicode licence), by
                 babel, then texts that are hard to tokenize
  *.model        unigram: rules of its own, bytes for unknown characters
                 bpe: no normalisation, bytes; tiny: rules, no bytes
  unigram.tsv    a line a sentence: ids, begin:end in bytes of each, decoded text
  bpe.tsv        the same without spans
  tiny.tsv       the same as the first, of the hard texts only
  nbest.tsv      text, then for each segmentation by unigram its score and ids
  normal.tsv     the sentences as nmt_nfkc leaves them

Needs: pip install sentencepiece protobuf babel
"""
import datetime
import io
import os
import pathlib

import sentencepiece as spm
from babel import Locale, localedata
from babel.dates import format_datetime
from babel.lists import format_list

here = pathlib.Path(__file__).resolve().parent.parent / "tokenizer"
here.mkdir(exist_ok=True)


def sentences():
    when = datetime.datetime(2024, 3, 17, 21, 5)
    found = {}
    for name in sorted(localedata.locale_identifiers()):
        locale = Locale.parse(name)
        if locale.territory or locale.variant:
            continue
        names = [locale.languages[c] for c in ("en", "es", "gl", "zh", "ar", "ru", "hi")
                 if c in locale.languages]
        if len(names) >= 5:
            found[format_datetime(when, "full", locale=locale) + " — "
                  + format_list(names, locale=locale)] = None
    return list(found)


hard = [
    "Hello world.", "  two  leading,   inner and trailing  ", "", " ", "a", "é", "e\u0301",
    "Ångström, A\u030angstro\u0308m", "ﬁne oﬃce", "ＡＢＣ　ｄｅｆ", "\u00a0no\u00a0break\u00a0",
    "👩‍👩‍👧‍👦 family, 🏴󠁧󠁢󠁳󠁣󠁴󠁿 flag, 🇬🇱 pair, 👍🏽 skin", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𓀀 𠮷野家",
    "tab\there", "a\u200bzero\u200dwidth\u200c", "right\u200f \u202ato\u202c left",
    "\u0001\u0002 control \u007f", "▁the mark itself▁", "<s> </s> <unk> <pad> <0x41> <2gl>",
    "&amp; <b>bold</b> %s %1$d {name} ~file_", "1234567890 3.14 ½ ² ①", "z" * 60,
    "naïve façade — “quotes” ‘single’ … ‰", "Z̴̢͔a̷l̸̡g̶o̵", "\ufeffmark", "\ufffd replaced",
    "ﷺ ﷽", "각 각", "ÅÅ", "ǆ Ǆ", "\u0344 \u0958",
]

rules = {  # of the unigram and tiny models: some of each kind nfkc has
    (0x09,): (0x20,), (0xA0,): (0x20,), (0x3000,): (0x20,), (0x2581,): (0x20,), (1,): (),
    (0x2,): (), (0xFB01,): (0x66, 0x69), (0xFB03,): (0x66, 0x66, 0x69),
    (0x65, 0x301): (0xE9,), (0x41, 0x30A): (0xC5,), (0x6F, 0x308): (0xF6,),
    (0x1100, 0x1161): (0xAC00,), (0x1100, 0x1161, 0x11A8): (0xAC01,),
    **{(0xFF21 + i,): (0x41 + i,) for i in range(26)},
    **{(0xFF41 + i,): (0x61 + i,) for i in range(26)},
}


def write_rules(path):
    with open(path, "w") as f:
        for source, target in rules.items():
            f.write(" ".join("%X" % c for c in source) + "\t"
                    + " ".join("%X" % c for c in target) + "\n")


def train(name, texts, **options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, minloglevel=2, num_threads=1,
        pad_id=0, unk_id=1, bos_id=2, eos_id=3, **options)
    (here / (name + ".model")).write_bytes(out.getvalue())
    return spm.SentencePieceProcessor(model_proto=out.getvalue())


def describe(model, text, with_spans=True):
    """Ids, spans and the decoded text; each of a character's bytes has its span."""
    pieces = model.encode(text, return_type="proto").pieces
    spans = [(p.begin, p.end) for p in pieces]
    pending = []
    for i, p in enumerate(pieces):
        if not model.is_byte(p.id):
            pending = []
        elif p.surface == "":
            pending.append(i)
        else:
            for k in pending:
                spans[k] = spans[i]
            pending = []
    ids = [p.id for p in pieces]
    return "\t".join([" ".join(map(str, ids)), " ".join("%d:%d" % s for s in spans if with_spans),
                      model.decode(ids)])


def escape(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t")


texts = sentences()
everything = texts + hard
write = lambda name, lines: (here / name).write_text(
    "".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
write("sentences.txt", map(escape, everything))

os.chdir(here)  # the models keep its name
rule_file = pathlib.Path("rules.tsv")
write_rules(rule_file)
try:
    unigram = train("unigram", texts, model_type="unigram", vocab_size=1400, byte_fallback=True,
                    character_coverage=0.98, split_digits=True, control_symbols=["<2gl>", "<2en>"],
                    user_defined_symbols=["%s", "{name}"], normalization_rule_tsv=str(rule_file))
    tiny = train("tiny", [t for t in (t.replace("— ", "") for t in texts) if t.isascii()], model_type="unigram",
                 vocab_size=100, hard_vocab_limit=False, character_coverage=1.0,
                 normalization_rule_tsv=str(rule_file), user_defined_symbols=["%s"])
finally:
    rule_file.unlink()
bpe = train("bpe", texts, model_type="bpe", vocab_size=1400, byte_fallback=True,
            character_coverage=0.98, normalization_rule_name="identity",
            control_symbols=["<2gl>"], user_defined_symbols=["{name}"])
write("unigram.tsv", [describe(unigram, t) for t in everything])
write("bpe.tsv", [describe(bpe, t, with_spans=False) for t in everything])
write("tiny.tsv", [describe(tiny, t) for t in hard])

lines = []
for text in ("Galician", "domingo, 17", "español e inglés", "el 𓀀", "mar"):
    fields = [text]
    for one in unigram.nbest_encode(text, nbest_size=20, return_type="proto").nbests:
        fields.append("%.6f %s" % (one.score, " ".join(str(p.id) for p in one.pieces)))
    lines.append("\t".join(fields))
write("nbest.tsv", lines)

nfkc = spm.SentencePieceNormalizer(rule_name="nmt_nfkc", add_dummy_prefix=False,
                                   remove_extra_whitespaces=True, escape_whitespaces=False)
write("normal.tsv", (nfkc.normalize(t) for t in everything))
