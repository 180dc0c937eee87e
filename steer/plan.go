package steer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/limbic-go/limbic/llama"
)

// A Plan says what to steer with.
type Plan struct {
	// Vectors refers to a vectors file; what it may be is up to the Loader.
	Vectors string
	// Emotion names the vector, in any spelling that emotion.Resolve takes.
	Emotion string
	// Strength is the length of what is added, as a fraction of the
	// calibrated mean norm of the residual stream at the site. Positive means
	// towards the emotion.
	Strength float64
	// Sites are spelled as llama.ParseSites takes them. None means the
	// vectors' default site. Effects at several sites compound.
	Sites []string
	// Scope says which tokens are edited.
	Scope Scope
	// Direction, if not nil, is added in place of the emotion's vector, at
	// every site: for controls. Its length does not matter. Emotion is then
	// only its label; the calibration still comes from the vectors.
	Direction []float32
}

// The only operator and unit of this version, as receipts and JSON name them.
const (
	operatorAdd  = "add"
	unitMeanNorm = "mean_norm" // the calibrated mean norm at the site
)

// operators begin the text form of plans with other operators than add.
var operators = []string{"project", "clamp"}

// A Scope says which tokens of a sequence are edited. None covers position 0.
type Scope uint8

// The scopes; llama.Sequence.SetPrompt says where the prompt ends.
const (
	All       Scope = iota // every token
	Prompt                 // the prompt but its last token
	Generated              // the prompt's last token, and everything behind it
)

var scopeNames = [...]string{All: "all", Prompt: "prompt", Generated: "generated"}

func (s Scope) String() string {
	if int(s) < len(scopeNames) {
		return scopeNames[s]
	}
	return fmt.Sprintf("Scope(%d)", uint8(s))
}

// MarshalText gives the scope's name.
func (s Scope) MarshalText() ([]byte, error) {
	if int(s) >= len(scopeNames) {
		return nil, fmt.Errorf("steer: no scope %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads a scope's name: all, prompt or generated.
func (s *Scope) UnmarshalText(text []byte) error {
	for i, name := range scopeNames {
		if string(text) == name {
			*s = Scope(i)
			return nil
		}
	}
	return fmt.Errorf("steer: unknown scope %q (known: %s)", text, strings.Join(scopeNames[:], ", "))
}

// covers reports whether the scope holds a row.
func (s Scope) covers(row *llama.Row) bool {
	return row.Pos > 0 && (s == All || row.Generated() == (s == Generated))
}

// untouched is how many leading tokens of a prompt of n the scope leaves alone,
// counting no more than n-1.
func (s Scope) untouched(n int) int {
	if s == Generated {
		return n - 1
	}
	return min(1, n-1)
}

// ParsePlan reads a plan's text form,
//
//	VECTORS:NAME=STRENGTH[@SITES][#SCOPE]
//
// such as "v.safetensors:desperate=+0.05@resid_post:67%#generated". It looks at
// the text alone: whether there is such a file, emotion or site shows in New.
//
// Where the path VECTORS holds ':', '=', '@' or '#' itself, the last of each
// counts. The path may stand in single or double quotes. It has to where it
// begins with a quote, or with an operator and a colon, as in
// `"clamp:1.safetensors":calm=0.1`. Sites are separated by commas. The operators
// "project:" and "clamp:" are recognised and give an error that wraps
// llama.ErrUnsupported.
func ParsePlan(s string) (Plan, error) {
	p, err := parsePlan(s)
	if err != nil {
		return Plan{}, fmt.Errorf("steer: plan %q: %w", s, err)
	}
	return p, nil
}

var (
	errForm  = errors.New("want VECTORS:NAME=STRENGTH[@SITES][#SCOPE]")
	errQuote = errors.New("a quoted path ends with the same quote and a colon")
)

func parsePlan(s string) (Plan, error) {
	for _, op := range operators {
		if strings.HasPrefix(s, op+":") {
			return Plan{}, fmt.Errorf("the operator %q is %w in this version (a file of that name has to be quoted)", op, llama.ErrUnsupported)
		}
	}
	// Nothing behind the path's colon but the strength holds '=', so that
	// after a quoted path, too, the last one is it.
	from, err := quoted(s)
	if err != nil {
		return Plan{}, err
	}
	eq := strings.LastIndexByte(s[from:], '=')
	if eq < 0 {
		return Plan{}, errForm
	}
	var p Plan
	if p.Vectors, p.Emotion, err = splitVector(s[:from+eq]); err != nil {
		return Plan{}, err
	}
	rest, scope, ok := strings.Cut(s[from+eq+1:], "#")
	if ok {
		if strings.Contains(scope, "@") {
			return Plan{}, fmt.Errorf("scope %q: the sites come before the scope", scope)
		}
		if err := p.Scope.UnmarshalText([]byte(scope)); err != nil {
			return Plan{}, fmt.Errorf("unknown scope %q (known: %s)", scope, strings.Join(scopeNames[:], ", "))
		}
	}
	strength, sites, ok := strings.Cut(rest, "@")
	if ok {
		for site := range strings.SplitSeq(sites, ",") {
			p.Sites = append(p.Sites, strings.TrimSpace(site))
		}
	}
	if p.Strength, err = strconv.ParseFloat(strength, 64); err != nil {
		return Plan{}, fmt.Errorf("strength %q is not a number", strength)
	}
	p.Strength += 0 // -0 is 0
	return p, p.check()
}

// quoted is where a plan's path ends, quotes and colon included, if it is
// quoted; else 0.
func quoted(s string) (int, error) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0, nil
	}
	end := strings.LastIndex(s, s[:1]+":")
	if end < 1 {
		return 0, errQuote
	}
	return end + 2, nil
}

// ParseVector reads the part of a plan's text form that names a vector,
// VECTORS:NAME, by the rules of ParsePlan.
func ParseVector(s string) (vectors, emotion string, err error) {
	if vectors, emotion, err = splitVector(s); err == nil {
		err = (&Plan{Emotion: emotion}).check()
	}
	if err != nil {
		return "", "", fmt.Errorf("steer: vector %q: %w", s, err)
	}
	return vectors, emotion, nil
}

func splitVector(s string) (vectors, emotion string, err error) {
	end, err := quoted(s)
	switch {
	case err != nil:
		return "", "", err
	case end > 0:
		vectors, emotion = s[1:end-2], s[end:]
	default:
		colon := strings.LastIndexByte(s, ':')
		if colon < 0 {
			return "", "", errors.New("no colon between the vectors file and the emotion")
		}
		vectors, emotion = s[:colon], s[colon+1:]
	}
	if vectors == "" {
		return "", "", errors.New("no vectors file is named")
	}
	return vectors, emotion, nil
}

// check looks at what does not depend on vectors or model.
func (p *Plan) check() error {
	if p.Emotion == "" {
		return errors.New("no emotion is named")
	}
	if strings.ContainsAny(p.Emotion, ":=") {
		return fmt.Errorf("emotion %q: a name holds neither ':' nor '='", p.Emotion)
	}
	if math.IsNaN(p.Strength) || math.IsInf(p.Strength, 0) {
		return fmt.Errorf("strength %v is not finite", p.Strength)
	}
	for _, s := range p.Sites {
		switch {
		case strings.TrimSpace(s) == "":
			return errors.New("a site is empty")
		case strings.TrimSpace(s) != s || strings.ContainsAny(s, `,=@#"'`):
			return fmt.Errorf("site %q: not a site's name", s)
		}
	}
	if int(p.Scope) >= len(scopeNames) {
		return fmt.Errorf("no scope %d", p.Scope)
	}
	for i, x := range p.Direction {
		if x-x != 0 {
			return fmt.Errorf("direction: element %d is %v", i, x)
		}
	}
	return nil
}

// String is the plan's text form: ParsePlan gives the same plan, unless it
// has no Vectors or has a Direction, for which the form has no room.
func (p Plan) String() string {
	var b strings.Builder
	b.WriteString(p.reference())
	b.WriteByte('=')
	if p.Strength > 0 {
		b.WriteByte('+')
	}
	b.WriteString(strconv.FormatFloat(p.Strength+0, 'g', -1, 64))
	if len(p.Sites) > 0 {
		b.WriteString("@" + strings.Join(p.Sites, ","))
	}
	if p.Scope != All {
		b.WriteString("#" + p.Scope.String())
	}
	return b.String()
}

// reference is VECTORS:NAME, the path quoted where that is needed or easier to
// read.
func (p *Plan) reference() string {
	path := p.Vectors
	quote := strings.ContainsAny(path, `:=@#"'`)
	for _, op := range operators {
		quote = quote || path == op
	}
	switch {
	case quote && strings.Contains(path, `"`):
		path = "'" + path + "'"
	case quote:
		path = `"` + path + `"`
	}
	return path + ":" + p.Emotion
}

// planJSON is a plan's JSON form.
type planJSON struct {
	Vectors   string    `json:"vectors,omitempty"`
	Emotion   string    `json:"emotion"`
	Operator  string    `json:"operator,omitempty"`
	Strength  *float64  `json:"strength"`
	Unit      string    `json:"unit,omitempty"`
	Sites     []string  `json:"sites,omitempty"`
	Scope     Scope     `json:"scope"`
	Direction []float32 `json:"direction,omitempty"`
}

// MarshalJSON gives the plan's JSON form, such as
//
//	{"vectors": "v.safetensors", "emotion": "calm", "operator": "add",
//	 "strength": 0.05, "unit": "mean_norm", "sites": ["resid_post:67%"],
//	 "scope": "generated"}
//
// It refuses what JSON cannot hold: a path that is not valid UTF-8.
func (p Plan) MarshalJSON() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("steer: plan %q: %w", p, err)
	}
	if s := p.String(); !utf8.ValidString(s) {
		return nil, fmt.Errorf("steer: plan %q: JSON cannot hold text that is not valid UTF-8", s)
	}
	p.Strength += 0
	return json.Marshal(planJSON{
		p.Vectors, p.Emotion, operatorAdd, &p.Strength, unitMeanNorm, p.Sites, p.Scope, p.Direction,
	})
}

// UnmarshalJSON reads the JSON form. Fields that it does not know are errors.
// Only emotion and strength must be there; operators other than "add" and
// units other than "mean_norm" give an error that wraps llama.ErrUnsupported.
func (p *Plan) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var j planJSON
	if err := d.Decode(&j); err != nil {
		return fmt.Errorf("steer: plan: %w", err)
	}
	switch {
	case j.Strength == nil:
		return fmt.Errorf("steer: plan for %q: no strength", j.Emotion)
	case j.Operator != "" && j.Operator != operatorAdd:
		return fmt.Errorf("steer: plan for %q: the operator %q is %w in this version", j.Emotion, j.Operator, llama.ErrUnsupported)
	case j.Unit != "" && j.Unit != unitMeanNorm:
		return fmt.Errorf("steer: plan for %q: the unit %q is %w in this version", j.Emotion, j.Unit, llama.ErrUnsupported)
	}
	q := Plan{j.Vectors, j.Emotion, *j.Strength + 0, j.Sites, j.Scope, j.Direction}
	if err := q.check(); err != nil {
		return fmt.Errorf("steer: plan %q: %w", q, err)
	}
	*p = q
	return nil
}
