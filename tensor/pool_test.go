package tensor

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// countJob counts how often each item was computed.
type countJob struct {
	hits    []atomic.Int32
	workers []atomic.Int32
	pause   time.Duration
}

func (j *countJob) Do(worker, item int) {
	j.hits[item].Add(1)
	j.workers[worker].Add(1)
	if j.pause > 0 {
		time.Sleep(j.pause)
	}
}

func TestPoolComputesEachItemOnce(t *testing.T) {
	for _, size := range []int{-1, 1, 2, 3, 7} {
		t.Run(fmt.Sprint("size ", size), func(t *testing.T) {
			p := NewPool(size)
			defer p.Close()
			for round := range 300 {
				items := round % 41
				j := &countJob{hits: make([]atomic.Int32, items), workers: make([]atomic.Int32, p.Size())}
				p.Run(j, items)
				for i := range j.hits {
					require.EqualValues(t, 1, j.hits[i].Load(), "item %d of %d", i, items)
				}
			}
		})
	}
}

func TestPoolSharesWork(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	time.Sleep(20 * time.Millisecond) // the workers sleep and must be woken
	j := &countJob{hits: make([]atomic.Int32, 30), workers: make([]atomic.Int32, 3), pause: time.Millisecond}
	p.Run(j, 30)
	for w := range j.workers {
		require.Positive(t, j.workers[w].Load(), "worker %d did nothing", w)
	}
}

// A blockedJob's first item ends only after all others.
type blockedJob struct {
	left   atomic.Int32
	others chan struct{}
}

func (j *blockedJob) Do(_, item int) {
	if item == 0 {
		<-j.others
	} else if j.left.Add(-1) == 0 {
		close(j.others)
	}
}

func TestPoolComputesSharesOfWhoIsLate(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	const items = 9
	j := &blockedJob{others: make(chan struct{})}
	j.left.Store(items - 1)
	p.Run(j, items) // hangs if who holds the first item keeps the next two
}

func TestPoolCloseEndsItsGoroutines(t *testing.T) {
	p := NewPool(4)
	p.Close() // waits for them, or the test hangs
	p.Close()
}

func TestPoolRunDoesNotAllocate(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	j := &countJob{hits: make([]atomic.Int32, 8), workers: make([]atomic.Int32, 2)}
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Run(j, 8) }))
}

type emptyJob struct{}

func (emptyJob) Do(int, int) {}

func BenchmarkPoolRun(b *testing.B) {
	for _, size := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			p := NewPool(size)
			defer p.Close()
			for b.Loop() {
				p.Run(emptyJob{}, 2*size)
			}
		})
	}
}
