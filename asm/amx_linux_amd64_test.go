//go:build !purego

package asm

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func needAMX(t *testing.T) {
	if Best() < AMX {
		t.Skipf("this processor or system has no AMX; best is %v", Best())
	}
}

// testAMX calls the kernels with all numbers of columns from 1 to 40, also with
// those for which others would be chosen.
func testAMX[T int8 | int16](t *testing.T, kind amxKind, quantize func([]T, []float32, []int32, []float32)) {
	needAMX(t)
	for _, c := range intCases() {
		if c.mins && c.offset != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(61, 62))
			for cols := 1; cols <= 40; cols++ {
				k := []int{32, 64, 96, 160, 288, 544}[r.IntN(6)] // some beyond what a kernel takes at once
				panels := kind.panels * (1 + r.IntN(6))
				p := makeInt(t, r, c, k, panels, cols, quantize)
				ys, add := panels*Rows+r.IntN(3)*8, r.IntN(2) == 0
				y := fill(t, r, (cols-1)*ys+panels*Rows, fillers["normal"])
				want, got := slices.Clone(y), copyOf(t, y)
				mulIntGeneric(want, ys, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, add)
				mulAMX(kind, got, ys, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, add)
				sameBits(t, want, got, fmt.Sprintf("k=%d panels=%d cols=%d add=%v", k, panels, cols, add))
			}
		})
	}
}

func TestInt8AMXEqualsGeneric(t *testing.T)  { testAMX(t, int8AMXKind, QuantizeInt8) }
func TestInt16AMXEqualsGeneric(t *testing.T) { testAMX(t, int16AMXKind, QuantizeInt16) }

// Quants with the least value of their type, which quantising never gives, and
// every value of both bytes of a quant of 16 bits.
func TestAMXAllQuants(t *testing.T) {
	needAMX(t)
	const k, panels, cols = 512, 2, 128
	r := rand.New(rand.NewPCG(63, 64))
	for _, sub := range []int{16, 32} {
		for _, offset := range []int{0, 8, 32, 128} {
			codes := guardedBytes(t, panels*k*Rows)
			for i := range codes {
				codes[i] = byte(r.IntN(64))
				if offset == 128 {
					codes[i] = byte(r.Uint32())
				}
			}
			w := IntPanels{Codes: codes, Scales: fill(t, r, panels*k/sub*Rows, fillers["normal"]), CodeStride: k * Rows, ScaleStride: k / sub * Rows, Sub: sub, Offset: offset}
			x8, x16 := guardedInts[int8](t, k*cols), guardedInts[int16](t, k*cols)
			for i := range x16 {
				x16[i] = int16(i) // cols*k is 65536
				x8[i] = int8(r.Uint32())
				if i < k {
					x8[i] = -128
				}
			}
			r.Shuffle(len(x16), func(i, j int) { x16[i], x16[j] = x16[j], x16[i] })
			terms := func(quant func(i int) int32) []Term {
				ts := guardedTerms(t, k/sub*cols)
				for c := range cols {
					for b := range k / sub {
						term := Term{Scale: r.Float32()}
						for i := range sub {
							term.Bias -= int32(offset) * quant(c*k+b*sub+i)
						}
						ts[b*cols+c] = term
					}
				}
				return ts
			}
			want, got := make([]float32, cols*panels*Rows), make([]float32, cols*panels*Rows)
			ts := terms(func(i int) int32 { return int32(x8[i]) })
			mulIntGeneric(want, panels*Rows, &w, x8, k, ts, cols, k, panels, cols, false)
			mulAMX(int8AMXKind, got, panels*Rows, &w, x8, k, ts, cols, k, panels, cols, false)
			sameBits(t, want, got, fmt.Sprint("int8, offset ", offset))
			ts = terms(func(i int) int32 { return int32(x16[i]) })
			mulIntGeneric(want, panels*Rows, &w, x16, k, ts, cols, k, panels, cols, false)
			mulAMX(int16AMXKind, got, panels*Rows, &w, x16, k, ts, cols, k, panels, cols, false)
			sameBits(t, want, got, fmt.Sprint("int16, offset ", offset))
		}
	}
}

// The system saves tiles when it interrupts a thread: for garbage collection,
// for profiles, and to run another. New threads may use them, too, and the
// stack of a new goroutine grows for the kernel.
func TestAMXInterrupted(t *testing.T) {
	needAMX(t)
	const k, panels, cols, workers, rounds = 512, 4, 48, 4, 40
	r := rand.New(rand.NewPCG(65, 66))
	p8 := makeInt(t, r, intCases()[0], k, panels, cols, QuantizeInt8)
	p16 := makeInt(t, r, intCases()[6], k, panels, cols, QuantizeInt16)
	want8, want16 := make([]float32, cols*panels*Rows), make([]float32, cols*panels*Rows)
	mulIntGeneric(want8, panels*Rows, &p8.w, p8.x, p8.xs, p8.terms, p8.ts, k, panels, cols, false)
	mulIntGeneric(want16, panels*Rows, &p16.w, p16.x, p16.xs, p16.terms, p16.ts, k, panels, cols, false)

	require.NoError(t, pprof.StartCPUProfile(io.Discard))
	defer pprof.StopCPUProfile()
	var done atomic.Bool
	var disturbers sync.WaitGroup
	disturbers.Go(func() {
		for !done.Load() {
			runtime.GC()
		}
	})
	disturbers.Go(func() {
		for !done.Load() {
			unix.Kill(unix.Getpid(), unix.SIGURG) // what the runtime itself interrupts threads with
			runtime.Gosched()
		}
	})
	var differ atomic.Int32
	for range rounds {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
				got := make([]float32, cols*panels*Rows)
				for range 5 {
					mulAMX(int8AMXKind, got, panels*Rows, &p8.w, p8.x, p8.xs, p8.terms, p8.ts, k, panels, cols, false)
					if !slices.Equal(got, want8) {
						differ.Add(1)
					}
					mulAMX(int16AMXKind, got, panels*Rows, &p16.w, p16.x, p16.xs, p16.terms, p16.ts, k, panels, cols, false)
					if !slices.Equal(got, want16) {
						differ.Add(1)
					}
				}
			})
		}
		wg.Wait()
	}
	done.Store(true)
	disturbers.Wait()
	require.Zero(t, differ.Load())
}

func TestAMXAllocatesNothing(t *testing.T) {
	needAMX(t)
	const k, panels, cols = 512, 4, 64
	r := rand.New(rand.NewPCG(67, 68))
	p8 := makeInt(t, r, intCases()[0], k, panels, cols, QuantizeInt8)
	p16 := makeInt(t, r, intCases()[0], k, panels, cols, QuantizeInt16)
	y := make([]float32, cols*panels*Rows)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		mulAMX(int8AMXKind, y, panels*Rows, &p8.w, p8.x, p8.xs, p8.terms, p8.ts, k, panels, cols, false)
		mulAMX(int16AMXKind, y, panels*Rows, &p16.w, p16.x, p16.xs, p16.terms, p16.ts, k, panels, cols, false)
		// An odd panel and some columns for others.
		MulInt8(y, panels*Rows, &p8.w, p8.x, p8.xs, p8.terms, p8.ts, k, panels-1, 25, false)
	}))
}
