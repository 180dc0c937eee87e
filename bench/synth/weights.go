package synth

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/x448/float16"

	"github.com/limbic-go/limbic/tensor"
)

// writeMatrix writes elements of standard deviation sigma, some blocks at a
// time. The number of elements is a multiple of the type's block.
func writeMatrix(w io.Writer, t tensor.Type, elements int, sigma float64, random *rand.ChaCha8) error {
	blockBytes, err := t.RowBytes(t.Block())
	if err != nil {
		return err
	}
	const chunk = 1 << 16
	buf := make([]byte, chunk/blockBytes*blockBytes)
	fill, err := filler(t, sigma, random)
	if err != nil {
		return err
	}
	for left := elements / t.Block() * blockBytes; left > 0; {
		b := buf[:min(left, len(buf))]
		if _, err := random.Read(b); err != nil {
			return err
		}
		fill(b)
		if _, err := w.Write(b); err != nil {
			return err
		}
		left -= len(b)
	}
	return nil
}

// filler gives a function that makes whole blocks out of random bytes.
func filler(t tensor.Type, sigma float64, random *rand.ChaCha8) (func(b []byte), error) {
	if t.Block() == 1 {
		return floats(t, sigma)
	}
	l, ok := layouts[t]
	if !ok {
		return nil, fmt.Errorf("synth: %v cannot be written", t)
	}
	var scales scaleTable
	scales.fill(sigma/l.deviation, l.signed)
	// Blocks take the scales in turn, neighbours far apart, so that even a small
	// matrix has all of them about equally often.
	next := random.Uint64()
	return func(b []byte) {
		for ; len(b) > 0; b = b[l.bytes:] {
			next += 97
			l.finish(b[:l.bytes:l.bytes], scales[next%uint64(len(scales))])
		}
	}, nil
}

// floats replaces random bits by elements of a table of 4096 quantiles of the
// normal distribution.
func floats(t tensor.Type, sigma float64) (func(b []byte), error) {
	const n = 4096
	xs := make([]float32, n)
	for i := range xs {
		x := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/n-1)
		// Logarithms differ in the last bit between architectures.
		x = math.Round(x*(1<<20)) / (1 << 20)
		xs[i] = float32(x * sigma)
	}
	size, err := t.RowBytes(1)
	if err != nil {
		return nil, err
	}
	table := make([]byte, n*size)
	if err := tensor.Quantize(table, t, xs); err != nil {
		return nil, err
	}
	return func(b []byte) {
		for ; len(b) >= size; b = b[size:] {
			i := int(binary.LittleEndian.Uint16(b)) % n
			copy(b[:size], table[i*size:])
		}
	}, nil
}

// A scaleTable holds the scales of blocks: those of real models differ, too.
type scaleTable [256]float32

// fill spreads the scales evenly over half to three halves of their middle, so
// that their mean square is rms². Half of them are negative if signed.
func (s *scaleTable) fill(rms float64, signed bool) {
	middle := rms / math.Sqrt(1+1.0/12)
	for i := range s {
		d := middle * (0.5 + (float64(i)+0.5)/float64(len(s)))
		if signed && i%2 == 1 {
			d = -d
		}
		s[i] = float32(d)
	}
}

// A layout says how the random bytes of a block become a valid block.
type layout struct {
	bytes     int
	deviation float64 // root mean square of an element where the scale is 1
	signed    bool    // quantisers make negative scales, too
	finish    func(b []byte, d float32)
}

// The mean squares of what the bits of quants and sub-scales stand for.
var (
	byte127  = meanSquare(-127, 127)
	nibble8  = meanSquare(-8, 7)
	fifth16  = meanSquare(-16, 15)
	centred4 = meanSquare(-7.5, 7.5)
	centred5 = meanSquare(-15.5, 15.5)
	centred2 = meanSquare(-1.5, 1.5)
)

// meanSquare is that of the numbers from, from+1, … to.
func meanSquare(from, to float64) float64 {
	sum, n := 0.0, 0.0
	for x := from; x <= to; x++ {
		sum += x * x
		n++
	}
	return sum / n
}

func levelsSquare() float64 {
	sum := 0.0
	for _, x := range iq4Levels {
		sum += x * x
	}
	return sum / float64(len(iq4Levels))
}

// iq4Levels are what the nibbles of the IQ4 formats stand for.
var iq4Levels = [...]float64{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

func put16(b []byte, x float32) {
	binary.LittleEndian.PutUint16(b, float16.Fromfloat32(x).Bits())
}

// layouts, by type. Formats with an offset or minima get those that make the
// mean 0; in the others the mean is half a step from 0, as quants have one more
// negative value than positive ones, and the sign of the scale takes turns. The
// fields of the blocks are described in package tensor.
var layouts = map[tensor.Type]layout{
	tensor.Q8_0: {34, math.Sqrt(byte127), false, func(b []byte, d float32) {
		put16(b, d)
		for i, q := range b[2:] {
			if q == 0x80 { // quantisers end at −127
				b[2+i] = 0x81
			}
		}
	}},
	tensor.Q4_0: {18, math.Sqrt(nibble8), true, func(b []byte, d float32) { put16(b, d) }},
	tensor.Q4_1: {20, math.Sqrt(centred4), false, func(b []byte, d float32) {
		put16(b, d)
		put16(b[2:], -7.5*d)
	}},
	tensor.Q5_0: {22, math.Sqrt(fifth16), true, func(b []byte, d float32) { put16(b, d) }},
	tensor.Q5_1: {24, math.Sqrt(centred5), false, func(b []byte, d float32) {
		put16(b, d)
		put16(b[2:], -15.5*d)
	}},
	tensor.Q2_K: {84, math.Sqrt(meanSquare(0, 15) * centred2), false, func(b []byte, d float32) {
		for i, s := range b[:16] {
			b[i] = s&15 | s<<4 // the minimum of a run is its scale
		}
		put16(b[80:], d)
		put16(b[82:], 1.5*d)
	}},
	tensor.Q3_K: {110, math.Sqrt(meanSquare(-32, 31) * meanSquare(-4, 3)), false, func(b []byte, d float32) { put16(b[108:], d) }},
	tensor.Q4_K: {144, math.Sqrt(meanSquare(0, 63) * centred4), false, func(b []byte, d float32) {
		put16(b, d)
		put16(b[2:], 7.5*d)
		equalMins(b[4:16])
	}},
	tensor.Q5_K: {176, math.Sqrt(meanSquare(0, 63) * centred5), false, func(b []byte, d float32) {
		put16(b, d)
		put16(b[2:], 15.5*d)
		equalMins(b[4:16])
	}},
	tensor.Q6_K:  {210, math.Sqrt(meanSquare(-128, 127) * meanSquare(-32, 31)), false, func(b []byte, d float32) { put16(b[208:], d) }},
	tensor.IQ4NL: {18, math.Sqrt(levelsSquare()), true, func(b []byte, d float32) { put16(b, d) }},
	tensor.IQ4XS: {136, math.Sqrt(meanSquare(-32, 31) * levelsSquare()), false, func(b []byte, d float32) { put16(b, d) }},
}

// equalMins makes the minima of Q4_K and Q5_K equal to the scales, of which
// twelve bytes hold eight each.
func equalMins(b []byte) {
	copy(b[4:8], b[0:4])
	for i, x := range b[8:12] {
		b[8+i] = x&15 | x<<4
	}
}
