package synth

import (
	"fmt"
	"strings"

	"github.com/limbic-go/limbic/tensor"
)

// A Mix says which matrices of a model are stored in which format. The zero
// value is not a mix; see MixByName.
type Mix struct {
	// Name is what files are called by, such as "Q4_K_M".
	Name string

	base     tensor.Type
	fileType uint32 // general.file_type
	pure     bool   // every matrix has the base type
	// special gives the type of a matrix that differs from the others, and
	// whether it does.
	special func(at place) (tensor.Type, bool)
}

// A place is where a matrix stands.
type place struct {
	role
	block, blocks int
	grouped       int // query heads that share a key-value head
}

// mixes are the usual mixtures, as llama.cpp's quantiser makes them without an
// importance matrix (function llama_tensor_get_type_impl in its
// src/llama-quant.cpp).
var mixes = []Mix{
	{Name: "F32", base: tensor.F32, fileType: 0},
	{Name: "F16", base: tensor.F16, fileType: 1},
	{Name: "BF16", base: tensor.BF16, fileType: 32},
	{Name: "Q8_0", base: tensor.Q8_0, fileType: 7},
	{Name: "Q4_0", base: tensor.Q4_0, fileType: 2},
	{Name: "Q4_1", base: tensor.Q4_1, fileType: 3},
	{Name: "Q5_0", base: tensor.Q5_0, fileType: 8},
	{Name: "Q5_1", base: tensor.Q5_1, fileType: 9},
	{Name: "Q2_K", base: tensor.Q2_K, fileType: 10, special: func(at place) (tensor.Type, bool) {
		switch {
		case at.role == value && at.grouped >= 4:
			return tensor.Q4_K, true
		case at.role == value || at.role == down || at.role == attnOutput:
			return tensor.Q3_K, true
		}
		return 0, false
	}},
	{Name: "Q3_K_S", base: tensor.Q3_K, fileType: 11},
	{Name: "Q3_K_M", base: tensor.Q3_K, fileType: 12, special: func(at place) (tensor.Type, bool) {
		switch {
		case at.role == value && at.block < 2, at.role == down && at.block < at.blocks/16:
			return tensor.Q5_K, true
		case at.role == value || at.role == down || at.role == attnOutput:
			return tensor.Q4_K, true
		}
		return 0, false
	}},
	{Name: "Q3_K_L", base: tensor.Q3_K, fileType: 13, special: func(at place) (tensor.Type, bool) {
		return tensor.Q5_K, at.role == value || at.role == down || at.role == attnOutput
	}},
	{Name: "Q4_K_S", base: tensor.Q4_K, fileType: 14, special: func(at place) (tensor.Type, bool) {
		return tensor.Q5_K, at.role == value && at.block < 4 || at.role == down && at.block < at.blocks/8
	}},
	{Name: "Q4_K_M", base: tensor.Q4_K, fileType: 15, special: moreBits},
	{Name: "Q5_K_S", base: tensor.Q5_K, fileType: 16},
	{Name: "Q5_K_M", base: tensor.Q5_K, fileType: 17, special: moreBits},
	{Name: "Q6_K", base: tensor.Q6_K, fileType: 18},
	{Name: "IQ4_NL", base: tensor.IQ4NL, fileType: 25, special: iq4},
	{Name: "IQ4_XS", base: tensor.IQ4XS, fileType: 30, special: iq4},
}

// moreBits spends six bits on values and on the way out of the feed-forward
// layer, in the first and the last eighth of the blocks and in every third
// between them.
func moreBits(at place) (tensor.Type, bool) {
	eighth := at.blocks / 8
	here := at.block < eighth || at.block >= 7*at.blocks/8 || (at.block-eighth)%3 == 2
	return tensor.Q6_K, here && (at.role == value || at.role == down)
}

func iq4(at place) (tensor.Type, bool) {
	return tensor.Q5_K, at.role == value && at.grouped >= 4 || at.role == down && at.block < at.blocks/8
}

// purePrefix before the name of a type makes the mix of that type alone.
const purePrefix = "pure-"

// Mixes lists the mixes that MixByName knows by a name of their own.
func Mixes() []string {
	var names []string
	for _, m := range mixes {
		names = append(names, m.Name)
	}
	return names
}

// MixByName finds a mix, in either case: one of Mixes, or "pure-" and the name
// of a storage type, for that type in every matrix.
func MixByName(name string) (Mix, error) {
	for _, m := range mixes {
		if strings.EqualFold(m.Name, name) {
			return m, nil
		}
	}
	if len(name) > len(purePrefix) && strings.EqualFold(name[:len(purePrefix)], purePrefix) {
		for _, t := range types() {
			if strings.EqualFold(t.String(), name[len(purePrefix):]) {
				// Readers use the file type for a name only; they take the
				// types of the tensors from the tensors.
				return Mix{Name: purePrefix + t.String(), base: t, fileType: fileTypeOf(t), pure: true}, nil
			}
		}
	}
	return Mix{}, fmt.Errorf("synth: unknown quantisation %q (known: %s, and %s with the name of a type)",
		name, strings.Join(Mixes(), ", "), purePrefix)
}

// types lists the storage types that can be written.
func types() []tensor.Type {
	return []tensor.Type{
		tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1,
		tensor.Q2_K, tensor.Q3_K, tensor.Q4_K, tensor.Q5_K, tensor.Q6_K, tensor.IQ4NL, tensor.IQ4XS,
	}
}

// fileTypeOf is the file type of the first mix with the given base.
func fileTypeOf(t tensor.Type) uint32 {
	for _, m := range mixes {
		if m.base == t {
			return m.fileType
		}
	}
	return 0
}

// typeOf gives the type of a matrix with rows of cols elements. tied says that
// the embedding serves as output matrix, too.
func (m *Mix) typeOf(at place, cols int, tied bool) tensor.Type {
	t := m.base
	switch isHead := at.role == head || at.role == embedding && tied; {
	case m.pure:
	case isHead && t.Block() > 1 && t != tensor.Q8_0:
		t = tensor.Q6_K // what the vocabulary is read with is worth more bits
	case m.special != nil && at.role != head && at.role != embedding:
		if s, ok := m.special(at); ok {
			t = s
		}
	}
	return fallback(t, cols)
}

// fallback is the type that takes the place of one whose blocks do not fit a
// row.
func fallback(t tensor.Type, cols int) tensor.Type {
	if cols%t.Block() == 0 {
		return t
	}
	switch t {
	case tensor.Q2_K, tensor.Q3_K:
		t = tensor.Q4_0
	case tensor.Q4_K:
		t = tensor.Q5_0
	case tensor.Q5_K:
		t = tensor.Q5_1
	case tensor.Q6_K:
		t = tensor.Q8_0
	case tensor.IQ4XS:
		t = tensor.IQ4NL
	}
	if cols%t.Block() != 0 {
		return tensor.F16
	}
	return t
}
