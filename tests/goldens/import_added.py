#!/usr/bin/env python3
"""Makes tests/import/added/NAME/: tiny random checkpoints to whose tokenizers words were added
beside the sentencepiece model, and in added.tsv what transformers makes of texts with them: the
text, its ids without the specials around it, and what these are decoded into.

Needs: pip install torch transformers==4.40.2 sentencepiece protobuf
"""
import io
import json
import pathlib
import shutil

import sentencepiece
import torch
import transformers as hf
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

tests = pathlib.Path(__file__).resolve().parent.parent
out = tests / "import" / "added"
shutil.rmtree(out, ignore_errors=True)
torch.manual_seed(12)

latin = [line.split("\t")[1] for line in
         (tests / "import" / "sentences.tsv").read_text("utf8").splitlines()
         if line.split("\t")[0] in ("en", "es", "gl", "pt")]
letters = ["abc def ghi jkl mno pqr stu vwx yz", "ABC DEF GHI JKL MNO PQR STU VWX YZ",
           ". , : ; ! ? ' ( ) < > - ñ é ú"]


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(latin + 20 * letters), model_writer=model, vocab_size=210, hard_vocab_limit=False,
        num_threads=1, minloglevel=2, **{"normalization_rule_name": "identity"} | options)
    return model.getvalue()


rules = tests / "rules.tsv"
rules.write_text("A0\t20\nFF21\t41\n6E 303\tF1\n75 301\tFA\n2019\t27\n")
composing = {"normalization_rule_name": "", "normalization_rule_tsv": str(rules)}
fairseq = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
t5 = {"unk_id": 2, "bos_id": -1, "eos_id": 1, "pad_id": 0}
plain, bpe = train(**fairseq), train(model_type="bpe", **fairseq, **composing)
unigram, normal = train(**t5), train(**t5, **composing, user_defined_symbols=["<br>"])
rules.unlink()

# "on" is a piece already, "'s" loses a space before it, "A" has a form that is normalised.
words = ["<tok>", "<tok>en", "ñandú", "New York", "on", "'s", "A", "中"]
texts = [
    "<tok> the file", "the <tok> file", "the file <tok>", "<tok>", " <tok>", "<tok> ", "the<tok>file",
    "the<tok> file", "the <tok>file", "<tok><tok>", "<tok> <tok>", "the  <tok>  <tok>  file",
    "the <tok>.", "the <tok> .", "the (<tok>), <tok>! <tok>? <tok>: <tok>;", "<tok>en<tok>e<tok>",
    "<to<tok>k>", "the ñandú, un ñandú.", "n\u0303andu\u0301 e ñandús", "in New York, New Yorks, New  York",
    "content on iron", "on on", "the file's name", "<tok>'s <tok> 's", "\uff21 file, A\u00a0file",
    "中 file中", "file\u00a0<tok>\u00a0file", "a <formal> file", "<formal>a file <formal>", "<formal> <tok> file",
    "x<formal>y<tok>z", "<tok> n't <tok> ve", "no words", "", " ", "<br>the <br> file<br>"]


def folder(name):
    (out / name).mkdir(parents=True)
    return out / name


def finish(path, tokenizer, model, keep):
    assert model.config.vocab_size >= len(tokenizer)
    tokenizer.save_pretrained(path)
    model.save_pretrained(path, safe_serialization=True)
    for file in path.iterdir():
        if file.name in keep + ["config.json", "model.safetensors"]:
            file.chmod(0o644)
        else:
            file.unlink()
    tokenizer = type(tokenizer).from_pretrained(path)  # as these files alone tell it
    rows = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        rows.append("\t".join([text, " ".join(map(str, ids)), decoded]) + "\n")
    (path / "added.tsv").write_text("".join(rows), "utf8")


def add(tokenizer):
    tokenizer.add_tokens(words)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<formal>"]}, replace_additional_special_tokens=False)


def bart(vocab, **more):
    return dict(vocab_size=vocab, d_model=4, encoder_layers=1, decoder_layers=1,
                encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=4,
                decoder_ffn_dim=4, max_position_embeddings=16, **more)


def t5_model(vocab):
    return hf.T5ForConditionalGeneration(hf.T5Config(
        vocab_size=vocab, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=1))


def load(cls, path, model, file="sentencepiece.bpe.model", **options):
    (path / file).write_bytes(model)
    return cls(str(path / file), **options)


path = folder("m2m100")
sp = sentencepiece.SentencePieceProcessor(model_proto=plain)
order = ["<s>", "<pad>", "</s>", "<unk>"] + [sp.id_to_piece(i) for i in range(3, len(sp))]
(path / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(order)}))
(path / "sentencepiece.bpe.model").write_bytes(plain)
languages = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
tokenizer = hf.M2M100Tokenizer(str(path / "vocab.json"), str(path / "sentencepiece.bpe.model"),
                               additional_special_tokens=languages)
add(tokenizer)
finish(path, tokenizer, hf.M2M100ForConditionalGeneration(hf.M2M100Config(**bart(len(tokenizer)))),
       ["vocab.json", "sentencepiece.bpe.model", "added_tokens.json", "special_tokens_map.json"])

for cls, name in (hf.NllbTokenizer, "nllb"), (hf.NllbTokenizerFast, "nllb_fast"):
    path = folder(name)
    tokenizer = load(cls, path, bpe, additional_special_tokens=["eng_Latn", "glg_Latn"])
    add(tokenizer)
    finish(path, tokenizer,
           hf.M2M100ForConditionalGeneration(hf.M2M100Config(**bart(len(tokenizer) + 2))),
           ["sentencepiece.bpe.model", "tokenizer_config.json", "tokenizer.json"])

path = folder("mbart")
tokenizer = load(hf.MBart50Tokenizer, path, plain, src_lang="en_XX", tgt_lang="gl_ES",
                 clean_up_tokenization_spaces=False)
add(tokenizer)
finish(path, tokenizer, hf.MBartForConditionalGeneration(
    hf.MBartConfig(tokenizer_class="MBart50Tokenizer", **bart(len(tokenizer)))),
    ["sentencepiece.bpe.model", "tokenizer_config.json"])

for cls, name, model, legacy in ((hf.T5Tokenizer, "t5_legacy", unigram, True),
                                 (hf.T5Tokenizer, "t5", normal, False),
                                 (hf.T5TokenizerFast, "t5_fast", normal, False)):
    path = folder(name)
    tokenizer = load(cls, path, model, "spiece.model", extra_ids=4, legacy=legacy)
    add(tokenizer)
    finish(path, tokenizer, t5_model(len(tokenizer) + 4),
           ["spiece.model", "tokenizer.json", "tokenizer_config.json"])
(path / "spiece.model").unlink()  # its class makes all anew from it
