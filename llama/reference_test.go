package llama

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/token"
)

// maxError is how far the engine may be from llama.cpp in float32 arithmetic,
// as relative root mean square. Both add some hundred products an output, in
// different order.
const maxError = 1e-5

// A reference is what llama.cpp computed from a model: see
// testdata/README.md.
type reference struct {
	model string // path of the GGUF file
	base  string // path of the values, without extension

	Prompt string
	Tokens []int32
	Greedy []int32
}

// The references in this repository: one model in float32 and one of every
// family of quantised formats.
func TestReference(t *testing.T) {
	for _, name := range []string{"llama-tied-ropescaled-mqa-f32", "quant-q4_0.exact", "quant-q2_k.exact", "quant-q4_k_m.exact", "quant-iq4_xs.exact"} {
		t.Run(name, func(t *testing.T) {
			model, _, _ := strings.Cut(name, ".")
			checkReference(t, reference{
				model: filepath.Join("..", "testdata", "models", model+".gguf"),
				base:  filepath.Join("..", "testdata", "reference", name),
			})
		})
	}
}

// All references, those too large for the repository and those of models that
// may not be copied included.
func TestSharedReferences(t *testing.T) {
	shared(t, "reference")
	for _, c := range []struct{ pattern, models string }{
		{"stories260K-*", "stories260K-f32"},
		{"quant-*.exact", ""},
		{"quant-base-f32.llamacpp", ""}, // float32 weights: nothing is rounded to 8 bits
		{"*-f32", ""},                   // one model of every architecture and form
		{"*-f32-long", ""},
	} {
		found, err := filepath.Glob(shared(t, "reference") + "/" + c.pattern + ".json")
		require.NoError(t, err)
		require.NotEmpty(t, found, c.pattern)
		if c.pattern == "*-f32" {
			require.Len(t, found, 12, "as many as the material has; each was compared once")
		}
		for _, path := range found {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			model := c.models
			if model == "" {
				model, _, _ = strings.Cut(name, ".")
				model = "zoo/" + strings.TrimSuffix(model, "-long")
			}
			t.Run(name, func(t *testing.T) {
				if testing.Short() && (strings.HasSuffix(name, "-long") || strings.HasPrefix(name, "quant-")) {
					t.Skip("long, or of a family that TestReference has")
				}
				checkReference(t, reference{
					model: shared(t, "models", model+".gguf"),
					base:  strings.TrimSuffix(path, ".json"),
				})
			})
		}
	}
}

func checkReference(t *testing.T, ref reference) {
	b, err := os.ReadFile(ref.base + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &ref))
	m := open(t, ref.model)
	c := m.Config()

	tokens := m.Tokenizer().Encode(ref.Prompt, token.EncodeOptions{})
	require.Equal(t, ref.Tokens, token.IDs(tokens), "tokens of the prompt")

	r := runner(t, m, RunnerOptions{Threads: 2})
	s := r.NewSequence()
	final := Site{Point: FinalNorm}
	rec := record(append(allBlocks(m, ResidPost), final)...)
	require.NoError(t, r.Forward(t.Context(), &Pass{
		Spans: []Span{{Seq: s, Tokens: tokens, Logits: AllLogits}},
		Hooks: []*Hook{&rec.Hook},
	}))

	n := len(tokens)
	worst := 0.0
	compare := func(what string, want, got []float32) {
		e := relative(t, want, got)
		require.Less(t, e, maxError, what)
		worst = max(worst, e)
	}
	var logits []float32
	for i := range n {
		logits = append(logits, r.LogitsAt(0, i)...)
	}
	compare("logits", readNPY(t, ref.base+".logits.npy", n, c.Vocabulary), logits)
	resid := readNPY(t, ref.base+".resid_post.npy", c.Blocks, n, c.Width)
	for b, want := range slices.Collect(slices.Chunk(resid, n*c.Width)) {
		site := Site{ResidPost, b}
		compare(site.String(), want, rec.at(s, site, n))
	}
	if path := ref.base + ".final_norm.npy"; exists(path) {
		compare("final_norm", readNPY(t, path, n, c.Width), rec.at(s, final, n))
	}
	t.Logf("largest relative error %.1e", worst)

	if len(ref.Greedy) > 0 {
		s.Close()
		var got []int32
		for step, err := range r.Generate(t.Context(), s, GenerateOptions{Prompt: tokens, MaxTokens: len(ref.Greedy), IgnoreEnd: true}) {
			require.NoError(t, err)
			got = append(got, step.ID)
		}
		require.Equal(t, ref.Greedy, got, "greedy continuation")
	}
}

// eightBits is how far llama.cpp, with its activations in blocks of 8 bits, is
// from float32 arithmetic on the quantised models of the test material, as
// relative root mean square over all positions and blocks; and how many
// activations share a scale there.
var eightBits = map[string]struct {
	block         int
	logits, resid float64
}{
	"q8_0":   {32, 0.0155, 0.0128},
	"q4_0":   {32, 0.0160, 0.0132},
	"q4_1":   {32, 0.0154, 0.0126},
	"q5_0":   {32, 0.0152, 0.0123},
	"q5_1":   {32, 0.0156, 0.0128},
	"iq4_nl": {32, 0.0151, 0.0122},
	"q2_k":   {256, 0.0226, 0.0185},
	"q3_k_m": {256, 0.0199, 0.0162},
	"q4_k_s": {256, 0.0211, 0.0175},
	"q4_k_m": {256, 0.0211, 0.0175},
	"q5_k_m": {256, 0.0214, 0.0175},
	"q6_k":   {256, 0.0207, 0.0169},
	"iq4_xs": {256, 0.0214, 0.0176},
	// Float weights meet float activations.
	"f16":  {0, maxError, maxError},
	"bf16": {0, maxError, maxError},
}

// Fast is at most as far from float32 arithmetic as another engine's 8 bits are, and Probe is within what it promises, in every block.
func TestPrecisions(t *testing.T) {
	for _, name := range []string{"q4_0", "q2_k", "q4_k_m", "iq4_xs"} {
		t.Run(name, func(t *testing.T) {
			checkPrecisions(t, filepath.Join("..", "testdata", "models"), filepath.Join("..", "testdata", "reference"), name)
		})
	}
}

func TestSharedPrecisions(t *testing.T) {
	models, references := shared(t, "models", "zoo"), shared(t, "reference")
	if testing.Short() {
		t.Skip("long, or of a family that TestPrecisions has")
	}
	sum, n := 0.0, 0.0
	for name, limit := range eightBits {
		t.Run(name, func(t *testing.T) {
			if e := checkPrecisions(t, models, references, name); limit.block == 32 {
				sum, n = sum+e/limit.resid, n+1
			}
		})
	}
	t.Logf("formats with the same blocks of activations: %.3f of the error", sum/n)
	require.Less(t, sum/n, 0.95, "formats with the same blocks of activations")
}

// checkPrecisions gives the relative error of the residual stream in Fast.
func checkPrecisions(t *testing.T, models, references, name string) (fast float64) {
	base := filepath.Join(references, "quant-"+name+".exact")
	var ref reference
	b, err := os.ReadFile(base + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &ref))
	m := open(t, filepath.Join(models, "quant-"+name+".gguf"))
	c := m.Config()
	tokens := m.Tokenizer().Encode(ref.Prompt, token.EncodeOptions{})
	n := len(tokens)
	wantLogits := readNPY(t, base+".logits.npy", n, c.Vocabulary)
	wantResid := readNPY(t, base+".resid_post.npy", c.Blocks, n, c.Width)
	for _, precision := range []Precision{Probe, Fast} {
		r := runner(t, m, RunnerOptions{Threads: 1, Precision: precision})
		s, rec := r.NewSequence(), record(allBlocks(m, ResidPost)...)
		require.NoError(t, r.Forward(t.Context(), &Pass{
			Spans: []Span{{Seq: s, Tokens: tokens, Logits: AllLogits}},
			Hooks: []*Hook{&rec.Hook},
		}))
		var logits, resid []float32
		for i := range n {
			logits = append(logits, r.LogitsAt(0, i)...)
		}
		worst := 0.0 // of the blocks
		for b := range c.Blocks {
			got := rec.at(s, Site{ResidPost, b}, n)
			resid = append(resid, got...)
			worst = max(worst, relative(t, wantResid[b*n*c.Width:][:n*c.Width], got))
		}
		residError, logitsError := relative(t, wantResid, resid), relative(t, wantLogits, logits)
		t.Logf("%v: residual stream %.5f, worst block %.5f, logits %.5f", precision, residError, worst, logitsError)
		limit := eightBits[name]
		switch {
		case precision == Probe:
			require.Less(t, worst, 0.0002, "a tenth of the promise")
		default:
			require.Less(t, residError, limit.resid, "residual stream")
			require.Less(t, logitsError, limit.logits, "logits")
		}
		if limit.block > 0 { // activations were rounded at all
			require.Greater(t, residError, maxError)
		}
		fast = residError
	}
	return fast
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var npyShape = regexp.MustCompile(`'descr': '<f4', 'fortran_order': False, 'shape': \(([^)]*)\)`)

// readNPY reads an array of float32 of the given shape from a NumPy file.
func readNPY(t testing.TB, path string, shape ...int) []float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x93NUMPY\x01\x00", string(b[:8]), path)
	body := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	dims := npyShape.FindSubmatch(b[:body])
	require.NotNil(t, dims, "%s: header %q", path, b[10:body])
	var want []string
	size := 1
	for _, d := range shape {
		want = append(want, strconv.Itoa(d))
		size *= d
	}
	require.Equal(t, strings.Join(want, ", "), strings.TrimRight(string(dims[1]), ", "), "shape of %s", path)
	b = b[body:]
	require.Len(t, b, 4*size, path)
	x := make([]float32, size)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}
