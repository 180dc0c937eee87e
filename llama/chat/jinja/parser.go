package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The nodes of expressions.
type (
	expr interface{}

	constant struct{ v value }
	name     struct {
		line int
		name string
	}
	sequence struct {
		items []expr
		tuple bool
	}
	mapping   struct{ keys, values []expr }
	attribute struct { // of.name
		line int
		of   expr
		name string
	}
	subscript struct { // of[index]
		line  int
		of    expr
		index expr
	}
	slice struct { // of[from:to:step]
		line           int
		of             expr
		from, to, step expr
	}
	call struct {
		line int
		of   expr
		arguments
	}
	filter struct {
		line int
		of   expr // nil in {% filter %} and {% set %} blocks
		name string
		arguments
	}
	test struct {
		line int
		of   expr
		name string
		arguments
	}
	unary struct {
		line int
		op   string // "-", "+" or "not"
		of   expr
	}
	binary struct {
		line        int
		op          string
		left, right expr
	}
	comparison struct {
		line  int
		first expr
		ops   []string
		rest  []expr
	}
	choice struct{ then, cond, otherwise expr } // then if cond else otherwise
)

type arguments struct {
	pos      []expr
	names    []string
	named    []expr
	splat    expr // *args
	splatted expr // **kwargs
}

// The nodes of statements.
type (
	stmt interface{}

	data  struct{ text string }
	print struct {
		line int
		of   expr
	}
	ifElse struct {
		line      int
		cond      expr
		then, not []stmt
	}
	forLoop struct {
		line      int
		target    target
		over      expr
		cond      expr // nil for none
		body, not []stmt
		recursive bool
	}
	assign struct {
		line   int
		target target
		value  expr
	}
	assignBlock struct {
		line    int
		target  target
		filters []*filter
		body    []stmt
	}
	macroDef struct {
		line     int
		name     string
		params   []string
		defaults []expr // of the last parameters
		body     []stmt
	}
	callBlock struct {
		line  int
		macro *macroDef // the body
		of    *call
	}
	filterBlock struct {
		filters []*filter
		body    []stmt
	}
	scopeBlock struct { // {% with %}
		line    int
		targets []target
		values  []expr
		body    []stmt
	}
	group    struct{ body []stmt } // {% generation %}
	loopJump struct {
		line int
		next bool // continue, rather than break
	}
)

// A target is what is assigned to: a name, an attribute of a namespace, or
// several of these.
type target struct {
	name, attr string
	many       []target
}

// maxDepth bounds nesting: of a template's source, of its values when they are
// written or compared, and of its calls.
const maxDepth = 100

type parser struct {
	items []item
	pos   int
	depth int
	loops int // that are open
}

func (p *parser) now() item { return p.items[p.pos] }

func (p *parser) next() item {
	t := p.items[p.pos]
	if t.kind != kindEnd {
		p.pos++
	}
	return t
}

func (p *parser) errorf(format string, args ...any) error {
	return &Error{Line: p.now().line, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) is(k kind, text string) bool { return p.now().kind == k && p.now().text == text }

func (p *parser) op(text string) bool { return p.is(kindOp, text) }

func (p *parser) skip(k kind, text string) bool {
	if p.is(k, text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) skipOp(text string) bool   { return p.skip(kindOp, text) }
func (p *parser) skipName(text string) bool { return p.skip(kindName, text) }

func (p *parser) expect(k kind, text string) error {
	if !p.skip(k, text) {
		return p.errorf("expected %q, found %s", text, p.now())
	}
	return nil
}

func (p *parser) expectName() (string, error) {
	if p.now().kind != kindName {
		return "", p.errorf("expected a name, found %s", p.now())
	}
	return p.next().text, nil
}

// enter counts nesting; leave takes it back.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// body reads statements up to a tag with one of the names, which is left with
// its name as the next token; none of them means the end of the template.
func (p *parser) body(until ...string) ([]stmt, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out []stmt
	for {
		switch t := p.now(); t.kind {
		case kindEnd:
			if len(until) > 0 {
				return nil, p.errorf("{%% %s %%} is missing", until[len(until)-1])
			}
			return out, nil
		case kindData:
			p.next()
			out = append(out, &data{t.text})
		case kindVarBegin:
			p.next()
			e, err := p.tuple(true)
			if err != nil {
				return nil, err
			}
			if p.now().kind != kindVarEnd {
				return nil, p.errorf("expected the end of the expression, found %s", p.now())
			}
			p.next()
			out = append(out, &print{t.line, e})
		case kindBlockBegin:
			p.next()
			if p.now().kind != kindName {
				return nil, p.errorf("expected a tag's name, found %s", p.now())
			}
			if slices.Contains(until, p.now().text) {
				return out, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			if s != nil {
				out = append(out, s)
			}
		default:
			return nil, p.errorf("unexpected %s", t)
		}
	}
}

// blockEnd reads the end of a tag.
func (p *parser) blockEnd() error {
	if p.now().kind != kindBlockEnd {
		return p.errorf("expected %%}, found %s", p.now())
	}
	p.next()
	return nil
}

// closed reads a body up to a tag that ends it, and that tag.
func (p *parser) closed(end string) ([]stmt, error) {
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	b, err := p.body(end)
	if err != nil {
		return nil, err
	}
	p.next()
	return b, p.blockEnd()
}

func (p *parser) statement() (stmt, error) {
	t := p.next()
	switch t.text {
	case "if":
		return p.ifElse(t.line)
	case "for":
		return p.forLoop(t.line)
	case "set":
		return p.set(t.line)
	case "macro":
		n, err := p.expectName()
		if err != nil {
			return nil, err
		}
		return p.macro(t.line, n, "endmacro")
	case "call":
		return p.callBlock(t.line)
	case "filter":
		fs, err := p.filters(nil)
		if err != nil {
			return nil, err
		}
		body, err := p.closed("endfilter")
		return &filterBlock{fs, body}, err
	case "with":
		s := &scopeBlock{line: t.line}
		for p.now().kind != kindBlockEnd {
			if len(s.targets) > 0 {
				if err := p.expect(kindOp, ","); err != nil {
					return nil, err
				}
			}
			to, err := p.target(false)
			if err != nil {
				return nil, err
			}
			if err := p.expect(kindOp, "="); err != nil {
				return nil, err
			}
			v, err := p.expression()
			if err != nil {
				return nil, err
			}
			s.targets, s.values = append(s.targets, to), append(s.values, v)
		}
		var err error
		s.body, err = p.closed("endwith")
		return s, err
	case "generation":
		body, err := p.closed("endgeneration")
		return &group{body}, err
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.errorf("%s outside of a loop", t.text)
		}
		return &loopJump{t.line, t.text == "continue"}, p.blockEnd()
	}
	p.pos--
	return nil, p.errorf("the tag %q is unknown or not supported", t.text)
}

func (p *parser) ifElse(line int) (stmt, error) {
	if err := p.enter(); err != nil { // elif nests
		return nil, err
	}
	defer p.leave()
	cond, err := p.tuple(false)
	if err != nil {
		return nil, err
	}
	s := &ifElse{line: line, cond: cond}
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	if s.then, err = p.body("elif", "else", "endif"); err != nil {
		return nil, err
	}
	switch t := p.next(); t.text {
	case "elif":
		inner, err := p.ifElse(t.line)
		s.not = []stmt{inner}
		return s, err
	case "else":
		s.not, err = p.closed("endif")
		return s, err
	}
	return s, p.blockEnd()
}

func (p *parser) forLoop(line int) (stmt, error) {
	s := &forLoop{line: line}
	var err error
	if s.target, err = p.target(false); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.errorf("expected in, found %s", p.now())
	}
	if s.over, err = p.tuple(false); err != nil {
		return nil, err
	}
	if p.skipName("if") {
		if s.cond, err = p.expression(); err != nil {
			return nil, err
		}
	}
	s.recursive = p.skipName("recursive")
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	p.loops++
	s.body, err = p.body("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	if p.next().text == "else" {
		s.not, err = p.closed("endfor")
		return s, err
	}
	return s, p.blockEnd()
}

// target reads what is assigned to.
func (p *parser) target(attributes bool) (target, error) {
	one := func() (target, error) {
		if p.skipOp("(") {
			t, err := p.target(false)
			if err != nil {
				return t, err
			}
			return t, p.expect(kindOp, ")")
		}
		n, err := p.expectName()
		if err != nil {
			return target{}, err
		}
		if slices.Contains([]string{"true", "false", "none", "True", "False", "None"}, n) {
			return target{}, p.errorf("cannot assign to %s", n)
		}
		t := target{name: n}
		if attributes && p.skipOp(".") {
			t.attr, err = p.expectName()
		}
		return t, err
	}
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	t, err := one()
	if err != nil || !p.op(",") {
		return t, err
	}
	many := []target{t}
	for p.skipOp(",") {
		if p.now().kind != kindName && !p.op("(") || p.is(kindName, "in") {
			break
		}
		if t, err = one(); err != nil {
			return t, err
		}
		many = append(many, t)
	}
	return target{many: many}, nil
}

func (p *parser) set(line int) (stmt, error) {
	to, err := p.target(true)
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		v, err := p.tuple(true)
		if err != nil {
			return nil, err
		}
		return &assign{line, to, v}, p.blockEnd()
	}
	s := &assignBlock{line: line, target: to}
	if p.op("|") {
		p.next()
		if s.filters, err = p.filters(nil); err != nil {
			return nil, err
		}
	}
	s.body, err = p.closed("endset")
	return s, err
}

// macro reads parameters and body.
func (p *parser) macro(line int, name, end string) (*macroDef, error) {
	m := &macroDef{line: line, name: name}
	if err := p.expect(kindOp, "("); err != nil {
		return nil, err
	}
	for !p.skipOp(")") {
		if len(m.params) > 0 {
			if err := p.expect(kindOp, ","); err != nil {
				return nil, err
			}
		}
		n, err := p.expectName()
		if err != nil {
			return nil, err
		}
		if slices.Contains(m.params, n) {
			return nil, p.errorf("parameter %q is there twice", n)
		}
		m.params = append(m.params, n)
		if p.skipOp("=") {
			d, err := p.expression()
			if err != nil {
				return nil, err
			}
			m.defaults = append(m.defaults, d)
		} else if len(m.defaults) > 0 {
			return nil, p.errorf("parameter %q has no default, the one before it has", n)
		}
	}
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	var err error
	m.body, err = p.closed(end)
	return m, err
}

func (p *parser) callBlock(line int) (stmt, error) {
	if p.op("(") {
		return nil, p.errorf("parameters of a call block are not supported")
	}
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	of, ok := e.(*call)
	if !ok {
		return nil, p.errorf("expected a call")
	}
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	body, err := p.closed("endcall")
	return &callBlock{line, &macroDef{line: line, name: "caller", body: body}, of}, err
}

// tuple reads one expression or several with commas between. Without
// conditionals, "x if y" ends after x.
func (p *parser) tuple(conditionals bool) (expr, error) {
	read := p.expression
	if !conditionals {
		read = p.or
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	first, err := read()
	if err != nil || !p.op(",") {
		return first, err
	}
	s := &sequence{[]expr{first}, true}
	for p.skipOp(",") {
		if t := p.now(); t.kind == kindVarEnd || t.kind == kindBlockEnd || t.kind == kindOp && (t.text == ")" || t.text == "]") {
			break
		}
		e, err := read()
		if err != nil {
			return nil, err
		}
		s.items = append(s.items, e)
	}
	return s, nil
}

func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	for p.skipName("if") {
		cond, err := p.or()
		if err != nil {
			return nil, err
		}
		var otherwise expr
		if p.skipName("else") {
			if otherwise, err = p.expression(); err != nil {
				return nil, err
			}
		}
		e = &choice{e, cond, otherwise}
	}
	return e, nil
}

// chain reads operators of one precedence, from the left.
func (p *parser) chain(k kind, operand func() (expr, error), ops ...string) (expr, error) {
	left, err := operand()
	for n := 0; err == nil && p.now().kind == k && slices.Contains(ops, p.now().text); n++ {
		if n > maxChain {
			return nil, p.errorf("more than %d operators in a row", maxChain)
		}
		t := p.next()
		var right expr
		if right, err = operand(); err == nil {
			left = &binary{t.line, t.text, left, right}
		}
	}
	return left, err
}

// maxChain bounds operators in a row, which nest to the left.
const maxChain = 1000

func (p *parser) or() (expr, error)  { return p.chain(kindName, p.and, "or") }
func (p *parser) and() (expr, error) { return p.chain(kindName, p.not, "and") }

func (p *parser) not() (expr, error) {
	if t := p.now(); p.skipName("not") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		e, err := p.not()
		return &unary{t.line, "not", e}, err
	}
	return p.compare()
}

func (p *parser) compare() (expr, error) {
	e, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &comparison{line: p.now().line, first: e}
	for {
		op := ""
		switch t := p.now(); {
		case t.kind == kindOp && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text):
			op = t.text
		case p.is(kindName, "in"):
			op = "in"
		case p.is(kindName, "not") && p.items[p.pos+1].kind == kindName && p.items[p.pos+1].text == "in":
			op = "not in"
			p.next()
		}
		if op == "" {
			break
		}
		p.next()
		right, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, right)
	}
	if len(c.ops) == 0 {
		return e, nil
	}
	return c, nil
}

func (p *parser) sum() (expr, error)     { return p.chain(kindOp, p.joined, "+", "-") }
func (p *parser) joined() (expr, error)  { return p.chain(kindOp, p.product, "~") }
func (p *parser) product() (expr, error) { return p.chain(kindOp, p.power, "*", "/", "//", "%") }
func (p *parser) power() (expr, error) {
	return p.chain(kindOp, func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var e expr
	var err error
	if t := p.now(); p.skipOp("-") || p.skipOp("+") {
		if e, err = p.unary(false); err == nil {
			e = &unary{t.line, t.text, e}
		}
	} else {
		e, err = p.primary()
	}
	if err != nil {
		return nil, err
	}
	filtered := false
	for n := 0; ; n++ {
		if n > maxChain {
			return nil, p.errorf("more than %d attributes, calls or filters in a row", maxChain)
		}
		switch {
		case (p.op(".") || p.op("[")) && !filtered || p.op("("):
			e, err = p.postfix(e)
		case filters && p.op("|"):
			filtered = true // from here on only filters, tests and calls
			var fs []*filter
			p.next()
			if fs, err = p.filters(e); err == nil {
				e = fs[len(fs)-1]
			}
		case filters && p.is(kindName, "is"):
			filtered = true
			e, err = p.test(e)
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch t.kind {
	case kindName:
		switch t.text {
		case "true", "True":
			return &constant{true}, nil
		case "false", "False":
			return &constant{false}, nil
		case "none", "None":
			return &constant{nil}, nil
		}
		return &name{t.line, t.text}, nil
	case kindString:
		s := t.text
		for p.now().kind == kindString {
			s += p.next().text
		}
		return &constant{plain(s)}, nil
	case kindInt:
		n, err := strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 0, 64)
		if err != nil {
			return nil, p.errorf("%s is not a 64-bit integer", t.text)
		}
		return &constant{n}, nil
	case kindFloat:
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			return nil, p.errorf("%s is not a number", t.text)
		}
		return &constant{f}, nil
	case kindOp:
		switch t.text {
		case "(":
			if p.skipOp(")") {
				return &sequence{nil, true}, nil
			}
			e, err := p.tuple(true)
			if err != nil {
				return nil, err
			}
			return e, p.expect(kindOp, ")")
		case "[":
			s := &sequence{}
			return s, p.list("]", func() error {
				e, err := p.expression()
				s.items = append(s.items, e)
				return err
			})
		case "{":
			m := &mapping{}
			return m, p.list("}", func() error {
				k, err := p.expression()
				if err != nil {
					return err
				}
				if err := p.expect(kindOp, ":"); err != nil {
					return err
				}
				v, err := p.expression()
				m.keys, m.values = append(m.keys, k), append(m.values, v)
				return err
			})
		}
	}
	if t.kind != kindEnd {
		p.pos--
	}
	return nil, p.errorf("expected an expression, found %s", t)
}

// list reads items with commas between them, and what closes them.
func (p *parser) list(end string, one func() error) error {
	for first := true; !p.skipOp(end); first = false {
		if !first {
			if err := p.expect(kindOp, ","); err != nil {
				return err
			}
			if p.skipOp(end) {
				return nil
			}
		}
		if err := one(); err != nil {
			return err
		}
	}
	return nil
}

// postfix reads an attribute, an index or a call.
func (p *parser) postfix(of expr) (expr, error) {
	t := p.next()
	switch t.text {
	case ".":
		switch n := p.next(); n.kind {
		case kindName:
			return &attribute{t.line, of, n.text}, nil
		case kindInt:
			i, err := strconv.ParseInt(n.text, 10, 64)
			if err != nil {
				return nil, p.errorf("%s is not an index", n.text)
			}
			return &subscript{t.line, of, &constant{i}}, nil
		}
		p.pos--
		return nil, p.errorf("expected a name after the dot, found %s", p.now())
	case "(":
		a, err := p.arguments()
		return &call{t.line, of, a}, err
	}
	// [
	var parts [3]expr
	n := 0
	sliced := false
	for !p.skipOp("]") {
		if p.skipOp(":") {
			sliced = true
			if n++; n > 2 {
				return nil, p.errorf("a slice has more than three parts")
			}
			continue
		}
		if parts[n] != nil {
			return nil, p.errorf("expected ], found %s", p.now())
		}
		var err error
		if parts[n], err = p.expression(); err != nil {
			return nil, err
		}
	}
	switch {
	case sliced:
		return &slice{t.line, of, parts[0], parts[1], parts[2]}, nil
	case parts[0] == nil:
		return nil, p.errorf("an index is missing")
	}
	return &subscript{t.line, of, parts[0]}, nil
}

// arguments reads those of a call, behind the opening bracket.
func (p *parser) arguments() (arguments, error) {
	var a arguments
	err := p.list(")", func() error {
		var err error
		switch {
		case p.skipOp("*"):
			a.splat, err = p.expression()
			return err
		case p.skipOp("**"):
			a.splatted, err = p.expression()
			return err
		}
		if t := p.now(); t.kind == kindName && p.items[p.pos+1].kind == kindOp && p.items[p.pos+1].text == "=" {
			p.pos += 2
			e, err := p.expression()
			a.names, a.named = append(a.names, t.text), append(a.named, e)
			return err
		}
		if len(a.named) > 0 {
			return p.errorf("an argument without a name follows one with")
		}
		e, err := p.expression()
		a.pos = append(a.pos, e)
		return err
	})
	return a, err
}

// dotted reads the name of a filter or a test. Whether there is one of that name
// matters only where it is used: templates have parts that conversations without
// tools never come to.
func (p *parser) dotted() (string, error) {
	n, err := p.expectName()
	for err == nil && p.skipOp(".") {
		var more string
		more, err = p.expectName()
		n += "." + more
	}
	return n, err
}

// filters reads one or more filters, behind the first bar.
func (p *parser) filters(of expr) ([]*filter, error) {
	var fs []*filter
	for {
		line := p.now().line
		n, err := p.dotted()
		if err != nil {
			return nil, err
		}
		f := &filter{line: line, of: of, name: n}
		if p.skipOp("(") {
			if f.arguments, err = p.arguments(); err != nil {
				return nil, err
			}
		}
		fs = append(fs, f)
		if of != nil || !p.skipOp("|") {
			return fs, nil
		}
	}
}

// test reads "is" or "is not" and a test.
func (p *parser) test(of expr) (expr, error) {
	line := p.next().line
	not := p.skipName("not")
	n, err := p.dotted()
	if err != nil {
		return nil, err
	}
	t := &test{line: line, of: of, name: n}
	switch now := p.now(); {
	case p.skipOp("("):
		t.arguments, err = p.arguments()
	case now.kind == kindString || now.kind == kindInt || now.kind == kindFloat ||
		now.kind == kindOp && (now.text == "[" || now.text == "{") ||
		now.kind == kindName && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not"}, now.text):
		var arg expr
		arg, err = p.primary()
		for err == nil && (p.op(".") || p.op("[") || p.op("(")) {
			arg, err = p.postfix(arg)
		}
		t.pos = []expr{arg}
	}
	if err != nil {
		return nil, err
	}
	if not {
		return &unary{line, "not", t}, nil
	}
	return t, nil
}
