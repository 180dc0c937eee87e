package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
)

// A spool holds the rows of several arrays, which come interleaved, until a
// file format takes the arrays one after another. Traces can be larger than
// memory, so the rows wait in a temporary file beside the file to be.
type spool struct {
	file  *os.File
	rows  int // of each array
	width int
	buf   []byte
}

func newSpool(beside string, rows, width int) (*spool, error) {
	f, err := os.CreateTemp(filepath.Dir(beside), ".limbic-*.tmp")
	if err != nil {
		return nil, err
	}
	// Where the system lets go of a name before the file, nothing is left
	// behind even by a crash; elsewhere close removes it.
	_ = os.Remove(f.Name())
	return &spool{file: f, rows: rows, width: width}, nil
}

func (s *spool) close() {
	s.file.Close()
	_ = os.Remove(s.file.Name())
}

func (s *spool) offset(array, row int) int64 {
	return (int64(array)*int64(s.rows) + int64(row)) * int64(s.width) * 4
}

// put stores consecutive rows of an array, given one by one.
func (s *spool) put(array, row, n int, at func(i int) []float32) error {
	s.buf = s.buf[:0]
	for i := range n {
		for _, x := range at(i) {
			s.buf = binary.LittleEndian.AppendUint32(s.buf, math.Float32bits(x))
		}
	}
	_, err := s.file.WriteAt(s.buf, s.offset(array, row))
	return err
}

// each gives all rows of an array in order, some at a time.
func (s *spool) each(array int, f func(values []float32) error) error {
	const chunk = 1 << 16 // values
	perRead := max(1, chunk/s.width)
	values := make([]float32, 0, perRead*s.width)
	for row := 0; row < s.rows; row += perRead {
		n := min(perRead, s.rows-row) * s.width
		if cap(s.buf) < 4*n {
			s.buf = make([]byte, 4*n)
		}
		b := s.buf[:4*n]
		if _, err := s.file.ReadAt(b, s.offset(array, row)); err != nil {
			return err
		}
		values = values[:n]
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return nil
}
