package hf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// A shard is one file of weights.
type shard struct {
	path string
	file *safetensors.File
}

// mapWeights opens the weights: one file, or those that the index names.
func (f *folder) mapWeights() error {
	if _, err := os.Stat(f.path(weightsFile)); err == nil {
		return f.mapShard(weightsFile)
	}
	text, err := f.read(indexFile, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hf: %s: there is neither %s nor %s; weights in other formats are not read: %w", f.dir, weightsFile, indexFile, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	names, byShard, err := parseIndex(f.path(indexFile), text)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := f.mapShard(name); err != nil {
			return err
		}
		s := f.shards[len(f.shards)-1]
		want := byShard[name]
		for _, have := range s.file.Names() {
			if !want[have] {
				return fmt.Errorf("hf: %s: tensor %.99q is there, but not in %s", s.path, have, indexFile)
			}
		}
		for _, tensor := range slices.Sorted(maps.Keys(want)) {
			if _, err := s.file.Info(tensor); err != nil {
				return fmt.Errorf("hf: %s: tensor %.99q is missing, which %s promises", s.path, tensor, indexFile)
			}
		}
	}
	return nil
}

func (f *folder) mapShard(name string) error {
	file, err := safetensors.Map(f.path(name))
	if err != nil {
		return fmt.Errorf("hf: %w", err)
	}
	f.files = append(f.files, name)
	f.shards = append(f.shards, &shard{f.path(name), file})
	return nil
}

// parseIndex reads which tensors lie in which files. Names of files must be
// plain: an index must not reach outside its folder.
func parseIndex(file string, text []byte) (names []string, byShard map[string]map[string]bool, err error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, nil, fmt.Errorf("hf: %s: %w", file, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, nil, fmt.Errorf("hf: %s: there is no %q", file, "weight_map")
	}
	byShard = map[string]map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		shard := index.WeightMap[name]
		if !filepath.IsLocal(shard) || strings.ContainsAny(shard, `/\:`) || !strings.HasSuffix(shard, ".safetensors") {
			return nil, nil, fmt.Errorf("hf: %s: tensor %.99q is said to be in %.99q, which is not the name of a .safetensors file in this folder", file, name, shard)
		}
		if byShard[shard] == nil {
			byShard[shard] = map[string]bool{}
		}
		byShard[shard][name] = true
	}
	return slices.Sorted(maps.Keys(byShard)), byShard, nil
}

// Names of tensors within a block, without .weight or .bias, and what they are
// called in GGUF files.
var (
	attentionNames = map[string]string{
		"input_layernorm":    "attn_norm",
		"self_attn.q_proj":   "attn_q",
		"self_attn.k_proj":   "attn_k",
		"self_attn.v_proj":   "attn_v",
		"self_attn.qkv_proj": "attn_qkv",
		"self_attn.o_proj":   "attn_output",
		"self_attn.q_norm":   "attn_q_norm",
		"self_attn.k_norm":   "attn_k_norm",
	}
	denseNames = map[string]string{
		"mlp.gate_proj":    "ffn_gate",
		"mlp.up_proj":      "ffn_up",
		"mlp.gate_up_proj": "ffn_up", // one below the other, in both
		"mlp.down_proj":    "ffn_down",
	}
	preNorm = map[string]string{"post_attention_layernorm": "ffn_norm"}
	// Norms before and after each half.
	sandwich = map[string]string{
		"post_attention_layernorm":   "post_attention_norm",
		"pre_feedforward_layernorm":  "ffn_norm",
		"post_feedforward_layernorm": "post_ffw_norm",
	}

	llamaNames   = union(attentionNames, denseNames, preNorm)
	gemmaNames   = union(attentionNames, denseNames, sandwich)
	olmoNames    = union(attentionNames, denseNames, sandwich)
	mixtralNames = union(attentionNames, preNorm, map[string]string{
		"block_sparse_moe.gate":       "ffn_gate_inp",
		"block_sparse_moe.experts.w1": "ffn_gate_exps",
		"block_sparse_moe.experts.w2": "ffn_down_exps",
		"block_sparse_moe.experts.w3": "ffn_up_exps",
	})
	qwenMoENames = union(attentionNames, preNorm, map[string]string{
		"mlp.gate":              "ffn_gate_inp",
		"mlp.experts.gate_proj": "ffn_gate_exps",
		"mlp.experts.up_proj":   "ffn_up_exps",
		"mlp.experts.down_proj": "ffn_down_exps",
	})
)

func union(all ...map[string]string) map[string]string {
	u := map[string]string{}
	for _, m := range all {
		maps.Copy(u, m)
	}
	return u
}

// A weight is a tensor under its GGUF name, on its way there.
type weight struct {
	name  string
	order [2]int          // block, -1 for what comes before all and blocks for what comes after, and place in it
	parts map[int]*stored // by expert; one, of expert 0, for others
	stack bool            // experts
}

// stored is a tensor as a shard has it.
type stored struct {
	name  string
	shard *shard
	info  safetensors.Info
}

func (s *stored) fail(format string, args ...any) error {
	return fmt.Errorf("hf: %s: tensor %.99q: %w", s.shard.path, s.name, fmt.Errorf(format, args...))
}

// gather sorts the tensors of all shards by what they are called in GGUF files.
func (fam *family) gather(c *config, shards []*shard) ([]*weight, error) {
	weights := map[string]*weight{}
	tied := c.outer.truth("tie_word_embeddings", fam.tied)
	if *c.err != nil {
		return nil, *c.err
	}
	for _, sh := range shards {
		for _, name := range sh.file.Names() {
			info, err := sh.file.Info(name)
			if err != nil {
				return nil, fmt.Errorf("hf: %s: %w", sh.path, err)
			}
			s := &stored{name, sh, info}
			to, order, expert, err := fam.rename(c, s)
			if err != nil {
				return nil, err
			}
			if to == "" || to == "output.weight" && tied {
				continue
			}
			w := weights[to]
			if w == nil {
				w = &weight{name: to, order: order, parts: map[int]*stored{}, stack: strings.HasSuffix(to, "_exps.weight")}
				weights[to] = w
			}
			if other := w.parts[expert]; other != nil {
				return nil, s.fail("the same as %.99q in %s", other.name, other.shard.path)
			}
			w.parts[expert] = s
		}
	}
	if weights["token_embd.weight"] == nil {
		return nil, fmt.Errorf("hf: %s: tensor %q is missing", filepath.Dir(c.file), "model.embed_tokens.weight")
	}
	if weights["output.weight"] == nil && !tied {
		return nil, fmt.Errorf("hf: %s: tensor %q is missing, and %s does not tie it to the embedding", filepath.Dir(c.file), "lm_head.weight", configFile)
	}
	return slices.SortedFunc(maps.Values(weights), func(a, b *weight) int {
		return cmp.Or(cmp.Compare(a.order[0], b.order[0]), cmp.Compare(a.order[1], b.order[1]), cmp.Compare(a.name, b.name))
	}), nil
}

// within is the order of tensors in a block of the files in circulation.
var within = []string{
	"attn_norm", "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_q_norm", "attn_k_norm", "attn_output", "post_attention_norm",
	"ffn_norm", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate", "ffn_up", "ffn_down", "post_ffw_norm",
}

// rename gives the GGUF name of a tensor, its place in the file, and which
// expert it is of. The name is "" for a tensor that a language model does not
// need.
func (fam *family) rename(c *config, s *stored) (name string, order [2]int, expert int, err error) {
	from := s.name
	unknown := func() (string, [2]int, int, error) {
		return "", order, 0, s.fail("a tensor that models of this kind do not have: running without it is %w", ErrUnsupported)
	}
	if c.wrapped {
		for _, prefix := range []string{"vision_tower.", "multi_modal_projector."} {
			if strings.HasPrefix(strings.TrimPrefix(from, "model."), prefix) {
				return "", order, 0, nil
			}
		}
		for _, prefix := range []string{"language_model.model.", "model.language_model."} {
			if rest, ok := strings.CutPrefix(from, prefix); ok {
				from = "model." + rest
			}
		}
		from = strings.TrimPrefix(from, "language_model.")
	}
	switch from {
	case "model.embed_tokens.weight":
		return "token_embd.weight", [2]int{-1, 0}, 0, nil
	case "model.norm.weight":
		return "output_norm.weight", [2]int{c.blocks, 0}, 0, nil
	case "lm_head.weight":
		return "output.weight", [2]int{c.blocks, 1}, 0, nil
	}
	rest, ok := strings.CutPrefix(from, "model.layers.")
	number, rest, ok2 := strings.Cut(rest, ".")
	block, isNumber := small(number, maxBlocks)
	if !ok || !ok2 || !isNumber {
		return unknown()
	}
	if block >= c.blocks {
		return "", order, 0, s.fail("block %d of a model of %d blocks", block, c.blocks)
	}
	if rest == "self_attn.rotary_emb.inv_freq" { // which follows from config.json
		return "", order, 0, nil
	}
	stem, suffix := rest, ""
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		stem, suffix = rest[:i], rest[i:]
	}
	if before, after, ok := strings.Cut(stem, ".experts."); ok {
		number, of, _ := strings.Cut(after, ".")
		if expert, ok = small(number, maxExperts); !ok {
			return unknown()
		}
		stem = before + ".experts." + of
	}
	to, ok := fam.names[stem]
	if !ok || suffix != ".weight" && suffix != ".bias" {
		return unknown()
	}
	return fmt.Sprintf("blk.%d.%s%s", block, to, suffix), [2]int{block, slices.Index(within, to)}, expert, nil
}

// small reads a number below a limit, as names of tensors write it.
func small(s string, limit int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < limit && strconv.Itoa(n) == s
}

// types are the types of elements that weights may have.
var types = map[safetensors.DType]tensor.Type{safetensors.F32: tensor.F32, safetensors.F16: tensor.F16, safetensors.BF16: tensor.BF16}

// tensors makes the tensors of the File of the weights, and tells the rows of
// the embedding.
func (c *config) tensors(fam *family, weights []*weight) (tensors []gguf.SourceTensor, rows int, err error) {
	for _, w := range weights {
		t, err := c.tensor(fam, w)
		if err != nil {
			return nil, 0, err
		}
		tensors = append(tensors, t)
		if w.name == "token_embd.weight" {
			if len(t.Dims) != 2 {
				return nil, 0, w.parts[0].fail("shape %v is not that of a matrix", w.parts[0].info.Shape)
			}
			rows = t.Dims[1]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.ropeFactors)) {
		data := make([]byte, 4*len(c.ropeFactors[name]))
		if err := tensor.Quantize(data, tensor.F32, c.ropeFactors[name]); err != nil {
			return nil, 0, fmt.Errorf("hf: %s: %s: %w", c.file, name, err)
		}
		tensors = append(tensors, gguf.SourceTensor{
			Name: name, Type: tensor.F32, Dims: []int{len(c.ropeFactors[name])},
			Read: func(from, to int) ([]byte, error) { return data[:len(data)*(to-from)], nil },
		})
	}
	return tensors, rows, nil
}

// tensor makes one tensor.
func (c *config) tensor(fam *family, w *weight) (t gguf.SourceTensor, err error) {
	s := w.parts[0]
	if s == nil {
		for _, other := range w.parts {
			return t, other.fail("there is no expert 0 beside it")
		}
	}
	typ, ok := types[s.info.DType]
	if !ok {
		return t, s.fail("elements of type %.20s are %w: only F32, F16 and BF16 are", s.info.DType, ErrUnsupported)
	}
	shape := s.info.Shape
	if len(shape) < 1 || len(shape) > 2 || slices.Min(shape) < 1 {
		return t, s.fail("shape %v is not that of a matrix or a vector", shape)
	}
	head := 0 // rows of queries and keys that are taken in another order
	if fam.interleaved && (strings.Contains(w.name, ".attn_q.") || strings.Contains(w.name, ".attn_k.")) {
		head = c.headDim
		if head < 2 || head%2 != 0 || shape[0]%head != 0 {
			return t, s.fail("%d rows are no heads of an even size %d", shape[0], head)
		}
	}
	if len(shape) == 1 {
		return c.vector(fam, w, s, typ, head)
	}
	r := &rows{typ: typ, cols: shape[1], each: shape[0], head: head}
	if r.bytes, err = typ.RowBytes(shape[1]); err != nil {
		return t, s.fail("%w", err)
	}
	t = gguf.SourceTensor{Name: w.name, Type: typ, Dims: []int{shape[1], shape[0]}, Read: r.read, Release: r.release}
	for i := range len(w.parts) {
		part := w.parts[i]
		if part == nil {
			return t, s.fail("there are %d experts, but none with number %d", len(w.parts), i)
		}
		if part.info.DType != s.info.DType || !slices.Equal(part.info.Shape, shape) {
			return t, part.fail("type %.20s and shape %v, but %.99q has type %.20s and shape %v",
				part.info.DType, part.info.Shape, s.name, s.info.DType, shape)
		}
		r.parts = append(r.parts, part)
	}
	if w.stack {
		t.Dims = append(t.Dims, len(r.parts))
	}
	return t, nil
}

// vector makes a tensor of one dimension, which GGUF files have in float32.
func (c *config) vector(fam *family, w *weight, s *stored, typ tensor.Type, head int) (t gguf.SourceTensor, err error) {
	if w.stack {
		return t, s.fail("shape %v is not that of a matrix", s.info.Shape)
	}
	n := s.info.Shape[0]
	plus := float32(0)
	if fam.normPlusOne && strings.HasSuffix(w.name, "norm.weight") {
		plus = 1
	}
	read := func(from, to int) ([]byte, error) {
		if from == to {
			return nil, nil
		}
		stored, err := s.shard.file.Bytes(s.name)
		if err != nil || typ == tensor.F32 && plus == 0 && head == 0 {
			return stored, err
		}
		x, y := make([]float32, n), make([]float32, n)
		if err := tensor.Dequantize(x, typ, stored); err != nil {
			return nil, err
		}
		for i := range y {
			y[i] = x[permuted(i, head)] + plus
		}
		b := make([]byte, 4*n)
		return b, tensor.Quantize(b, tensor.F32, y)
	}
	return gguf.SourceTensor{
		Name: w.name, Type: tensor.F32, Dims: []int{n}, Read: read,
		Release: func() { s.shard.file.Release(s.name) },
	}, nil
}

// permuted tells which row of a folder becomes row r of a GGUF file whose heads
// turn neighbouring rows together: 0, d/2, 1, d/2+1, … for heads of size d.
// A size of 0 means that the order is the same.
func permuted(r, head int) int {
	if head == 0 {
		return r
	}
	i := r % head
	return r - i + i/2 + i%2*(head/2)
}

// rows reads rows of matrices that lie one below the other.
type rows struct {
	typ               tensor.Type
	parts             []*stored
	cols, each, bytes int // of a row; each is the number of rows of a part
	head              int
}

// read gives a view where the rows lie together as they are wanted.
func (r *rows) read(from, to int) ([]byte, error) {
	if from == to {
		return nil, nil
	}
	if first := from / r.each; r.head == 0 && first == (to-1)/r.each {
		data, err := r.part(first)
		if err != nil {
			return nil, err
		}
		from, to = (from-first*r.each)*r.bytes, (to-first*r.each)*r.bytes
		return data[from:to:to], nil
	}
	if from == 0 && to == len(r.parts)*r.each {
		defer r.release() // the copy is what will be read
	}
	out := make([]byte, 0, (to-from)*r.bytes)
	for from < to {
		i := from / r.each
		data, err := r.part(i)
		if err != nil {
			return nil, err
		}
		end := min(to, (i+1)*r.each)
		if r.head == 0 {
			out = append(out, data[(from-i*r.each)*r.bytes:(end-i*r.each)*r.bytes]...)
			from = end
			continue
		}
		for ; from < end; from++ {
			at := permuted(from-i*r.each, r.head) * r.bytes
			out = append(out, data[at:at+r.bytes]...)
		}
	}
	return out, nil
}

func (r *rows) part(i int) ([]byte, error) { return r.parts[i].shard.file.Bytes(r.parts[i].name) }

func (r *rows) release() {
	for _, p := range r.parts {
		p.shard.file.Release(p.name)
	}
}
