package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/tensor"
)

// raw builds files by hand, right and wrong ones.
type raw []byte

func (r raw) u8(x byte) raw      { return append(r, x) }
func (r raw) u32(x uint32) raw   { return binary.LittleEndian.AppendUint32(r, x) }
func (r raw) u64(x uint64) raw   { return binary.LittleEndian.AppendUint64(r, x) }
func (r raw) str(s string) raw   { return appendString(r, s) }
func (r raw) zeros(n int) raw    { return append(r, make([]byte, n)...) }
func (r raw) align(to int) raw   { return r.zeros(alignUp(len(r), to) - len(r)) }
func head(tensors, keys int) raw { return raw("GGUF").u32(3).u64(uint64(tensors)).u64(uint64(keys)) }

// tensor appends a tensor table entry.
func (r raw) tensor(name string, typ tensor.Type, offset uint64, dims ...uint64) raw {
	r = r.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		r = r.u64(d)
	}
	return r.u32(uint32(typ)).u64(offset)
}

// badFile is a file that must be refused, with what the error must say.
type badFile struct {
	data []byte
	err  string
}

// badFiles has each way in which a file can be wrong.
func badFiles() map[string]badFile {
	const alignment = "general.alignment"
	deep := head(0, 1).str("k").u32(9)
	for range maxDepth {
		deep = deep.u32(9).u64(1)
	}
	deep = deep.u32(0).u64(1).u8(7)

	return map[string]badFile{
		"empty":              {nil, `gguf: bad.gguf: at byte 0: not a GGUF file: it is empty`},
		"short":              {raw("GGU"), `at byte 0: not a GGUF file: it starts with "GGU", not "GGUF"`},
		"web page":           {raw("<!DOCTYPE html><html>"), `at byte 0: not a GGUF file: it starts with "<!DOCTYPE html><", not "GGUF"`},
		"version 1":          {raw("GGUF").u32(1).zeros(100), `at byte 4: version 1 is not supported, only 2 and 3: convert the model again with a current tool`},
		"version 0":          {raw("GGUF").u32(0).zeros(100), `at byte 4: version 0 is not supported, only 2 and 3`},
		"version 4":          {raw("GGUF").u32(4).zeros(100), `at byte 4: version 4 is not supported`},
		"big-endian":         {raw("GGUF\x00\x00\x00\x03").zeros(100), `at byte 4: file is big-endian (version 3), only little-endian files are supported`},
		"no version":         {raw("GGUF\x03"), `at byte 4: file is truncated: the version needs 4 bytes, 1 are left`},
		"no counts":          {raw("GGUF").u32(3).u32(0), `at byte 8: file is truncated: the number of tensors needs 8 bytes, 4 are left`},
		"many tensors":       {head(5, 0).zeros(4 * 24), `at byte 8: 5 tensors do not fit in the 104 bytes that are left`},
		"very many tensors":  {raw("GGUF").u32(3).u64(1 << 63).zeros(100), `at byte 8: 9223372036854775808 tensors do not fit`},
		"many keys":          {raw("GGUF").u32(3).u64(0).u64(1<<64 - 1).zeros(100), `at byte 16: 18446744073709551615 metadata keys do not fit in the 100 bytes that are left`},
		"long key":           {head(0, 1).u64(1 << 62).zeros(100), `key 1 of 1 at byte 24: the key is 4611686018427387904 bytes long, 100 are left`},
		"key above limit":    {head(0, 1).str(strings.Repeat("k", 65536)).u32(0).u8(1), `the key is 65536 bytes long, at most 65535 are allowed`},
		"empty key":          {head(0, 1).str("").u32(4).u32(1), `key 1 of 1 at byte 24: the key is empty`},
		"duplicate key":      {head(0, 2).str("k").u32(4).u32(1).str("k").u32(4).u32(1), `key "k" at byte 41: key is there twice`},
		"value type":         {head(0, 1).str("k").u32(13).u32(1), `key "k" at byte 33: the value type is value type 13, which is not defined`},
		"no value type":      {head(0, 1).str("kkk").u8(0).u8(0), `key "kkk" at byte 35: file is truncated: the value type needs 4 bytes, 2 are left`},
		"no value":           {head(0, 1).str("k").u32(10).u32(1), `key "k" at byte 37: file is truncated: a uint64 needs 8 bytes, 4 are left`},
		"bool":               {head(0, 1).str("k").u32(7).u8(2), `key "k" at byte 37: a bool is 2, want 0 or 1`},
		"long string":        {head(0, 1).str("k").u32(8).u64(3).u8('a').u8('b'), `key "k" at byte 37: a string is 3 bytes long, 2 are left`},
		"array of what":      {head(0, 1).str("k").u32(9).u32(99).u64(0), `key "k" at byte 37: the element type of an array is value type 99, which is not defined`},
		"long array":         {head(0, 1).str("k").u32(9).u32(5).u64(3).u64(0), `key "k" at byte 41: 3 int32 elements of an array do not fit in the 8 bytes that are left`},
		"overflowing array":  {head(0, 1).str("k").u32(9).u32(10).u64(1 << 61).u64(0), `key "k" at byte 41: 2305843009213693952 uint64 elements`},
		"array of strings":   {head(0, 1).str("k").u32(9).u32(8).u64(2).u64(0).zeros(7), `key "k" at byte 41: 2 string elements of an array do not fit in the 15 bytes that are left`},
		"string in array":    {head(0, 1).str("k").u32(9).u32(8).u64(2).u64(1).u64(0), `key "k" at byte 58: file is truncated: the length of a string needs 8 bytes, 7 are left`},
		"bool in array":      {head(0, 1).str("k").u32(9).u32(7).u64(3).u8(0).u8(1).u8(255), `key "k" at byte 51: element 2 of an array of bools is 255, want 0 or 1`},
		"deep array":         {deep, `key "k" at byte 133: arrays nest more than 8 deep`},
		"alignment 0":        {head(0, 1).str(alignment).u32(4).u32(0), `key "general.alignment" at byte 53: alignment is 0, want a power of two`},
		"alignment 24":       {head(0, 1).str(alignment).u32(4).u32(24), `key "general.alignment" at byte 53: alignment is 24, want a power of two`},
		"alignment large":    {head(0, 1).str(alignment).u32(10).u64(1 << 63), `alignment is 9223372036854775808, at most 16777216 is supported`},
		"alignment string":   {head(0, 1).str(alignment).u32(8).str("32"), `key "general.alignment" at byte 53: value is string "32", want a power of two`},
		"empty tensor name":  {head(1, 0).tensor("", tensor.F32, 0, 1).zeros(64), `tensor 1 of 1 at byte 24: the name is empty`},
		"duplicate tensor":   {head(2, 0).tensor("t", tensor.F32, 0, 1).tensor("t", tensor.F32, 32, 1).zeros(100), `tensor "t" at byte 57: tensor is there twice`},
		"dimensions":         {head(1, 0).tensor("t", tensor.F32, 0, 1, 1, 1, 1, 1).zeros(100), `tensor "t" at byte 33: tensor has 5 dimensions, at most 4 are allowed`},
		"dimension 0":        {head(1, 0).tensor("t", tensor.F32, 0, 2, 0).zeros(100), `tensor "t" at byte 45: dimension 1 is 0, want 1 to `},
		"dimension large":    {head(1, 0).tensor("t", tensor.F32, 0, 1<<63).zeros(100), `tensor "t" at byte 37: dimension 0 is 9223372036854775808, want 1 to `},
		"elements overflow":  {head(1, 0).tensor("t", 99, 0, 1<<30, 1<<30, 1<<30).zeros(100), `is 1073741824, which makes more elements than can be counted`},
		"bytes overflow":     {head(1, 0).tensor("t", tensor.F32, 0, 2, math.MaxInt/8+1, 2).zeros(100), `type F32 has more bytes than can be counted`},
		"row overflow":       {head(1, 0).tensor("t", tensor.F32, 0, math.MaxInt/2+1).zeros(100), `elements is too large`},
		"part of a block":    {head(1, 0).tensor("t", tensor.Q8_0, 0, 33).zeros(200), `tensor "t" at byte 45: tensor: a row of 33 elements cannot be stored as Q8_0, whose blocks hold 32`},
		"unaligned":          {head(1, 0).tensor("t", tensor.F32, 16, 1).zeros(100), `tensor "t" at byte 49: data offset 16 is not a multiple of the alignment 32`},
		"offset past file":   {head(1, 0).tensor("t", tensor.F32, 1<<63, 1).zeros(100), `tensor "t" at byte 49: data offset 9223372036854775808 is past the end of the file, which has 157 bytes`},
		"data past file":     {head(1, 0).tensor("t", tensor.F32, 32, 2).align(32).zeros(32 + 7), `tensor "t" at byte 49: file is truncated: data of 8 bytes at offset 32 of a data section that starts at byte 64 and has 39 bytes`},
		"no data":            {head(1, 0).tensor("t", tensor.F32, 0, 1), `has 0 bytes`},
		"unknown past file":  {head(1, 0).tensor("t", 99, 64, 1).align(32).zeros(64), `tensor "t" at byte 49: file is truncated`},
		"overlap":            {head(2, 0).tensor("a", tensor.F32, 32, 1).tensor("b", tensor.F32, 0, 9).zeros(200), `tensor "a" at byte 49: data at offset 32 overlaps the 36 bytes of tensor "b" at offset 0`},
		"same place":         {head(2, 0).tensor("a", tensor.F32, 0, 1).tensor("b", tensor.F32, 0, 1).zeros(200), `overlaps the 4 bytes of tensor`},
		"unknown same place": {head(2, 0).tensor("a", 99, 0, 1).tensor("b", 98, 0, 1).zeros(200), `overlaps the 1 bytes of tensor`},
		"unknown in another": {head(2, 0).tensor("a", 99, 32, 1).tensor("b", tensor.F32, 0, 9).zeros(200), `tensor "a" at byte 49: data at offset 32 overlaps`},
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range badFiles() {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(c.data, "bad.gguf")
			require.ErrorContains(t, err, c.err)
			require.Nil(t, f)

			var format *FormatError
			require.ErrorAs(t, err, &format)
			require.Equal(t, "bad.gguf", format.File)
			require.True(t, format.Offset >= 0 && format.Offset <= int64(len(c.data)))
			require.True(t, strings.HasPrefix(err.Error(), "gguf: bad.gguf: "), err.Error())
			if strings.Contains(c.err, "not a GGUF file") {
				require.ErrorIs(t, err, ErrNotGGUF)
			} else {
				require.NotErrorIs(t, err, ErrNotGGUF)
			}
		})
	}
}

// What a hostile name does to a terminal: nothing.
func TestErrorQuotesNames(t *testing.T) {
	name := "\x1b[2J" + strings.Repeat("k", 1000)
	_, err := Parse(head(0, 1).str(name).u32(13).u32(0), "bad.gguf")
	require.ErrorContains(t, err, `key "\x1b[2J`+strings.Repeat("k", 96)+`"... (1004 bytes) at byte 1036: `)
}

// Odd files that are nevertheless right.
func TestParseAccepts(t *testing.T) {
	t.Run("no tensors and nothing after the metadata", func(t *testing.T) {
		f, err := Parse(head(0, 1).str("k").u32(4).u32(1), "")
		require.NoError(t, err)
		require.Empty(t, f.Tensors())
	})
	t.Run("nothing at all", func(t *testing.T) {
		f, err := Parse(head(0, 0), "")
		require.NoError(t, err)
		require.Empty(t, f.Keys())
		require.Equal(t, 32, f.Alignment())
	})
	t.Run("last tensor not padded, bytes after it ignored", func(t *testing.T) {
		for _, extra := range []int{0, 5} {
			data := head(1, 0).tensor("t", tensor.F32, 0, 2).align(32)
			f, err := Parse(data.zeros(8+extra), "")
			require.NoError(t, err)
			x, ok := f.Tensor("t")
			require.True(t, ok)
			require.Equal(t, 8, x.Size())
			require.EqualValues(t, 64, x.Offset())
		}
	})
	t.Run("tensors in another order than their data", func(t *testing.T) {
		data := head(2, 0).tensor("a", tensor.F32, 32, 1).tensor("b", tensor.F32, 0, 8).align(32)
		data = append(data.zeros(32), 1, 2, 3, 4)
		f, err := Parse(data, "")
		require.NoError(t, err)
		a, _ := f.Tensor("a")
		got, err := a.Data()
		require.NoError(t, err)
		require.Equal(t, []byte{1, 2, 3, 4}, got)
		require.Equal(t, "a", f.Tensors()[0].Name)
	})
	t.Run("scalar without dimensions", func(t *testing.T) {
		f, err := Parse(head(1, 0).tensor("t", tensor.F32, 0).align(32).zeros(4), "")
		require.NoError(t, err)
		x, _ := f.Tensor("t")
		require.Equal(t, []int{1}, x.Dims)
		require.Equal(t, 1, x.Rows())
	})
	t.Run("any alignment type, and the smallest alignment", func(t *testing.T) {
		data := head(2, 1).str("general.alignment").u32(11).u64(1)
		data = data.tensor("a", tensor.F32, 0, 1).tensor("b", tensor.F32, 4, 1).zeros(8)
		f, err := Parse(data, "")
		require.NoError(t, err)
		require.Equal(t, 1, f.Alignment())
	})
	t.Run("tensor of unknown type", func(t *testing.T) {
		data := head(2, 0).tensor("odd", 99, 0, 5, 7).tensor("t", tensor.F32, 32, 1).align(32).zeros(36)
		f, err := Parse(data, "new.gguf")
		require.NoError(t, err)
		x, _ := f.Tensor("odd")
		require.Equal(t, tensor.Type(99), x.Type)
		require.Equal(t, []int{5, 7}, x.Dims)
		require.Zero(t, x.Size())
		_, err = x.Data()
		require.EqualError(t, err, `gguf: new.gguf: tensor "odd" at byte 128: elements are stored as type 99, which is not supported`)
		x.Release() // of nothing, which is fine
	})
}

func TestTensorShape(t *testing.T) {
	f, _ := encode(t, nil, []TensorData{
		{"w", tensor.F32, []int{3, 2, 5}, make([]byte, 120)},
		{"q", tensor.Q8_0, []int{64, 2}, make([]byte, 4*34)},
	}, EncodeOptions{})
	w, ok := f.Tensor("w")
	require.True(t, ok)
	require.Equal(t, 10, w.Rows())
	require.Equal(t, 30, w.Elements())
	require.Equal(t, 120, w.Size())
	q, ok := f.Tensor("q")
	require.True(t, ok)
	require.Equal(t, 2, q.Rows())
	require.Equal(t, 4*34, q.Size())
	_, ok = f.Tensor("nope")
	require.False(t, ok)

	// A view cannot be grown into the next tensor.
	data, err := w.Data()
	require.NoError(t, err)
	require.Equal(t, len(data), cap(data))
}

// smallModel has every value type, nesting, an alignment and several tensors.
func smallModel(t testing.TB) []byte {
	_, data := encode(t, []KV{
		{"general.alignment", Scalar(uint32(16))},
		{"u8", Scalar(uint8(1))}, {"i8", Scalar(int8(1))}, {"u16", Scalar(uint16(1))}, {"i16", Scalar(int16(1))},
		{"i32", Scalar(int32(1))}, {"u64", Scalar(uint64(1))}, {"i64", Scalar(int64(1))},
		{"f32", Scalar(float32(1))}, {"f64", Scalar(1.0)}, {"b", Scalar(true)}, {"s", Scalar("str")},
		{"bs", Array([]bool{true, false})}, {"ss", Array([]string{"a", "bc"})}, {"is", Array([]int32{1, 2})},
		{"n", nested(t, Array([]string{"d"}), nested(t, Array([]uint8{1, 2})))},
	}, []TensorData{
		{"a", tensor.F32, []int{3}, make([]byte, 12)},
		{"b", tensor.Q8_0, []int{32, 2}, make([]byte, 68)},
		{"c", tensor.F16, []int{1, 2, 1, 2}, make([]byte, 8)},
	}, EncodeOptions{})
	return data
}

// use does with a file all that a program could do, to find what validation
// let through.
func use(t testing.TB, f *File) {
	kvs := make([]KV, 0, len(f.Keys()))
	for _, key := range f.Keys() {
		v, ok := f.Get(key)
		require.True(t, ok)
		_ = v.Any()
		_ = v.String()
		_, _ = f.Strings(key)
		_, _ = f.Floats(key)
		_, _ = f.Ints(key)
		_, _ = f.Int32s(key)
		_, _ = f.Bools(key)
		_, _ = f.String(key)
		_, _ = f.Bool(key)
		_, _ = f.Uint(key)
		_, _ = f.Int(key)
		_, _ = f.Float(key)
		if key == alignmentKey { // Encode takes no other type here
			v = Scalar(uint32(f.Alignment()))
		}
		kvs = append(kvs, KV{key, v})
	}
	var tensors []TensorData
	for _, x := range f.Tensors() {
		data, err := x.Data()
		if !x.Type.Known() {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Len(t, data, x.Size())
		row, err := x.Type.RowBytes(x.Dims[0])
		require.NoError(t, err)
		require.Equal(t, len(data), row*x.Rows())
		tensors = append(tensors, TensorData{x.Name, x.Type, x.Dims, data})
	}
	if f.Alignment() > 1<<12 { // spare the padding
		return
	}

	// What was read can be written, and reads as the same.
	g, _ := encode(t, kvs, tensors, EncodeOptions{Version: f.Version})
	require.Len(t, g.Tensors(), len(tensors))
	require.Equal(t, f.Keys(), g.Keys())
	for _, kv := range kvs {
		v, _ := g.Get(kv.Key)
		require.True(t, kv.Value == v, kv.Key)
	}
	for i, x := range g.Tensors() {
		data, err := x.Data()
		require.NoError(t, err)
		// Not Equal on the whole, which takes its time over megabytes.
		require.True(t, bytes.Equal(tensors[i].Data, data), x.Name)
		require.Equal(t, TensorData{tensors[i].Name, tensors[i].Type, tensors[i].Dims, nil}, TensorData{x.Name, x.Type, x.Dims, nil})
	}
}

// allocated runs fn and gives the bytes that it allocated.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestTruncated(t *testing.T) {
	data := smallModel(t)
	f, err := Parse(data, "")
	require.NoError(t, err)
	last := f.Tensors()[2]
	end := int(last.Offset()) + last.Size() // padding follows
	require.Greater(t, len(data), end)

	for n := range len(data) {
		_, err := Parse(data[:n:n], "cut.gguf")
		switch {
		case n < 4:
			require.ErrorIs(t, err, ErrNotGGUF, "%d bytes", n)
		case n < end:
			var format *FormatError
			require.ErrorAs(t, err, &format, "%d bytes", n)
			require.LessOrEqual(t, format.Offset, int64(n))
		default:
			require.NoError(t, err, "%d bytes", n)
		}
	}
}

// Any one flipped bit in front of the tensor data gives an error or another
// valid file, and little memory is spent on finding out.
func TestFlippedBits(t *testing.T) {
	original := smallModel(t)
	f, err := Parse(original, "")
	require.NoError(t, err)

	valid, invalid := 0, 0
	for i := range f.dataStart {
		for bit := range 8 {
			data := append([]byte(nil), original...)
			data[i] ^= 1 << bit
			var f *File
			var err error
			got := allocated(func() { f, err = Parse(data, "flipped.gguf") })
			require.Less(t, got, uint64(32*len(original)), "byte %d, bit %d", i, bit)
			if err != nil {
				var format *FormatError
				require.ErrorAs(t, err, &format)
				require.NotEmpty(t, format.Msg)
				invalid++
				continue
			}
			use(t, f)
			valid++
		}
	}
	t.Logf("%d flips gave a valid file, %d an error", valid, invalid)
	// Names, values and padding may change; lengths, counts and types must not.
	require.Greater(t, valid, 500)
	require.Greater(t, invalid, 1000)
}

// A small file cannot make the reader allocate what only a large one may need,
// whatever numbers it claims.
func TestHostileCountsAllocateLittle(t *testing.T) {
	for _, n := range []uint64{1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 60, 1 << 63, 1<<64 - 1} {
		for name, data := range map[string][]byte{
			"tensors": raw("GGUF").u32(3).u64(n).u64(0).zeros(100),
			"keys":    raw("GGUF").u32(3).u64(0).u64(n).zeros(100),
			"key":     head(0, 1).u64(n).zeros(100),
			"string":  head(0, 1).str("k").u32(8).u64(n).zeros(100),
			"array":   head(0, 1).str("k").u32(9).u32(0).u64(n).zeros(100),
			"strings": head(0, 1).str("k").u32(9).u32(8).u64(n).zeros(100),
			"arrays":  head(0, 1).str("k").u32(9).u32(9).u64(n).zeros(100),
			"name":    head(1, 0).u64(n).zeros(100),
			"rows":    head(1, 0).tensor("t", tensor.F32, 0, 1, n).zeros(100),
			"offset":  head(1, 0).tensor("t", tensor.F32, n, 1).zeros(100),
		} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				var err error
				require.Less(t, allocated(func() { _, err = Parse(data, "") }), uint64(16<<10))
				require.Error(t, err)
			})
		}
	}
}

// FuzzParse looks for bytes that make Parse panic, or accept a file that
// cannot then be used in full and written again.
func FuzzParse(f *testing.F) {
	f.Add(smallModel(f))
	_, v2 := encode(f, []KV{{"k", Array([]string{"a", ""})}}, []TensorData{{"t", tensor.Q4_K, []int{256}, make([]byte, 144)}}, EncodeOptions{Version: 2})
	f.Add(v2)
	_, vocab := encode(f, []KV{{"tokens", Array([]string{"<s>", "▁a"})}, {"scores", Array([]float32{0, -1})}}, nil, EncodeOptions{})
	f.Add(vocab)
	f.Add([]byte(head(2, 0).tensor("odd", 99, 0, 5, 7).tensor("t", tensor.F32, 32).align(32).zeros(36)))
	bad := badFiles()
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		f.Add(bad[name].data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data, "fuzz")
		if err == nil {
			use(t, file)
		}
	})
}
