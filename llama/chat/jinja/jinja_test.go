package jinja

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A golden is what Jinja2 made of a template and a conversation, by
// testdata/golden.py.
type golden struct {
	Template     string
	Conversation string
	Messages     []struct{ Role, Content string }
	Prompt       bool `json:"add_generation_prompt"`
	Thinking     bool `json:"enable_thinking"`
	Text         *string
	Error        string
}

// now is the time of testdata/golden.py.
var now = time.Date(2025, 3, 9, 14, 5, 6, 0, time.UTC)

func variables(g *golden) map[string]any {
	var messages []any
	for i, m := range g.Messages {
		messages = append(messages, Object{Source: i + 1, Fields: []Field{
			{"role", m.Role}, {"content", Marked{m.Content, i + 1}},
		}})
	}
	return map[string]any{
		"messages": messages, "tools": nil, "documents": nil, "add_generation_prompt": g.Prompt,
		"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": g.Thinking,
	}
}

func TestGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var rows []golden
	require.NoError(t, json.Unmarshal(b, &rows))
	require.NotEmpty(t, rows)
	templates := map[string]*Template{}
	for _, g := range rows {
		if g.Conversation == "snippet" {
			out, err := render(g.Template, Options{Variables: variables(&g), Now: now})
			if g.Text == nil {
				assert.Error(t, err, g.Template) // Python's words are its own
			} else if assert.NoError(t, err, g.Template) {
				assert.Equal(t, *g.Text, out.Text, g.Template)
				checkParts(t, out, &g)
			}
			continue
		}
		tmpl := templates[g.Template]
		if tmpl == nil {
			src, err := os.ReadFile(filepath.Join("testdata/templates", g.Template+".jinja"))
			require.NoError(t, err)
			tmpl, err = Parse(string(src))
			require.NoError(t, err, g.Template)
			templates[g.Template] = tmpl
		}
		name := g.Template + "/" + g.Conversation
		out, err := tmpl.Render(context.Background(), Options{Variables: variables(&g), Now: now})
		if g.Text == nil {
			assert.ErrorContains(t, err, g.Error, name)
			continue
		}
		if assert.NoError(t, err, name) {
			assert.Equal(t, *g.Text, out.Text, name)
			checkParts(t, out, &g)
		}
	}
}

// checkParts checks that parts cover the output, and that what is marked is of
// the message that it is said to be of.
func checkParts(t *testing.T, out *Output, g *golden) {
	t.Helper()
	at := 0
	for _, p := range out.Parts {
		require.Equal(t, at, p.Start)
		require.Less(t, p.Start, p.End)
		at = p.End
		if p.Source != 0 {
			text := out.Text[p.Start:p.End]
			content := g.Messages[p.Source-1].Content
			assert.Contains(t, strings.ToUpper(content), strings.ToUpper(text), "%s/%s", g.Template, g.Conversation)
		}
	}
	assert.Equal(t, len(out.Text), at)
}

func render(source string, o Options) (*Output, error) {
	t, err := Parse(source)
	if err != nil {
		return nil, err
	}
	return t.Render(context.Background(), o)
}

// What a user wrote stays marked, whatever a template does with it.
func TestMarks(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"a{{ x }}b", "a[ Hi <y> ]b"},
		{"{{ x | trim }}", "[Hi <y>]"},
		{"{{ ('<' + x.strip() + '>').replace('>', '!') }}", "<[Hi <y]!!"},
		{"{{ x.split('<')[-1] }}", "[y> ]"},
		{"{{ x[::-1] }}", "[ >y< iH ]"},
		{"{{ x[1] ~ x[-2] }}", "[H>]"},
		{"{{ x | upper }}{{ x | length }}", "[ HI <Y> ]8"},
		{"{{ x | tojson }}", `"[ Hi <y> ]"`},
		{"{{ {'k': x} }}", `{'k': '[ Hi <y> ]'}`},
		{"{% set y %}<{{ x }}>{% endset %}{{ y | trim('<>') }}", "[ Hi <y> ]"},
		{"{{ '%s|%5s' | format(x, 'z') }}", "[ Hi <y> ]|    z"},
		{"{{ ['a', x, 'b'] | join('-') }}", "a-[ Hi <y> ]-b"},
		{"{{ '{}!'.format(x) }}", "[ Hi <y> ]!"},
		{"{% macro m(s) %}({{ s }}){% endmacro %}{{ m(x) }}", "([ Hi <y> ])"},
		{"{{ x | replace('Hi', '') | list | last }}", "[ ]"},
		{"{{ x.split() | join('+') }}", "[Hi]+[<y>]"},
	} {
		out, err := render(c.template, Options{Variables: map[string]any{"x": Marked{" Hi <y> ", 1}}})
		require.NoError(t, err, c.template)
		var b strings.Builder
		for _, p := range out.Parts {
			if s := out.Text[p.Start:p.End]; p.Source != 0 {
				b.WriteString("[" + s + "]")
			} else {
				b.WriteString(s)
			}
		}
		assert.Equal(t, c.want, b.String(), c.template)
	}
}

// Text is of the turn of the message that a loop is at.
func TestTurns(t *testing.T) {
	messages := []any{Object{1, []Field{{"c", "a"}}}, Object{2, []Field{{"c", "b"}}}}
	out, err := render("0{% for m in messages[::-1] %}<{{ m.c }}{% for x in [1, 2] %}{{ x }}{% endfor %}>{% endfor %}!",
		Options{Variables: map[string]any{"messages": messages}})
	require.NoError(t, err)
	assert.Equal(t, "0<b12><a12>!", out.Text)
	assert.Equal(t, []Part{{0, 1, 0, 0}, {1, 6, 0, 2}, {6, 11, 0, 1}, {11, 12, 0, 0}}, out.Parts)
}

// An error says the line and what is wrong.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"a\n{% if x %}", "line 2: {% endif %} is missing"},
		{"\n\n{{ x", "line 3: a tag is not closed: }} is missing"},
		{"{% for x in y %}{% endif %}", `line 1: the tag "endif" is unknown`},
		{"{{ 'a }}", "line 1: a string is not closed"},
		{"{# a", "line 1: a comment is not closed"},
		{"{% raw %}", "line 1: {% raw %} is not closed"},
		{"{{ a ! b }}", "line 1: unexpected character '!'"},
		{"{{ (a] }}", `line 1: unexpected "]"`},
		{"{{ a b }}", `line 1: expected the end of the expression, found "b"`},
		{"{{ x | nofilter }}", `line 1: the filter "nofilter" is unknown or not supported`},
		{"{{ x is notest }}", `line 1: the test "notest" is unknown or not supported`},
		{"{% include 'x' %}", `line 1: the tag "include" is unknown or not supported`},
		{"{% break %}", "line 1: break outside of a loop"},
		{"\n{{ x.y.z }}", `line 2: "x" is undefined, so it has no attribute "y"`},
		{"{{ none + 'a' }}", "line 1: None + str is not possible"},
		{"{{ missing + 'a' }}", `line 1: "missing" is undefined`},
		{"{% for x in 3 %}{% endfor %}", "line 1: a int cannot be looped over"},
		{"{{ [].append(1) }}", "line 1: append would change a list"},
		{"\n\n{{ raise_exception('no ' ~ 'system') }}", "line 3: no system"},
		{"{{ 9223372036854775807 + 1 }}", "line 1: an integer exceeds 64 bits"},
		{"{{ 1 // 0 }}", "line 1: division by zero"},
		{"{{ 1 < 'a' }}", "line 1: int and str have no order"},
		{"{% set a, b = [1] %}", "line 1: 1 values for 2 names"},
		{"{{ strftime_now('%Y') }}", `line 1: "strftime_now" is undefined and cannot be called`},
		{strings.Repeat("{% if x %}", 500), "line 1: nested more than 100 deep"},
		{"{{ " + strings.Repeat("(", 500), "line 1: brackets are nested more than 100 deep"},
		{"{{ " + strings.Repeat("-", 500) + "1 }}", "line 1: nested more than 100 deep"},
		{"{{ 1 " + strings.Repeat("+ 1", 5000) + " }}", "line 1: more than 1000 operators in a row"},
	} {
		_, err := render(c.template, Options{})
		assert.ErrorContains(t, err, c.want, "%.60s", c.template)
		var at *Error
		assert.ErrorAs(t, err, &at)
	}
	_, err := render("{{ raise_exception('x') }}", Options{})
	assert.ErrorIs(t, err, ErrRaised)
}

// A template from anywhere ends in bounded time and memory.
func TestHostile(t *testing.T) {
	for _, src := range []string{
		"{% for x in range(1000000000000) %}{% endfor %}",
		"{% for x in range(3000) %}{% for y in range(3000) %}{{ x }}{% endfor %}{% endfor %}",
		"{{ 'a' * 1000000000000 }}",
		"{{ [0] * 1000000000000 }}",
		"{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
		"{% set a = namespace(x=[1], y=[1]) %}{% for i in range(90) %}{% set a.x = [a.x, a.x] %}{% set a.y = [a.y, a.y] %}{% endfor %}{{ a.x == a.y }}",
		"{% set ns = namespace(x=(1, 1)) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
		"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"{% macro f() %}{{ f() ~ f() }}{% endmacro %}{{ f() }}",
		"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"{{ 'a'.center(100000000000) }}", "{{ 'a'.zfill(100000000000) }}", "{{ 'a\nb' | indent(100000000000) }}",
		"{{ '%999999999999d' | format(1) }}", "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
		"{{ [1] | batch(100000000000, 0) }}", "{{ ('a' * 1000000).join(('b' * 1000000) | list) }}",
		"{{ ('x' * 3000000) | list }}",
	} {
		_, err := render(src, Options{MaxSteps: 50_000, MaxBytes: 4 << 20})
		assert.Error(t, err, src)
	}
	// What only looks at a long string, over and over, or makes small things that
	// take up more than they show. None of it is text that is written.
	for _, body := range []string{
		"{% if s | length == 1 %}{% endif %}", "{% if s == z %}{% endif %}", "{% if s < z %}{% endif %}", "{% if s is lower %}{% endif %}", "{% if s.isupper() %}{% endif %}",
		"{% if (s ~ 'x').startswith(z) %}{% endif %}", "{% if z in d %}{% endif %}", "{% if d.get(z) %}{% endif %}", "{% if s | int %}{% endif %}", "{% if s | float %}{% endif %}",
		"{% if s | wordcount == 7 %}{% endif %}", "{% if [s] | unique | first == 1 %}{% endif %}", "{% if [s, z] | max == 1 %}{% endif %}",
		"{% set ns.a = [ns.a, {z: 1}] %}", "{% set ns.a = [ns.a, {}, {}, {}, {}, {}, {}, {}, {}] %}", "{% set ns.a = [ns.a, [], [], [], [], [], []] %}",
		"{% set ns.a = [ns.a, s.upper, s.upper, s.upper, s.upper] %}", "{% set ns.a = [ns.a, loop.cycle, loop.cycle, loop.cycle, loop.cycle] %}", "{% set ns.a = [ns.a, ns[z]] %}",
		"{% macro f() %}{% endmacro %}{% set ns.a = [ns.a, f] %}",
	} {
		// As many rounds as the budget of steps allows where a round costs one
		// byte or step.
		src := "{% set s = 'a' * 200000 %}{% set z = 'a' * 199999 ~ 'b' %}{% set d = {s: 1} %}{% set ns = namespace(a=[]) %}{% for i in range(20000) %}" + body + "{% endfor %}"
		_, err := render(src, Options{MaxSteps: 1_000_000, MaxBytes: 4 << 20})
		assert.ErrorIs(t, err, ErrLimit, body)
	}
	// A string of many origins is cut up in one go.
	many := Options{Variables: map[string]any{"x": Marked{"ab", 1}}, MaxSteps: 10_000_000, MaxBytes: 64 << 20}
	for _, body := range []string{"s.split('-') | length", "s.split() | length", "s.rsplit() | length", "s | list | length", "s.replace('-', '+') | length"} {
		out, err := render("{% set s = 'ab - ' | replace('ab', x) * 100000 %}{{ "+body+" }}", many)
		require.NoError(t, err, body)
		assert.NotEmpty(t, out.Text)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tmpl, err := Parse("{% for x in range(100000) %}{% endfor %}")
	require.NoError(t, err)
	_, err = tmpl.Render(ctx, Options{})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = render("{% for x in range(100000000) %}{% endfor %}", Options{MaxSteps: 50_000})
	assert.ErrorIs(t, err, ErrLimit)
	assert.ErrorContains(t, err, "line 1: ")
}

func TestStrftime(t *testing.T) {
	for format, want := range map[string]string{
		"%d %b %Y": "09 Mar 2025", "%B %-d, %Y": "March 9, 2025", "%A %H:%M:%S %p": "Sunday 14:05:06 PM", "%j %y%%": "068 25%",
	} {
		got, err := strftime(now, format)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := strftime(now, "%Q")
	assert.ErrorContains(t, err, "%Q is not supported")
}

func FuzzRender(f *testing.F) {
	paths, _ := filepath.Glob("testdata/templates/*.jinja")
	for _, p := range paths {
		src, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add("{% macro f(x, y=1) %}{{ x }}{% endmacro %}{% call f(2) %}{{ caller() }}{% endcall %}")
	g := golden{Messages: []struct{ Role, Content string }{{"user", "Hi\xff é"}, {"assistant", "<|x|>"}}, Prompt: true}
	f.Fuzz(func(t *testing.T, src string) {
		tmpl, err := Parse(src)
		if err != nil {
			var at *Error
			if !errors.As(err, &at) {
				t.Fatalf("error %T: %v", err, err)
			}
			return
		}
		out, err := tmpl.Render(context.Background(), Options{Variables: variables(&g), Now: now, MaxSteps: 20_000, MaxBytes: 1 << 18})
		if err != nil {
			var at *Error
			if !errors.As(err, &at) {
				t.Fatalf("error %T: %v", err, err)
			}
			return
		}
		at := 0
		for _, p := range out.Parts {
			if p.Start != at || p.End <= p.Start {
				t.Fatalf("parts %v of %q", out.Parts, out.Text)
			}
			at = p.End
		}
		if at != len(out.Text) {
			t.Fatalf("parts %v of %q", out.Parts, out.Text)
		}
	})
}
