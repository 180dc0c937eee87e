package experiment

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
	"github.com/limbic-go/limbic/tensor"
)

// feelingTrial is a random model with vectors at its last block: directions,
// one for each emotion.
func feelingTrial(t *testing.T, emotions []string, direction func(e int, width int, row func(id int32) []float32, m *llama.Model) []float32) (*llama.Runner, *probe.Vectors) {
	t.Helper()
	m, err := llama.Open(filepath.Join("..", "testdata", "models", "tiny-f32.gguf"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	r, err := m.NewRunner(llama.RunnerOptions{})
	require.NoError(t, err)
	t.Cleanup(r.Close)
	c := m.Config()
	sum, err := m.SHA256(t.Context())
	require.NoError(t, err)
	out, ok := m.File().Tensor("token_embd.weight")
	require.True(t, ok)
	data, err := out.Data()
	require.NoError(t, err)
	rows := make([]float32, c.Vocabulary*c.Width)
	require.NoError(t, tensor.Dequantize(rows, out.Type, data))
	v := &probe.Vectors{
		Provenance: probe.Provenance{ModelSHA256: sum, Tokenizer: m.Tokenizer().Hash(), Blocks: c.Blocks, Format: probe.FormatRaw},
		Emotions:   emotions, Width: c.Width,
	}
	var matrix []float32
	for e := range emotions {
		matrix = append(matrix, direction(e, c.Width, func(id int32) []float32 { return rows[int(id)*c.Width:][:c.Width] }, m)...)
	}
	v.Sites = []probe.SiteVectors{{
		Site:   llama.Site{Point: llama.ResidPost, Block: c.Blocks - 1},
		ByForm: map[probe.Form][]float32{probe.Denoised: matrix},
		Norm:   probe.Calibration{Mean: 10, Median: 10, P99: 10, N: 1},
	}}
	return r, v
}

// feelingTestWords begin with different tokens in the model's small vocabulary;
// some have several.
var feelingTestWords = map[string][]string{
	"calm": {"mom"}, "happy": {"happy", "glad"}, "sad": {"big", "blue"}, "angry": {"day", "hot"},
}

var feelingTestEmotions = []string{"calm", "happy", "sad", "angry"}

func feelingTestOptions() FeelingOptions {
	return FeelingOptions{
		Prompts:  []string{"He feels", "She sat down. She feels"},
		Emotions: feelingTestEmotions, Words: feelingTestWords, Random: 6, Permutations: 200,
		Strengths: []float64{-0.4, 0, 0.4},
	}
}

// pushing gives vectors along what the output makes of the emotion's words,
// minus what it makes of all.
func pushing(e, width int, row func(int32) []float32, m *llama.Model) []float32 {
	d := make([]float32, width)
	for k, name := range feelingTestEmotions {
		for _, w := range feelingTestWords[name] {
			t := probe.Encode(m, "She feels "+w).Tokens
			n := len(probe.Encode(m, "She feels").Tokens)
			share := float32(-0.05)
			if k == e {
				share = 1
			}
			for i, x := range row(t[n].ID) {
				d[i] += share * x
			}
		}
	}
	return d
}

// Vectors that push the words' own logits pass; the same ones dealt to other
// emotions do not, and neither do random ones.
func TestFeelingsFindsWhatIsPlanted(t *testing.T) {
	r, v := feelingTrial(t, feelingTestEmotions, pushing)
	done, total := 0, 0
	o := feelingTestOptions()
	o.Progress = func(d, n int) { done, total = d, n }
	got, err := Feelings(t.Context(), r, v, o)
	require.NoError(t, err)
	require.Equal(t, 4, got.Passes)
	require.Equal(t, 4, got.Risen)
	require.InDelta(t, 1./16, got.RisenP, 1e-15)
	require.InDelta(t, 4./14, got.Chance, 1e-15)
	require.Less(t, got.Dealt, 2.5)
	require.Less(t, got.P, 0.15)
	require.Equal(t, total, done)
	require.Equal(t, 1+(4+6)*2, total)
	require.Equal(t, "isotropic", got.Control)
	require.Equal(t, got.FeelingCount, got.Counts["isotropic"])
	for i, e := range got.Emotions {
		require.Equal(t, feelingTestEmotions[i], e.Emotion)
		require.InDelta(t, e.Curve[2]-e.Curve[0], e.Effect, 1e-12)
		require.InDelta(t, e.Effect, e.Effects[i], 1e-12)
		require.InDelta(t, e.Effect, (e.PromptEffects[0]+e.PromptEffects[1])/2, 1e-9)
		c := e.Controls["isotropic"]
		require.Len(t, c.Curves, 6)
		for k := range c.Effects {
			require.InDelta(t, c.Curves[k][2]-c.Curves[k][0], c.Effects[k], 1e-12)
			require.LessOrEqual(t, math.Abs(c.Effects[k]), c.Largest)
			require.Equal(t, e.Curve[1], c.Curves[k][1], "strength 0 is the same for all")
		}
	}
	b, err := json.Marshal(got)
	require.NoError(t, err)
	again, err := Feelings(t.Context(), r, v, feelingTestOptions())
	require.NoError(t, err)
	b2, err := json.Marshal(again)
	require.NoError(t, err)
	require.JSONEq(t, string(b), string(b2))

	// Each emotion's words are pushed by the next one's vector.
	shifted := *v
	shifted.Sites = slices.Clone(v.Sites)
	m := v.Sites[0].ByForm[probe.Denoised]
	shifted.Sites[0].ByForm = map[probe.Form][]float32{probe.Denoised: append(slices.Clone(m[v.Width:]), m[:v.Width]...)}
	wrong, err := Feelings(t.Context(), r, &shifted, feelingTestOptions())
	require.NoError(t, err)
	require.Zero(t, wrong.Passes)
}

// The log-odds are those of running each prompt with each word behind it in one
// piece, without forks, steered as steer does it.
func TestFeelingsAgainstPlainRuns(t *testing.T) {
	r, v := feelingTrial(t, feelingTestEmotions, pushing)
	o := feelingTestOptions()
	o.Strengths = []float64{-0.3, 0, 0.3}
	got, err := Feelings(t.Context(), r, v, o)
	require.NoError(t, err)
	for s, strength := range o.Strengths {
		in, err := steer.New(r.Model(), []steer.Plan{{Emotion: "sad", Strength: strength}}, steer.From(v), steer.Options{})
		require.NoError(t, err)
		mean := 0.0
		for _, prompt := range o.Prompts {
			n := len(probe.Encode(r.Model(), prompt).Tokens)
			own, others := 0.0, 0.0
			for _, name := range feelingTestEmotions {
				for _, w := range feelingTestWords[name] {
					tokens := probe.Encode(r.Model(), prompt+" "+w).Tokens
					seq := r.NewSequence()
					require.NoError(t, r.Forward(t.Context(), &llama.Pass{
						Spans: []llama.Span{{Seq: seq, Tokens: tokens, Logits: llama.AllLogits}}, Hooks: in.Hooks(),
					}))
					p := 1.0
					for i := n; i < len(tokens); i++ {
						logits := r.LogitsAt(0, i-1)
						p *= math.Exp(float64(logits[tokens[i].ID]) - llama.LogSumExp(logits))
					}
					seq.Close()
					if name == "sad" {
						own += p
					} else {
						others += p
					}
				}
			}
			mean += math.Log(own/others) / float64(len(o.Prompts))
		}
		require.InDelta(t, mean, got.Emotions[2].Curve[s], 1e-4, "strength %v", strength)
	}
}

func TestFeelingsErrors(t *testing.T) {
	r, v := feelingTrial(t, feelingTestEmotions, pushing)
	for want, change := range map[string]func(*FeelingOptions){
		"no prompts":              func(o *FeelingOptions) { o.Prompts = []string{} },
		"has 1 tokens":            func(o *FeelingOptions) { o.Prompts = []string{""} },
		"1 emotions":              func(o *FeelingOptions) { o.Emotions = o.Emotions[:1] },
		`"calm" is named twice`:   func(o *FeelingOptions) { o.Emotions = []string{"calm", "calm"} },
		`unknown emotion "proud"`: func(o *FeelingOptions) { o.Emotions = []string{"calm", "proud"} },
		`no words for "sad"`:      func(o *FeelingOptions) { o.Words = map[string][]string{"calm": {"a"}, "happy": {"b"}} },
		`the word "x" stands for`: func(o *FeelingOptions) { o.Words = map[string][]string{"calm": {"x"}, "happy": {"x"}} },
		"do not rise":             func(o *FeelingOptions) { o.Strengths = []float64{-1, 0, 0, 1} },
		"some below 0":            func(o *FeelingOptions) { o.Strengths = []float64{0, 1} },
		"may be negative":         func(o *FeelingOptions) { o.Random = -1 },
		"made for each emotion":   func(o *FeelingOptions) { o.Controls = []steer.Control{steer.Labels} },
		"stories' means":          func(o *FeelingOptions) { o.Controls = []steer.Control{steer.Covariance} },
		"no site resid_post:0":    func(o *FeelingOptions) { o.Site = &llama.Site{Point: llama.ResidPost} },
		"other tokens than": func(o *FeelingOptions) {
			o.Encode = func(text string) []token.Token {
				t := probe.Encode(r.Model(), text).Tokens
				if strings.HasSuffix(text, "feels") {
					return t
				}
				return t[1:]
			}
		},
		"the model's context holds": func(o *FeelingOptions) { o.Prompts = []string{longPrompt()} },
	} {
		o := feelingTestOptions()
		change(&o)
		_, err := Feelings(t.Context(), r, v, o)
		require.ErrorContains(t, err, want)
	}
	bad := *v
	bad.Provenance.ModelSHA256 = "00"
	_, err := Feelings(t.Context(), r, &bad, feelingTestOptions())
	require.ErrorContains(t, err, "another model")
}

func longPrompt() string {
	b := make([]byte, 600)
	for i := range b {
		b[i] = 'x'
	}
	return string(b) + " feels"
}

// Words stand for one emotion each, and prompts name no feeling.
func TestFeelingDefaults(t *testing.T) {
	owner := map[string]string{}
	for e, words := range FeelingWords() {
		require.Contains(t, words, e)
		for _, w := range words {
			require.NotContains(t, owner, w)
			owner[w] = e
		}
	}
	for _, p := range FeelingPrompts() {
		for w := range owner {
			require.NotContains(t, words(p), w)
		}
	}
}

func TestCoins(t *testing.T) {
	require.InDelta(t, 1, coins(12, 0), 1e-12)
	require.InDelta(t, 13./4096, coins(12, 11), 1e-12)
	require.InDelta(t, 1./4096, coins(12, 12), 1e-12)
}
