package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
)

// The texts of the demonstration. The prompt suits a model of children's
// stories as well as a larger one.
const (
	demoText   = "The nurse read the label again. It was ten times the dose. Her hands began to shake."
	demoPrompt = "Once upon a time there was a little girl. She felt"
)

// A demoResult sums up a demonstration. The results of its steps are those of
// the commands of the same names, which stand in files beside the report too.
type demoResult struct {
	Report      string          `json:"report"`
	MeansSHA256 string          `json:"means_sha256"`
	Seconds     float64         `json:"seconds"`
	Vectors     json.RawMessage `json:"vectors"`
	Probe       json.RawMessage `json:"probe"`
	Steer       json.RawMessage `json:"steer"`
	Provenance  provenance      `json:"provenance"`
}

func newDemo(a *app) *cobra.Command {
	var flags engineFlags
	var out string
	var emotions, topics string
	cmd := &cobra.Command{
		Use:   "demo MODEL",
		Short: "Build vectors, probe a text and steer another, in one go",
		Long: `The whole way in one command: build emotion vectors from the embedded stories,
colour a text token by token, and continue a prompt with an emotion turned down
and up beside random directions of the same length.

The folder DIR gets the vectors, a page report.html, and the result of each step
as JSON. An interrupted demonstration goes on where it stopped.`,
		Example: examples(
			`limbic demo MODEL --emotions afraid,calm,desperate,happy --topics sea,cafe --out /tmp/limbic-demo`,
			`limbic demo MODEL --emotions afraid,calm,desperate,happy --topics sea,cafe --out /tmp/limbic-demo --json`,
		),
		Args: oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, start, model := cmd.Context(), time.Now(), args[0]
			if out == "" {
				return usagef("--out is empty")
			}
			if err := flags.check(); err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o777); err != nil {
				return fmt.Errorf("write %s: %w", out, pathCause(err))
			}
			path := func(name string) string { return filepath.Join(out, name) }
			vectors := path("vectors.safetensors")
			r := demoResult{Report: path("report.html")}
			engine := []string{fmt.Sprintf("--threads=%d", flags.threads), "--precision=" + flags.precision.String()}
			step := func(name, title string, result *json.RawMessage, into any, command *cobra.Command, run *app, args ...string) error {
				if err := a.demoTitle(title); err != nil {
					return err
				}
				var err error
				*result, err = run.capture(ctx, command, append(args, engine...))
				if err != nil {
					return err
				}
				if err := json.Unmarshal(*result, into); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				return atomicfile.Write(path(name+".json"), 0o666, func(w io.Writer) error {
					_, err := w.Write(*result)
					return err
				})
			}

			silent := a.silent()
			var built vectorsBuildResult
			build := []string{model, "--out", vectors}
			if emotions != "" {
				build = append(build, "--emotions", emotions)
			}
			if topics != "" {
				build = append(build, "--topics", topics)
			}
			err := step("vectors", "1. Emotion vectors, from stories that show an emotion and never name it",
				&r.Vectors, &built, newVectorsBuild(silent), silent, build...)
			if err != nil {
				return err
			}
			r.MeansSHA256 = built.MeansSHA256
			if !a.json {
				if err := a.printBuild(&built); err != nil {
					return err
				}
			}

			silent = a.silent()
			var probed probeResult
			err = step("probe", "2. A text, read token by token",
				&r.Probe, &probed, newProbe(silent), silent, model, vectors, demoText, "--html", r.Report, "--emotions", "afraid,calm,desperate,happy")
			if err != nil {
				return err
			}
			if !a.json {
				if err := a.printProbe(&probed, len(probed.Emotions), true); err != nil {
					return err
				}
			}

			silent = a.silent()
			var steered steerResult
			vector := vectors + ":happy"
			err = step("steer", "3. The same prompt with an emotion turned down and up, beside a random direction",
				&r.Steer, &steered, newSteer(silent), silent, model, demoPrompt, "--vector", vector, "--strengths", "-0.3,0,0.3", "--random", "1", "--max-tokens", "24")
			if err != nil {
				return err
			}
			r.Seconds = time.Since(start).Seconds()
			if a.json {
				r.Provenance = programProvenance()
				return a.writeJSON(r)
			}
			sweep := sweepFlags{random: 1}
			sweep.plan.Vectors = vectors
			if err := a.printSteer(&steered, demoPrompt, &sweep); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "\nDone in %.0f s. Look at %s, and at the results beside it.\n", r.Seconds, r.Report)
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&out, "out", "limbic-demo", "write to the folder `DIR`")
	cmd.Flags().StringVar(&emotions, "emotions", "", "build only the vectors of these emotions (must hold afraid, calm, desperate and happy)")
	cmd.Flags().StringVar(&topics, "topics", "", "build only from stories on these topics")
	return cmd
}

// demoTitle announces a step to a person.
func (a *app) demoTitle(title string) error {
	if a.json {
		return nil
	}
	if a.colour() {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s\n\n", title)
	return err
}

// silent is an app whose output is kept as JSON while progress and warnings go
// where a's go.
func (a *app) silent() *app {
	return &app{stdin: a.stdin, stdout: &output{w: &bytes.Buffer{}}, stderr: a.stderr, stderrTerminal: a.stderrTerminal, json: true}
}

// capture runs a command of a silent app and gives the document it printed.
func (a *app) capture(ctx context.Context, cmd *cobra.Command, args []string) (json.RawMessage, error) {
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(ctx); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.TrimSpace(a.stdout.w.(*bytes.Buffer).Bytes())), nil
}
