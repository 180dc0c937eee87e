package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/limbic-go/limbic/asm"
)

// A Job is work that falls into independent items.
type Job interface {
	// Do computes one item. worker is below the pool's size and names the
	// goroutine, so that a job can keep scratch memory for each.
	Do(worker, item int)
}

// A Pool computes the items of jobs on a fixed number of goroutines. What an
// item computes must not depend on who computes it: then results do not depend
// on the size of the pool.
//
// Items are dealt one at a time from an atomic counter. A worker that the
// operating system has descheduled delays a job only by the item it holds, and
// a worker that comes late finds nothing left; nobody waits for a barrier that
// all must reach. Between jobs workers spin for some tens of microseconds and
// then sleep.
type Pool struct {
	// state is the generation of the job in the upper half and the number of
	// items not yet claimed in the lower: one compare-and-swap claims an item
	// of exactly the job that was looked at.
	state atomic.Uint64
	_     [56]byte // workers poll state; keep done off its cache line
	done  atomic.Int64
	_     [56]byte

	job   Job // valid while items of it are unclaimed or unfinished
	items int

	size     int
	closed   atomic.Bool
	sleeping atomic.Int32
	wake     chan struct{}
	workers  sync.WaitGroup
}

// NewPool starts a pool of the given size, the calling goroutine included:
// size-1 goroutines that live until Close. A size below 1 counts as 1.
func NewPool(size int) *Pool {
	size = max(size, 1)
	p := &Pool{size: size, wake: make(chan struct{}, size)}
	for w := 1; w < size; w++ {
		p.workers.Go(func() { p.work(w) })
	}
	return p
}

// Size is the number of goroutines that compute, the caller's included.
func (p *Pool) Size() int { return p.size }

// Close ends the pool's goroutines and waits for them. Run must not be called
// afterwards. Closing twice is allowed.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	for range p.size {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	p.workers.Wait()
}

// Run computes the items 0 … items-1 of a job and returns when all are done.
// The caller works too. Run allocates nothing; only one Run may be under way.
func (p *Pool) Run(job Job, items int) {
	if p.size == 1 || items <= 1 {
		for i := range items {
			job.Do(0, i)
		}
		return
	}
	p.job, p.items = job, items
	p.done.Store(0)
	generation := p.state.Load()>>32 + 1
	p.state.Store(generation<<32 | uint64(items))
	for n := min(int(p.sleeping.Load()), items-1); n > 0; n-- {
		select {
		case p.wake <- struct{}{}:
		default: // as many wakes as workers are pending
			n = 0
		}
	}
	for p.claim(0) {
	}
	for spins := 0; p.done.Load() < int64(items); spins++ {
		if spins < 1000 {
			asm.Pause()
		} else {
			runtime.Gosched()
		}
	}
	p.job = nil
}

// claim computes one item of the current job and reports whether any was left.
func (p *Pool) claim(worker int) bool {
	for {
		s := p.state.Load()
		left := int(uint32(s))
		if left == 0 {
			return false
		}
		if p.state.CompareAndSwap(s, s-1) {
			p.job.Do(worker, p.items-left)
			p.done.Add(1)
			return true
		}
	}
}

// idleSpins bounds how long a worker polls before it sleeps: longer than the
// serial stretches within a forward pass, shorter than anyone would notice
// between two of them.
const idleSpins = 1500

func (p *Pool) work(worker int) {
	for spins := 0; ; {
		if p.claim(worker) {
			spins = 0
			continue
		}
		if p.closed.Load() {
			return
		}
		if spins < idleSpins {
			spins++
			asm.Pause()
			if spins%128 == 0 {
				runtime.Gosched() // let others run where threads outnumber cores
			}
			continue
		}
		p.sleeping.Add(1)
		// Look again: a job may have been published before the count was
		// visible, and Close may have been called.
		if uint32(p.state.Load()) == 0 && !p.closed.Load() {
			<-p.wake
		}
		p.sleeping.Add(-1)
		spins = 0
	}
}
