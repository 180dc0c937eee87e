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
// Each worker has a share of a job's items, the same part of all jobs, so that
// what one job wrote is often in the nearest cache of who reads it in the next. It
// claims items of its share one at a time, and then of others' shares. So a worker
// that the operating system has descheduled delays a job only by the item it
// holds, and a worker that comes late finds nothing left; nobody waits for a
// barrier that all must reach. Between jobs workers spin for some tens of
// microseconds and then sleep.
type Pool struct {
	// published counts jobs. Workers poll it; keep what is written meanwhile off its
	// cache line.
	published atomic.Uint32
	_         [60]byte
	done      atomic.Int64
	_         [56]byte

	job    Job // valid while items of it are unclaimed or unfinished
	shares []share

	size     int
	closed   atomic.Bool
	sleeping atomic.Int32
	wake     chan struct{}
	workers  sync.WaitGroup
}

// A share is the number of a job in the upper half and the number of items not yet
// claimed in the lower: one compare-and-swap claims an item of exactly the job that
// was looked at.
type share struct {
	state atomic.Uint64
	end   int // the item behind the share
	_     [48]byte
}

// NewPool starts a pool of the given size, the calling goroutine included:
// size-1 goroutines that live until Close. A size below 1 counts as 1.
func NewPool(size int) *Pool {
	size = max(size, 1)
	p := &Pool{size: size, shares: make([]share, size), wake: make(chan struct{}, size)}
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
	p.job = job
	p.done.Store(0)
	number := p.published.Load() + 1
	for w := range p.shares {
		s := &p.shares[w]
		from := w * items / p.size
		s.end = (w + 1) * items / p.size
		s.state.Store(uint64(number)<<32 | uint64(s.end-from))
	}
	p.published.Store(number)
	for n := min(int(p.sleeping.Load()), items-1); n > 0; n-- {
		select {
		case p.wake <- struct{}{}:
		default: // as many wakes as workers are pending
			n = 0
		}
	}
	p.compute(0)
	for spins := 0; p.done.Load() < int64(items); spins++ {
		if spins < 1000 {
			asm.Pause()
		} else {
			runtime.Gosched()
		}
	}
	p.job = nil
}

// compute computes items of the current job until none is left.
func (p *Pool) compute(worker int) {
	for i := range p.shares {
		s := &p.shares[(worker+i)%p.size]
		for p.claim(worker, s) {
		}
	}
}

// claim computes one item of a share and reports whether any was left.
func (p *Pool) claim(worker int, s *share) bool {
	for {
		state := s.state.Load()
		left := int(uint32(state))
		if left == 0 {
			return false
		}
		if s.state.CompareAndSwap(state, state-1) {
			p.job.Do(worker, s.end-left)
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
	seen := uint32(0)
	for spins := 0; ; {
		if number := p.published.Load(); number != seen {
			seen, spins = number, 0
			p.compute(worker)
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
		if p.published.Load() == seen && !p.closed.Load() {
			<-p.wake
		}
		p.sleeping.Add(-1)
		spins = 0
	}
}
