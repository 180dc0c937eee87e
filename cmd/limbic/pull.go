package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama/hub"
)

type pullResult struct {
	Ref string `json:"ref"` // as it was given
	modelRow
	Fetched    int64      `json:"fetched"`  // bytes that came over the network
	Borrowed   int64      `json:"borrowed"` // bytes linked or copied from what another program had fetched
	Provenance provenance `json:"provenance"`
}

func newPull(a *app) *cobra.Command {
	var o hub.PullOptions
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Fetch a model into the cache",
		Long: `Fetch a model, so that the other commands find it by its name. REF is

  owner/repo                  a repository of the Hugging Face Hub
  owner/repo:Q4_K_M           its file in this quantisation
  owner/repo/file.gguf        this file
  owner/repo@revision…        of a branch, tag or commit
  hf.co/owner/repo…           the same
  https://host/file.gguf      a file elsewhere

Where REF names no quantisation, the only model is taken, or else the first of
` + strings.Join(hub.Preferred, ", ") + `
that there is. A repository without GGUF files, or any with --safetensors, is
fetched as configuration, tokenizer and weights in safetensors.

The cache is the one of Hugging Face's own libraries (HF_HUB_CACHE, HF_HOME, or
~/.cache/huggingface/hub), so nothing is fetched twice; files that Ollama or LM
Studio has are linked or copied. An interrupted pull goes on where it stopped.
Every file is checked against the size and hash that the Hub states.

HF_ENDPOINT names another Hub. A token for gated or private models is read from
HF_TOKEN or from the file that "hf auth login" writes, and sent to the Hub alone.
A file elsewhere goes to LIMBIC_CACHE, or to limbic's folder in the user's cache.`,
		Example: examples(
			"limbic pull Qwen/Qwen2.5-0.5B-Instruct-GGUF",
			"limbic pull bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0",
			"limbic info bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0",
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("REF is missing: owner/repo, owner/repo:Q4_K_M, owner/repo/file.gguf or an address")
			case 1:
				return nil
			}
			return usagef("unexpected argument %q", args[1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notEmpty(cmd, "sha256"); err != nil {
				return err
			}
			r := pullResult{Ref: args[0], Provenance: programProvenance()}
			if info, err := os.Stat(args[0]); err == nil {
				r.modelRow = modelRow{Name: args[0], Source: "path", Path: args[0], Size: info.Size()}
				if info.Mode().IsRegular() {
					r.Files = []fileRow{{Name: filepath.Base(args[0]), Path: args[0], Size: info.Size()}}
				}
				return a.writePull(&r, "is here already")
			}
			ref, err := hub.ParseRef(args[0])
			if err != nil {
				return usageError{unprefixed{err, "hub: "}}
			}
			if err := o.Check(ref); err != nil {
				return usageError{unprefixed{err, "hub: "}}
			}
			c, err := hub.NewClient()
			if err != nil {
				return unprefixed{err, "hub: "}
			}
			c.UserAgent = "limbic/" + version
			show, clear := a.byteProgress()
			defer clear()
			c.Progress = show
			c.Notice = func(s string) {
				clear()
				fmt.Fprintf(a.stderr, "limbic: %s\n", oneLine(s))
			}
			got, err := c.Pull(cmd.Context(), ref, o)
			clear()
			var at *hub.Interrupted
			switch {
			case errors.As(err, &at):
				return interruptedError{err, strings.TrimSuffix(strings.TrimPrefix(err.Error(), "hub: "), ": "+at.Err.Error())}
			case err != nil:
				return unprefixed{err, "hub: "}
			}
			r.modelRow, r.Fetched, r.Borrowed = newModelRow(&got.Model), got.Fetched, got.Borrowed
			how := "was here already"
			switch {
			case got.Fetched > 0:
				how = "fetched " + byteSize(got.Fetched)
			case got.Borrowed > 0:
				how = "taken over from another program"
			}
			return a.writePull(&r, how)
		},
	}
	cmd.Flags().BoolVar(&o.Safetensors, "safetensors", false, "fetch the model in safetensors, also where there are GGUF files")
	cmd.Flags().StringVar(&o.SHA256, "sha256", "", "the SHA-256, in `HEX`, that a file elsewhere must have")
	return cmd
}

func (a *app) writePull(r *pullResult, how string) error {
	if a.json {
		return a.writeJSON(r)
	}
	t := table{head: []string{"", ""}}
	t.add("model", oneLine(r.Name))
	t.add("path", r.Path)
	t.add("size", byteSize(r.Size)+", "+how)
	if len(r.Files) == 1 && r.Files[0].SHA256 != "" {
		t.add("sha256", r.Files[0].SHA256)
	}
	return a.print(&t)
}

// byteProgress gives a function that shows how far a pull is, with rate and
// time left, on standard error if that is a terminal, and one that clears it.
func (a *app) byteProgress() (show func(hub.Progress), clear func()) {
	if !a.stderrTerminal {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	var total int64
	show = func(p hub.Progress) {
		if bar == nil || p.Total != total {
			if bar != nil {
				_ = bar.Clear()
			}
			total = p.Total
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(a.stderr),
				progressbar.OptionSetWidth(30),
				progressbar.OptionShowBytes(true),
				progressbar.OptionShowTotalBytes(true),
				progressbar.OptionUseIECUnits(true),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
				progressbar.OptionSetRenderBlankState(false),
			)
			bar.Describe(oneLine(filepath.Base(p.File)))
		}
		// A bar that cannot be drawn is no reason to stop.
		_ = bar.Set64(p.Done)
	}
	return show, func() {
		if bar != nil {
			_ = bar.Clear()
		}
	}
}
