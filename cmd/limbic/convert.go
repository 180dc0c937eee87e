package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/hf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

type convertResult struct {
	Out          string            `json:"out"`
	Bytes        int64             `json:"bytes"`
	FileSHA256   string            `json:"file_sha256"`
	Parameters   int               `json:"parameters"`
	Quantisation string            `json:"quantisation"`
	Tensors      map[string]string `json:"tensors"`    // kind of tensor: its storage format
	Provenance   provenance        `json:"provenance"` // of the model that was read
}

// A weightType is the value of --type.
type weightType struct {
	name string
	typ  tensor.Type
}

// weightTypes are those that convert writes.
var weightTypes = map[string]tensor.Type{
	"f32": tensor.F32, "f16": tensor.F16, "bf16": tensor.BF16, "q8_0": tensor.Q8_0, "q4_0": tensor.Q4_0,
}

func (w *weightType) String() string { return w.name }
func (*weightType) Type() string     { return "type" }

// Set reads the value of the flag.
func (w *weightType) Set(s string) error {
	typ, ok := weightTypes[strings.ToLower(s)]
	if !ok {
		return errors.New("it is none of f32, f16, bf16, q8_0 and q4_0")
	}
	w.name, w.typ = strings.ToLower(s), typ
	return nil
}

// exampleFolder is the FOLDER of the examples.
const exampleFolder = "testdata/hf/llama"

func newConvert(a *app) *cobra.Command {
	var as weightType
	cmd := &cobra.Command{
		Use:   "convert FOLDER OUT.gguf",
		Short: "Write a model from Hugging Face as one GGUF file",
		Long: `Write the model in FOLDER (config.json, tokenizer.json and *.safetensors) as one
GGUF file that limbic and other programs run. FOLDER works as MODEL of all
commands, too: a GGUF file is smaller if its weights are quantised, and is one
file.

--type says how matrices are stored; vectors stay float32, and matrices whose
rows are no multiple of 32 long become f16 where the type is q8_0 or q4_0.
Without it they stay as they are. The model is read piece by piece, and OUT.gguf
is complete or not there. FOLDER may also be a GGUF file that is not quantised.`,
		Example: strings.Join([]string{
			`  limbic convert ` + exampleFolder + ` "${TMPDIR:-/tmp}/limbic-example.gguf" --type q8_0`,
			`  limbic convert ` + exampleFolder + ` "${TMPDIR:-/tmp}/limbic-example.gguf" --json`,
		}, "\n"),
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("FOLDER is missing: a folder with config.json, tokenizer.json and *.safetensors")
			case 1:
				return usagef("OUT.gguf is missing: the file to write")
			case 2:
				return nil
			}
			return usagef("unexpected argument %q", args[2])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if !strings.HasSuffix(args[1], ".gguf") { // lest weights that were meant to be read are replaced
				return usagef("OUT.gguf %s does not end in .gguf", args[1])
			}
			if err := checkOut(args[1]); err != nil {
				return err
			}
			f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			if same(f, args[1]) {
				return usagef("OUT.gguf %s is a file of the model that is to be converted", args[1])
			}
			// What limbic cannot run may be converted wrongly.
			if err := llama.Check(f); err != nil {
				return err
			}
			update, finish := a.progress("converting")
			sum := sha256.New()
			err = atomicfile.Write(args[1], 0o666, func(w io.Writer) error {
				return hf.Convert(ctx, io.MultiWriter(w, sum), f, hf.ConvertOptions{Type: as.typ, Keep: as.name == "", Progress: update})
			})
			finish()
			if err != nil {
				return interruptedError{err, "before " + args[1] + " was complete"}.orJust(ctx)
			}
			r, err := describeConverted(args[1])
			if err != nil {
				return err
			}
			r.FileSHA256 = hex.EncodeToString(sum.Sum(nil))
			if a.json {
				tok, err := token.FromGGUF(f)
				if err != nil {
					return err
				}
				if r.Provenance, err = fileProvenance(ctx, f, tok); err != nil {
					return err
				}
			}
			if a.json {
				return a.writeJSON(r)
			}
			t := table{head: []string{"", ""}}
			t.add("file", r.Out)
			t.add("size", byteSize(r.Bytes))
			t.add("sha256", r.FileSHA256)
			t.add("quantisation", r.Quantisation)
			t.add("parameters", grouped(r.Parameters))
			return a.print(&t)
		},
	}
	cmd.Flags().Var(&as, "type", "store matrices as f32, f16, bf16, q8_0 or q4_0; without it they stay as they are")
	return cmd
}

// same reports whether a file to be written is the one, or one of those, that a
// model is read from.
func same(f *gguf.File, out string) bool {
	written, err := os.Stat(out)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(f.Files(), func(path string) bool {
		read, err := os.Stat(path)
		return err == nil && os.SameFile(read, written)
	})
}

// describeConverted describes the file that was written.
func describeConverted(out string) (*convertResult, error) {
	f, err := gguf.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	q := quantisationOf(f)
	r := &convertResult{Out: out, Bytes: f.Size(), Quantisation: q.label, Parameters: q.elements, Tensors: map[string]string{}}
	for _, k := range q.kinds {
		r.Tensors[k.name] = k.formats()
	}
	return r, nil
}
