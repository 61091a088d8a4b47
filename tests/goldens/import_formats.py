#!/usr/bin/env python3
"""Makes tests/import/formats/NAME: tiny random checkpoints of OPUS-MT and Marian, with what
their own programs make of them.

marian*/         MarianMTModel and MarianTokenizer, with expected.safetensors as in
                 shared/checkpoints.py. Its tokenizer sets up a normalisation of punctuation
                 that it never calls (transformers 4.40): there is none here either
  ids.tsv        as in import_base.py
  search.tsv     beam, length penalty, score, source ids, ids that generate() finds
npz*/            the same models, and one that normalises first, written the way Marian
                 writes them, at Marian's own positions and epsilon, which are not those of
                 transformers

Needs: pip install torch transformers==4.40 sentencepiece safetensors pyyaml
"""
import io
import json
import pathlib
import shutil

import numpy
import sentencepiece
import torch
import transformers as hf
import yaml
from shared.checkpoints import exactly, expect, randomize

tests = pathlib.Path(__file__).resolve().parent.parent
out = tests / "import" / "formats"
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

lines = [l for l in (tests / "tokenizer" / "sentences.txt").read_text("utf8").splitlines()
         if l.strip()]
sentences = [line.split("\t")[1] for line in
             (tests / "import" / "sentences.tsv").read_text("utf8").splitlines()]
lines = lines[::8] + 2 * sentences


def train(texts, size, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, num_threads=1,
        minloglevel=2, character_coverage=0.98,
        normalization_rule_name="identity", **options)
    return model.getvalue()


def folder(name):
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).mkdir(parents=True)
    return out / name


def pieces(model):
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [sp.id_to_piece(i) for i in range(len(sp)) if not sp.is_control(i) and not sp.is_unknown(i)]


def readable(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


LONGEST = 24  # tokens of a translation


def search(model, banned, sources, beam, penalty):
    found = model.generate(
        sources, num_beams=beam, length_penalty=penalty, max_length=LONGEST + 1, do_sample=False,
        early_stopping=False, forced_eos_token_id=None, bad_words_ids=[[i] for i in banned],
        output_scores=True, return_dict_in_generate=True)
    eos = model.config.eos_token_id
    for i, ids in enumerate(found.sequences[:, 1:].tolist()):
        ended = eos in ids
        ids = ids[: ids.index(eos)] if ended else ids
        score = found.sequences_scores[i].item() if beam > 1 else 0
        if len(ids) >= 2 and len(set(ids)) > 1 and (ended or beam == 1):
            yield f"{score:.6f}", sources[i].tolist(), ids


def let_it_end(model, banned, vocab, generator):
    """A bias of </s> at which sentences have an end, but not at once."""
    twin = exactly(model).float()
    torch.set_default_dtype(torch.float32)  # generate() mixes types otherwise
    sources = torch.randint(vocab, (96, 6), generator=generator)
    found = {}
    for bias in range(24):
        twin.final_logits_bias[0, twin.config.eos_token_id] = bias / 2
        found[bias / 2] = min(len(list(search(twin, banned, sources, beam, 1.0))) for beam in (1, 4))
    model.final_logits_bias[0, model.config.eos_token_id] = max(found, key=found.get)
    torch.set_default_dtype(torch.float64)


def translate(path, model, banned, vocab, generator):
    """search.tsv"""
    draw = lambda n, most: torch.randint(most, (n,), generator=generator)
    rows = []
    torch.set_default_dtype(torch.float32)  # generate() mixes types otherwise
    model = model.float()
    for beam, penalty in (1, 1.0), (4, 1.0), (4, 0.6):
        sources = torch.stack([draw(6, vocab) for _ in range(400)])
        kept = [[beam, penalty, score, *(" ".join(map(str, x)) for x in pair)]
                for score, *pair in search(model, banned, sources, beam, penalty)]
        rows += kept[:4]
    assert len(rows) >= 6 and sum(r[0] == 4 for r in rows) >= 2, (path, len(rows))
    (path / "search.tsv").write_text("".join("\t".join(map(str, r)) + "\n" for r in rows))
    torch.set_default_dtype(torch.float64)


# --- Marian ------------------------------------------------------------------------------------

# Each side sees some of the text: its characters are unknown to the other, not to vocab.json.
source_spm = train(lines[::2], 780)
target_spm = train(lines[1::2], 760)
bpe_spm = train(lines[::2], 800, model_type="bpe")


def marian_config(vocab, d, heads, layers, ffn, activation, **more):
    return hf.MarianConfig(
        vocab_size=vocab, d_model=d, encoder_layers=layers[0], decoder_layers=layers[1],
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn, activation_function=activation, max_position_embeddings=128,
        pad_token_id=vocab - 1, eos_token_id=0, forced_eos_token_id=0, **more)


def marian(name, source, target, config, languages, tags=(), two=False, half=False, safe=True):
    path = folder(name)
    (path / "source.spm").write_bytes(source)
    (path / "target.spm").write_bytes(target)
    first, second = pieces(source), pieces(target)
    if two:
        lists = [["</s>", "<unk>", *first[::-1][3:]], ["</s>", "<unk>", *second[::-1][2:]]]
        for tokens in lists:  # one id of <pad> for both
            tokens += [f"filler{i}" for i in range(max(map(len, lists)) - len(tokens))]
    else:  # some pieces have no id: they are unknown
        joint = list(dict.fromkeys(first[:-20] + second[5:]))
        lists = [["</s>", "<unk>", *tags, *joint[::-1]]]
    names = ["vocab.json", "target_vocab.json"][: len(lists)]
    for file, tokens in zip(names, lists):
        (path / file).write_text(json.dumps({t: i for i, t in enumerate([*tokens, "<pad>"])},
                                            ensure_ascii=False), "utf8")
    tokenizer = hf.MarianTokenizer(
        str(path / "source.spm"), str(path / "target.spm"), str(path / "vocab.json"),
        target_vocab_file=str(path / "target_vocab.json") if two else None, separate_vocabs=two,
        source_lang=languages[0], target_lang=languages[1])
    tokenizer.save_pretrained(path)
    vocab = len(lists[0]) + 1
    model = hf.MarianMTModel(config(vocab, decoder_start_token_id=vocab - 1,
                                    share_encoder_decoder_embeddings=not two))
    generator = randomize(model, name + "d")  # with which sentences end
    with torch.no_grad():  # as Marian's converter leaves them
        for x in {id(x): x for x in [model.model.encoder.embed_tokens.weight,
                                     model.model.decoder.embed_tokens.weight]}.values():
            x[vocab - 1] = 0
        model.final_logits_bias[0, vocab - 1] = 0
    let_it_end(model, [1, vocab - 1], vocab - 1, generator)
    model = model.to(torch.float16 if half else torch.float32)
    model.save_pretrained(path, safe_serialization=safe)
    (path / "generation_config.json").unlink(missing_ok=True)
    rows = []
    for n, text in enumerate(sentences):
        tag = tags[n % len(tags)] if tags else ""
        found = tokenizer(tag + text, text_target=text)
        rows.append([languages[0], tag.strip("><") or languages[1],
                     *(" ".join(map(str, x)) for x in (found["input_ids"], [vocab - 1] + found["labels"]))])
    (path / "ids.tsv").write_text("".join("\t".join(r) + "\n" for r in rows), "utf8")
    draw = lambda n, target: torch.randint(2, vocab - 1, (n,), generator=generator)
    expect(path, exactly(model), draw, generator)
    translate(path, exactly(model), [1, vocab - 1], vocab - 1, generator)
    readable(path)
    return model, lists


bilingual = marian(
    "marian", source_spm, target_spm,
    lambda v, **k: marian_config(v, 8, 2, (1, 2), 12, "swish", scale_embedding=True, **k),
    ["en", "gl"], half=True, safe=False)
marian("marian_tags", source_spm, target_spm,
       lambda v, **k: marian_config(v, 6, 1, (2, 1), 8, "relu", scale_embedding=True, **k),
       ["en_el_es_fi", "ROMANCE"], tags=[">>fra<<", ">>pt_BR<<", ">>cmn_Hant<<"])
two = marian("marian_two", bpe_spm, target_spm,
       lambda v, **k: marian_config(v, 6, 3, (1, 1), 10, "gelu", **k), ["mul", "gl"], two=True)


# --- Marian's own files ----------------------------------------------------------------------------

def marian_positions(rows, d):
    half = torch.arange(d // 2, dtype=torch.float64)
    angles = torch.arange(rows, dtype=torch.float64)[:, None] * 10000 ** (-half / (d // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], 1)


def npz(name, model, tied, pre, offset, vocabularies):
    """The weights as Marian names them and as it lays them out: y = x W."""
    path = folder(name)
    state = {k: x.double().numpy() for k, x in model.state_dict().items()}
    rows = lambda x: x if pre else x[:-1]  # without transformers' row of <pad>
    arrays = {}

    def linear(theirs, weight, bias):
        arrays[weight] = state[theirs + ".weight"].T
        arrays[bias] = state[theirs + ".bias"][None]

    def norm(theirs, ours, suffix):
        arrays[f"{ours}_ln_scale{suffix}"] = state[theirs + ".weight"][None]
        arrays[f"{ours}_ln_bias{suffix}"] = state[theirs + ".bias"][None]

    suffix = "_pre" if pre else ""
    for side in "encoder", "decoder":
        for i in range(getattr(model.config, side + "_layers")):
            theirs, ours = f"model.{side}.layers.{i}.", f"{side}_l{i + 1}_"
            for part, block in ("self_attn", "self"), ("encoder_attn", "context"):
                if part == "encoder_attn" and side == "encoder":
                    continue
                for x in "qkv":
                    linear(f"{theirs}{part}.{x}_proj", f"{ours}{block}_W{x}", f"{ours}{block}_b{x}")
                linear(f"{theirs}{part}.out_proj", f"{ours}{block}_Wo", f"{ours}{block}_bo")
                norm(f"{theirs}{part}_layer_norm", f"{ours}{block}_Wo", suffix)
            linear(theirs + "fc1", ours + "ffn_W1", ours + "ffn_b1")
            linear(theirs + "fc2", ours + "ffn_W2", ours + "ffn_b2")
            norm(theirs + "final_layer_norm", ours + "ffn_ffn", suffix)
        if pre:
            norm(f"model.{side}.layer_norm", side + "_top", "")
    if tied:
        arrays["Wemb"] = rows(state["model.encoder.embed_tokens.weight"])
    else:
        arrays["encoder_Wemb"] = rows(state["model.encoder.embed_tokens.weight"])
        arrays["decoder_Wemb"] = rows(state["model.decoder.embed_tokens.weight"])
    vocab = len(rows(state["model.encoder.embed_tokens.weight"]))
    bias = state.get("final_logits_bias")
    arrays["decoder_ff_logit_out_b"] = numpy.zeros((1, vocab)) if bias is None else bias[:, :vocab]
    c = model.config
    settings = {
        "type": "transformer", "dim-vocabs": [vocab, vocab], "dim-emb": c.d_model,
        "enc-depth": c.encoder_layers, "dec-depth": c.decoder_layers,
        "transformer-heads": c.encoder_attention_heads, "transformer-dim-ffn": c.encoder_ffn_dim,
        "transformer-ffn-depth": 2, "transformer-ffn-activation": c.activation_function,
        "transformer-preprocess": "n" if pre else "", "transformer-postprocess": "da" if pre else "dan",
        "transformer-postprocess-emb": "d", "transformer-postprocess-top": "n" if pre else "",
        "transformer-decoder-autoreg": "self-attention", "transformer-no-projection": False,
        "transformer-train-position-embeddings": False, "transformer-tied-layers": [],
        "tied-embeddings": True, "tied-embeddings-src": False, "tied-embeddings-all": tied,
        "version": "v1.10.0"}
    arrays = {k: numpy.ascontiguousarray(x, "float32") for k, x in arrays.items()}
    arrays["special:model.yml"] = numpy.frombuffer(yaml.safe_dump(settings).encode() + b"\0", "int8")
    numpy.savez(path / "model.npz", **arrays)
    for file, tokens in vocabularies.items():
        if isinstance(tokens, bytes):
            (path / file).write_bytes(tokens)
        else:
            (path / file).write_text(yaml.safe_dump(
                {t: i for i, t in enumerate(tokens)}, allow_unicode=True, sort_keys=False), "utf8")
    twin = exactly(model)
    with torch.no_grad():
        for side in twin.model.encoder, twin.model.decoder:
            places = side.embed_positions.weights if pre else side.embed_positions.weight
            places[offset:] = marian_positions(len(places) - offset, c.d_model)
    for module in twin.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    generator = torch.Generator().manual_seed(7)
    expect(path, twin, lambda n, target: torch.randint(2, vocab, (n,), generator=generator),
           generator, columns=1, outputs=vocab)
    readable(path)


model, lists = bilingual
npz("npz", model, True, False, 0,
    {"opus.vocab.yml": lists[0], "source.spm": source_spm, "target.spm": target_spm})
model, lists = two
# Marian knows no gelu like this one, and always scales embeddings
model.config.activation_function, model.config.scale_embedding = "relu", True
npz("npz_two", model, False, False, 0,
    {"opus.src.vocab.yml": lists[0], "opus.trg.vocab.yml": lists[1], "source.spm": bpe_spm,
     "target.spm": target_spm})
own = train(lines[::2], 780, unk_id=1, eos_id=0, bos_id=-1, pad_id=-1)
model = hf.M2M100ForConditionalGeneration(hf.M2M100Config(
    vocab_size=780, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=10, decoder_ffn_dim=10,
    activation_function="relu", max_position_embeddings=128))
randomize(model, "npz_pre")
npz("npz_pre", model, True, True, 2, {"vocab.spm": own})
sp = sentencepiece.SentencePieceProcessor(model_proto=own)
(out / "npz_pre" / "ids.tsv").write_text("".join(
    "en\tgl\t" + "\t".join(" ".join(map(str, start + sp.encode(text) + [0])) for start in ([], [780]))
    + "\n" for text in sentences))
