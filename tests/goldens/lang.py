#!/usr/bin/env python3
"""Makes tests/tokenizer/lang.tsv: the language codes of NLLB-200, mBART-50 and
M2M-100 with the canonical codes expected of us, by the langcodes package
(which has CLDR's tables of its own), and below where we differ and why.

Needs: pip install transformers langcodes language_data
"""
import pathlib
import re

import langcodes
import transformers

models = pathlib.Path(transformers.__file__).parent / "models"
out = pathlib.Path(__file__).resolve().parent.parent / "tokenizer" / "lang.tsv"

ours = {
    "no": "nb",  # Norwegian without more is Bokmal
    "ns": "nso",  # M2M-100's name for Northern Sotho
    "ar_AR": "ar",  # mBART's name for Arabic; AR is Argentina
    "pbt_Arab": "ps",  # what corpora have of Pashto
    "twi_Latn": "tw",  # kept apart from Akan
    "crh_Latn": "crh",  # CLDR 42 still has the Cyrillic of before the 1990s
    "kor_Hang": "ko",  # Hangul is part of Korean writing
}
# CLDR 42 has no usual script for these; their corpora have one.
one_script = {"acm", "acq", "ajp", "azb", "cjk", "din", "lus"}


def codes(model, pattern):
    text = (models / model).read_text()
    start = re.search(r"FAIRSEQ_LANGUAGE_CODES", text)
    return sorted(set(re.findall(pattern, text[start.start():text.index("class ")])))


def canonical(code):
    tag = code.replace("_XX", "")
    language = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True))
    usual = langcodes.Language.get(language.language).maximize()
    script, region = language.script, language.territory
    if script == usual.script or (script and language.language in one_script):
        script = None
    if region == usual.territory:
        region = None
    return "-".join(filter(None, (language.language, script, region)))


nllb = codes("nllb/tokenization_nllb.py", r"['\"]([a-z]{3}_[A-Z][a-z]{3})['\"]")
mbart = codes("mbart50/tokenization_mbart50.py", r"['\"]([a-z]{2}_[A-Z]{2})['\"]")
text = (models / "m2m_100/tokenization_m2m_100.py").read_text()
m2m = re.findall(r'"(\w+)"', re.search(r'"m2m100": \[(.*?)\]', text, re.S).group(1))
assert (len(nllb), len(mbart), len(m2m)) == (202, 52, 100)

with open(out, "w", encoding="utf-8", newline="\n") as f:
    for family, members in (("nllb", nllb), ("mbart", mbart), ("m2m", m2m)):
        for code in members:
            assert ours.get(code) != canonical(code), code
            f.write(f"{family}\t{code}\t{ours.get(code) or canonical(code)}\n")
