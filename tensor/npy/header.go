package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const magic = "\x93NUMPY"

// maxHeader bounds the header that is read. NumPy itself refuses more than
// 10,000 bytes.
const maxHeader = 64 << 10

// A layout is what the header of an array says.
type layout struct {
	descr string
	size  int // bytes of an element
	shape []int
}

// header builds the header of an array, byte for byte as NumPy does. Its length
// fits version 1.0 for any shape that count accepts.
func header(descr string, shape []int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr)
	for i, d := range shape {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(d))
	}
	if len(shape) == 1 {
		b.WriteByte(',')
	}
	b.WriteString("), }")
	// NumPy leaves room for the first dimension to grow to 21 digits in place,
	// and aligns the data to 64 bytes.
	if len(shape) > 0 {
		b.WriteString(strings.Repeat(" ", 21-len(strconv.Itoa(shape[0]))))
	}
	const fixed = len(magic) + 2 + 2
	b.WriteString(strings.Repeat(" ", 64-(fixed+b.Len()+1)%64))
	b.WriteByte('\n')
	h := append([]byte(magic), 1, 0)
	h = binary.LittleEndian.AppendUint16(h, uint16(b.Len()))
	return append(h, b.String()...)
}

// readHeader reads a header and says how many bytes it has.
func readHeader(r io.Reader) (layout, int64, error) {
	fail := func(err error) (layout, int64, error) {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("npy: the data end within the header: %w", io.ErrUnexpectedEOF)
		}
		return layout{}, 0, err
	}
	var start [len(magic) + 2]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return fail(err)
	}
	if string(start[:len(magic)]) != magic {
		return fail(errors.New("npy: not a .npy file: it does not begin with \\x93NUMPY"))
	}
	var length []byte
	switch major, minor := start[len(magic)], start[len(magic)+1]; {
	case major == 1 && minor == 0:
		length = make([]byte, 2)
	case major == 2 && minor == 0:
		length = make([]byte, 4)
	default:
		return fail(fmt.Errorf("npy: version %d.%d is not supported", major, minor))
	}
	if _, err := io.ReadFull(r, length); err != nil {
		return fail(err)
	}
	n := uint32(binary.LittleEndian.Uint16(length))
	if len(length) == 4 {
		n = binary.LittleEndian.Uint32(length)
	}
	if n > maxHeader {
		return fail(fmt.Errorf("npy: the header of %d bytes is longer than %d", n, maxHeader))
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fail(err)
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return fail(err)
	}
	return h, int64(len(start)+len(length)) + int64(n), nil
}

// parseHeader reads the Python dictionary in a header.
func parseHeader(text string) (layout, error) {
	p := parser{rest: text}
	var h layout
	var fortran bool
	seen := map[string]bool{}
	p.expect("{")
	for p.err == nil && !p.accept("}") {
		key := p.str()
		p.expect(":")
		if seen[key] {
			p.fail("a second %q", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			if p.peek() == '[' {
				return layout{}, errors.New("npy: structured arrays are not supported")
			}
			h.descr = p.str()
		case "fortran_order":
			fortran = p.boolean()
		case "shape":
			h.shape = p.tuple()
		default:
			p.fail("an unknown key %q", key)
		}
		if !p.accept(",") {
			p.expect("}")
			break
		}
	}
	if p.err == nil && p.peek() != 0 {
		p.fail("more text after it")
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			p.fail("no %q", key)
		}
	}
	if p.err != nil {
		return layout{}, p.err
	}
	if fortran && len(h.shape) > 1 {
		return layout{}, errors.New("npy: the array is in Fortran order, which is not supported: save numpy.ascontiguousarray of it")
	}
	var err error
	h.size, err = elementSize(h.descr)
	return h, err
}

// elementSize is the number of bytes that an element of a dtype takes.
func elementSize(descr string) (int, error) {
	switch descr {
	case "<f4", "<i4":
		return 4, nil
	case "<f8", "<i8":
		return 8, nil
	}
	if width, ok := strings.CutPrefix(descr, "<U"); ok && strings.Trim(width, "0123456789") == "" {
		n, err := strconv.Atoi(width)
		if err == nil && n > 0 && n <= math.MaxInt32/4 {
			return 4 * n, nil
		}
	}
	kind := strings.TrimLeft(descr, "<>|=")
	switch {
	case strings.HasPrefix(kind, "O"):
		return 0, errors.New("npy: arrays of objects are not read: they hold a Python pickle, which can run code")
	case strings.HasPrefix(descr, ">"):
		return 0, fmt.Errorf("npy: dtype %q is big-endian, which is not supported", descr)
	}
	return 0, fmt.Errorf("npy: dtype %q is not supported: only <f4, <f8, <i4, <i8 and <U", descr)
}

// A parser reads the few Python literals that headers are made of. After an
// error all its methods return zero values.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("npy: malformed header: "+format, args...)
	}
	p.rest = ""
}

// peek is the next character that is no white space, or 0 at the end.
func (p *parser) peek() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *parser) accept(token string) bool {
	p.peek()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) expect(token string) {
	if !p.accept(token) {
		p.fail("no %q where it should be", token)
	}
}

// str reads a string without escapes, which none of ours needs.
func (p *parser) str() string {
	quote := p.peek()
	if quote != '\'' && quote != '"' {
		p.fail("no string where one should be")
		return ""
	}
	s, rest, ok := strings.Cut(p.rest[1:], string(quote))
	if !ok || strings.ContainsAny(s, "\\\n") {
		p.fail("a string that does not end")
		return ""
	}
	p.rest = rest
	return s
}

func (p *parser) boolean() bool {
	if p.accept("True") {
		return true
	}
	p.expect("False")
	return false
}

// tuple reads a tuple of integers, which has a comma if it has one element.
func (p *parser) tuple() []int {
	shape := []int{}
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		if len(shape) == maxDims {
			p.fail("more than %d dimensions", maxDims)
		}
		shape = append(shape, p.integer())
		if !p.accept(",") {
			if len(shape) == 1 {
				p.fail("a shape that is no tuple")
			}
			p.expect(")")
			break
		}
	}
	return shape
}

func (p *parser) integer() int {
	p.peek()
	digits := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "0123456789"))]
	n, err := strconv.Atoi(digits)
	if err != nil {
		p.fail("the shape is not made of sizes that fit this machine")
		return 0
	}
	p.rest = p.rest[len(digits):]
	p.accept("L") // as Python 2 wrote them
	return n
}
