package bench

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/bench/internal/peak"
	"github.com/limbic-go/limbic/tensor"
)

// A Limit is something that the machine cannot do faster, as measured.
type Limit struct {
	Name    string `json:"name"` // such as "memory read"
	Unit    string `json:"unit"` // "GB/s", "GFLOP/s" or "GOP/s", in units of 10⁹
	How     string `json:"how"`  // the instructions that were timed; empty where nothing was
	Threads int    `json:"threads"`
	Spread
}

// Measured reports whether there is a measurement: a processor or a build may
// lack the instructions for one.
func (l Limit) Measured() bool { return len(l.Samples) > 0 }

// String is a line of a table, such as
// "memory read, 2 threads: 33.1 (31.0–34.9) GB/s (ymm loads)".
func (l Limit) String() string {
	threads := "1 thread"
	if l.Threads != 1 {
		threads = fmt.Sprintf("%d threads", l.Threads)
	}
	if !l.Measured() {
		return fmt.Sprintf("%s, %s: not measured", l.Name, threads)
	}
	return fmt.Sprintf("%s, %s: %v %s (%s)", l.Name, threads, l.Spread, l.Unit, l.How)
}

// Timing says how a limit is measured. The zero value is good.
type Timing struct {
	Runs int           // samples; 0 means 5
	Each time.Duration // how long each takes; 0 means 100 ms
}

func (t Timing) filled() Timing {
	if t.Runs <= 0 {
		t.Runs = 5
	}
	if t.Each <= 0 {
		t.Each = 100 * time.Millisecond
	}
	return t
}

// sample runs work on some threads at once, over and over for the time given,
// and adds up how many units each of them did a second.
func (t Timing) sample(threads int, work func(thread int) (units float64)) Spread {
	t = t.filled()
	var rates []float64
	for range t.Runs {
		per := make([]float64, threads)
		start := make(chan struct{})
		var ready, done sync.WaitGroup
		ready.Add(threads)
		for i := range threads {
			done.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				ready.Done()
				<-start
				units := 0.0
				begin := time.Now()
				for time.Since(begin) < t.Each {
					units += work(i)
				}
				per[i] = units / time.Since(begin).Seconds()
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		total := 0.0
		for _, r := range per {
			total += r
		}
		rates = append(rates, total/1e9)
	}
	return NewSpread(rates)
}

// Memory is a stretch of memory, far larger than caches, to be read from.
type Memory struct {
	arena tensor.Arena
	all   []float32
}

// MemoryBytes is how large Memory usually is: no processor caches so much for
// the cores of one process, with few exceptions.
const MemoryBytes = 512 << 20

// NewMemory allocates and touches memory of the given size, at least 1 MiB, in
// huge pages where the system gives them. Close frees it.
func NewMemory(bytes int) (*Memory, error) {
	m := &Memory{}
	var err error
	if m.all, err = m.arena.Floats(max(bytes, 1<<20) / 4); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	const page = 4096 / 4
	for i := 0; i < len(m.all); i += page {
		m.all[i] = 1 // memory that was never written is one page of zeros
	}
	return m, nil
}

// Close frees the memory.
func (m *Memory) Close() error { return m.arena.Close() }

// Read measures how fast threads together read memory, each a stretch of its
// own, from end to end and again.
func (m *Memory) Read(threads int, t Timing) Limit {
	threads = max(threads, 1)
	const step = 1 << 18 // a MiB
	share := len(m.all) / threads
	next := make([]int, threads*16) // apart, so that no cache line is shared
	spread := t.sample(threads, func(i int) float64 {
		own := m.all[i*share:][:share]
		at := &next[i*16]
		x := own[*at:min(*at+step, share)]
		if *at += step; *at >= share {
			*at = 0
		}
		peak.Read(x)
		return float64(4 * len(x))
	})
	return Limit{Name: "memory read", Unit: "GB/s", How: peak.Reader(), Threads: threads, Spread: spread}
}

// Float32Peak measures how many float32 operations threads do together with the
// widest multiply-add instruction, a product and its sum counted as two.
func Float32Peak(threads int, t Timing) Limit {
	loop, ok := peak.Float32()
	return measureLoop(Limit{Name: "float32 peak", Unit: "GFLOP/s", Threads: max(threads, 1)}, loop, ok, t)
}

// Int8Peak is Float32Peak for products of 8-bit integers, summed in 32 bits.
func Int8Peak(threads int, t Timing) Limit {
	loop, ok := peak.Int8()
	return measureLoop(Limit{Name: "int8 peak", Unit: "GOP/s", Threads: max(threads, 1)}, loop, ok, t)
}

func measureLoop(l Limit, loop peak.Loop, ok bool, t Timing) Limit {
	if !ok {
		return l
	}
	const rounds = 2000 // some tens of microseconds
	l.How = loop.Name
	l.Spread = t.sample(l.Threads, func(int) float64 {
		loop.Run(rounds)
		return float64(rounds * loop.Ops)
	})
	return l
}

// PanelPeak is what limbic's own float32 matrix kernel reaches on data in the
// nearest cache: the share of Float32Peak that its form allows.
func PanelPeak(threads int, t Timing) Limit {
	const k, panels, cols = 96, 4, 6
	threads = max(threads, 1)
	type operands struct{ y, w, x []float32 }
	data := make([]operands, threads)
	for i := range data {
		d := operands{make([]float32, cols*panels*asm.Rows), make([]float32, panels*k*asm.Rows), make([]float32, cols*k)}
		for j := range d.w {
			d.w[j] = 0.5 + float32(j%16)/16
		}
		for j := range d.x {
			d.x[j] = 0.5 + float32(j%16)/16
		}
		data[i] = d
	}
	spread := t.sample(threads, func(i int) float64 {
		d := &data[i]
		const repeat = 16
		for range repeat {
			asm.MulPanels(d.y, panels*asm.Rows, d.w, k*asm.Rows, d.x, k, k, panels, cols, false)
		}
		return repeat * 2 * k * panels * asm.Rows * cols
	})
	return Limit{
		Name: "float32 panel kernel", Unit: "GFLOP/s", Threads: threads, Spread: spread,
		How: asm.Current().String() + ", data in the nearest cache",
	}
}
