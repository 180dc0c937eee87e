package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/steer"
	"github.com/limbic-go/limbic/tensor/npy"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

type traceResult struct {
	Sites  []string `json:"sites"` // names of the arrays in the file
	Tokens []int32  `json:"tokens"`
	turnsNote
	Read       []int          `json:"read,omitempty"` // indices of the tokens that --read means
	Out        string         `json:"out"`
	Width      int            `json:"width"`
	Receipt    *steer.Receipt `json:"receipt"` // of steering
	Provenance provenance     `json:"provenance"`
}

func newTrace(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var plans steerFlags
	var siteList, out string
	cmd := &cobra.Command{
		Use:   "trace MODEL TEXT --out F.npz|F.safetensors",
		Short: "Write the activations of a text to a file",
		Long: `Write the activations of a text at one or more sites to a file: for each site an
array named like resid_post.0, float32 [tokens, width], and an array "tokens" of
token ids, BOS included.

Sites are separated by commas: resid_post:10, resid_post:-1 (the last),
resid_post:67%, 2/3, resid_post:all, blocks.10.hook_resid_post, hf:11, l_out-10,
final_norm. The other points are resid_pre, attn_out, resid_mid and mlp_out.
Without --sites it is the output of the block at two thirds of the depth.

` + chatHelp + `

` + steerHelp + `

All of the text is prompt: #generated is its last token alone. Activations are
those after the edits; with --before-edit, those that the edit at the same site
found.`,
		Example: examples(
			`limbic trace MODEL "Once upon a time" --sites resid_post:all --out /tmp/trace.npz`,
			`limbic trace MODEL "Once upon a time" --sites 2/3,final_norm --out /tmp/trace.safetensors --json`,
			`limbic trace MODEL "Once upon a time" --out /tmp/steered.npz --steer VECTORS:calm=0.1 --before-edit`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			write := traceFormats[strings.ToLower(filepath.Ext(out))]
			switch {
			case out == "":
				return usagef("--out is missing: a file to write, F.npz or F.safetensors")
			case write == nil:
				return usagef("--out %s: the name must end in .npz or .safetensors", abbreviated(out))
			case cmd.Flags().Changed("sites") && siteList == "":
				return usagef("--sites names no site")
			}
			if err := plans.check(); err != nil {
				return err
			}
			if err := checkOut(out); err != nil {
				return err
			}
			from, e, err := a.openPrompt(ctx, args, &text, &flags, nil)
			if err != nil {
				return err
			}
			defer e.close()
			sites, err := e.parseSites("sites", siteList)
			if err != nil {
				return err
			}
			tokens := from.Tokens
			steered, err := plans.open(ctx, a, e)
			if err != nil {
				return err
			}
			p, err := e.provenance(ctx, sites)
			if err != nil {
				return err
			}
			p.definePrompt(&text, from)
			p.define("rows", "one for each token, BOS included")
			steered.noteCapture(&p)
			if err := a.trace(ctx, e, tokens, sites, steered, p, out, write); err != nil {
				return err
			}
			r := traceResult{Tokens: ids(tokens), turnsNote: from.turns(), Read: from.read, Out: out, Width: e.model.Config().Width, Receipt: steered.receipt(), Provenance: p}
			for _, s := range sites {
				r.Sites = append(r.Sites, s.Key())
			}
			if a.json {
				return a.writeJSON(r)
			}
			t := table{head: []string{"array", "shape", "what"}}
			shape := fmt.Sprintf("[%d, %d]", len(tokens), r.Width)
			for i, s := range sites {
				t.add(r.Sites[i], shape, s.Describe(e.blocks))
			}
			t.add("tokens", fmt.Sprintf("[%d]", len(tokens)), "token ids")
			if err := a.print(&t); err != nil {
				return err
			}
			if _, err = fmt.Fprintf(a.stdout, "wrote %s\n", out); err != nil {
				return err
			}
			return printReceipt(a.stdout, r.Receipt)
		},
	}
	text.registerChat(cmd)
	text.registerRead(cmd, "with --json: say which tokens are read")
	flags.registerExact(cmd)
	flags.registerContext(cmd)
	plans.registerCapture(cmd)
	cmd.Flags().StringVar(&siteList, "sites", "", "sites `S[,S...]` to read (default: the output of the block at 2/3 of the depth)")
	cmd.Flags().StringVar(&out, "out", "", "write to the file `F`: .npz or .safetensors")
	return cmd
}

// trace computes the tokens and writes what passes through the sites.
func (a *app) trace(ctx context.Context, e *engine, tokens []token.Token, sites []llama.Site, steered *steering,
	p provenance, out string, write traceFormat) error {
	width := e.model.Config().Width
	spool, err := newSpool(out, len(tokens), width)
	if err != nil {
		return fmt.Errorf("write %s: %w", out, pathCause(err))
	}
	defer spool.close()
	hook := &llama.Hook{Name: "trace", Sites: sites, Func: func(v *llama.View) error {
		// All rows are consecutive positions of the one sequence.
		if err := spool.put(slices.Index(sites, v.Site), v.Rows[0].Pos, v.Len(), v.At); err != nil {
			return fmt.Errorf("write %s: %w", out, pathCause(err))
		}
		return nil
	}}
	s := e.runner.NewSequence()
	defer s.Close()
	s.SetPrompt(len(tokens))
	progress, finish := a.progress("trace")
	defer finish()
	if err := e.feed(ctx, s, tokens, llama.NoLogits, steered.hooks(hook), progress, nil); err != nil {
		return err
	}
	if err := steered.err(); err != nil {
		return err
	}
	// What doesn't change the numbers must not change the file.
	p.portable(steered)
	return atomicfile.Write(out, 0o644, func(w io.Writer) error { return write(w, spool, sites, tokens, p) })
}

// A traceFormat writes a trace as a file of some format.
type traceFormat func(w io.Writer, s *spool, sites []llama.Site, tokens []token.Token, p provenance) error

var traceFormats = map[string]traceFormat{
	".npz":         writeTraceNPZ,
	".safetensors": writeTraceSafetensors,
}

// writeTraceNPZ adds an array "provenance", the provenance as one JSON string,
// because the format has no metadata.
func writeTraceNPZ(w io.Writer, s *spool, sites []llama.Site, tokens []token.Token, p provenance) error {
	meta, err := json.Marshal(p)
	if err != nil {
		return err
	}
	z := npy.NewArchiveWriter(w)
	for i, site := range sites {
		array, err := npy.AddStream[float32](z, site.Key(), s.rows, s.width)
		if err != nil {
			return err
		}
		if err := s.each(i, func(v []float32) error { return array.Append(v...) }); err != nil {
			return err
		}
	}
	if err := z.Add("tokens", npy.Array{Shape: []int{len(tokens)}, Data: ids(tokens)}); err != nil {
		return err
	}
	if err := z.Add("provenance", npy.Array{Shape: []int{}, Data: []string{string(meta)}}); err != nil {
		return err
	}
	return z.Close()
}

func writeTraceSafetensors(w io.Writer, s *spool, sites []llama.Site, tokens []token.Token, p provenance) error {
	meta, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for i, site := range sites {
		tensors = append(tensors, safetensors.Tensor{
			Name: site.Key(), DType: safetensors.F32, Shape: []int{s.rows, s.width},
			Data: func(w io.Writer) error {
				_, err := io.Copy(w, s.array(i))
				return err
			},
		})
	}
	tensors = append(tensors, safetensors.Tensor{Name: "tokens", Shape: []int{len(tokens)}, Data: ids(tokens)})
	return safetensors.Write(w, map[string]string{"provenance": string(meta)}, tensors)
}
