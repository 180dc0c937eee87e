package synth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// Write writes a model to w, in pieces: it needs little memory, however large
// the model. The same shape, mix and seed give the same bytes.
func Write(w io.Writer, s Shape, m Mix, seed uint64) error {
	if err := s.check(); err != nil {
		return err
	}
	if m.base.Block() == 0 || m.Name == "" {
		return fmt.Errorf("synth: a Mix that is not from MixByName")
	}
	parts := s.parts(&m)
	infos := make([]gguf.TensorInfo, len(parts))
	for i, p := range parts {
		infos[i] = p.TensorInfo
	}
	return gguf.EncodeStream(w, s.metadata(&m, seed), infos, func(w io.Writer, i int) error {
		return parts[i].write(w, source(seed, parts[i].Name))
	}, gguf.EncodeOptions{})
}

// source is the randomness of a tensor: it depends on the tensor's name, so
// that a change to one does not change the others.
func source(seed uint64, name string) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, seed), name...)))
}

// A part is a tensor with what fills it.
type part struct {
	gguf.TensorInfo
	write func(w io.Writer, random *rand.ChaCha8) error
}

// parts lists the tensors in the order of the file.
func (s *Shape) parts(m *Mix) []part {
	var parts []part
	matrix := func(prefix string, at place) {
		cols, rows := s.dims(at.role)
		at.blocks, at.grouped = s.Blocks, s.Heads/s.KVHeads
		t := m.typeOf(at, cols, !s.Untied)
		parts = append(parts, part{
			gguf.TensorInfo{Name: prefix + names[at.role] + ".weight", Type: t, Dims: []int{cols, rows}},
			func(w io.Writer, random *rand.ChaCha8) error {
				return writeMatrix(w, t, cols*rows, 1/math.Sqrt(float64(cols)), random)
			},
		})
	}
	vector := func(name string, n int, middle, half float32) {
		parts = append(parts, part{
			gguf.TensorInfo{Name: name, Type: tensor.F32, Dims: []int{n}},
			func(w io.Writer, random *rand.ChaCha8) error {
				b := make([]byte, 0, 4*n)
				for range n {
					x := middle + float32(half*float32(int64(random.Uint64()>>40)-1<<23)/(1<<23))
					b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
				}
				_, err := w.Write(b)
				return err
			},
		})
	}
	norm := func(name string) { vector(name, s.Width, 1, 0.2) }

	matrix("", place{role: embedding})
	norm("output_norm.weight")
	if s.Untied {
		matrix("", place{role: head})
	}
	if s.RopeFactors {
		factors := s.ropeFactors()
		parts = append(parts, part{
			gguf.TensorInfo{Name: "rope_freqs.weight", Type: tensor.F32, Dims: []int{len(factors)}},
			func(w io.Writer, _ *rand.ChaCha8) error { return binary.Write(w, binary.LittleEndian, factors) },
		})
	}
	for b := range s.Blocks {
		prefix := fmt.Sprintf("blk.%d.", b)
		norm(prefix + "attn_norm.weight")
		for _, r := range []role{query, key, value, attnOutput} {
			matrix(prefix, place{role: r, block: b})
			if s.Biases && r != attnOutput {
				_, rows := s.dims(r)
				vector(prefix+names[r]+".bias", rows, 0, 0.1)
			}
		}
		norm(prefix + "ffn_norm.weight")
		for _, r := range []role{gate, up, down} {
			matrix(prefix, place{role: r, block: b})
		}
	}
	return parts
}

// metadata is what readers need beside the tensors.
func (s *Shape) metadata(m *Mix, seed uint64) []gguf.KV {
	var kvs []gguf.KV
	add := func(key string, v gguf.Value) { kvs = append(kvs, gguf.KV{Key: key, Value: v}) }
	number := func(key string, n int) { add(s.Architecture+"."+key, gguf.Scalar(uint32(n))) }

	add("general.architecture", gguf.Scalar(s.Architecture))
	add("general.name", gguf.Scalar(fmt.Sprintf("random weights in the shape of %s, %s, seed %d", s.Name, m.Name, seed)))
	add("general.file_type", gguf.Scalar(m.fileType))
	add("general.quantization_version", gguf.Scalar(uint32(2)))
	number("block_count", s.Blocks)
	number("context_length", s.Context)
	number("embedding_length", s.Width)
	number("feed_forward_length", s.FeedForward)
	number("attention.head_count", s.Heads)
	number("attention.head_count_kv", s.KVHeads)
	number("attention.key_length", s.HeadDim)
	number("attention.value_length", s.HeadDim)
	number("rope.dimension_count", s.HeadDim)
	number("vocab_size", s.Vocabulary)
	add(s.Architecture+".rope.freq_base", gguf.Scalar(s.RopeBase))
	add(s.Architecture+".attention.layer_norm_rms_epsilon", gguf.Scalar(s.NormEpsilon))
	return append(kvs, s.tokenizer()...)
}
