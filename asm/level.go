package asm

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Level names a set of kernels. Higher levels need more of the processor
// and give the same bits.
type Level int

// The levels of each architecture, lowest first. The build tag purego leaves
// only Generic.
const (
	Generic     Level = iota // plain Go
	AVX2                     // amd64 with AVX2 and FMA
	AVX512                   // amd64 with AVX2, FMA and AVX-512 F, BW, DQ and VL
	AVX512VNNI               // the same with AVX-512 VNNI
	AMX                      // the same with AMX for int8, on Linux
	NEON                     // arm64
	NEONDotProd              // arm64 with the dot product instructions (FEAT_DotProd)
)

var levelNames = []string{
	Generic: "generic", AVX2: "avx2", AVX512: "avx512", AVX512VNNI: "avx512vnni", AMX: "amx", NEON: "neon", NEONDotProd: "neondotprod",
}

func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levelNames[l]
}

// Environment is the variable that forces a lower level at start-up, such as
// LIMBIC_KERNELS=generic. An unknown or impossible value is ignored here and
// reported by EnvironmentError.
const Environment = "LIMBIC_KERNELS"

var (
	levels         = available()
	level          = Best()
	environmentErr error
)

func init() {
	if v := os.Getenv(Environment); v != "" {
		l, err := ParseLevel(v)
		if err == nil {
			_, err = Use(l)
		}
		if err != nil {
			environmentErr = fmt.Errorf("%s=%s: %w", Environment, v, err)
		}
	}
}

// EnvironmentError says why the value of the variable Environment could not
// be followed; it is nil where it was, or where the variable is not set.
func EnvironmentError() error { return environmentErr }

// Current is the level in use.
func Current() Level { return level }

// Levels lists the levels that this build can run on this processor, lowest
// first.
func Levels() []Level { return slices.Clone(levels) }

// Best is the highest level that this build can run on this processor.
func Best() Level { return levels[len(levels)-1] }

// ParseLevel reads a level's name, in either case.
func ParseLevel(s string) (Level, error) {
	for i, n := range levelNames {
		if strings.EqualFold(n, s) {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("asm: unknown kernels %q (known: %s)", s, strings.Join(levelNames, ", "))
}

// Use switches to the kernels of l and returns a function that switches back.
// It fails where this build or processor lacks them. Use is meant for program
// start and tests: it must not run at the same time as a kernel.
func Use(l Level) (restore func(), err error) {
	if !slices.Contains(levels, l) {
		return nil, fmt.Errorf("asm: %v kernels are not available here (best: %v)", l, Best())
	}
	old := level
	level = l
	return func() { level = old }, nil
}
