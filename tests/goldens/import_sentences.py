#!/usr/bin/env python3
"""Makes tests/import/sentences.tsv: 200 sentences in 25 languages and 15 scripts, which the
tokenizers of tests/import/base and tests/import/formats cut up: code, text. They are
messages of Debian packages, from the .mo files below $LOCALES (/usr/share/locale)."""
import gettext
import os
import pathlib
import unicodedata

out = pathlib.Path(__file__).resolve().parent.parent / "import" / "sentences.tsv"
root = pathlib.Path(os.environ.get("LOCALES", "/usr/share/locale"))
LANGUAGES = ("en gl es fr de tr vi ru uk bg el ar fa he hi mr bn ta te ka hy my ja zh_CN ko").split()
EACH = 8


def is_sentence(text):
    """Not "...": as ". .." and as ".. ." it often scores the same, of which versions of
    sentencepiece choose one or the other."""
    return (30 <= len(text) <= 72 and text[-1] in ".。।?!։။" and ".." not in text
            and not set(text) & set("%<>\n\t_|&{}="))


def messages(language):
    """Sentences of as many packages as there are."""
    packages = []
    for path in sorted(root.glob(f"{'gl' if language == 'en' else language}/LC_MESSAGES/*.mo")):
        with open(path, "rb") as f:
            try:
                catalog = gettext.GNUTranslations(f)._catalog
            except (UnicodeDecodeError, IndexError):
                continue
        found = [source if language == "en" else text for source, text in catalog.items()
                 if isinstance(source, str) and isinstance(text, str) and source != text]
        found = sorted(filter(is_sentence, {" ".join(t.split("\4")[-1].split()) for t in found if t}))
        if found:
            packages.append(found)
    chosen, depth = [], 0
    while len(chosen) < EACH:
        for found in packages:
            text = found[len(found) // 3 + depth] if len(found) // 3 + depth < len(found) else None
            if text and text not in chosen and len(chosen) < EACH:
                chosen.append(text)
        depth += 1
        assert depth < 400, (language, len(chosen))
    return chosen


rows = [(language, text) for language in LANGUAGES for text in messages(language)]
scripts = {unicodedata.name(c).split()[0] for _, text in rows for c in text if c.isalpha()}
assert len(rows) == 200 and len(set(LANGUAGES)) >= 20, len(rows)
assert len(scripts - {"FULLWIDTH", "MODIFIER", "HALFWIDTH", "FEMININE", "MASCULINE"}) >= 13, scripts
out.write_text("".join(f"{language}\t{text}\n" for language, text in rows), "utf8")
