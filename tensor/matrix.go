package tensor

import (
	"errors"
	"fmt"

	"github.com/limbic-go/limbic/asm"
)

// A Matrix is an immutable weight matrix of Rows x Cols, multiplied from the
// left: y = M x.
//
// F32 weights are repacked into the panels that asm.MulPanels reads. All other
// formats stay as they are stored, row by row, and are unpacked tile by tile on
// the way through Mul: to float32 (multiplyTile) or, where the precision and the
// format allow, to integers (multiplyInts).
type Matrix struct {
	Type       Type
	Rows, Cols int

	packed   []float32 // F32: [panel][column][asm.Rows]
	raw      []byte    // other formats: rows of rowBytes bytes
	rowBytes int
}

// NewMatrix makes a matrix from data in storage format t: rows*cols elements,
// row after row, as in a GGUF tensor whose first dimension is cols. F32 data
// is copied into memory from the arena; data of other formats is kept and must
// outlive the matrix. It fails where the shape is empty, does not fit the
// format's blocks, or does not match the length of data.
func NewMatrix(t Type, rows, cols int, data []byte, arena *Arena) (*Matrix, error) {
	if rows <= 0 || cols <= 0 {
		return nil, fmt.Errorf("tensor: matrix of %d rows and %d columns", rows, cols)
	}
	rowBytes, err := t.RowBytes(cols)
	if err != nil {
		return nil, err
	}
	if len(data)/rowBytes != rows || len(data)%rowBytes != 0 {
		return nil, fmt.Errorf("tensor: %d bytes for %d rows of %d bytes", len(data), rows, rowBytes)
	}
	m := &Matrix{Type: t, Rows: rows, Cols: cols, rowBytes: rowBytes}
	if t != F32 {
		m.raw = data
		return m, nil
	}
	if m.packed, err = arena.Floats(m.panels() * asm.Rows * cols); err != nil {
		return nil, err
	}
	row := make([]float32, cols)
	for r := range rows {
		dequantizeF32(row, data[r*rowBytes:][:rowBytes])
		panel := m.packed[r/asm.Rows*asm.Rows*cols+r%asm.Rows:]
		for i, v := range row {
			panel[i*asm.Rows] = v
		}
	}
	return m, nil
}

// panels is the number of 16-row panels; the last may be partly filled.
func (m *Matrix) panels() int { return (m.Rows + asm.Rows - 1) / asm.Rows }

// Stride is the number of float32 that an output column of Mul occupies: Rows
// rounded up to whole panels.
func (m *Matrix) Stride() int { return m.panels() * asm.Rows }

// Row writes row r, dequantised, to dst, which holds Cols elements.
func (m *Matrix) Row(dst []float32, r int) {
	dst = dst[:m.Cols]
	if m.Type == F32 {
		panel := m.packed[r/asm.Rows*asm.Rows*m.Cols+r%asm.Rows:]
		for i := range dst {
			dst[i] = panel[i*asm.Rows]
		}
		return
	}
	known[m.Type].dequantize(dst, m.raw[r*m.rowBytes:][:m.rowBytes])
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
// format's block, of up to four panels, which kernels take side by side. It
// stays in a level-2 cache.
const (
	tileCols   = 512
	tilePanels = 4
	tileScales = asm.Rows * tileCols / 16 // at most, of a panel
)

type tile struct {
	rows   [asm.Rows * tileCols]float32              // of one panel, row-major, as dequantised
	panels [tilePanels * asm.Rows * tileCols]float32 // in panel layout
}

// An intTile is the same for weights that stay integers.
type intTile struct {
	rows         [asm.Rows * tileCols]byte
	codes        [tilePanels * asm.Rows * tileCols]byte
	scales, mins [tilePanels * tileScales]float32
}

// NewMultiplier makes a multiplier that works on pool, in a valid precision.
func NewMultiplier(pool *Pool, precision Precision) *Multiplier {
	m := &Multiplier{pool: pool}
	m.job.tiles = make([]tile, pool.Size())
	if precision != Exact {
		m.job.intTiles = make([]intTile, pool.Size())
	}
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
		part := split(p, n, m.pool.Size())
		part.set = noSet
		if f := known[p.W.Type].ints; a.precision != Exact && f != nil {
			part.set = a.set(*f)
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
	m.quantize = quantizeJob{a, x, stride, max(1, quantizeWork/a.cols)}
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

	quantizeWork = 1 << 13 // elements of an item that quantises
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

func split(p Product, n, workers int) mulPart {
	part := mulPart{Product: p, panels: 1, cols: n}
	if p.W.Type == F32 {
		part.cols = min(n, itemCols)
	}
	if p.W.panels()*((n+part.cols-1)/part.cols) >= 2*tilePanels*workers {
		part.panels = tilePanels
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
	intTiles    []intTile
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
		asm.MulPanels(y, ys, p.W.packed[panel*ws:], ws, x, j.stride, p.W.Cols, panels, cols, false)
	case p.set != noSet:
		p.W.multiplyInts(&j.intTiles[worker], panel, panels, y, &j.activations, p.set, col, cols)
	default:
		p.W.multiplyTile(&j.tiles[worker], panel, panels, y, x, j.stride, cols)
	}
}

// multiplyTile multiplies up to tilePanels panels in float32: they are
// dequantised, some columns at a time, and the chains are resumed from tile to
// tile.
func (m *Matrix) multiplyTile(t *tile, panel, panels int, y, x []float32, xs, cols int) {
	f := known[m.Type]
	for k := 0; k < m.Cols; k += tileCols {
		n := min(tileCols, m.Cols-k)
		from, to := k/f.block*f.bytes, (k+n)/f.block*f.bytes
		for p := range panels {
			first := (panel + p) * asm.Rows
			rows := min(asm.Rows, m.Rows-first)
			for r := range rows {
				f.dequantize(t.rows[r*tileCols:][:n], m.raw[(first+r)*m.rowBytes:][from:to])
			}
			clear(t.rows[rows*tileCols:])
			asm.Transpose(t.panels[p*asm.Rows*tileCols:], t.rows[:], tileCols, n)
		}
		asm.MulPanels(y, m.Stride(), t.panels[:], asm.Rows*tileCols, x[k:], xs, n, panels, cols, k > 0)
	}
}

// multiplyInts is multiplyTile for quantised activations, of which it takes some
// columns from column col on.
func (m *Matrix) multiplyInts(t *intTile, panel, panels int, y []float32, a *activations, set, col, cols int) {
	f := known[m.Type]
	w := asm.IntPanels{
		Codes: t.codes[:], CodeStride: asm.Rows * tileCols,
		Scales: t.scales[:], ScaleStride: tileScales,
		Sub: f.ints.sub, Offset: f.ints.offset,
	}
	if f.ints.affine() {
		w.Mins = t.mins[:]
	}
	for k := 0; k < m.Cols; k += tileCols {
		n := min(tileCols, m.Cols-k)
		from, to := k/f.block*f.bytes, (k+n)/f.block*f.bytes
		for p := range panels {
			first := (panel + p) * asm.Rows
			rows := min(asm.Rows, m.Rows-first)
			scales, mins := t.scales[p*tileScales:][:tileScales], t.mins[p*tileScales:][:tileScales]
			if rows < asm.Rows { // the panel's other rows are zeros
				clear(t.rows[rows*tileCols:])
				clear(scales)
				clear(mins)
			}
			for r := range rows {
				f.ints.unpack(t.rows[r*tileCols:][:n], scales[r:], mins[r:], m.raw[(first+r)*m.rowBytes:][from:to])
			}
			asm.InterleaveCodes(t.codes[p*asm.Rows*tileCols:], t.rows[:], tileCols, n)
		}
		a.multiply(y, m.Stride(), &w, set, k, n, panels, col, cols)
	}
}
