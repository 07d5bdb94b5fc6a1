#!/usr/bin/env bash
# Times precis against its Python peers (Hugging Face transformers + peft; the authors' code with --official DIR) on the
# same model, in one session. The peers use a separate virtual environment in build/peers; their scripts (peer_speed.py
# and its helpers) are not part of this project.
#   scripts/bench_vs_peers.sh FOLDER_OF_PEER_SCRIPTS [options of scripts/bench_vs_peers.py]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 1 ] && [ -f "$1/peer_speed.py" ] || { say "usage: scripts/bench_vs_peers.sh FOLDER_WITH_peer_speed.py [options]"; exit 2; }
peers="$(cd "$1" && pwd)"
shift
gguf=SmolLM2-135M-Instruct.Q4_1.gguf
python="$ROOT/build/peers/bin/python"

[ -x build/release/bin/precis ] || build_release
scripts/fetch_smollm2.sh
if [ ! -x "$python" ]; then
  say "Creating the peers' virtual environment, build/peers"
  python3 -m venv build/peers
  "$python" -m pip install --quiet torch==2.13.0
  "$python" -m pip install --quiet torch==2.13.0 transformers==4.57.3 peft==0.17.1 safetensors tokenizers gguf numpy loguru
fi
if [ ! -f build/peers/smollm2/tokenizer_right.json ]; then
  say "Converting the model for the peers, build/peers/smollm2"
  "$python" -c "
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained('models', gguf_file='$gguf').save_pretrained('build/peers/smollm2')"
  "$python" "$peers/smollm2_tokenizer.py" --gguf "models/$gguf" --out build/peers/smollm2/tokenizer_right.json >/dev/null
fi
mkdir -p runs/bench
say "Measuring; keep the machine otherwise idle"
.venv/bin/python scripts/bench_vs_peers.py --peer-python "$python" --peer-script "$peers/peer_speed.py" \
  --peer-model build/peers/smollm2 --model "models/$gguf" "$@"
