package main

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama"
)

// version is limbic's version. It is stated here and nowhere else.
const version = "0.1.0"

// revision is the commit that the program was built from, if the build knew it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	rev, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if rev == "" {
		return ""
	}
	return rev + modified
}

// kernelFeatures are the features of processors that matter to kernels.
var kernelFeatures = []cpuid.FeatureID{
	cpuid.AVX, cpuid.AVX2, cpuid.FMA3, cpuid.F16C, cpuid.AVXVNNI,
	cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI, cpuid.AVX512VBMI, cpuid.AVX512BF16,
	cpuid.AMXTILE, cpuid.AMXINT8,
	cpuid.ASIMD, cpuid.ASIMDDP, cpuid.FPHP, cpuid.ASIMDHP, cpuid.I8MM, cpuid.BF16, cpuid.SVE, cpuid.SVE2,
}

type versionResult struct {
	Version    string     `json:"version"`
	Revision   string     `json:"revision,omitempty"`
	Go         string     `json:"go"`
	Platform   string     `json:"platform"`
	CPU        string     `json:"cpu"`
	Threads    int        `json:"threads"`  // how many are used unless told otherwise
	Features   []string   `json:"features"` // of the processor, those that matter to kernels
	Kernels    string     `json:"kernels"`  // in use
	Levels     []string   `json:"levels"`   // kernels that this build and processor can run
	Provenance provenance `json:"provenance"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Version, Go version, processor features and kernels",
		Long: `Print the version of limbic and of Go, the features found in the processor and
the kernels chosen. The environment variable ` + asm.Environment + ` forces others,
which give the same bits.`,
		Example: examples(
			"limbic version",
			"limbic version --json",
		),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			r := versionResult{
				Version: version, Revision: revision(), Go: runtime.Version(),
				Platform: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuid.CPU.BrandName,
				Threads: llama.DefaultThreads(), Features: []string{},
				Kernels: asm.Current().String(), Provenance: programProvenance(),
			}
			for _, f := range kernelFeatures {
				if cpuid.CPU.Supports(f) {
					r.Features = append(r.Features, f.String())
				}
			}
			for _, l := range asm.Levels() {
				r.Levels = append(r.Levels, l.String())
			}
			if a.json {
				return a.writeJSON(r)
			}
			t := table{head: []string{"", ""}}
			t.add("limbic", strings.TrimSpace(r.Version+" "+r.Revision))
			t.add("go", r.Go+" "+r.Platform)
			t.add("processor", r.CPU)
			t.add("features", strings.Join(r.Features, " "))
			t.add("kernels", r.Kernels+" (available: "+strings.Join(r.Levels, ", ")+")")
			t.add("threads", counted(r.Threads, "thread")+" unless --threads says otherwise")
			t.rows = slices.DeleteFunc(t.rows, func(row []string) bool { return row[1] == "" })
			return a.print(&t)
		},
	}
}
