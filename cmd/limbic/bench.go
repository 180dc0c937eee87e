package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/bench"
	"github.com/limbic-go/limbic/llama"
)

// benchResult has a null speed for what was left out.
type benchResult struct {
	PromptTPS   *float64 `json:"prompt_tps"` // medians, in tokens per second
	GenerateTPS *float64 `json:"generate_tps"`
	ExtractTPS  *float64 `json:"extract_tps"`

	PromptTokens   int `json:"prompt_tokens"`
	GenerateTokens int `json:"generate_tokens"`
	GenerateDepth  int `json:"generate_depth"` // tokens of context before the first of them
	ExtractTexts   int `json:"extract_texts"`
	ExtractTokens  int `json:"extract_tokens"` // of each text

	Prompt   bench.Spread `json:"prompt"`
	Generate bench.Spread `json:"generate"`
	Extract  bench.Spread `json:"extract"`

	Cost         bench.Cost         `json:"cost"`
	PromptGOPS   float64            `json:"prompt_gops"`   // 10⁹ operations per second in the blocks' matrices
	GenerateGBPS float64            `json:"generate_gbps"` // 10⁹ bytes of weights per second
	Shares       map[string]float64 `json:"shares"`        // of the limits; only what was measured
	Limits       []bench.Limit      `json:"limits"`
	Interrupted  bool               `json:"interrupted,omitempty"`
	Provenance   provenance         `json:"provenance"`
}

// The shares of limits, by the names that the JSON document uses.
const (
	promptOfFloat32  = "prompt_of_float32_peak"
	promptOfInt8     = "prompt_of_int8_peak"
	generateOfMemory = "generate_of_memory_read"
)

func newBench(a *app) *cobra.Command {
	var flags engineFlags
	o := bench.Options{Prompt: 128, Generate: 32, Texts: 4, TextTokens: 120, Repeat: 3}
	var site string
	limits := true
	cmd := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure tokens per second, and the share of the machine's limits",
		Long: `Measure how many tokens per second the model processes: of a prompt, all at once;
when generating, one after the other; and of short texts whose states are read at
one site, as vectors are built. Tokens are random. Shown are the median of
--repeat measurements, the least and the greatest.

Prompts are limited by the multipliers, generation by reading all weights from
memory for every token. Both limits are measured too, unless --limits=false;
that takes half a gigabyte of memory. Machines that are shared change their
speed from second to second: compare only what was measured side by side.`,
		Example: examples(
			`limbic bench MODEL --prompt 32 --gen 8 --texts 1 --repeat 2`,
			`limbic bench MODEL --prompt 0 --gen 16 --texts 0 --threads 1 --limits=false --json`,
		),
		Args: oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			for _, n := range []struct {
				flag         string
				value, least int
			}{{"prompt", o.Prompt, 0}, {"gen", o.Generate, 0}, {"depth", o.Depth, 0}, {"texts", o.Texts, 0}, {"text-tokens", o.TextTokens, 1}, {"repeat", o.Repeat, 1}} {
				if n.value < n.least {
					return usagef("--%s %d is less than %d", n.flag, n.value, n.least)
				}
			}
			if o.Prompt == 0 && o.Generate == 0 && o.Texts == 0 {
				return usagef("--prompt, --gen and --texts are all 0: there is nothing to measure")
			}
			e, err := openEngine(args[0], &flags)
			if err != nil {
				return err
			}
			defer e.close()
			context := e.model.Config().Context
			for _, n := range []struct {
				flag  string
				value *int
			}{{"prompt", &o.Prompt}, {"gen", &o.Generate}, {"text-tokens", &o.TextTokens}} {
				if *n.value > context {
					if cmd.Flags().Changed(n.flag) {
						return usagef("--%s %d is more than the model's context of %d", n.flag, *n.value, context)
					}
					*n.value = context
				}
			}
			if o.Depth > context-o.Generate {
				return usagef("--depth %d and --gen %d are together more than the model's context of %d", o.Depth, o.Generate, context)
			}
			sites, err := e.parseSites("site", site)
			if err != nil {
				return err
			}
			if len(sites) != 1 {
				return usagef("--site %s: one site is read", site)
			}
			o.Site = sites[0]

			progress, finish := a.progress("measuring")
			o.Progress = progress
			speeds, err := bench.Run(ctx, e.runner, o)
			finish()
			var interrupted error
			if err != nil {
				if ctx.Err() == nil || len(speeds.Prompt.Samples)+len(speeds.Generate.Samples)+len(speeds.Extract.Samples) == 0 {
					return err
				}
				interrupted = interruptedError{err, "while measuring"}
			}
			r := benchResult{
				PromptTPS: medianOf(speeds.Prompt), GenerateTPS: medianOf(speeds.Generate), ExtractTPS: medianOf(speeds.Extract),
				PromptTokens: o.Prompt, GenerateTokens: o.Generate, GenerateDepth: o.Depth, ExtractTexts: o.Texts, ExtractTokens: o.TextTokens,
				Prompt: speeds.Prompt, Generate: speeds.Generate, Extract: speeds.Extract,
				Cost: bench.CostOf(e.model.File()), Shares: map[string]float64{}, Limits: []bench.Limit{},
				Interrupted: interrupted != nil,
			}
			r.PromptGOPS = speeds.Prompt.Median * r.Cost.PromptOps() / 1e9
			r.GenerateGBPS = speeds.Generate.Median * float64(r.Cost.Bytes) / 1e9
			if limits && interrupted == nil {
				r.measureLimits(a, e.runner.Options().Threads)
			}
			if a.json {
				if r.Provenance, err = e.provenance(ctx, sites); err != nil {
					return err
				}
				r.Provenance.define(
					"prompt_gops", "two operations for each weight of the matrices in the blocks; attention is left out",
					"generate_gbps", "the bytes of all matrices, the tied output matrix once",
				)
				err = a.writeJSON(r)
			} else {
				err = a.printBench(e, &r, o.Site)
			}
			if err != nil {
				return err
			}
			return interrupted
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.IntVar(&o.Prompt, "prompt", o.Prompt, "process a prompt of `N` tokens; 0 leaves it out")
	f.IntVar(&o.Generate, "gen", o.Generate, "generate `N` tokens; 0 leaves it out")
	f.IntVar(&o.Depth, "depth", o.Depth, "generate after a context of `N` tokens")
	f.IntVar(&o.Texts, "texts", o.Texts, "read the states of `N` texts; 0 leaves it out")
	f.IntVar(&o.TextTokens, "text-tokens", o.TextTokens, "each text has `N` tokens")
	f.StringVar(&site, "site", "", "read texts at the site `S` (default: two thirds deep)")
	f.IntVar(&o.Repeat, "repeat", o.Repeat, "measure each `N` times")
	f.BoolVar(&limits, "limits", limits, "measure the machine's limits, too")
	return cmd
}

func medianOf(s bench.Spread) *float64 {
	if len(s.Samples) == 0 {
		return nil
	}
	return &s.Median
}

// measureLimits measures what the machine can do with as many threads, and the
// shares of it that the model reached.
func (r *benchResult) measureLimits(a *app, threads int) {
	share := func(name string, l bench.Limit, reached float64) {
		r.Limits = append(r.Limits, l)
		if l.Measured() && reached > 0 {
			r.Shares[name] = reached / l.Median
		}
	}
	memory, err := bench.NewMemory(bench.MemoryBytes)
	if err != nil {
		a.warn("memory is not measured: %v", err)
	} else {
		share(generateOfMemory, memory.Read(threads, bench.Timing{}), r.GenerateGBPS)
		if err := memory.Close(); err != nil {
			a.warn("%v", err)
		}
	}
	share(promptOfFloat32, bench.Float32Peak(threads, bench.Timing{}), r.PromptGOPS)
	share(promptOfInt8, bench.Int8Peak(threads, bench.Timing{}), r.PromptGOPS)
}

func (a *app) printBench(e *engine, r *benchResult, site llama.Site) error {
	o := e.runner.Options()
	if _, err := fmt.Fprintf(a.stdout, "%s, %s, %v precision, keys and values in %v\n\n", e.model.Quantisation(), counted(o.Threads, "thread"), o.Precision, o.KV); err != nil {
		return err
	}
	percent := func(name string) string {
		if s, ok := r.Shares[name]; ok {
			return fmt.Sprintf("%.0f%%", 100*s)
		}
		return "-"
	}
	t := table{head: []string{"tokens/s", "median (least–greatest)", ""}}
	if r.PromptTPS != nil {
		t.add("prompt of "+counted(r.PromptTokens, "token"), r.Prompt.String(),
			fmt.Sprintf("%.1f GOP/s: %s of the float32 peak, %s of the int8 peak", r.PromptGOPS, percent(promptOfFloat32), percent(promptOfInt8)))
	}
	if r.GenerateTPS != nil {
		what := "generation of " + counted(r.GenerateTokens, "token")
		if r.GenerateDepth > 0 {
			what += fmt.Sprintf(" after %d", r.GenerateDepth)
		}
		t.add(what, r.Generate.String(),
			fmt.Sprintf("%.1f GB/s: %s of what memory gives", r.GenerateGBPS, percent(generateOfMemory)))
	}
	if r.ExtractTPS != nil {
		t.add(fmt.Sprintf("extraction from %s of %s", counted(r.ExtractTexts, "text"), counted(r.ExtractTokens, "token")), r.Extract.String(),
			"at the "+site.Describe(e.blocks))
	}
	err := a.print(&t)
	for i, l := range r.Limits {
		if i == 0 {
			_, failed := fmt.Fprintln(a.stdout)
			err = errors.Join(err, failed)
		}
		_, failed := fmt.Fprintln(a.stdout, l)
		err = errors.Join(err, failed)
	}
	return err
}
