// Steer continues a text with an emotion turned down and up, each beside a random
// direction of the same length, and says what was added:
//
//	go run ./examples/steer -emotion afraid "The door opened and"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		log.Fatal("steer: ", err)
	}
}

func run(args []string, _ io.Reader, out io.Writer) error {
	ctx := context.Background()
	flags := flag.NewFlagSet("steer [TEXT]", flag.ExitOnError)
	modelFile := flags.String("model", "", "steer the model in `FILE.gguf` instead of the embedded one; needs -vectors")
	vectorsFile := flags.String("vectors", "", "vectors of -model, in a `FILE` of limbic vectors build")
	emotion := flags.String("emotion", "happy", "steer with the vector of the emotion `NAME`")
	tokens := flags.Int("tokens", 24, "continue by at most `N` tokens")
	flags.Parse(args)
	text := strings.Join(flags.Args(), " ")
	if text == "" {
		text = "Once upon a time there was a little girl. She felt"
	}

	model, load, err := open(ctx, *modelFile, *vectorsFile)
	if err != nil {
		return err
	}
	defer model.Close()
	runner, err := model.NewRunner(llama.RunnerOptions{})
	if err != nil {
		return err
	}
	defer runner.Close()

	// Sweep runs a plan at several strengths, and random directions at the same:
	// an effect of the emotion is what they do not have. To steer a run of your
	// own, give the hooks of steer.New to llama.Runner.Generate.
	rows, err := steer.Sweep(ctx, runner, probe.Encode(model, text).Tokens, steer.SweepOptions{
		Plan:      steer.Plan{Vectors: *vectorsFile, Emotion: *emotion},
		Load:      load,
		Strengths: []float64{-0.5, 0, 0.5},
		Random:    1,
		MaxTokens: *tokens,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, text, "…")
	for _, at := range []float64{-0.5, 0, 0.5} {
		for _, row := range rows {
			if row.Strength != at {
				continue
			}
			fmt.Fprintf(out, "\n%s %+.1f: %q\n", row.Name, row.Strength, row.Text)
			fmt.Fprintf(out, "   predictions moved by %.3f nats a token\n", row.KL)
			for _, e := range row.Receipt.Edits {
				fmt.Fprintf(out, "   %d tokens edited at the %s: length %.2f added, norms %+.1f %%\n",
					e.Edits, e.Where, e.Absolute, 100*e.NormChange)
			}
		}
	}
	return nil
}

// open opens the embedded model, or one in a file, and says how plans get their
// vectors.
func open(ctx context.Context, modelFile, vectorsFile string) (*llama.Model, steer.Loader, error) {
	if (modelFile == "") != (vectorsFile == "") {
		return nil, nil, errors.New("-model and -vectors need each other: vectors are those of one model")
	}
	if modelFile != "" {
		model, err := llama.Open(modelFile)
		return model, steer.Files(ctx, model), err
	}
	vectors, err := demo.Vectors()
	if err != nil {
		return nil, nil, err
	}
	model, err := demo.Model()
	return model, steer.From(vectors), err
}
