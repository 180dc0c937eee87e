// Capture writes what a model computes of a text, its residual stream at the
// output of every block, to a file that NumPy reads:
//
//	go run ./examples/capture "The dog ran home."
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/tensor/npy"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		log.Fatal("capture: ", err)
	}
}

func run(args []string, _ io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("capture [TEXT]", flag.ExitOnError)
	modelFile := flags.String("model", "", "read with the model in `FILE.gguf` instead of the embedded one")
	file := flags.String("out", "activations.npz", "write to `FILE.npz`")
	flags.Parse(args)
	text := strings.Join(flags.Args(), " ")
	if text == "" {
		text = "Once upon a time there was a little girl. She felt happy."
	}

	open := demo.Model
	if *modelFile != "" {
		open = func() (*llama.Model, error) { return llama.Open(*modelFile) }
	}
	model, err := open()
	if err != nil {
		return err
	}
	defer model.Close()
	encoded := probe.Encode(model, text)
	if encoded.Cut {
		return fmt.Errorf("the text is longer than the model's context of %d tokens", model.Config().Context)
	}
	sites, err := llama.ParseSites("resid_post:all", model.Config().Blocks)
	if err != nil {
		return err
	}
	activations, err := capture(context.Background(), model, encoded.Tokens, sites)
	if err != nil {
		return err
	}

	f, err := os.Create(*file)
	if err != nil {
		return err
	}
	defer f.Close() // a second Close, after that below, does nothing
	archive := npy.NewArchiveWriter(f)
	add := func(name, what string, data any, shape ...int) error {
		fmt.Fprintf(out, "%-14s %-10s  %s\n", name, fmt.Sprint(shape), what)
		return archive.Add(name, npy.Array{Shape: shape, Data: data})
	}
	n := len(encoded.Tokens)
	if err := add("tokens", "ids of the tokens", token.IDs(encoded.Tokens), n); err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	for _, s := range sites {
		if err := add(s.Key(), s.Describe(model.Config().Blocks), activations[s], n, model.Config().Width); err != nil {
			return fmt.Errorf("%s: %w", *file, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	last := sites[len(sites)-1]
	_, err = fmt.Fprintf(out, "\nwrote %s; in Python:\n\n    import numpy\n    a = numpy.load(%q)\n    a[%q]  # one row for each token\n", *file, *file, last.Key())
	return err
}

// capture gives the residual stream of a text at some sites, each [tokens, width].
func capture(ctx context.Context, model *llama.Model, tokens []token.Token, sites []llama.Site) (map[llama.Site][]float32, error) {
	runner, err := model.NewRunner(llama.RunnerOptions{})
	if err != nil {
		return nil, err
	}
	defer runner.Close()
	activations := make(map[llama.Site][]float32)
	hook := &llama.Hook{Name: "capture", Sites: sites, Func: func(v *llama.View) error {
		// A long text comes in several batches. Rows are valid during the call
		// alone: append copies them.
		for i := range v.Len() {
			activations[v.Site] = append(activations[v.Site], v.At(i)...)
		}
		return nil
	}}
	return activations, runner.Forward(ctx, &llama.Pass{
		Spans: []llama.Span{{Seq: runner.NewSequence(), Tokens: tokens}},
		Hooks: []*llama.Hook{hook},
	})
}
