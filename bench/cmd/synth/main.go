// Command synth writes GGUF models with random weights in the shape of real
// models; see package bench/synth.
//
//	go run ./bench/cmd/synth -shape SmolLM2-135M,Llama-3.2-1B -quant Q8_0,Q4_K_M -dir /tmp/models
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/limbic-go/limbic/bench/synth"
	"github.com/limbic-go/limbic/internal/atomicfile"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if err != flag.ErrHelp {
			fmt.Fprintln(os.Stderr, "synth:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("synth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	shapes := flags.String("shape", "SmolLM2-135M", "shapes, separated by commas: "+strings.Join(synth.Shapes(), ", "))
	quants := flags.String("quant", "Q4_K_M", "quantisations, separated by commas: "+strings.Join(synth.Mixes(), ", ")+
		", and pure- with a type's name for that type in every matrix")
	dir := flags.String("dir", ".", "folder for the files, which are called SHAPE-QUANT.gguf")
	seed := flags.Uint64("seed", 1, "seed of the weights")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	type job struct {
		shape synth.Shape
		mix   synth.Mix
	}
	var jobs []job
	for _, s := range strings.Split(*shapes, ",") {
		shape, err := synth.ShapeByName(s)
		if err != nil {
			return err
		}
		for _, q := range strings.Split(*quants, ",") {
			mix, err := synth.MixByName(q)
			if err != nil {
				return err
			}
			jobs = append(jobs, job{shape, mix})
		}
	}
	for _, j := range jobs {
		path := filepath.Join(*dir, j.shape.Name+"-"+j.mix.Name+".gguf")
		err := atomicfile.Write(path, 0o644, func(w io.Writer) error {
			return synth.Write(w, j.shape, j.mix, *seed)
		})
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s  %.1f MB\n", path, float64(info.Size())/1e6)
	}
	return nil
}
