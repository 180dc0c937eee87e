package steer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

func Example() {
	ctx := context.Background()
	m, err := llama.Open("../testdata/models/llama-tied-ropescaled-mqa-f32.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	r, err := m.NewRunner(llama.RunnerOptions{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	plan, err := steer.ParsePlan("calm.safetensors:calm=+0.5#generated")
	if err != nil {
		log.Fatal(err)
	}
	// steer.Files(ctx, m) would load the file; here vectors are made up.
	injector, err := steer.New(m, []steer.Plan{plan}, steer.From(madeUp(m)), steer.Options{})
	if err != nil {
		log.Fatal(err)
	}

	s := r.NewSequence()
	defer s.Close()
	prompt := probe.Encode(m, "I feel").Tokens
	for step, err := range r.Generate(ctx, s, llama.GenerateOptions{
		Prompt: prompt, MaxTokens: 8, IgnoreEnd: true, Hooks: injector.Hooks(),
	}) {
		if err != nil {
			log.Fatal(err)
		}
		_ = step.Text // the model is random: it writes nonsense
	}

	receipt := injector.Receipt()
	if err := receipt.Err(); err != nil {
		log.Fatal(err)
	}
	for _, e := range receipt.Edits {
		fmt.Printf("%s\n%s: %d edits from position %d (%q) on, each of length %.3f\n",
			e.Plan, e.Where, e.Edits, e.First.Pos, e.First.Text, e.Absolute)
	}
	// Output:
	// calm.safetensors:calm=+0.5#generated
	// output of block 2 of 3 (counted from 0): 8 edits from position 5 ("l") on, each of length 2.000
}

// madeUp makes vectors with one emotion at the model's default site.
func madeUp(m *llama.Model) *probe.Vectors {
	c := m.Config()
	return &probe.Vectors{
		Provenance: probe.Provenance{Tokenizer: m.Tokenizer().Hash(), Blocks: c.Blocks},
		Emotions:   []string{"calm"},
		Width:      c.Width,
		Sites: []probe.SiteVectors{{
			Site:   llama.DefaultSite(c.Blocks),
			ByForm: map[probe.Form][]float32{probe.Denoised: steer.RandomDirections(0, 1, c.Width)[0]},
			Norm:   probe.Calibration{Mean: 4, Median: 4, P99: 6, N: 100},
		}},
	}
}
