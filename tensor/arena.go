package tensor

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/limbic-go/limbic/asm"
)

// An Arena owns memory outside the garbage collector's heap: repacked weights
// are large, live long and hold no pointers. Its slices are aligned to 64
// bytes and are gone after Close.
type Arena struct {
	blocks [][]byte
	free   []byte
	bytes  int64
}

const (
	arenaAlign = 64

	// What is mapped at once: little for small models, and for large ones
	// enough that nearly all of it can lie in huge pages.
	firstArenaBlock = 1 << 20
	lastArenaBlock  = 64 << 20
)

// Floats allocates n zeroed float32.
func (a *Arena) Floats(n int) ([]float32, error) {
	if n < 0 || n > (math.MaxInt-arenaAlign)/4 {
		return nil, fmt.Errorf("tensor: cannot allocate %d float32", n)
	}
	b, err := a.Bytes(4 * n)
	if len(b) == 0 {
		return nil, err
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), n), nil
}

// Halves allocates n zeroed numbers of 16 bits.
func (a *Arena) Halves(n int) ([]uint16, error) {
	if n < 0 || n > (math.MaxInt-arenaAlign)/2 {
		return nil, fmt.Errorf("tensor: cannot allocate %d numbers of 16 bits", n)
	}
	b, err := a.Bytes(2 * n)
	if len(b) == 0 {
		return nil, err
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), n), nil
}

// Bytes allocates n zeroed bytes.
func (a *Arena) Bytes(n int) ([]byte, error) {
	if n < 0 || n > math.MaxInt-arenaAlign {
		return nil, fmt.Errorf("tensor: cannot allocate %d bytes", n)
	}
	if n == 0 {
		return nil, nil
	}
	size := (n + arenaAlign - 1) &^ (arenaAlign - 1)
	if size > len(a.free) {
		b, err := mapAnonymous(max(size, a.nextBlock()))
		if err != nil {
			return nil, err
		}
		a.blocks = append(a.blocks, b)
		a.free = b
	}
	b := a.free[:n:size]
	a.free = a.free[size:]
	a.bytes += int64(size)
	return b, nil
}

func (a *Arena) nextBlock() int { return min(firstArenaBlock<<len(a.blocks), lastArenaBlock) }

// Size is the memory handed out so far, in bytes.
func (a *Arena) Size() int64 { return a.bytes }

// Close releases all memory of the arena. Slices from it must not be used
// afterwards.
func (a *Arena) Close() error {
	var first error
	for _, b := range a.blocks {
		if err := unmapAnonymous(b); err != nil && first == nil {
			first = fmt.Errorf("tensor: release memory: %w", err)
		}
	}
	*a = Arena{}
	return first
}

// MakeBuffer makes a slice of n elements on the garbage collector's heap, in huge
// pages where the system has them and the slice is not small: rows of activations
// lie pages apart, and a product that goes from row to row would wait for the
// translation of addresses, which made prompts a fifth slower.
func MakeBuffer[T int8 | int16 | uint16 | int32 | float32 | asm.Term](n int) []T {
	const page, large = 2 << 20, 512 << 10
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	if size < large {
		return make([]T, n)
	}
	b := make([]T, (size+2*page)/int(unsafe.Sizeof(zero)))
	p := unsafe.Pointer(&b[0])
	skip := int(-uintptr(p) % page)
	adviseHuge(unsafe.Slice((*byte)(unsafe.Add(p, skip)), (size+page-1)/page*page))
	// An element may lie across the page's beginning.
	first := (skip + int(unsafe.Sizeof(zero)) - 1) / int(unsafe.Sizeof(zero))
	return b[first : first+n : first+n]
}
