package tensor

import (
	"math"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestArena(t *testing.T) {
	var a Arena
	var all [][]float32
	total := int64(0)
	for _, n := range []int{1, 16, 17, 1000, 1 << 18, 3, 1<<18 + 1, 0, 5} {
		x, err := a.Floats(n)
		require.NoError(t, err)
		require.Len(t, x, n)
		total += int64(4*n+63) / 64 * 64
		require.Equal(t, total, a.Size())
		if n > 0 {
			require.Zero(t, uintptr(unsafe.Pointer(&x[0]))%64, "aligned")
		}
		for i, v := range x {
			if v != 0 {
				t.Fatalf("element %d of %d is not zeroed", i, n)
			}
			x[i] = float32(len(all) + 1)
		}
		all = append(all, x)
	}
	for i, x := range all { // nothing overlaps
		for _, v := range x {
			if v != float32(i+1) {
				t.Fatalf("allocation %d holds %v", i, v)
			}
		}
	}
	require.NoError(t, a.Close())
	require.Zero(t, a.Size())
	require.NoError(t, a.Close(), "twice is allowed")

	x, err := a.Floats(4) // and it can be used again
	require.NoError(t, err)
	require.Equal(t, make([]float32, 4), x)
	require.NoError(t, a.Close())
}

func TestArenaRefuses(t *testing.T) {
	var a Arena
	for _, n := range []int{-1, math.MaxInt, math.MaxInt / 4} {
		_, err := a.Floats(n)
		require.ErrorContains(t, err, "cannot allocate")
	}
	require.Zero(t, a.Size())
}
