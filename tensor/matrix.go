package tensor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/limbic-go/limbic/asm"
)

// A Matrix is an immutable weight matrix of Rows x Cols, multiplied from the
// left: y = M x.
//
// Its weights are repacked into panels of asm.Rows rows, so that a register
// holds different outputs side by side, without taking more memory: F32 as
// asm.MulPanels reads it, F16 and BF16 likewise but of 16 bits, quantised weights
// as an asm.Packing. All but F32 are unpacked tile by tile on the way through
// Mul, to float32 (multiplyTile) or, where the precision and the format allow,
// to integers (multiplyInts).
type Matrix struct {
	Type       Type
	Rows, Cols int

	floats []float32        // F32: [panel][column][asm.Rows]
	halves []uint16         // F16 and BF16: the same, of 16 bits
	packed asm.PackedPanels // other formats
}

// NewMatrix makes a matrix from data in storage format t: rows*cols elements,
// row after row, as in a GGUF tensor whose first dimension is cols. They are
// copied into memory from the arena, on all processors; data is not needed
// afterwards. It fails where the shape is empty, does not fit the format's
// blocks, or does not match the length of data, or memory runs out.
func NewMatrix(t Type, rows, cols int, data []byte, arena *Arena) (*Matrix, error) {
	rowBytes, err := checkMatrix(t, rows, cols, data)
	if err != nil {
		return nil, err
	}
	m := &Matrix{Type: t, Rows: rows, Cols: cols}
	panels := m.panels()
	var pack func(panel int, rows []byte)
	switch f := known[t]; {
	case t == F32:
		if m.floats, err = arena.Floats(panels * asm.Rows * cols); err != nil {
			return nil, err
		}
		pack = m.packFloats
	case f.ints == nil:
		if m.halves, err = arena.Halves(panels * asm.Rows * cols); err != nil {
			return nil, err
		}
		pack = m.packHalves
	default:
		p := f.ints.packing
		m.packed = asm.PackedPanels{Packing: p, CodeStride: p.CodeBytes(cols), ScaleStride: p.ScaleBytes(cols)}
		if m.packed.Codes, err = arena.Bytes(panels * m.packed.CodeStride); err != nil {
			return nil, err
		}
		if m.packed.Scales, err = arena.Bytes(panels * m.packed.ScaleStride); err != nil {
			return nil, err
		}
		pack = m.packBlocks
	}
	var workers sync.WaitGroup
	var next atomic.Int64
	work := func() {
		for p := int(next.Add(1)) - 1; p < panels; p = int(next.Add(1)) - 1 {
			pack(p, data[p*asm.Rows*rowBytes:min((p+1)*asm.Rows, rows)*rowBytes])
		}
	}
	if rows*cols > packWork {
		for range min(runtime.GOMAXPROCS(0), panels) - 1 {
			workers.Go(work)
		}
	}
	work()
	workers.Wait()
	return m, nil
}

// packWork is the number of elements from which on packing is worth goroutines.
const packWork = 1 << 16

// checkMatrix checks the arguments of NewMatrix and NewTable.
func checkMatrix(t Type, rows, cols int, data []byte) (rowBytes int, err error) {
	if rows <= 0 || cols <= 0 {
		return 0, fmt.Errorf("tensor: matrix of %d rows and %d columns", rows, cols)
	}
	if rowBytes, err = t.RowBytes(cols); err != nil {
		return 0, err
	}
	if len(data)/rowBytes != rows || len(data)%rowBytes != 0 {
		return 0, fmt.Errorf("tensor: %d bytes for %d rows of %d bytes", len(data), rows, rowBytes)
	}
	return rowBytes, nil
}

// The packers fill a panel from its rows, as stored; the arena's memory is zero,
// and so are rows that the last panel lacks.

func (m *Matrix) packFloats(panel int, rows []byte) {
	dst := m.floats[panel*asm.Rows*m.Cols:][:asm.Rows*m.Cols]
	const run = 64
	var block [asm.Rows * run]float32
	rowBytes := 4 * m.Cols
	for k := 0; k < m.Cols; k += run {
		n := min(run, m.Cols-k)
		for r := range len(rows) / rowBytes {
			dequantizeF32(block[r*run:][:n], rows[r*rowBytes+4*k:][:4*n])
		}
		asm.Transpose(dst[k*asm.Rows:], block[:], run, n)
	}
}

func (m *Matrix) packHalves(panel int, rows []byte) {
	dst := m.halves[panel*asm.Rows*m.Cols:][:asm.Rows*m.Cols]
	for r := range len(rows) / (2 * m.Cols) {
		row := rows[r*2*m.Cols:][:2*m.Cols]
		for k := range m.Cols {
			dst[k*asm.Rows+r] = half(row[2*k:])
		}
	}
}

func (m *Matrix) packBlocks(panel int, rows []byte) {
	f, w := known[m.Type], &m.packed
	codes, scales := w.Codes[panel*w.CodeStride:][:w.CodeStride], w.Scales[panel*w.ScaleStride:][:w.ScaleStride]
	rowBytes := m.Cols / f.block * f.bytes
	var b asm.Block
	// Block by block of all rows: what is written then lies together.
	for i := range m.Cols / f.block {
		for r := range len(rows) / rowBytes {
			f.ints.read(&b, rows[r*rowBytes+i*f.bytes:][:f.bytes])
			w.Packing.Put(codes, scales, r, i, &b)
		}
	}
}

// panels is the number of 16-row panels; the last may be partly filled.
func (m *Matrix) panels() int { return (m.Rows + asm.Rows - 1) / asm.Rows }

// Stride is the number of float32 that an output column of Mul occupies:
// Stride(m.Rows).
func (m *Matrix) Stride() int { return Stride(m.Rows) }

// Stride is the distance, in float32, at which columns of n elements should lie:
// n rounded up to whole panels, and to an odd number of them. A panel's outputs
// are a cache line, and kernels visit those of many columns in turn; at a
// distance of a power of two they would all fall into the same few sets of a cache.
func Stride(n int) int { return ((n+asm.Rows-1)/asm.Rows | 1) * asm.Rows }

// Row writes row r, dequantised, to dst, which holds Cols elements.
func (m *Matrix) Row(dst []float32, r int) {
	dst = dst[:m.Cols]
	panel, lane := r/asm.Rows, r%asm.Rows
	switch {
	case m.floats != nil:
		src := m.floats[panel*asm.Rows*m.Cols+lane:]
		for i := range dst {
			dst[i] = src[i*asm.Rows]
		}
	case m.halves != nil:
		src := m.halves[panel*asm.Rows*m.Cols+lane:]
		var run [64]uint16
		for len(dst) > 0 {
			n := min(len(run), len(dst))
			for i := range n {
				run[i] = src[i*asm.Rows]
			}
			m.widen(dst[:n], run[:n])
			if dst = dst[n:]; len(dst) > 0 {
				src = src[n*asm.Rows:]
			}
		}
	default:
		// Kernels unpack whole panels, which is still faster than picking
		// bits one by one.
		t := rowTiles.Get().(*rowTile)
		defer rowTiles.Put(t)
		w, sub := t.panels(m.packed.Packing), m.packed.Packing.Sub()
		for k := 0; k < m.Cols; k += rowTileCols {
			n := min(rowTileCols, m.Cols-k)
			m.packed.Unpack(w, 0, panel, k, n)
			for i := range n {
				v := float32(w.Scales[i/sub*asm.Rows+lane] * float32(int(w.Codes[i/4*4*asm.Rows+4*lane+i%4])-w.Offset))
				if w.Mins != nil {
					v += w.Mins[i/sub*asm.Rows+lane]
				}
				dst[k+i] = v
			}
		}
	}
}

// widen makes float32 of the numbers of F16 or BF16.
func (m *Matrix) widen(dst []float32, src []uint16) {
	if m.Type == BF16 {
		asm.WidenBFloat16(dst, src)
		return
	}
	asm.Widen(dst, src)
}

const rowTileCols = 256

type rowTile struct {
	codes        [asm.Rows * rowTileCols]byte
	scales, mins [asm.Rows * rowTileCols / 16]float32
	w            asm.IntPanels
}

var rowTiles = sync.Pool{New: func() any { return new(rowTile) }}

func (t *rowTile) panels(p asm.Packing) *asm.IntPanels {
	t.w = asm.IntPanels{Codes: t.codes[:], Scales: t.scales[:], Sub: p.Sub(), Offset: p.Offset()}
	if p.Offset() == 0 {
		t.w.Mins = t.mins[:]
	}
	return &t.w
}

// A Table is an immutable matrix that is only looked up, row by row: an
// embedding. It stays as it is stored.
type Table struct {
	Type       Type
	Rows, Cols int

	data     []byte
	rowBytes int
}

// NewTable makes a table from data like that of NewMatrix, with the same errors.
// The data is kept and must outlive the table.
func NewTable(t Type, rows, cols int, data []byte) (*Table, error) {
	rowBytes, err := checkMatrix(t, rows, cols, data)
	if err != nil {
		return nil, err
	}
	return &Table{t, rows, cols, data, rowBytes}, nil
}

// Row writes row r, dequantised, to dst, which holds Cols elements.
func (t *Table) Row(dst []float32, r int) {
	known[t.Type].dequantize(dst[:t.Cols], t.data[r*t.rowBytes:][:t.rowBytes])
}

// A Product names a matrix and where its product goes: output column c is
// Y[c*W.Stride() : c*W.Stride()+W.Rows]. The padding behind it is overwritten.
type Product struct {
	W *Matrix
	Y []float32
}

// A Multiplier multiplies matrices on a pool. It owns the scratch memory for
// that and must not be used by two goroutines at once.
type Multiplier struct {
	pool     *Pool
	job      mulJob
	quantize quantizeJob
}

// A tile is what is unpacked at a time: some columns, a multiple of every
// format's block, of a few panels. It stays in a level-2 cache. Of float32 that is
// four panels, which kernels take side by side; of integers more, because the input
// is read once for all of them, from a farther cache. With 32 panels prompts were a
// quarter faster than with 8 and as fast as with 64.
const (
	tileCols   = 512
	tilePanels = 4
	intPanels  = 32
	tileScales = asm.Rows * tileCols / 16 // at most, of a panel
)

type tile struct {
	floats       [tilePanels * asm.Rows * tileCols]float32 // as MulPanels reads them
	codes        [intPanels * asm.Rows * tileCols]byte
	scales, mins [intPanels * tileScales]float32
}

// ints gives the tile as panels of integers.
func (t *tile) ints(p asm.Packing) asm.IntPanels {
	w := asm.IntPanels{
		Codes: t.codes[:], CodeStride: asm.Rows * tileCols,
		Scales: t.scales[:], ScaleStride: tileScales,
		Sub: p.Sub(), Offset: p.Offset(),
	}
	if p.Offset() == 0 {
		w.Mins = t.mins[:]
	}
	return w
}

// NewMultiplier makes a multiplier that works on pool, in a valid precision.
func NewMultiplier(pool *Pool, precision Precision) *Multiplier {
	m := &Multiplier{pool: pool}
	m.job.tiles = make([]tile, pool.Size())
	m.job.activations.precision = precision
	return m
}

// Mul multiplies each product's matrix with the same n columns: column c is
// x[c*stride : c*stride+Cols]. All matrices have the same number of columns.
//
// In the precision Exact, and for weights in F32, F16 and BF16, each output is
// one chain of fused multiply-adds over the columns in order (see
// asm.MulPanels). Otherwise columns are quantised (asm.QuantizeInt16 for Probe,
// asm.QuantizeInt8 for Fast) and each output is one chain over sub-blocks of
// the weights (asm.MulInt16, asm.MulInt8). Neither n nor the pool nor the
// company of other products changes it.
func (m *Multiplier) Mul(x []float32, stride, n int, products ...Product) error {
	j := &m.job
	j.x, j.stride, j.n = x, stride, n
	j.parts = j.parts[:0]
	if n == 0 || len(products) == 0 {
		return nil
	}
	a := &j.activations
	a.reset(products[0].W.Cols, n)
	items, work := 0, 0
	for _, p := range products {
		if p.W.Cols != products[0].W.Cols {
			return errors.New("tensor: matrices that are multiplied together must have equal columns")
		}
		if len(x) < (n-1)*stride+p.W.Cols {
			return fmt.Errorf("tensor: %d input elements for %d columns of %d", len(x), n, p.W.Cols)
		}
		if len(p.Y) < n*p.W.Stride() {
			return fmt.Errorf("tensor: %d output elements for %d columns of %d", len(p.Y), n, p.W.Stride())
		}
		f := known[p.W.Type].ints
		ints := a.precision != Exact && f != nil
		part := split(p, n, m.pool.Size(), ints)
		part.set = noSet
		if ints {
			part.set = a.set(f.packing)
		}
		part.first = items
		items += part.items
		work += p.W.Rows * p.W.Cols * n
		j.parts = append(j.parts, part)
	}
	if len(a.terms) > 0 {
		m.quantizeColumns(x, stride, n)
	}
	if work < serialWork {
		for i := range items {
			j.Do(0, i)
		}
		return nil
	}
	m.pool.Run(j, items)
	return nil
}

// quantizeColumns quantises the input of the products.
func (m *Multiplier) quantizeColumns(x []float32, stride, n int) {
	a := &m.job.activations
	a.allocate()
	perItem := max(1, quantizeWork/a.cols)
	if n >= 2*quantizeCols*m.pool.Size() {
		perItem = quantizeCols
	}
	m.quantize = quantizeJob{a, x, stride, perItem}
	items := (n + m.quantize.perItem - 1) / m.quantize.perItem
	if items == 1 {
		m.quantize.Do(0, 0)
		return
	}
	m.pool.Run(&m.quantize, items)
}

// An item should be worth some microseconds, so that handing it out is cheap,
// and the whole job a multiple of that, so that waking workers is.
const (
	itemWork   = 1 << 15
	serialWork = 1 << 15
	itemCols   = 96

	// Small matrices are unpacked by each worker for columns of its own, which
	// stay in its cache from one product to the next (see Pool).
	chunkCols    = 192
	chunkWeights = 1 << 21

	quantizeWork = 1 << 13 // elements of an item that quantises
	quantizeCols = 16      // its columns, where there are many (see asm.MakeTerms)
)

// mulPart is one product, cut into items of some panels and some columns.
type mulPart struct {
	Product
	first, items  int
	panels, cols  int // of an item
	panelsDivided int // items along the rows
	set           int // of the activations' terms, or noSet: float32 is multiplied
}

const noSet = -1

// split cuts a product of n columns for so many workers, of integers or of float32.
// There should be some items for each worker, or items are smaller.
func split(p Product, n, workers int, ints bool) mulPart {
	part := mulPart{Product: p, panels: 1, cols: n}
	if p.W.Type == F32 {
		part.cols = min(n, itemCols)
	}
	if chunks := min(workers, n/chunkCols); ints && chunks > 1 && p.W.Rows*p.W.Cols <= chunkWeights {
		part.cols = ((n+chunks-1)/chunks + 47) / 48 * 48 // whole groups of kernels' columns
	}
	group := tilePanels
	if ints && n > 1 {
		group = intPanels
	}
	for ; group > 1; group /= 2 {
		if p.W.panels()*((n+part.cols-1)/part.cols) >= 2*group*workers {
			part.panels = group
			break
		}
	}
	if p.W.Type == F32 {
		// Whole groups of four panels: the kernel for one column wants them.
		if w := asm.Rows * p.W.Cols * part.cols; w < itemWork {
			part.panels = (itemWork/w + 3) &^ 3
		} else if n == 1 {
			part.panels = 4
		}
	}
	part.panelsDivided = (p.W.panels() + part.panels - 1) / part.panels
	part.items = part.panelsDivided * ((n + part.cols - 1) / part.cols)
	return part
}

type mulJob struct {
	parts       []mulPart
	tiles       []tile // one per worker
	x           []float32
	stride, n   int
	activations activations
}

func (j *mulJob) Do(worker, item int) {
	p := &j.parts[0]
	for i := range j.parts {
		if item >= j.parts[i].first {
			p = &j.parts[i]
		}
	}
	item -= p.first
	panel := item % p.panelsDivided * p.panels
	col := item / p.panelsDivided * p.cols
	panels, cols := min(p.panels, p.W.panels()-panel), min(p.cols, j.n-col)
	ys := p.W.Stride()
	y, x := p.Y[col*ys+panel*asm.Rows:], j.x[col*j.stride:]
	switch {
	case p.W.Type == F32:
		ws := asm.Rows * p.W.Cols
		asm.MulPanels(y, ys, p.W.floats[panel*ws:], ws, x, j.stride, p.W.Cols, panels, cols, false)
	case p.set != noSet:
		p.W.multiplyInts(&j.tiles[worker], panel, panels, y, &j.activations, p.set, col, cols)
	default:
		p.W.multiplyTile(&j.tiles[worker], panel, panels, y, x, j.stride, cols)
	}
}

// multiplyTile multiplies up to tilePanels panels in float32: they are
// dequantised, some columns at a time, and the chains are resumed from tile to
// tile.
func (m *Matrix) multiplyTile(t *tile, panel, panels int, y, x []float32, xs, cols int) {
	const stride = asm.Rows * tileCols // of the tile's panels
	for k := 0; k < m.Cols; k += tileCols {
		n := min(tileCols, m.Cols-k)
		if m.halves == nil {
			w := t.ints(m.packed.Packing)
			for p := range panels {
				m.packed.Unpack(&w, p, panel+p, k, n)
			}
			if cols <= fewCols {
				m.multiplyFew(t, w, panels, y, x[k:], xs, n, cols, k > 0)
				continue
			}
			w.Dequantize(t.floats[:], stride, n, panels)
		} else {
			for p := range panels {
				m.widen(t.floats[p*stride:][:n*asm.Rows], m.halves[asm.Rows*((panel+p)*m.Cols+k):][:n*asm.Rows])
			}
		}
		asm.MulPanels(y, m.Stride(), t.floats[:], stride, x[k:], xs, n, panels, cols, k > 0)
	}
}

// multiplyFew multiplies n unpacked columns in smaller steps: a few columns of x
// read the weights so few times that these should not leave the nearest cache.
func (m *Matrix) multiplyFew(t *tile, w asm.IntPanels, panels int, y, x []float32, xs, n, cols int, add bool) {
	const step, stride = 64, asm.Rows * 64
	for k := 0; k < n; k += step {
		part, width := w, min(step, n-k)
		part.Codes = w.Codes[k*asm.Rows:]
		part.Scales = w.Scales[k/w.Sub*asm.Rows:]
		if w.Mins != nil {
			part.Mins = w.Mins[k/w.Sub*asm.Rows:]
		}
		part.Dequantize(t.floats[:], stride, width, panels)
		asm.MulPanels(y, m.Stride(), t.floats[:], stride, x[k:], xs, width, panels, cols, add || k > 0)
	}
}

// fewCols is the number of columns up to which multiplyFew is faster.
const fewCols = 4

// multiplyInts is multiplyTile for quantised activations, of which it takes some
// columns from column col on. A single column leaves nothing to gain by keeping
// unpacked weights.
func (m *Matrix) multiplyInts(t *tile, panel, panels int, y []float32, a *activations, set, col, cols int) {
	if cols == 1 && a.n == 1 {
		a.multiplyPacked(y, &m.packed, set, panel, panels)
		return
	}
	w := t.ints(m.packed.Packing)
	for k := 0; k < m.Cols; k += tileCols {
		n := min(tileCols, m.Cols-k)
		for p := range panels {
			m.packed.Unpack(&w, p, panel+p, k, n)
		}
		a.multiply(y, m.Stride(), &w, set, k, n, panels, col, cols)
	}
}
