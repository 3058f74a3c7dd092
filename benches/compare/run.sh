#!/usr/bin/env bash
# Compares tier0 with llama.cpp on this machine: installs llama-cpp-python, built for this processor,
# into target/compare, builds tier0, and runs compare.py on the given GGUF files, or on those of the
# models that tier0 has fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/compare
if ! "$venv/bin/python" -c 'import llama_cpp' 2>/dev/null; then
    python3 -m venv "$venv"
    CMAKE_ARGS="-DGGML_NATIVE=ON" "$venv/bin/pip" install --quiet --no-binary llama-cpp-python \
        llama-cpp-python==0.3.36 numpy
fi
cargo build --release --locked --bin tier0

threads=${TIER0_THREADS:-$(nproc)}
models=("$@")
if [ ${#models[@]} -eq 0 ]; then
    for id in qwen2.5-coder-1.5b-instruct qwen2.5-coder-0.5b-instruct smollm2-135m-instruct; do
        target/release/tier0 models pull "$id"
        models+=("${TIER0_MODELS:-${XDG_DATA_HOME:-$HOME/.local/share}/tier0/models}/$id/"*.gguf)
    done
fi
TIER0_THREADS=$threads "$venv/bin/python" benches/compare/compare.py --threads "$threads" "${models[@]}"
