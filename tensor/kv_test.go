package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/x448/float16"
)

// cache is a sequence's keys and values, [position][head*dim], and its pages.
type cache struct {
	keys, values [][]float32
	pages        []*Page
}

func newCache(r *rand.Rand, s PageShape, n int) *cache {
	c := &cache{}
	for pos := range n {
		c.keys = append(c.keys, randomFloats(r, s.Heads*s.Dim))
		c.values = append(c.values, randomFloats(r, s.Heads*s.Dim))
		if pos%PageLen == 0 {
			c.pages = append(c.pages, NewPages(s, 1)[0])
		}
		put(c.pages[pos/PageLen], pos%PageLen, c.keys[pos], c.values[pos])
	}
	return c
}

// put stores one position.
func put(p *Page, slot int, key, value []float32) bool {
	return p.Put(new(AttentionScratch), slot, 1, key, len(key), value, len(value))
}

// attend is attention of one query over the first n positions, in float64. It
// gives the size of the largest score too: a relative error of a score is an
// absolute one of its exponent.
func (c *cache) attend(q []float32, head, n int, scale float64) (out []float64, largest float64) {
	return c.attendCapped(q, head, n, scale, 0)
}

// attendCapped bounds the scores by a cap, unless that is 0.
func (c *cache) attendCapped(q []float32, head, n int, scale, limit float64) (out []float64, largest float64) {
	dim := len(q)
	scores, greatest, total := make([]float64, n), math.Inf(-1), 0.0
	for pos := range scores {
		for d, v := range q {
			scores[pos] += float64(v) * float64(c.keys[pos][head*dim+d]) * scale
		}
		if limit != 0 {
			scores[pos] = limit * math.Tanh(scores[pos]/limit)
		}
		greatest, largest = max(greatest, scores[pos]), max(largest, math.Abs(scores[pos]))
	}
	out = make([]float64, dim)
	for pos := range scores {
		scores[pos] = math.Exp(scores[pos] - greatest)
		total += scores[pos]
	}
	for pos, s := range scores {
		for d := range out {
			out[d] += s / total * float64(c.values[pos][head*dim+d])
		}
	}
	return out, largest
}

func TestAttend(t *testing.T) {
	for _, dim := range []int{2, 8, 10, 16, 18, 64, 66} {
		for _, n := range []int{1, 2, 15, 17, 63, 64, 65, 128, 150} {
			for _, size := range []float32{1, 30} { // spread and all but one-hot
				t.Run(fmt.Sprintf("dim %d, %d positions, size %v", dim, n, size), func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
					shape := PageShape{Heads: 3, Dim: dim}
					c := newCache(r, shape, n)
					scale := float32(1 / math.Sqrt(float64(dim)))
					const queries = 5
					// Queries and outputs lie with gaps between them, as rows do.
					qs := randomFloats(r, queries*(dim+7))
					for i := range qs {
						qs[i] *= size
					}
					var scratch AttentionScratch
					for head := range shape.Heads {
						// As in a prompt: each query sees one position more.
						steps := min(queries, n)
						out := make([]float32, queries*(dim+1))
						Attend(&scratch, Queries{Q: qs, QStride: dim + 7, Out: out, OutStride: dim + 1, N: steps, Len: n - steps + 1, Step: 1}, c.pages, head, Softmax{Scale: scale})
						for i := range steps {
							want, largest := c.attend(qs[i*(dim+7):][:dim], head, n-steps+1+i, float64(scale))
							require.Less(t, relativeError(t, want, out[i*(dim+1):][:dim]), 3e-7*(5+largest))
						}
						// As in generation: a group of query heads sees the same positions.
						group := make([]float32, queries*dim)
						Attend(&scratch, Queries{Q: qs, QStride: dim + 7, Out: group, OutStride: dim, N: queries, Len: n}, c.pages, head, Softmax{Scale: scale})

						// Each has the bits that it has alone.
						alone := make([]float32, dim)
						for i := range queries {
							q := Queries{Q: qs[i*(dim+7):], Out: alone, N: 1, Len: n}
							Attend(new(AttentionScratch), q, c.pages, head, Softmax{Scale: scale})
							requireSameBits(t, alone, group[i*dim:][:dim])
							if i < steps {
								q.Len = n - steps + 1 + i
								Attend(new(AttentionScratch), q, c.pages, head, Softmax{Scale: scale})
								requireSameBits(t, alone, out[i*(dim+1):][:dim])
							}
						}
					}
				})
			}
		}
	}
}

// A window is attention over a shorter cache; a cap bounds the scores softly.
func TestAttendWindowAndCap(t *testing.T) {
	const dim, n = 10, 150
	r := rand.New(rand.NewPCG(2, 3))
	c := newCache(r, PageShape{Heads: 2, Dim: dim}, n)
	for _, window := range []int{0, 1, 2, 7, 20, 64, 65, 149, 150, 1000} {
		for _, limit := range []float32{0, 0.5, 20} {
			for _, queries := range []int{1, 2, 24} {
				t.Run(fmt.Sprintf("window %d, cap %v, %d queries", window, limit, queries), func(t *testing.T) {
					qs, out := randomFloats(r, queries*dim), make([]float32, queries*dim)
					softmax := Softmax{Scale: 0.3, Cap: limit}
					q := Queries{Q: qs, QStride: dim, Out: out, OutStride: dim, N: queries, Len: n - queries + 1, Step: 1, Window: window}
					Attend(new(AttentionScratch), q, c.pages, 1, softmax)
					for i := range queries {
						seen := n - queries + 1 + i
						from := 0
						if window > 0 {
							from = max(0, seen-window)
						}
						shorter := &cache{keys: c.keys[from:], values: c.values[from:]}
						want, largest := shorter.attendCapped(qs[i*dim:][:dim], 1, seen-from, 0.3, float64(limit))
						require.Less(t, relativeError(t, want, out[i*dim:][:dim]), 3e-7*(5+largest), "query %d", i)

						// Each has the bits that it has alone, in prompts and in generation.
						alone := make([]float32, dim)
						one := Queries{Q: qs[i*dim:], Out: alone, N: 1, Len: seen, Window: window}
						Attend(new(AttentionScratch), one, c.pages, 1, softmax)
						requireSameBits(t, alone, out[i*dim:][:dim])
					}
				})
			}
		}
	}
}

// What lies behind the visible positions, be it infinite, has no influence.
func TestAttendSeesNoFurther(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	shape := PageShape{Heads: 1, Dim: 10}
	c := newCache(r, shape, 20)
	q, want, got := randomFloats(r, 10), make([]float32, 10), make([]float32, 10)
	Attend(new(AttentionScratch), Queries{Q: q, Out: want, N: 1, Len: 18}, c.pages, 0, Softmax{Scale: 1})
	inf := make([]float32, 10)
	for i := range inf {
		inf[i] = float32(math.Inf(1 - i%2*2))
	}
	for i := 18; i < PageLen; i++ {
		put(c.pages[0], i, inf, inf)
	}
	Attend(new(AttentionScratch), Queries{Q: q, Out: got, N: 1, Len: 18}, c.pages, 0, Softmax{Scale: 1})
	requireSameBits(t, want, got)
}

// With float16 attention is that over keys and values rounded beforehand.
func TestAttendFloat16(t *testing.T) {
	rounded := func(x []float32) []float32 {
		y := make([]float32, len(x))
		for i := range x {
			y[i] = float16.Fromfloat32(x[i]).Float32()
		}
		return y
	}
	for _, dim := range []int{2, 16, 18, 64, 96} {
		for _, n := range []int{1, 17, 64, 65, 150} {
			for _, window := range []int{0, 40} {
				r := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
				c := newCache(r, PageShape{Heads: 2, Dim: dim, Type: KVFloat16}, n)
				for pos := range n {
					c.keys[pos], c.values[pos] = rounded(c.keys[pos]), rounded(c.values[pos])
				}
				wide := make([]*Page, len(c.pages))
				for i := range wide {
					wide[i] = NewPages(PageShape{Heads: 2, Dim: dim}, 1)[0]
				}
				for pos := range n {
					put(wide[pos/PageLen], pos%PageLen, c.keys[pos], c.values[pos])
				}
				for _, queries := range []int{1, 9, 32} {
					q := Queries{
						Q: randomFloats(r, queries*dim), QStride: dim, Out: make([]float32, queries*dim), OutStride: dim,
						N: min(queries, n), Len: max(1, n-queries+1), Step: 1, Window: window,
					}
					Attend(new(AttentionScratch), q, c.pages, 1, Softmax{Scale: 0.3})
					got := slices.Clone(q.Out)
					Attend(new(AttentionScratch), q, wide, 1, Softmax{Scale: 0.3})
					requireSameBits(t, q.Out, got)
				}
			}
		}
	}
}

// Positions stored in runs lie where they do when stored one by one.
func TestPutInRuns(t *testing.T) {
	for _, typ := range []KVType{KVFloat32, KVFloat16} {
		for _, dim := range []int{2, 16, 18, 40, 64} {
			r := rand.New(rand.NewPCG(1, uint64(dim)))
			shape := PageShape{Heads: 2, Dim: dim, Type: typ}
			stride := 2*dim + 3
			keys, values := randomFloats(r, PageLen*stride), randomFloats(r, PageLen*stride)
			want := NewPages(shape, 1)[0]
			for i := range PageLen {
				require.True(t, put(want, i, keys[i*stride:][:2*dim], values[i*stride:][:2*dim]))
			}
			var scratch AttentionScratch
			for range 20 {
				got := NewPages(shape, 1)[0]
				for i := 0; i < PageLen; {
					n := min(1+r.IntN(40), PageLen-i)
					from, to := i*stride, (i+n-1)*stride+2*dim
					require.True(t, got.Put(&scratch, i, n, keys[from:to], stride, values[from:to], stride))
					i += n
				}
				require.Equal(t, want, got, "%v, dim %d", typ, dim)
			}
		}
	}
}

// What float16 cannot hold is reported, wherever it is; the rest is not.
func TestPutReportsOverflow(t *testing.T) {
	const dim = 18
	for _, typ := range []KVType{KVFloat32, KVFloat16} {
		p := NewPages(PageShape{Heads: 2, Dim: dim, Type: typ}, 1)[0]
		for _, n := range []int{1, 16, 23} {
			for _, i := range []int{0, 17, 2*dim - 1, (n-1)*2*dim + 5, n*2*dim - 1} {
				for what := range 2 {
					rows := [2][]float32{make([]float32, n*2*dim), make([]float32, n*2*dim)}
					store := func(x float32) bool {
						rows[what][i] = x
						return p.Put(new(AttentionScratch), 16, n, rows[0], 2*dim, rows[1], 2*dim)
					}
					require.True(t, store(65519.99))
					require.Equal(t, typ == KVFloat32, store(65520))
					require.Equal(t, typ == KVFloat32, store(-1e30))
				}
			}
		}
	}
}

func TestKVTypeNames(t *testing.T) {
	for _, typ := range []KVType{KVFloat32, KVFloat16} {
		got, err := ParseKVType(strings.ToUpper(typ.String()))
		require.NoError(t, err)
		require.Equal(t, typ, got)
		require.True(t, typ.Valid())
	}
	_, err := ParseKVType("f8")
	require.ErrorContains(t, err, `"f8" (known: f32, f16)`)
	require.False(t, KVType(2).Valid())
	require.Equal(t, "KVType(2)", KVType(2).String())
}

func TestPageCopy(t *testing.T) {
	for _, typ := range []KVType{KVFloat32, KVFloat16} {
		testPageCopy(t, typ)
	}
}

func testPageCopy(t *testing.T, typ KVType) {
	r := rand.New(rand.NewPCG(1, 1))
	shape := PageShape{Heads: 2, Dim: 10, Type: typ}
	c := newCache(r, shape, PageLen)
	p := NewPages(shape, 1)[0]
	p.CopyFrom(c.pages[0])
	q, want, got := randomFloats(r, 10), make([]float32, 10), make([]float32, 10)
	Attend(new(AttentionScratch), Queries{Q: q, Out: want, N: 1, Len: PageLen}, c.pages, 1, Softmax{Scale: 1})
	put(c.pages[0], 0, make([]float32, 20), make([]float32, 20)) // the copy is one
	Attend(new(AttentionScratch), Queries{Q: q, Out: got, N: 1, Len: PageLen}, []*Page{p}, 1, Softmax{Scale: 1})
	requireSameBits(t, want, got)
}
