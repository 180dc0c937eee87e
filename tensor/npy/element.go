package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"
)

func sizeOf[T Number]() int {
	var x T
	return int(unsafe.Sizeof(x))
}

// descrOf is NumPy's name for a type.
func descrOf[T Number]() string {
	var x T
	switch any(x).(type) {
	case float32:
		return "<f4"
	case float64:
		return "<f8"
	case int32:
		return "<i4"
	}
	return "<i8"
}

// encode appends the bytes of numbers.
func encode[T Number](b []byte, values []T) []byte {
	le := binary.LittleEndian
	switch values := any(values).(type) {
	case []float32:
		for _, x := range values {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
	case []float64:
		for _, x := range values {
			b = le.AppendUint64(b, math.Float64bits(x))
		}
	case []int32:
		for _, x := range values {
			b = le.AppendUint32(b, uint32(x))
		}
	case []int64:
		for _, x := range values {
			b = le.AppendUint64(b, uint64(x))
		}
	}
	return b
}

// decode appends the numbers in b.
func decode[T Number](out []T, b []byte) []T {
	le := binary.LittleEndian
	n := len(out)
	out = append(out, make([]T, len(b)/sizeOf[T]())...)
	switch fresh := any(out[n:]).(type) {
	case []float32:
		for i := range fresh {
			fresh[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case []float64:
		for i := range fresh {
			fresh[i] = math.Float64frombits(le.Uint64(b[8*i:]))
		}
	case []int32:
		for i := range fresh {
			fresh[i] = int32(le.Uint32(b[4*i:]))
		}
	case []int64:
		for i := range fresh {
			fresh[i] = int64(le.Uint64(b[8*i:]))
		}
	}
	return out
}

// writeStrings writes strings as NumPy keeps them: all as wide as the longest,
// in UTF-32, padded with NUL characters.
func writeStrings(w io.Writer, shape []int, data []string) error {
	if err := checkCount(shape, len(data)); err != nil {
		return err
	}
	width := 1
	for i, s := range data {
		if !utf8.ValidString(s) {
			return fmt.Errorf("npy: string %d (%q) is not valid UTF-8", i, s)
		}
		if strings.HasSuffix(s, "\x00") {
			return fmt.Errorf("npy: string %d (%q) ends in a NUL character, which would be lost", i, s)
		}
		width = max(width, utf8.RuneCountInString(s))
	}
	if width > math.MaxInt32/4 {
		return fmt.Errorf("npy: a string of %d characters is too long", width)
	}
	if _, err := w.Write(header(fmt.Sprintf("<U%d", width), shape)); err != nil {
		return fmt.Errorf("npy: write header: %w", err)
	}
	var buf []byte
	for _, s := range data {
		buf = buf[:0]
		for _, r := range s {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(r))
		}
		buf = append(buf, make([]byte, 4*width-len(buf))...)
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("npy: write: %w", err)
		}
	}
	return nil
}

// readStrings reads n strings of width characters. A width may be large and
// the data short, so nothing is allocated for a width.
func readStrings(r io.Reader, n, width int) ([]string, error) {
	out := []string{}
	total := n * width // fits: the caller has checked four times as much
	buf := make([]byte, min(4*total, chunk))
	var s strings.Builder
	nuls, at := 0, 0 // NULs that are padding unless a character follows; place in the string
	for done := 0; done < total; {
		k := min(total-done, chunk/4)
		if _, err := io.ReadFull(r, buf[:4*k]); err != nil {
			return nil, short(err, len(out), n)
		}
		done += k
		for b := buf[:4*k]; len(b) > 0; b = b[4:] {
			c := binary.LittleEndian.Uint32(b)
			switch {
			case c == 0:
				nuls++
			case c > utf8.MaxRune || !utf8.ValidRune(rune(c)):
				return nil, fmt.Errorf("npy: string %d holds %#x, which is no character", len(out), c)
			default:
				for ; nuls > 0; nuls-- {
					s.WriteByte(0)
				}
				s.WriteRune(rune(c))
			}
			if at++; at == width {
				out = append(out, s.String())
				s.Reset()
				nuls, at = 0, 0
			}
		}
	}
	return out, nil
}
