#!/usr/bin/env python3
"""Makes tests/tokenizer/normal_forms.txt: the CRC-32 of the normal forms of every
character that Unicode 14 assigns, alone and before marks it may combine with, by
Python's unicodedata (3.11, which has Unicode 14)."""
import pathlib
import unicodedata
import zlib

assert unicodedata.unidata_version == "14.0.0", "needs Python 3.11"
crc = {"NFC": 0, "NFKC": 0}
for code in range(0x110000):
    if unicodedata.category(chr(code)) in ("Cn", "Cs"):
        continue
    for after in ("", "\u0301", "\u0327\u0301", "\u3099", "\u1161\u11a8"):
        for form in crc:
            text = unicodedata.normalize(form, chr(code) + after) + "\n"
            crc[form] = zlib.crc32(text.encode(), crc[form])
out = pathlib.Path(__file__).resolve().parent.parent / "tokenizer" / "normal_forms.txt"
out.write_text("".join("%s %08x\n" % item for item in crc.items()))
