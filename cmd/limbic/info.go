package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// An infoResult describes a model file. Numbers are null where the file does
// not state them.
type infoResult struct {
	Path          string            `json:"path"`
	FileBytes     int64             `json:"file_bytes"`
	SHA256        string            `json:"sha256"`
	Name          string            `json:"name"`
	Architecture  string            `json:"architecture"`
	Runnable      bool              `json:"runnable"`
	Reason        string            `json:"reason,omitempty"` // why it is not
	Parameters    int               `json:"parameters"`
	Blocks        *uint64           `json:"blocks"`
	Width         *uint64           `json:"width"`
	Heads         *uint64           `json:"heads"`
	KVHeads       *uint64           `json:"kv_heads"`
	HeadDim       *uint64           `json:"head_dim"`
	FeedForward   *uint64           `json:"feed_forward"`
	Vocabulary    *uint64           `json:"vocabulary"`
	ContextLength *uint64           `json:"context_length"`
	Quantisation  string            `json:"quantisation"`
	Tensors       map[string]string `json:"tensors"` // kind of tensor: its storage format
	Tokenizer     *tokenizerInfo    `json:"tokenizer"`
	ChatTemplate  bool              `json:"chat_template"`
	DefaultSite   *siteNote         `json:"default_site"`
	Memory        memoryInfo        `json:"memory"`
	Provenance    provenance        `json:"provenance"`
}

type tokenizerInfo struct {
	Model           string `json:"model"`
	Pre             string `json:"pre,omitempty"`
	Size            int    `json:"size"`
	AddsBOS         bool   `json:"adds_bos"`
	AddsEOS         bool   `json:"adds_eos"` // as the file says; limbic's commands never add it
	AddsSpacePrefix bool   `json:"adds_space_prefix"`
	BOS             *int32 `json:"bos"`
	EOS             *int32 `json:"eos"`
	Lossless        bool   `json:"lossless"` // any bytes can be spelled
	SHA256          string `json:"sha256"`
}

type memoryInfo struct {
	Weights    int64  `json:"weights_bytes"`
	KVPerToken *int64 `json:"kv_bytes_per_token"`
	KVContext  *int64 `json:"kv_bytes_full_context"`
}

func newInfo(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "info MODEL",
		Short: "Show what a model file holds",
		Long: `Show architecture, sizes, storage formats, tokenizer and memory need of a model
file, and whether limbic can run it. Files of other architectures, and files
that hold only a vocabulary, are described as far as they state anything.`,
		Example: examples(
			"limbic info MODEL",
			"limbic info MODEL --json",
		),
		Args: oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			r, kinds := describe(f)
			tok, err := token.FromGGUF(f)
			if err == nil {
				r.Tokenizer = describeTokenizer(tok)
			} else if r.Runnable {
				r.Runnable, r.Reason = false, reason(f, err)
			}
			if r.Provenance, err = fileProvenance(cmd.Context(), f, tok); err != nil {
				return err
			}
			r.SHA256 = r.Provenance.ModelSHA256
			if a.json {
				return a.writeJSON(r)
			}
			return a.printInfo(r, kinds)
		},
	}
}

// describe gives all about a file but its tokenizer and hash.
func describe(f *gguf.File) (*infoResult, []kind) {
	q := quantisationOf(f)
	r := &infoResult{
		Path: f.Path, FileBytes: f.Size(), Quantisation: q.label, Parameters: q.elements, Tensors: map[string]string{},
	}
	for _, k := range q.kinds {
		r.Tensors[k.name] = k.formats()
	}
	r.Memory.Weights = q.bytes
	r.Name, _ = f.StringOr("general.name", "")
	r.Architecture, _ = f.StringOr("general.architecture", "")
	_, r.ChatTemplate = f.Get("tokenizer.chat_template")

	c, err := llama.ConfigOf(f)
	if err == nil {
		for at, n := range map[**uint64]int{
			&r.Blocks: c.Blocks, &r.Width: c.Width, &r.Heads: c.Heads, &r.KVHeads: c.KVHeads, &r.HeadDim: c.HeadDim,
			&r.FeedForward: c.FeedForward, &r.ContextLength: c.Context,
		} {
			v := uint64(n)
			*at = &v
		}
	} else {
		// As far as the file's own words go.
		for at, key := range map[**uint64]string{
			&r.Blocks: "block_count", &r.Width: "embedding_length", &r.Heads: "attention.head_count",
			&r.KVHeads: "attention.head_count_kv", &r.HeadDim: "attention.key_length",
			&r.FeedForward: "feed_forward_length", &r.ContextLength: "context_length",
		} {
			if v, err := f.Uint(r.Architecture + "." + key); err == nil {
				*at = &v
			}
		}
		if r.HeadDim == nil && r.Heads != nil && r.Width != nil && *r.Heads > 0 && *r.Width%*r.Heads == 0 {
			v := *r.Width / *r.Heads
			r.HeadDim = &v
		}
		if r.KVHeads == nil && r.Heads != nil {
			if _, ok := f.Get(r.Architecture + ".attention.head_count_kv"); !ok {
				r.KVHeads = r.Heads
			}
		}
	}
	if t, ok := f.Tensor("token_embd.weight"); ok {
		v := uint64(t.Rows())
		r.Vocabulary = &v
	} else if tokens, err := f.Strings("tokenizer.ggml.tokens"); err == nil {
		v := uint64(len(tokens))
		r.Vocabulary = &v
	}
	if err == nil {
		kv := 2 * 4 * int64(c.Blocks) * int64(c.KVHeads) * int64(c.HeadDim) // keys and values in float32
		full := kv * int64(c.Context)
		r.Memory.KVPerToken, r.Memory.KVContext = &kv, &full
		s := llama.DefaultSite(c.Blocks)
		r.DefaultSite = &siteNote{s.String(), s.Describe(c.Blocks)}
	}
	r.Runnable, r.Reason = runnable(f)
	return r, q.kinds
}

// runnable tells whether a model could be made of a file.
func runnable(f *gguf.File) (bool, string) {
	if len(f.Tensors()) == 0 {
		return false, "the file holds only a vocabulary"
	}
	if err := llama.Check(f); err != nil {
		return false, reason(f, err)
	}
	return true, ""
}

// reason is an error without the path, which is stated beside it.
func reason(f *gguf.File, err error) string {
	s := err.Error()
	for _, prefix := range []string{"llama: ", "gguf: ", "token: ", f.Path + ": "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

func describeTokenizer(t *token.Tokenizer) *tokenizerInfo {
	i := &tokenizerInfo{
		Model: t.Model(), Pre: t.Pre(), Size: t.Size(), AddsBOS: t.AddsBOS(), AddsEOS: t.AddsEOS(),
		AddsSpacePrefix: t.AddsSpacePrefix(), Lossless: t.Lossless(), SHA256: t.Hash(),
	}
	if id, ok := t.BOS(); ok {
		i.BOS = &id
	}
	if id, ok := t.EOS(); ok {
		i.EOS = &id
	}
	return i
}

// quantisation says how the weights of a file are stored.
type quantisation struct {
	label    string // one format, or the one of most weights with " (mixed)"
	elements int    // of all tensors
	bytes    int64
	kinds    []kind // in file order
}

// A kind is all tensors that differ only in their block, such as attn_q.
type kind struct {
	name     string
	count    int
	elements int
	bytes    int64
	types    []tensor.Type // in order of appearance
	perType  map[tensor.Type]int
}

// formats names the kind's storage formats, with counts where there are
// several, as quantisers give some blocks better ones.
func (k kind) formats() string {
	if len(k.types) == 1 {
		return k.types[0].String()
	}
	var parts []string
	for _, t := range k.types {
		parts = append(parts, fmt.Sprintf("%v (%d)", t, k.perType[t]))
	}
	return strings.Join(parts, ", ")
}

func quantisationOf(f *gguf.File) quantisation {
	var q quantisation
	index := map[string]int{}
	weights := map[tensor.Type]int{} // elements of matrices
	var order []tensor.Type
	for _, t := range f.Tensors() {
		name := kindOf(t.Name)
		i, ok := index[name]
		if !ok {
			i = len(q.kinds)
			index[name] = i
			q.kinds = append(q.kinds, kind{name: name, perType: map[tensor.Type]int{}})
		}
		k := &q.kinds[i]
		k.count++
		k.elements += t.Elements()
		k.bytes += int64(t.Size())
		if k.perType[t.Type]++; k.perType[t.Type] == 1 {
			k.types = append(k.types, t.Type)
		}
		q.elements += t.Elements()
		q.bytes += int64(t.Size())
		if t.Rows() > 1 { // norms and biases are float32 in every file
			if _, ok := weights[t.Type]; !ok {
				order = append(order, t.Type)
			}
			weights[t.Type] += t.Elements()
		}
	}
	if len(order) == 0 {
		q.label = "none"
		return q
	}
	most := order[0]
	for _, t := range order {
		if weights[t] > weights[most] {
			most = t
		}
	}
	q.label = most.String()
	if len(order) > 1 {
		q.label += " (mixed)"
	}
	return q
}

// kindOf is a tensor's name without its block, its expert and ".weight":
// "blk.3.attn_q.weight" is of the kind attn_q, "blk.3.ffn_up.7.weight" of
// ffn_up.
func kindOf(name string) string {
	if rest, ok := strings.CutPrefix(name, "blk."); ok {
		if block, kind, ok := strings.Cut(rest, "."); ok {
			if _, err := strconv.Atoi(block); err == nil {
				name = strings.TrimSuffix(kind, ".weight")
				if stem, expert, ok := strings.Cut(name, "."); ok {
					if _, err := strconv.Atoi(expert); err == nil {
						name = stem
					}
				}
			}
		}
	}
	return strings.TrimSuffix(name, ".weight")
}

func (a *app) printInfo(r *infoResult, kinds []kind) error {
	number := func(n *uint64) string {
		if n == nil {
			return "not stated"
		}
		return grouped(*n)
	}
	t := table{head: []string{"", ""}}
	t.add("file", fmt.Sprintf("%s (%s)", r.Path, byteSize(r.FileBytes)))
	t.add("sha256", r.SHA256)
	if r.Name != "" {
		t.add("name", oneLine(r.Name))
	}
	t.add("architecture", oneLine(r.Architecture))
	if r.Runnable {
		t.add("runnable", "yes")
	} else {
		t.add("runnable", "no: "+oneLine(r.Reason))
	}
	t.add("parameters", grouped(r.Parameters))
	t.add("blocks", number(r.Blocks))
	t.add("width", number(r.Width))
	t.add("heads", fmt.Sprintf("%s of size %s, %s for keys and values", number(r.Heads), number(r.HeadDim), number(r.KVHeads)))
	t.add("feed-forward", number(r.FeedForward))
	t.add("vocabulary", number(r.Vocabulary))
	t.add("context", number(r.ContextLength))
	t.add("quantisation", r.Quantisation)
	if k := r.Tokenizer; k != nil {
		adds := "adds BOS"
		if !k.AddsBOS {
			adds = "adds no BOS"
		}
		t.add("tokenizer", fmt.Sprintf("%s, %s tokens, %s", strings.TrimSpace(k.Model+" "+k.Pre), grouped(k.Size), adds))
	} else {
		t.add("tokenizer", "none that can be used")
	}
	t.add("chat template", map[bool]string{true: "yes", false: "none"}[r.ChatTemplate])
	if r.DefaultSite != nil {
		t.add("default site", fmt.Sprintf("%s, %s", r.DefaultSite.Site, r.DefaultSite.Description))
	}
	if r.Memory.KVPerToken != nil {
		t.add("memory", fmt.Sprintf("weights %s; keys and values %s a token, %s for the whole context",
			byteSize(r.Memory.Weights), byteSize(*r.Memory.KVPerToken), byteSize(*r.Memory.KVContext)))
	} else {
		t.add("memory", "weights "+byteSize(r.Memory.Weights))
	}
	if err := a.print(&t); err != nil {
		return err
	}
	if len(kinds) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	t = table{head: []string{"tensor", "count", "format", "size"}, right: []bool{false, true, false, true}}
	for _, k := range kinds {
		t.add(strconv.Quote(k.name)[1:len(strconv.Quote(k.name))-1], strconv.Itoa(k.count), k.formats(), byteSize(k.bytes))
	}
	return a.print(&t)
}
