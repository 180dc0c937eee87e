package main

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
)

// A spool holds the rows of several arrays, which come interleaved, until a
// file format takes the arrays one after another. Traces can be larger than
// memory, so the rows wait in a temporary file beside the file to be, as
// little-endian float32.
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

// put stores n consecutive rows of an array, given one by one.
func (s *spool) put(array, row, n int, at func(i int) []float32) error {
	s.buf = s.buf[:0]
	for i := range n {
		for _, x := range at(i) {
			s.buf = binary.LittleEndian.AppendUint32(s.buf, math.Float32bits(x))
		}
	}
	_, err := s.file.WriteAt(s.buf, s.offset(array)+int64(row)*int64(s.width)*4)
	return err
}

func (s *spool) offset(array int) int64 {
	return int64(array) * int64(s.rows) * int64(s.width) * 4
}

// array reads the bytes of an array.
func (s *spool) array(i int) io.Reader {
	return io.NewSectionReader(s.file, s.offset(i), s.offset(1))
}

// each gives the values of an array in order, some at a time.
func (s *spool) each(array int, f func(values []float32) error) error {
	r := s.array(array)
	b := make([]byte, 1<<16)
	values := make([]float32, len(b)/4)
	for left := int(s.offset(1)); left > 0; {
		b = b[:min(len(b), left)]
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		for i := range len(b) / 4 {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if err := f(values[:len(b)/4]); err != nil {
			return err
		}
		left -= len(b)
	}
	return nil
}
