package probe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"github.com/limbic-go/limbic/tensor"
)

// A journal is the file of an unfinished build: a line that says what is being
// built, then what each text gave, as it came. A build that was interrupted,
// at whatever byte, goes on behind the last whole record.
//
// A record is the length and the CRC-32 of its payload (uint32 each), and the
// payload: unit, tokens, cut, positions, number of norms per site (uint32
// each), the means and the norms, float32. All numbers are little-endian.
type journal struct {
	file  *os.File
	path  string
	done  map[int]bool // units that have a record
	start int64        // of the first record
	buf   []byte

	temporary bool // nobody can go on from it
	removed   bool
}

// openJournal opens or begins the journal at path for a build that key
// describes. A journal of another build is an error. "" begins a temporary one.
func openJournal(path, key string, sites, width, units int) (*journal, error) {
	j := &journal{path: path, done: map[int]bool{}, start: int64(len(key)) + 1, temporary: path == ""}
	var err error
	if j.temporary {
		j.file, err = os.CreateTemp("", "limbic-build-*.part")
	} else {
		j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	j.path = j.file.Name()
	if err := j.recover(key, sites, width, units); err != nil {
		j.file.Close()
		if j.temporary {
			os.Remove(j.path)
		}
		return nil, err
	}
	return j, nil
}

func (j *journal) recover(key string, sites, width, units int) error {
	info, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	head := make([]byte, min(info.Size(), j.start))
	if _, err := io.ReadFull(j.file, head); err != nil {
		return fmt.Errorf("probe: %s: %w", j.path, err)
	}
	want := append([]byte(key), '\n')
	if !bytes.Equal(head, want) {
		// Cut off within the line: nothing is lost by beginning again.
		if int64(len(head)) < j.start && bytes.HasPrefix(want, head) {
			return j.begin(want)
		}
		return fmt.Errorf("probe: %s holds an unfinished build of something else (another model, corpus or setting): remove it, or write to another file", j.path)
	}
	end := j.start
	err = j.each(sites, width, func(unit int, _ Pooled, next int64) error {
		if unit >= units || j.done[unit] {
			return errDamaged
		}
		j.done[unit] = true
		end = next
		return nil
	})
	if err != nil && !errors.Is(err, errDamaged) {
		return err
	}
	if err := j.file.Truncate(end); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	_, err = j.file.Seek(end, io.SeekStart)
	return err
}

func (j *journal) begin(line []byte) error {
	if err := j.file.Truncate(0); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if _, err := j.file.WriteAt(line, 0); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	_, err := j.file.Seek(int64(len(line)), io.SeekStart)
	return err
}

// errDamaged marks the end of what can be read of a journal.
var errDamaged = errors.New("damaged record")

// append writes what some units gave.
func (j *journal) append(units []int, pooled []Pooled) error {
	j.buf = j.buf[:0]
	for i, p := range pooled {
		at := len(j.buf)
		j.buf = append(j.buf, make([]byte, 8)...)
		norms := 0
		if len(p.Norms) > 0 {
			norms = len(p.Norms[0])
		}
		cut := 0
		if p.Cut {
			cut = 1
		}
		for _, n := range [recordFields]int{units[i], p.Tokens, cut, p.Positions, norms} {
			j.buf = binary.LittleEndian.AppendUint32(j.buf, uint32(n))
		}
		j.buf = appendFloats(j.buf, p.Means)
		for _, ns := range p.Norms {
			j.buf = appendFloats(j.buf, ns)
		}
		payload := j.buf[at+8:]
		binary.LittleEndian.PutUint32(j.buf[at:], uint32(len(payload)))
		binary.LittleEndian.PutUint32(j.buf[at+4:], crc32.ChecksumIEEE(payload))
	}
	if _, err := j.file.Write(j.buf); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for _, u := range units {
		j.done[u] = true
	}
	return nil
}

func appendFloats(b []byte, xs []float32) []byte {
	at := len(b)
	b = append(b, make([]byte, 4*len(xs))...)
	for i, x := range xs {
		binary.LittleEndian.PutUint32(b[at+4*i:], floatBits(x))
	}
	return b
}

// each calls f for every record with the unit, what it gave, and the offset
// behind the record. The Pooled is valid during the call. It ends with
// errDamaged at the first record that is not whole.
func (j *journal) each(sites, width int, f func(unit int, p Pooled, next int64) error) error {
	info, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	at := j.start
	r := bufio.NewReaderSize(io.NewSectionReader(j.file, at, 1<<62), 1<<20)
	var head [8]byte
	var payload []byte
	var values []float32
	limit := 4*recordFields + 4*sites*(width+maxNorms)
	for {
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return readError(j.path, err)
		}
		n := int(binary.LittleEndian.Uint32(head[:]))
		if n < 4*recordFields || n > limit || int64(n) > info.Size()-at {
			return errDamaged
		}
		if cap(payload) < n {
			payload = make([]byte, n)
		}
		payload = payload[:n]
		if _, err := io.ReadFull(r, payload); err != nil {
			return readError(j.path, err)
		}
		if crc32.ChecksumIEEE(payload) != binary.LittleEndian.Uint32(head[4:]) {
			return errDamaged
		}
		var fields [recordFields]int
		for i := range fields {
			fields[i] = int(binary.LittleEndian.Uint32(payload[4*i:]))
		}
		unit, norms := fields[0], fields[4]
		p := Pooled{Tokens: fields[1], Cut: fields[2] == 1, Positions: fields[3]}
		means := 0
		if p.Positions > 0 {
			means = sites * width
		}
		if norms > maxNorms || n != 4*(recordFields+means+sites*norms) {
			return errDamaged
		}
		if count := n/4 - recordFields; cap(values) < count {
			values = make([]float32, count)
		}
		values = values[:n/4-recordFields]
		if err := tensor.Dequantize(values, tensor.F32, payload[4*recordFields:]); err != nil {
			return err
		}
		if means > 0 {
			p.Means = values[:means]
		}
		if norms > 0 {
			for s := range sites {
				p.Norms = append(p.Norms, values[means+s*norms:][:norms])
			}
		}
		at += int64(8 + n)
		if err := f(unit, p, at); err != nil {
			return err
		}
	}
}

// recordFields is how many integers a payload begins with.
const recordFields = 5

// maxNorms bounds the length of a text in a journal.
const maxNorms = 1 << 22

func readError(path string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errDamaged
	}
	return fmt.Errorf("probe: %s: %w", path, err)
}

// sync makes sure that what was written survives a crash of the machine.
func (j *journal) sync() error {
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// close leaves the journal to a later run, if there is something in it to go
// on from.
func (j *journal) close() error {
	if j.temporary || len(j.done) == 0 {
		return j.remove()
	}
	return j.file.Close()
}

// remove deletes the journal, of a finished build for one.
func (j *journal) remove() error {
	if j.removed {
		return nil
	}
	j.removed = true
	j.file.Close()
	// Another process that ran the same build, and wrote the same records at
	// the same places, may have been done first.
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}
