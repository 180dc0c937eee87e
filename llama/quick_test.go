package llama

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/token"
)

func TestQuick(t *testing.T) {
	for _, name := range strings.Fields(os.Getenv("Q")) {
		base, _, _ := strings.Cut(name, ".")
		file := "zoo/" + strings.TrimSuffix(base, "-long")
		if strings.HasPrefix(name, "stories") { file = "stories260K-f32" }
		m, err := Open(filepath.Join("../../shared/models", file+".gguf"))
		require.NoError(t, err)
		r, err := m.NewRunner(RunnerOptions{Threads: 2})
		require.NoError(t, err)
		var ref struct{ Prompt string; Tokens, Greedy []int32 }
		b, err := os.ReadFile("../../shared/reference/" + name + ".json")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &ref))
		var toks []token.Token
		for _, id := range ref.Tokens { toks = append(toks, token.Token{ID: id}) }
		L := m.Config().Blocks
		got := make([][]float32, L)
		h := &Hook{Name: "cap", Func: func(v *View) error {
			for i := range v.Rows { got[v.Site.Block] = append(got[v.Site.Block], v.At(i)...) }
			return nil
		}}
		for b := range L { h.Sites = append(h.Sites, Site{ResidPost, b}) }
		s := r.NewSequence()
		require.NoError(t, r.Forward(context.Background(), &Pass{Spans: []Span{{Seq: s, Tokens: toks, Logits: AllLogits}}, Hooks: []*Hook{h}}))
		raw, _ := os.ReadFile("../../shared/reference/" + name + ".logits.npy")
		lg := floats(raw)
		var mine []float32
		for i := range toks { mine = append(mine, r.LogitsAt(0, i)...) }
		raw, _ = os.ReadFile("../../shared/reference/" + name + ".resid_post.npy")
		rs := floats(raw)
		fmt.Println(name, "logits", rms(lg, mine))
		n := len(rs) / L
		for b := range L { fmt.Println("   block", b, rms(rs[b*n:(b+1)*n], got[b])) }
		// greedy
		if len(ref.Greedy) > 0 {
			var out []int32
			last := r.LogitsAt(0, len(toks)-1)
			for range ref.Greedy {
				best := 0
				for i, v := range last { if v > last[best] { best = i } }
				out = append(out, int32(best))
				require.NoError(t, r.Forward(context.Background(), &Pass{Spans: []Span{{Seq: s, Tokens: []token.Token{{ID: int32(best)}}, Logits: LastLogits}}, Recompute: true}))
				last = r.Logits(0)
			}
			require.Equal(t, ref.Greedy, out)
		}
		r.Close()
		m.Close()
	}
}
func floats(b []byte) []float32 {
	h := int(binary.LittleEndian.Uint16(b[8:]))
	b = b[10+h:]
	x := make([]float32, len(b)/4)
	for i := range x { x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	return x
}
func rms(a, b []float32) float64 {
	var d, n float64
	for i := range a { e := float64(a[i]) - float64(b[i]); d += e*e; n += float64(a[i])*float64(a[i]) }
	if len(a) != len(b) { return math.NaN() }
	return math.Sqrt(d/n)
}
