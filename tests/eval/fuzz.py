#!/usr/bin/env python3
"""Runs random options on random texts through `dragoman eval` and sacreBLEU's command line and
wants the same output, character by character.
    tests/eval/fuzz.py [SECONDS [SEED]]        DRAGOMAN_BUILD=build SACREBLEU=... (models)
Needs sacrebleu 2.6 with numpy below 2. A difference is printed with the folder that shows it."""
import os
import pathlib
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import sacrebleu
from sacrebleu.sacrebleu import main as sacrebleu_main

HERE = pathlib.Path(__file__).resolve().parent
DRAGOMAN = os.environ.get("DRAGOMAN_BUILD", str(HERE.parent.parent / "build")) + "/dragoman"
ODD = ["", " ", "\u00a0", "\u3000", "\t", ".", ",", "...", "?!", "-", "--", "1,000.5", "3-4", "5.", ".5",
       "&quot;", "&amp;lt;", "<skipped>", "'s", "it's", "$", "%", "😀", "👨‍👩‍👧", "e\u0301", "\u0301", "\u200b",
       "\u200d", "\ufeff", "\x07", "\x1b", "\x1c", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "İ", "ΑΣ", "ẞ", "ǅ",
       "中文。", "ｆｕｌｌ！", "「日本」", "ひらがな", "カタカナ", "한국어", "हिन्दी।", "ไทย", "١٢٣٫٤", "½", "№", "©",
       "\U0001d518", "\U0001faf9", "\u1b4e", "\ue000", "¿", "«x»", "…", "—", "a.b", "x.,y", "=", "|", "_", "{", "\\"]


def words(text):
    return [w for path in sorted(text) for line in path.read_text().split("\n") for cell in line.split("\t")
            for w in cell.split()]


WORDS = words(HERE.glob("??.tsv")) + words([HERE / "zh_CN.tsv"])


class Case:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.ours, self.theirs, self.files = [], [], {}
        self.stdin = None
        self.texts()
        self.options()

    def chance(self, n=2):
        return self.r.randrange(n) == 0

    def both(self, *given):
        self.ours += given
        self.theirs += given

    def segment(self, n):
        r = self.r
        few = r.sample(WORDS, 12)
        odd = 0 if r.random() < .5 else r.random() * .4
        parts = [r.choice(ODD) if r.random() < odd else r.choice(few if r.random() < .8 else WORDS)
                 for _ in range(r.randrange(n + 1))]
        return (" " if self.chance(3) else "").join(parts) if self.chance(8) else " ".join(parts)

    def varied(self, segment):
        """As a system may say it."""
        r, parts = self.r, segment.split(" ")
        for _ in range(r.randrange(5)):
            i, j = r.randrange(len(parts) + 1), r.randrange(len(parts) + 1)
            i, j = min(i, j), max(i, j)
            kind = r.randrange(6)
            if kind == 0:
                parts[i:j] = []
            elif kind == 1:
                moved = parts[i:j]
                del parts[i:j]
                k = r.randrange(len(parts) + 1)
                parts[k:k] = moved
            elif kind == 2:
                parts.insert(i, r.choice(WORDS + ODD))
            elif kind == 3 and i < len(parts):
                parts[i] = r.choice(WORDS)
            elif kind == 4:
                parts = [p.upper() if self.chance() else p.lower() for p in parts]
            elif kind == 5:
                parts = " ".join(parts).replace(".", " .").split(" ")
        return " ".join(parts)

    def write(self, name, segments):
        end = self.r.choice(["\n", "\n", "\n", "\r\n"])
        text = end.join(segments) + (end if self.chance(3) or not segments[-1] else "")
        if self.chance(6):
            text = "\ufeff" + text
        self.files[name] = text

    def texts(self):
        r = self.r
        count = r.choice([1, 2, 3, 5, 8])
        n = r.choice([3, 8, 15, 40])
        plain = lambda s: s.replace("\t", " ").replace("\n", " ")
        first = [plain(self.segment(n)) for _ in range(count)]
        references = [first] + [[plain(self.varied(s) if self.chance() else self.segment(n)) for s in first]
                                for _ in range(r.choice([0, 0, 0, 1, 2]))]
        self.systems = r.choice([1, 1, 1, 2, 3])
        outputs = [[plain(self.varied(r.choice(references)[i])) for i in range(count)] for _ in range(self.systems)]
        self.tabs = len(references) > 1 and self.chance(3)
        if self.tabs:  # the last reference's end is the line's
            self.write("refs", ["\t".join(row) + "x" for row in zip(*references)])
            self.ours += ["-r", "refs", "--num-refs", str(len(references))]
            self.theirs += ["refs", "--num-refs", str(len(references))]
        else:
            for i, reference in enumerate(references):
                self.write("ref%d" % i, reference)
                self.ours += ["-r", "ref%d" % i]
                self.theirs += ["ref%d" % i]
        if self.chance(4):
            lines = ["\t".join(o[i].strip() for o in outputs[:-1]) + "\t" * (self.systems > 1) + outputs[-1][i].strip() + "x"
                     for i in range(count)]
            self.stdin = "\n".join(lines) + "\n" * self.r.randrange(2)
            self.stdin = self.stdin.replace("\r", "")
            self.named = []
        else:
            self.named = ["sys_%d.txt" % i for i in range(self.systems)]
            for name, output in zip(self.named, outputs):
                self.write(name, output)

    def options(self):
        r = self.r
        metrics = [m for m in ("bleu", "chrf", "ter") if self.chance()] or ["bleu"]
        sentence = self.systems == 1 and self.chance(5)
        if sentence:
            metrics = metrics[:1]
            self.both("--sentence-level")
        self.ours += ["-m", ",".join(metrics)]
        self.theirs += ["-m"] + metrics
        if self.chance():
            given = r.choice(["none", "13a", "intl", "char", "zh"])
            self.ours += ["--tokenize", given]
            self.theirs += ["-tok", given]
        if self.chance():
            given = r.choice(["none", "floor", "add-k", "exp"])
            self.ours += ["--smooth", given]
            self.theirs += ["-s", given]
            if given in ("floor", "add-k") and self.chance():
                self.both("--smooth-value", r.choice(["0", "0.01", "0.5", "1", "3"]))
        for flag in ("--lowercase", "--force", "--chrf-whitespace", "--chrf-lowercase", "--chrf-eps-smoothing",
                     "--ter-case-sensitive", "--ter-asian-support", "--ter-no-punct", "--ter-normalized", "--short"):
            if self.chance(4):
                self.both(flag)
        for flag, values in (("--chrf-char-order", "13568"), ("--chrf-word-order", "0123"), ("--chrf-beta", "123")):
            if self.chance(3):
                self.both(flag, r.choice(values))
        if self.chance():
            self.both("-w", str(r.randrange(8)))
        trials = str(r.choice([1, 2, 10, 50, 100]))
        confidence = False
        if self.systems == 1 and not sentence and self.chance(4):
            confidence = True
            self.both("--confidence", "--confidence-n", trials)
        elif self.systems > 1 and self.chance():
            kind = r.choice(["bs", "ar"])
            self.both("--paired-" + kind, "--paired-%s-n" % kind, trials)
        # Of several intervals sacreBLEU's -b loses a line where a score of 0 has none.
        if self.chance(5) and not (confidence and len(metrics) > 1):
            self.ours += ["--quiet"]
            self.theirs += ["-b"]
        formats = ["text", "json", "latex"] if self.systems > 1 else ["text"] if sentence else ["text", "json"]
        self.both("--format", r.choice(formats))
        self.theirs += ["--no-color"]
        if self.named:
            self.ours += self.named
            self.theirs += ["-i"] + self.named

    def run(self, folder):
        for name, text in self.files.items():
            (folder / name).write_bytes(text.encode())
        if self.stdin is not None:
            (folder / "stdin").write_bytes(self.stdin.encode())
        stdin = open(folder / "stdin" if self.stdin is not None else os.devnull, "rb")
        ours = subprocess.run([DRAGOMAN, "eval"] + self.ours, cwd=folder, stdin=stdin, capture_output=True)
        stdin.seek(0)
        child = os.fork()
        if not child:
            os.chdir(folder)
            out = os.open("theirs", os.O_WRONLY | os.O_CREAT)
            os.dup2(stdin.fileno(), 0)
            os.dup2(out, 1)
            os.dup2(os.open("theirs.errors", os.O_WRONLY | os.O_CREAT), 2)
            sys.argv = ["sacrebleu"] + self.theirs
            status = 70
            try:
                sacrebleu_main()
                status = 0
            except SystemExit as e:
                status = e.code or 0
            except Exception:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        return ours, (folder / "theirs").read_bytes(), status


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    end, cases, failed = time.time() + seconds, 0, 0
    while time.time() < end and failed < 5:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="eval-fuzz-"))
        case = Case(seed)
        ours, theirs, status = case.run(folder)
        cases += 1
        refused = b"the reference is empty" in ours.stderr  # sacreBLEU scores it
        if not refused and (ours.stdout, ours.returncode != 0) != (theirs, status != 0):
            failed += 1
            (folder / "ours").write_bytes(ours.stdout)
            print("case %d in %s\n  dragoman eval %s\n  sacrebleu %s\n  %s\n  %s" % (
                seed, folder, shlex.join(case.ours), shlex.join(case.theirs), ours.stderr.decode().strip(),
                (folder / "theirs.errors").read_text().strip().split("\n")[-1]))
        else:
            shutil.rmtree(folder)
        seed += 1
    print("%d cases, %d differ" % (cases, failed))
    return failed > 0


sys.exit(main())
