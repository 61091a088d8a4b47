#!/usr/bin/env python3
"""Makes tests/import/model/NAME/: tiny random checkpoints of each family as transformers
saves them (config.json with model.safetensors or pytorch_model.bin), with
expected.safetensors as in shared/checkpoints.py, and in beams.tsv what generate() finds
with four beams: the id of the end, the length penalty, the source's ids, then score and
ids of each hypothesis, the best first, and the ids that it finds greedily.

Needs: pip install torch transformers safetensors
"""
import pathlib
import shutil

import torch
import transformers as hf
from shared.checkpoints import computed, exactly, expect, steady

out = pathlib.Path(__file__).resolve().parent.parent / "import" / "model"
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
VOCAB = 31


LONGEST = 11


def beams(model, pad, generator):
    start = model.config.decoder_start_token_id
    start = model.config.eos_token_id if start is None else start
    options = dict(max_length=LONGEST + 1, pad_token_id=pad, suppress_tokens=[pad], do_sample=False,
                   decoder_start_token_id=start, forced_eos_token_id=None,
                   return_dict_in_generate=True, output_scores=True)
    lines, tried = [], 0
    while len(lines) < 4:
        penalty = (0.6, 1.0, 0.3, 1.4)[(len(lines) + tried // 100) % 4]
        source = torch.randint(4, VOCAB - 1, (1, 5), generator=generator)
        # A token that is likely on the way, so that there is an end before the limit.
        first = model.generate(source, eos_token_id=None, num_beams=1, **options).sequences[0]
        likely = [int(first[-1 - tried % min(4, len(first) - 1)]), int(source[0, 0])]
        end, tried = likely[tried // 8 % 2], tried + 1
        found = model.generate(source, num_beams=4, num_return_sequences=4, early_stopping=False,
                               length_penalty=penalty, eos_token_id=end, **options)
        if len(found.scores) == LONGEST:  # cut off: those hypotheses have no end
            continue
        fields = [str(end), str(penalty), " ".join(map(str, source[0].tolist()))]
        for ids, score in zip(found.sequences.tolist(), found.sequences_scores.tolist()):
            ids = ids[1:] + [end]
            fields.append(" ".join(["%.6f" % score] + [str(i) for i in ids[: ids.index(end)]]))
        greedy = model.generate(source, eos_token_id=end, num_beams=1, **options).sequences[0]
        ids = greedy.tolist()[1:] + [end]
        fields.append(" ".join(str(i) for i in ids[: ids.index(end)]))
        lines.append("\t".join(fields) + "\n")
    return "".join(lines)


def make(name, model, dtype=torch.float32, safe=True):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for key, x in list(model.named_parameters()) + list(model.named_buffers()):
            if computed(model, key):
                continue
            noise = torch.randn(x.shape, generator=generator)
            gain = "norm" in key and key.endswith("weight")
            x.copy_(1 + 0.3 * noise if gain else 0.4 * noise)
    model = model.to(dtype).eval()
    with steady(out / name / "pytorch_model.bin"):
        shutil.rmtree(out / name, ignore_errors=True)
        model.save_pretrained(out / name, safe_serialization=safe)
    (out / name / "generation_config.json").unlink(missing_ok=True)
    pad = model.config.pad_token_id
    ids = torch.tensor([i for i in range(VOCAB) if i != pad])
    draw = lambda n, target: ids[torch.randint(len(ids), (n,), generator=generator)]
    (out / name / "beams.tsv").write_text(beams(exactly(model), pad, generator))
    expect(out / name, exactly(model), draw, generator, ((5, 1, 9), (7, 3, 8)))
    for path in (out / name).iterdir():
        path.chmod(0o644)


def bart(d, heads, layers, ffn, activation, **more):
    return dict(vocab_size=VOCAB, d_model=d, encoder_layers=layers[0], decoder_layers=layers[1],
                encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=ffn,
                decoder_ffn_dim=ffn, activation_function=activation, max_position_embeddings=16,
                **more)


def t5(**more):
    return dict(vocab_size=VOCAB, decoder_start_token_id=0, relative_attention_num_buckets=8,
                relative_attention_max_distance=11) | more


half, bf16 = torch.float16, torch.bfloat16
make("m2m100", hf.M2M100ForConditionalGeneration(hf.M2M100Config(
    **bart(12, 2, (1, 2), 16, "relu"))))
make("m2m100_half", hf.M2M100ForConditionalGeneration(hf.M2M100Config(
    **bart(12, 3, (2, 1), 10, "gelu", scale_embedding=False, pad_token_id=3))), half, False)
make("mbart", hf.MBartForConditionalGeneration(hf.MBartConfig(
    **bart(12, 2, (1, 2), 16, "gelu"))), safe=False)
make("mbart_scaled", hf.MBartForConditionalGeneration(hf.MBartConfig(
    **bart(10, 1, (2, 1), 8, "relu", scale_embedding=True, tie_word_embeddings=False))), bf16)
make("marian", hf.MarianMTModel(hf.MarianConfig(
    **bart(12, 2, (1, 2), 16, "swish", scale_embedding=True, pad_token_id=VOCAB - 1,
           decoder_start_token_id=VOCAB - 1))), half, False)
make("marian_two", hf.MarianMTModel(hf.MarianConfig(
    **bart(10, 1, (2, 1), 8, "gelu", pad_token_id=VOCAB - 1, decoder_start_token_id=VOCAB - 1,
           share_encoder_decoder_embeddings=False))))
make("t5", hf.T5ForConditionalGeneration(hf.T5Config(
    **t5(d_model=12, d_kv=5, d_ff=16, num_layers=1, num_decoder_layers=2, num_heads=2))))
make("t5_silu", hf.T5ForConditionalGeneration(hf.T5Config(
    **t5(d_model=8, d_kv=4, d_ff=10, num_layers=2, num_heads=3, feed_forward_proj="gated-silu",
         tie_word_embeddings=False, layer_norm_epsilon=1e-3))), bf16, False)
make("mt5", hf.MT5ForConditionalGeneration(hf.MT5Config(
    **t5(d_model=12, d_kv=6, d_ff=14, num_layers=2, num_decoder_layers=1, num_heads=2))))
