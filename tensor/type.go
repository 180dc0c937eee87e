package tensor

import (
	"fmt"
	"math"

	"github.com/limbic-go/limbic/asm"
)

// A Type is a storage format of tensor elements. The numbers are those of
// GGUF files (ggml's enum), so that a file's type field converts directly.
type Type uint32

// The storage formats that limbic reads. Block formats keep Block()
// consecutive elements of a row together in Bytes() bytes.
const (
	F32   Type = 0
	F16   Type = 1
	Q4_0  Type = 2
	Q4_1  Type = 3
	Q5_0  Type = 6
	Q5_1  Type = 7
	Q8_0  Type = 8
	Q2_K  Type = 10
	Q3_K  Type = 11
	Q4_K  Type = 12
	Q5_K  Type = 13
	Q6_K  Type = 14
	IQ4NL Type = 20
	IQ4XS Type = 23
	BF16  Type = 30
)

// A format says how a type is stored and read. To add a quantisation type,
// add its constant above, its row here, its block decoder in a quant_*.go file
// beside this one, and its unpacker in codes.go.
type format struct {
	name  string
	block int // elements in a block
	bytes int // bytes of a block

	// dequantize decodes whole blocks: len(dst) elements from src.
	dequantize func(dst []float32, src []byte)
	// quantize encodes whole blocks; nil where limbic only reads the format.
	quantize func(dst []byte, src []float32)
	// ints says how weights are read as integers; nil where they are floats.
	ints *intFormat
}

// known is the table of formats, the one place where a format is registered.
var known = map[Type]format{
	F32:   {"F32", 1, 4, dequantizeF32, quantizeF32, nil},
	F16:   {"F16", 1, 2, dequantizeF16, quantizeF16, nil},
	BF16:  {"BF16", 1, 2, dequantizeBF16, quantizeBF16, nil},
	Q8_0:  {"Q8_0", 32, 34, asm.DequantizeQ8_0, quantizeQ8_0, &intFormat{asm.PackedQ8_0, readQ8_0}},
	Q4_0:  {"Q4_0", 32, 18, dequantizeQ4_0, quantizeQ4_0, &intFormat{asm.PackedQ4_0, readQ4_0}},
	Q4_1:  {"Q4_1", 32, 20, dequantizeQ4_1, nil, &intFormat{asm.PackedQ4_1, readQ4_1}},
	Q5_0:  {"Q5_0", 32, 22, dequantizeQ5_0, nil, &intFormat{asm.PackedQ5_0, readQ5_0}},
	Q5_1:  {"Q5_1", 32, 24, dequantizeQ5_1, nil, &intFormat{asm.PackedQ5_1, readQ5_1}},
	Q2_K:  {"Q2_K", 256, 84, dequantizeQ2_K, nil, &intFormat{asm.PackedQ2_K, readQ2_K}},
	Q3_K:  {"Q3_K", 256, 110, dequantizeQ3_K, nil, &intFormat{asm.PackedQ3_K, readQ3_K}},
	Q4_K:  {"Q4_K", 256, 144, dequantizeQ4_K, nil, &intFormat{asm.PackedQ4_K, readQ4_K}},
	Q5_K:  {"Q5_K", 256, 176, dequantizeQ5_K, nil, &intFormat{asm.PackedQ5_K, readQ5_K}},
	Q6_K:  {"Q6_K", 256, 210, dequantizeQ6_K, nil, &intFormat{asm.PackedQ6_K, readQ6_K}},
	IQ4NL: {"IQ4_NL", 32, 18, dequantizeIQ4NL, nil, &intFormat{asm.PackedIQ4NL, readQ4_0}},
	IQ4XS: {"IQ4_XS", 256, 136, dequantizeIQ4XS, nil, &intFormat{asm.PackedIQ4XS, readIQ4XS}},
}

// Known reports whether limbic can read the type.
func (t Type) Known() bool { _, ok := known[t]; return ok }

// String gives the name that the GGUF ecosystem uses, such as "Q4_K", or
// "type 19" for a type that limbic does not read.
func (t Type) String() string {
	if f, ok := known[t]; ok {
		return f.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block is the number of consecutive row elements that are stored together:
// 1, 32 or 256. It is 0 for an unknown type.
func (t Type) Block() int { return known[t].block }

// RowBytes is the storage size in bytes of a row of n elements. It fails for
// an unknown type, and where n is negative, is no multiple of the type's
// block, or is so large that the size overflows an int.
func (t Type) RowBytes(n int) (int, error) {
	f, ok := known[t]
	switch {
	case !ok:
		return 0, fmt.Errorf("tensor: %v is not supported", t)
	case n < 0 || n%f.block != 0:
		return 0, fmt.Errorf("tensor: a row of %d elements cannot be stored as %v, whose blocks hold %d", n, t, f.block)
	case n/f.block > math.MaxInt/f.bytes:
		return 0, fmt.Errorf("tensor: a row of %d elements is too large", n)
	}
	return n / f.block * f.bytes, nil
}
