package llama

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Point is a kind of place within a block where the residual stream, or
// what is about to be added to it, can be read or edited.
type Point uint8

// The points, in the order in which a forward pass reaches them. They mean the
// same in every architecture: ResidMid is ResidPre + AttnOut and ResidPost is
// ResidMid + MLPOut, to the bit. So where an architecture normalises or scales
// what a block adds to the stream (Gemma, OLMo 2, Granite), AttnOut and MLPOut are
// what comes of that; where it scales the embeddings (Gemma, Granite), ResidPre of
// block 0 is the scaled one; and a feed-forward layer may be a mixture of experts.
const (
	ResidPre  Point = iota // the stream as it enters the block
	AttnOut                // what attention adds to the stream, after a norm or factor of its own
	ResidMid               // the stream after attention was added
	MLPOut                 // what the feed-forward layer adds to the stream, after a norm or factor of its own
	ResidPost              // the stream as it leaves the block
	FinalNorm              // the stream after the last block and the final norm, gain included
)

var pointNames = [...]string{"resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post", "final_norm"}

func (p Point) String() string {
	if int(p) < len(pointNames) {
		return pointNames[p]
	}
	return fmt.Sprintf("Point(%d)", int(p))
}

// ErrNoSite is wrapped by the errors of ParseSite and ParseSites where a site is
// well spelled but the model has no such block.
var ErrNoSite = errors.New("does not exist")

// A Site is a place where the residual stream can be read or edited. Blocks
// count from 0: {ResidPost, 12} is the output of the block with index 12,
// which is llama.cpp's l_out-12, TransformerLens's blocks.12.hook_resid_post
// and, except for the last block, Hugging Face's hidden_states[13].
// FinalNorm has no block.
type Site struct {
	Point Point
	Block int
}

// String gives the spelling that every message of limbic uses, such as
// "resid_post:12" or "final_norm".
func (s Site) String() string {
	if s.Point == FinalNorm {
		return s.Point.String()
	}
	return fmt.Sprintf("%v:%d", s.Point, s.Block)
}

// Key is String with a dot, such as "resid_post.12": the name of the site's
// array in a file.
func (s Site) Key() string { return strings.ReplaceAll(s.String(), ":", ".") }

// Describe spells the site out for a model of so many blocks, such as "output
// of block 10 of 16 (counted from 0)".
func (s Site) Describe(blocks int) string {
	what := map[Point]string{
		ResidPre: "input of", AttnOut: "attention output of", ResidMid: "stream after attention in",
		MLPOut: "feed-forward output of", ResidPost: "output of",
	}[s.Point]
	if s.Point == FinalNorm {
		return "final norm"
	}
	return fmt.Sprintf("%s block %d of %d (counted from 0)", what, s.Block, blocks)
}

// Valid reports whether a model of so many blocks has the site.
func (s Site) Valid(blocks int) bool {
	return s.Point == FinalNorm || s.Point < FinalNorm && s.Block >= 0 && s.Block < blocks
}

// before orders sites as a forward pass reaches them.
func (s Site) before(t Site) bool {
	if s.Point == FinalNorm || t.Point == FinalNorm {
		return s.Point != FinalNorm && t.Point == FinalNorm
	}
	return s.Block < t.Block || s.Block == t.Block && s.Point < t.Point
}

// DefaultSite is the output of block ⌊2L/3⌋ of L, where most studies of
// emotion concepts read and steer.
func DefaultSite(blocks int) Site { return Site{ResidPost, min(2*blocks/3, blocks-1)} }

// ParseSite reads a site of a model of so many blocks. It takes
//
//	resid_post:10   resid_post:-1   resid_post:67%   resid_post:2/3
//	67%   2/3                        a share of the depth, at resid_post
//	blocks.10.hook_resid_post        TransformerLens (also resid_pre, resid_mid, attn_out, mlp_out)
//	hf:11                            Hugging Face's hidden_states[11]
//	l_out-10                         llama.cpp
//	final_norm
//
// Negative blocks count from the end. A share p of L blocks means block ⌊p·L⌋,
// at most the last. A bare number is refused, because tools disagree on what
// it means. Hugging Face's last hidden state, hf:L, is final_norm; hf:0 is
// resid_pre:0.
func ParseSite(s string, blocks int) (Site, error) {
	site, err := parseSite(strings.TrimSpace(s), blocks)
	if err != nil {
		return Site{}, fmt.Errorf("llama: site %q: %w", s, err)
	}
	return site, nil
}

func parseSite(s string, blocks int) (Site, error) {
	if s == FinalNorm.String() {
		return Site{Point: FinalNorm}, nil
	}
	if n, ok := strings.CutPrefix(s, "hf:"); ok {
		i, err := strconv.Atoi(n)
		switch {
		case err != nil:
			return Site{}, fmt.Errorf("want one of hf:0 to hf:%d", blocks)
		case i < -blocks-1 || i > blocks:
			return Site{}, fmt.Errorf("%w; a model of %d blocks has hf:0 to hf:%d", ErrNoSite, blocks, blocks)
		case i < 0:
			i += blocks + 1
		}
		switch i {
		case 0:
			return Site{ResidPre, 0}, nil
		case blocks:
			return Site{Point: FinalNorm}, nil
		}
		return Site{ResidPost, i - 1}, nil
	}
	point, where := "resid_post", s
	if rest, ok := strings.CutPrefix(s, "blocks."); ok {
		var hook string
		if where, hook, ok = strings.Cut(rest, ".hook_"); !ok {
			return Site{}, fmt.Errorf("want a name like blocks.10.hook_resid_post")
		}
		point = hook
	} else if n, ok := strings.CutPrefix(s, "l_out-"); ok {
		where = n
	} else if p, w, ok := strings.Cut(s, ":"); ok {
		if point, where = p, w; p == FinalNorm.String() {
			return Site{}, fmt.Errorf("%s has no block", p)
		}
	} else if _, err := strconv.Atoi(s); err == nil {
		return Site{}, fmt.Errorf("a bare number is ambiguous; write resid_post:%s for the output of a block, counted from 0, or from the end if negative", s)
	}
	site := Site{Point: FinalNorm}
	for p, name := range pointNames[:FinalNorm] {
		if name == point {
			site.Point = Point(p)
		}
	}
	if site.Point == FinalNorm {
		return Site{}, fmt.Errorf("unknown point %q (known: %s)", point, strings.Join(pointNames[:], ", "))
	}
	var err error
	site.Block, err = parseBlock(where, blocks)
	return site, err
}

// parseBlock reads a block: an index, a negative index, "67%" or "2/3".
func parseBlock(s string, blocks int) (int, error) {
	if b, err := strconv.Atoi(s); err == nil {
		if b < -blocks || b >= blocks {
			return 0, fmt.Errorf("block %d %w; the model has blocks 0 to %d", b, ErrNoSite, blocks-1)
		}
		if b < 0 {
			b += blocks
		}
		return b, nil
	}
	// Exact arithmetic: 0.29·100 is not 29 in binary.
	digits, percent := strings.CutSuffix(s, "%")
	share, ok := new(big.Rat), false
	// Rat's parser accepts exponents, which could make a huge number.
	if len(digits) <= 16 && !strings.ContainsAny(digits, "eEpPxX_") {
		share, ok = share.SetString(digits)
	}
	if !ok || !percent && !strings.Contains(s, "/") {
		return 0, fmt.Errorf("cannot read %q as a block, a share like 2/3, or a percentage", s)
	}
	if percent {
		share.Quo(share, big.NewRat(100, 1))
	}
	if share.Sign() < 0 || share.Cmp(big.NewRat(1, 1)) > 0 {
		return 0, fmt.Errorf("share %s is outside 0 to 1", s)
	}
	share.Mul(share, big.NewRat(int64(blocks), 1))
	b := new(big.Int).Quo(share.Num(), share.Denom())
	return min(int(b.Int64()), blocks-1), nil
}

// ParseSites reads a list of sites separated by commas. "resid_post:all" (or
// another point) stands for that point of every block, lowest first. A site
// named twice is kept once.
func ParseSites(s string, blocks int) ([]Site, error) {
	var sites []Site
	seen := map[Site]bool{}
	keep := func(site Site) {
		if !seen[site] {
			seen[site] = true
			sites = append(sites, site)
		}
	}
	for part := range strings.SplitSeq(s, ",") {
		if point, ok := strings.CutSuffix(strings.TrimSpace(part), ":all"); ok {
			first, err := ParseSite(point+":0", blocks)
			if err != nil {
				return nil, err
			}
			if first.Point.String() != point { // another program's spelling
				return nil, fmt.Errorf("llama: site %q: write %v:all", part, first.Point)
			}
			for b := range blocks {
				keep(Site{first.Point, b})
			}
			continue
		}
		site, err := ParseSite(part, blocks)
		if err != nil {
			return nil, err
		}
		keep(site)
	}
	return sites, nil
}
