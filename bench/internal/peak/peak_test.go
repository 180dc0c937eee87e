package peak

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A loop takes time in proportion to its rounds: it does what it counts.
func TestLoops(t *testing.T) {
	for _, get := range []func() (Loop, bool){Float32, Int8} {
		loop, ok := get()
		if !ok {
			assert.Empty(t, loop.Name)
			continue
		}
		t.Run(loop.Name, func(t *testing.T) {
			loop.Run(0)
			const rounds = 1 << 16
			best := time.Duration(1 << 62)
			for range 20 { // the fastest of some: machines are shared
				start := time.Now()
				loop.Run(rounds)
				best = min(best, time.Since(start))
			}
			ops := float64(loop.Ops*rounds) / best.Seconds()
			assert.Greater(t, ops, 1e9, "no processor with these instructions is so slow")
			assert.Less(t, ops, 1e13, "no core is so fast: the loop is not run")
		})
	}
}

// Read takes any length.
func TestRead(t *testing.T) {
	for n := range 300 {
		Read(make([]float32, n))
	}
	assert.NotEmpty(t, Reader())
}

// What plain Go reads is the sum of everything.
func TestReadGeneric(t *testing.T) {
	readGeneric(nil)
	readGeneric(make([]float32, 33))
}
