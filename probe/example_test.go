package probe_test

import (
	"context"
	"fmt"
	"log"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// An emotion meter: how calm and how desperate a model is after each token of a
// text.
func Example() {
	ctx := context.Background()
	model, err := llama.Open("../testdata/models/quant-q4_k_m.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	runner, err := model.NewRunner(llama.RunnerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer runner.Close()
	vectors, err := probe.Load("../testdata/vectors/quant-q4_k_m.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	reader, err := vectors.NewReader(probe.ReaderOptions{Emotions: []string{"calm", "desperate"}})
	if err != nil {
		log.Fatal(err)
	}
	meter := reader.Hook(func(row llama.Row, scores, _ []float32) error {
		fmt.Printf("%-8q calm %+.3f  desperate %+.3f\n", model.Tokenizer().Text(row.ID), scores[0], scores[1])
		return nil
	})

	text := probe.Encode(model, "She felt at home.")
	err = runner.Forward(ctx, &llama.Pass{
		Spans: []llama.Span{{Seq: runner.NewSequence(), Tokens: text.Tokens}},
		Hooks: []*llama.Hook{meter},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// "<s>"    calm +0.021  desperate +0.183
	// " She"   calm +0.026  desperate +0.210
	// " f"     calm -0.046  desperate +0.164
	// "e"      calm -0.063  desperate -0.009
	// "l"      calm +0.072  desperate +0.010
	// "t"      calm -0.002  desperate +0.190
	// " a"     calm +0.046  desperate -0.004
	// "t"      calm +0.070  desperate +0.160
	// " h"     calm +0.053  desperate +0.206
	// "om"     calm +0.094  desperate +0.119
	// "e"      calm +0.016  desperate -0.056
	// "."      calm +0.025  desperate +0.172
}
