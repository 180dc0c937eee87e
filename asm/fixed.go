package asm

import (
	"math"
	"math/bits"
)

// AddFixed adds numbers exactly to sums that are 128-bit two's complement
// numbers in units of 2⁻⁶⁴. It begins at the front and stops before the first
// element whose magnitude is not from 2⁻⁴¹ to below 2²³ or whose sum would
// overflow, and gives how many it has added. The slices have equal length.
func AddFixed[T ~struct{ Hi, Lo uint64 }](sums []T, x []float32) int {
	sameLength(len(sums), len(x), len(x))
	done := 0
	for n := len(x) &^ 7; done < n; {
		done += addFixed(sums[done:n], x[done:n])
		// A kernel stops short of a group of 8 at most.
		rest := min(done+8, n)
		k := addFixedGeneric(sums[done:rest], x[done:rest])
		if done += k; done < rest {
			return done
		}
	}
	return done + addFixedGeneric(sums[done:], x[done:])
}

func addFixedGeneric[T ~struct{ Hi, Lo uint64 }](sums []T, x []float32) int {
	sums = sums[:len(x)]
	for i, v := range x {
		b := math.Float32bits(v)
		// v is mantissa·2^(exponent-150), so mantissa·2^shift units.
		shift := b>>23&0xff - 86
		if shift >= 64 {
			return i
		}
		f := struct{ Hi, Lo uint64 }(sums[i])
		negative := -uint64(b >> 31) // all ones or zero
		mantissa := uint64(b&0x7fffff | 1<<23)
		lo, carry := bits.Add64(f.Lo, mantissa<<shift^negative, negative&1)
		hi, _ := bits.Add64(f.Hi, mantissa>>(64-shift)^negative, carry)
		// Overflow: both summands have one sign and the sum the other.
		if (f.Hi^hi)&^(f.Hi^negative)>>63 != 0 {
			return i
		}
		sums[i] = T{Hi: hi, Lo: lo}
	}
	return len(x)
}
