package steer

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/limbic-go/limbic/probe"
)

// ErrNotReached says that a plan's sites or scope were never reached, so that
// what was computed is not what was asked for.
var ErrNotReached = errors.New("a plan reached nothing")

// A Receipt says what steering did.
type Receipt struct {
	// Edits has an entry for each site of each plan, in the order given.
	Edits []SiteReceipt `json:"edits"`
	// NotReached names the plans with sites that no pass came by, or scopes
	// that held no token there.
	NotReached []string `json:"not_reached"`
	// Warnings about strengths.
	Warnings []string `json:"warnings"`
}

// A SiteReceipt says what a plan did at one of its sites.
//
// An edit is counted whenever it is made: a position that is computed again, in
// a pass that recomputes or after one that failed, counts again, and one that a
// fork shares counts once. Where the strength is 0, edits are the rows that
// would have been edited.
type SiteReceipt struct {
	Plan     string     `json:"plan"` // its text form
	Emotion  string     `json:"emotion"`
	Form     probe.Form `json:"form"` // of the vector; "given" where the plan gave it
	Operator string     `json:"operator"`
	Strength float64    `json:"strength"`
	Unit     string     `json:"unit"`
	Site     string     `json:"site"`
	Where    string     `json:"where"` // the site in words
	Scope    Scope      `json:"scope"`

	// Absolute is the length of the vector that is added, Fraction the same
	// in units of the calibrated mean norm, which is |Strength| up to
	// rounding, and PerRootWidth divided by the root of the stream's width:
	// the root mean square of its elements.
	Absolute     float64 `json:"absolute"`
	Fraction     float64 `json:"fraction"`
	PerRootWidth float64 `json:"per_sqrt_width"`

	// Edits is the number of edits, and First and Last those at the lowest and
	// the highest position, of any sequence; nil where there is none.
	Edits int       `json:"edits"`
	First *Position `json:"first"`
	Last  *Position `json:"last"`

	// NormChange is the mean over edits of (‖x'‖−‖x‖)/‖x‖, with x' the row x
	// after the edit, and AddedNorm the mean of ‖x'−x‖/‖x‖ with the length
	// that was to be added. Sums are exact, so that they do not depend on how
	// passes were cut. Rows of zeros have no part in them.
	NormChange float64 `json:"norm_change"`
	AddedNorm  float64 `json:"added_norm"`
}

// A Position is a place in a sequence with its token.
type Position struct {
	Pos  int    `json:"position"` // from 0
	ID   int32  `json:"id"`
	Text string `json:"text"` // the token's name, see token.Tokenizer.Text
}

// Receipt says what the injector's hooks have done so far.
func (in *Injector) Receipt() *Receipt {
	// Lists are written to JSON also where they are empty.
	r := &Receipt{Edits: []SiteReceipt{}, NotReached: []string{}, Warnings: append([]string{}, in.warnings...)}
	for _, p := range in.plans {
		for _, t := range p.targets {
			e := SiteReceipt{
				Plan: p.Plan.String(), Emotion: p.Emotion, Form: p.form,
				Operator: operatorAdd, Strength: p.Strength, Unit: unitMeanNorm,
				Site: t.site.String(), Where: t.site.Describe(p.blocks), Scope: p.Scope,
				Absolute: t.size, Fraction: t.size / t.mean, PerRootWidth: t.size / math.Sqrt(float64(len(t.unit))),
				Edits: int(t.edits),
			}
			if t.edits > 0 {
				e.First, e.Last = in.named(t.first), in.named(t.last)
			} else if t.visited {
				r.NotReached = append(r.NotReached, fmt.Sprintf("plan %q: no token in the scope %v at %s", e.Plan, p.Scope, e.Site))
			} else {
				r.NotReached = append(r.NotReached, fmt.Sprintf("plan %q: nothing was computed at %s", e.Plan, e.Site))
			}
			if t.measured > 0 {
				e.NormChange, e.AddedNorm = t.change.Mean(t.measured), t.added.Mean(t.measured)
			}
			r.Edits = append(r.Edits, e)
		}
	}
	return r
}

func (in *Injector) named(p Position) *Position {
	p.Text = in.tokenizer.Text(p.ID)
	return &p
}

// Err is an error that wraps ErrNotReached where a plan's sites or scope were
// never reached, and nil otherwise. It says which.
func (r *Receipt) Err() error {
	if len(r.NotReached) == 0 {
		return nil
	}
	return fmt.Errorf("steer: %w: %s", ErrNotReached, strings.Join(r.NotReached, "; "))
}
