#!/usr/bin/env python3
"""Makes tests/import/base/NAME/: tiny random checkpoints with the tokenizer files of their
families, and in ids.tsv what the tokenizers of transformers make of each sentence of
tests/import/sentences.tsv: code of the source language, of the target, ids of the sentence
as a source, ids of it as a target with the decoder's first token in front.

SMaLL-100 and MADLAD-400 have no class of their own: their ids are put together from
those of M2M-100 and of sentencepiece.

Needs: pip install torch transformers sentencepiece
"""
import io
import json
import pathlib
import shutil
import unicodedata

import sentencepiece
import torch
import transformers as hf

tests = pathlib.Path(__file__).resolve().parent.parent
out = tests / "import" / "base"
torch.set_num_threads(1)
torch.manual_seed(11)

lines = [l for l in (tests / "tokenizer" / "sentences.txt").read_text("utf8").splitlines()
         if l.strip()]
sentences = [line.split("\t")[1] for line in
             (tests / "import" / "sentences.tsv").read_text("utf8").splitlines()]
lines += 4 * sentences  # so that the rarest characters are those of others


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, character_coverage=0.98,
        num_threads=1, minloglevel=2, **{"normalization_rule_name": "identity"} | options)
    return model.getvalue()


fairseq_bpe = train(model_type="bpe", vocab_size=1200, unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
fairseq = train(vocab_size=1200, unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
normalizing = train(vocab_size=1200, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
                    normalization_rule_name="nmt_nfkc")  # 200 KB of rules
madlad = train(vocab_size=1200, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
               user_defined_symbols=["<2en>", "<2gl>", "<2zh_Hant>"])


def folder(name):
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).mkdir(parents=True)
    return out / name


def finish(name, model, rows):
    path = out / name
    model.save_pretrained(path, safe_serialization=True)
    (path / "generation_config.json").unlink(missing_ok=True)
    (path / "ids.tsv").write_text("".join(
        "\t".join([s, t, " ".join(map(str, a)), " ".join(map(str, b))]) + "\n"
        for s, t, a, b in rows), "utf8")
    for file in path.iterdir():
        file.chmod(0o644)


def bart(vocab, **more):
    return dict(vocab_size=vocab, d_model=4, encoder_layers=1, decoder_layers=1,
                encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=4,
                decoder_ffn_dim=4, max_position_embeddings=128, **more)


def tagged(tokenizer, languages):
    for n, text in enumerate(sentences):
        (s, theirs_s), (t, theirs_t) = languages[n % 2], languages[1 - n % 2]
        tokenizer.src_lang, tokenizer.tgt_lang = theirs_s, theirs_t
        found = tokenizer(text, text_target=text)
        yield s, t, found["input_ids"], [2] + found["labels"]


path = folder("m2m100")
(path / "spm.model").write_bytes(fairseq)
sp = sentencepiece.SentencePieceProcessor(model_proto=fairseq)
pieces = [sp.id_to_piece(i) for i in range(3, len(sp))]
order = ["<s>", "<pad>", "</s>", "<unk>"] + pieces[::-1]  # not as sentencepiece has them
(path / "words.json").write_text(json.dumps({p: i for i, p in enumerate(order)}))
tokenizer = hf.M2M100Tokenizer(str(path / "words.json"), str(path / "spm.model"))
(path / "words.json").unlink()
tokenizer.save_pretrained(path)
(path / "spm.model").unlink()
(path / "sentencepiece.bpe.model").write_bytes(fairseq)
vocab = len(order) + 100 + 8
model = hf.M2M100ForConditionalGeneration(hf.M2M100Config(**bart(vocab)))
rows = list(tagged(tokenizer, [("en", "en"), ("gl", "gl")]))
finish("m2m100", model, rows)

small = folder("small100")
for file in "sentencepiece.bpe.model", "vocab.json", "special_tokens_map.json":
    shutil.copy(path / file, small)
(small / "tokenizer_config.json").write_text('{"tokenizer_class": "SMALL100Tokenizer"}\n')
finish("small100", model, [(s, t, [b[1]] + a[1:], [2] + b[2:]) for s, t, a, b in rows])

for name, legacy, pieces in ("nllb", False, fairseq), ("nllb_legacy", True, normalizing):
    path = folder(name)
    (path / "spm.model").write_bytes(pieces)
    tokenizer = hf.NllbTokenizer(str(path / "spm.model"), legacy_behaviour=legacy)
    tokenizer.save_pretrained(path)
    (path / "spm.model").unlink()
    (path / "sentencepiece.bpe.model").write_bytes(pieces)
    model = hf.M2M100ForConditionalGeneration(hf.M2M100Config(**bart(len(sp) + 206)))
    rows = []
    for s, t, a, b in tagged(tokenizer, [("zh-Hant", "zho_Hant"), ("gl", "glg_Latn")]):
        if legacy:  # the tag is generated first, whatever training did
            b = [2, b[-1]] + b[1:-1]
        rows.append((s, t, a, b))
    finish(name, model, rows)

path = folder("mbart")
(path / "spm.model").write_bytes(fairseq)
tokenizer = hf.MBart50Tokenizer(str(path / "spm.model"), src_lang="en_XX", tgt_lang="gl_ES")
tokenizer.save_pretrained(path)
(path / "spm.model").unlink()
(path / "sentencepiece.bpe.model").write_bytes(fairseq)
model = hf.MBartForConditionalGeneration(
    hf.MBartConfig(tokenizer_class="MBart50Tokenizer", **bart(len(sp) + 54)))
with torch.no_grad():  # what it writes depends on what it reads
    for x in model.parameters():
        if x.dim() == 2:
            x *= 60
for i in range(4, len(sp) + 1):  # it never writes but in Latin
    if any(unicodedata.category(c)[0] in "LM" and "LATIN" not in unicodedata.name(c)
           for c in sp.id_to_piece(i - 1)):
        model.final_logits_bias[0, i] = -40
model.final_logits_bias[0, len(sp) + 1:] = -40  # nor tags
finish("mbart", model, tagged(tokenizer, [("en", "en_XX"), ("gl", "gl_ES")]))

fast = folder("mbart_fast")
tokenizer = hf.MBart50TokenizerFast(str(path / "sentencepiece.bpe.model"))
(fast / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), "utf8")
finish("mbart_fast", model, tagged(tokenizer, [("en", "en_XX"), ("gl", "gl_ES")]))

path = folder("madlad")
(path / "spiece.model").write_bytes(madlad)
sp = sentencepiece.SentencePieceProcessor(model_proto=madlad)
model = hf.T5ForConditionalGeneration(hf.T5Config(
    vocab_size=len(sp) + 8, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=1, pad_token_id=1,
    eos_token_id=2, decoder_start_token_id=0, feed_forward_proj="gated-gelu",
    tie_word_embeddings=False))
rows = []
for text in sentences:
    ids = sp.encode(text)
    rows.append(("en", "zh-Hant", [sp.piece_to_id("<2zh_Hant>")] + ids + [2], [0] + ids + [2]))
finish("madlad", model, rows)

# From tokenizer.json alone, which comes from a BPE model here and from a unigram one above.
path = folder("nllb_fast")
(path / "spm.model").write_bytes(fairseq_bpe)
sp = sentencepiece.SentencePieceProcessor(model_proto=fairseq_bpe)
tokenizer = hf.NllbTokenizerFast(str(path / "spm.model"), legacy_behaviour=False)
(path / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), "utf8")
(path / "spm.model").unlink()
model = hf.M2M100ForConditionalGeneration(hf.M2M100Config(**bart(len(sp) + 206)))
finish("nllb_fast", model, tagged(tokenizer, [("zh-Hant", "zho_Hant"), ("gl", "glg_Latn")]))

# The same of a T5 with rules of normalisation.
path = folder("t5_fast")
(path / "rules").write_text("A0\t20\nC9\t45\n2019\t27\n2014\t2D\nE9\t65\n1F600\t\n")
with_rules = train(vocab_size=1200, unk_id=2, bos_id=-1, eos_id=1, pad_id=0,
                   normalization_rule_name="", normalization_rule_tsv=str(path / "rules"),
                   user_defined_symbols=["<2en>", "<2gl>"])
(path / "rules").unlink()
(path / "spm.model").write_bytes(with_rules)
tokenizer = hf.T5TokenizerFast(str(path / "spm.model"), extra_ids=4)
(path / "spm.model").unlink()
(path / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), "utf8")
model = hf.T5ForConditionalGeneration(hf.T5Config(
    vocab_size=len(tokenizer) + 4, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=1))
rows = []
for text in sentences:
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    rows.append(("en", "gl", [tokenizer.convert_tokens_to_ids("<2gl>")] + ids + [1],
                 [0] + ids + [1]))
finish("t5_fast", model, rows)

# A T5 that is told in words what to do, as its pipeline tells it.
path = folder("t5_prefix")
(path / "spiece.model").write_bytes(train(vocab_size=1200, unk_id=2, bos_id=-1, eos_id=1, pad_id=0))
tokenizer = hf.T5Tokenizer(str(path / "spiece.model"), extra_ids=0)
model = hf.T5ForConditionalGeneration(hf.T5Config(
    vocab_size=len(tokenizer), d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=1,
    decoder_start_token_id=0, task_specific_params={
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_gl": {"prefix": "translate English to Galician: "},
        "translation_en_to_es": {"prefix": "translate English to Spanish: "}}))
model.generation_config.max_length = 1000
task = hf.pipeline("translation_en_to_gl", model=model, tokenizer=tokenizer)
rows = [("en", "gl", task.preprocess(text)["input_ids"][0].tolist(),
         [0] + tokenizer(text)["input_ids"]) for text in sentences]
model.config.prefix = None  # which the pipeline has set
finish("t5_prefix", model, rows)
