package bench

import (
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
)

// A Cost is what a token costs a model, by its file. It is right for dense
// models; attention, whose part grows with the position, is left out, and so
// are norms.
type Cost struct {
	BlockWeights int64 `json:"block_weights"` // elements of the matrices in the blocks
	HeadWeights  int64 `json:"head_weights"`  // elements of the output matrix
	// Bytes are those of all these weights as they are stored: what must be
	// read from memory for each generated token.
	Bytes int64 `json:"bytes"`
}

// CostOf adds up the tensors of a file.
func CostOf(f *gguf.File) Cost {
	var c Cost
	head, own := f.Tensor("output.weight")
	if !own {
		head, own = f.Tensor("token_embd.weight")
	}
	if own {
		c.HeadWeights = int64(head.Elements())
		c.Bytes = int64(head.Size())
	}
	for _, t := range f.Tensors() {
		if strings.HasPrefix(t.Name, "blk.") && t.Rows() > 1 {
			c.BlockWeights += int64(t.Elements())
			c.Bytes += int64(t.Size())
		}
	}
	return c
}

// PromptOps is the number of operations for a token of a prompt, a product and
// its sum counted as two; logits are computed for the last token only.
func (c Cost) PromptOps() float64 { return 2 * float64(c.BlockWeights) }
