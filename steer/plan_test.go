package steer

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
)

var planTests = []struct {
	text  string
	plan  Plan
	canon string // String of the plan; "" for text
}{
	{text: "v.safetensors:calm=+0.05", plan: Plan{Vectors: "v.safetensors", Emotion: "calm", Strength: 0.05}},
	{text: "demo:calm=-0.1", plan: Plan{Vectors: "demo", Emotion: "calm", Strength: -0.1}},
	{
		text: "v.safetensors:desperate=+0.05@resid_post:67%#generated",
		plan: Plan{Vectors: "v.safetensors", Emotion: "desperate", Strength: 0.05, Sites: []string{"resid_post:67%"}, Scope: Generated},
	},
	{text: "v:calm=+0.1#prompt", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 0.1, Scope: Prompt}},
	{text: "v:calm=+0.1#all", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 0.1}, canon: "v:calm=+0.1"},

	// Emotions of two words.
	{text: "v:at ease=+1", plan: Plan{Vectors: "v", Emotion: "at ease", Strength: 1}},
	{text: "v:grief-stricken=+1", plan: Plan{Vectors: "v", Emotion: "grief-stricken", Strength: 1}},

	// Strengths.
	{text: "v:calm=0.05", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 0.05}, canon: "v:calm=+0.05"},
	{text: "v:calm=1e-2", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 0.01}, canon: "v:calm=+0.01"},
	{text: "v:calm=-1e-09", plan: Plan{Vectors: "v", Emotion: "calm", Strength: -1e-9}},
	{text: "v:calm=0", plan: Plan{Vectors: "v", Emotion: "calm"}},
	{text: "v:calm=-0", plan: Plan{Vectors: "v", Emotion: "calm"}, canon: "v:calm=0"},

	// Sites in any spelling, with colons of their own.
	{text: "v:calm=+1@2/3", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 1, Sites: []string{"2/3"}}},
	{text: "v:calm=+1@resid_post:all#generated", plan: Plan{Vectors: "v", Emotion: "calm", Strength: 1, Sites: []string{"resid_post:all"}, Scope: Generated}},
	{
		text:  "v:calm=+1@resid_post:-1, blocks.0.hook_resid_post",
		plan:  Plan{Vectors: "v", Emotion: "calm", Strength: 1, Sites: []string{"resid_post:-1", "blocks.0.hook_resid_post"}},
		canon: "v:calm=+1@resid_post:-1,blocks.0.hook_resid_post",
	},

	// Paths that hold separators: the last one counts.
	{
		text:  `C:\v.safetensors:calm=+1@2/3`,
		plan:  Plan{Vectors: `C:\v.safetensors`, Emotion: "calm", Strength: 1, Sites: []string{"2/3"}},
		canon: `"C:\v.safetensors":calm=+1@2/3`,
	},
	{
		text:  "runs/lr=0.1/#3@home:8080/v:calm=+1#prompt",
		plan:  Plan{Vectors: "runs/lr=0.1/#3@home:8080/v", Emotion: "calm", Strength: 1, Scope: Prompt},
		canon: `"runs/lr=0.1/#3@home:8080/v":calm=+1#prompt`,
	},
	{text: "v:x=+1:calm=+2", plan: Plan{Vectors: "v:x=+1", Emotion: "calm", Strength: 2}, canon: `"v:x=+1":calm=+2`},

	// Quoted paths.
	{text: `"a b:c=d@e#f":calm=+1#prompt`, plan: Plan{Vectors: "a b:c=d@e#f", Emotion: "calm", Strength: 1, Scope: Prompt}},
	{text: `'it"s':calm=+1`, plan: Plan{Vectors: `it"s`, Emotion: "calm", Strength: 1}},
	{text: `"it's":calm=+1`, plan: Plan{Vectors: "it's", Emotion: "calm", Strength: 1}},
	{text: `'a':"b':calm=+1`, plan: Plan{Vectors: `a':"b`, Emotion: "calm", Strength: 1}},
	{text: `'plain':calm=+1`, plan: Plan{Vectors: "plain", Emotion: "calm", Strength: 1}, canon: "plain:calm=+1"},
	{text: `"project":calm=+1`, plan: Plan{Vectors: "project", Emotion: "calm", Strength: 1}},
	{text: `"clamp:v":calm=+1`, plan: Plan{Vectors: "clamp:v", Emotion: "calm", Strength: 1}},
	{text: "projects/v:calm=+1", plan: Plan{Vectors: "projects/v", Emotion: "calm", Strength: 1}},
}

func TestParsePlan(t *testing.T) {
	for _, tt := range planTests {
		t.Run(tt.text, func(t *testing.T) {
			p, err := ParsePlan(tt.text)
			require.NoError(t, err)
			require.Equal(t, tt.plan, p)
			require.False(t, math.Signbit(p.Strength) && p.Strength == 0, "-0")
			canon := tt.canon
			if canon == "" {
				canon = tt.text
			}
			require.Equal(t, canon, p.String())
			again, err := ParsePlan(p.String())
			require.NoError(t, err)
			require.Equal(t, p, again)
		})
	}
}

func TestParsePlanErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", `steer: plan "": want VECTORS:NAME=STRENGTH[@SITES][#SCOPE]`},
		{"v:calm", "want VECTORS:NAME=STRENGTH"},
		{"calm=0.1", "no colon between the vectors file and the emotion"},
		{":calm=0.1", "no vectors file is named"},
		{"'':calm=0.1", "no vectors file is named"},
		{"v:=0.1", "no emotion is named"},
		{"v:calm=", `strength "" is not a number`},
		{"v:calm=strong", `strength "strong" is not a number`},
		{"v:calm= 0.1", `strength " 0.1" is not a number`},
		{"v:calm=NaN", "strength NaN is not finite"},
		{"v:calm=inf", "strength +Inf is not finite"},
		{"v:calm=-Inf", "strength -Inf is not finite"},
		{"v:calm=1e999", `strength "1e999" is not a number`},
		{"v:calm=0.1@", "a site is empty"},
		{"v:calm=0.1@2/3,", "a site is empty"},
		{"v:calm=0.1@2/3@1/3", `site "2/3@1/3": not a site's name`},
		{"v:calm=0.1#", `unknown scope "" (known: all, prompt, generated)`},
		{"v:calm=0.1#answer", `unknown scope "answer"`},
		{"v:calm=0.1#generated@2/3", "the sites come before the scope"},
		{"v:calm=0.1#prompt#generated", `unknown scope "prompt#generated"`},
		{"'v:calm=0.1", "a quoted path ends with the same quote and a colon"},
		{`"v':calm=0.1`, "a quoted path ends with the same quote and a colon"},
		{"'a=b':calm", "want VECTORS:NAME=STRENGTH"},
		{"'v':very:calm=1", `emotion "very:calm": a name holds neither ':' nor '='`},
	} {
		t.Run(tt.text, func(t *testing.T) {
			_, err := ParsePlan(tt.text)
			require.ErrorContains(t, err, tt.want)
		})
	}
	for _, text := range []string{"project:v:calm", "clamp:v:calm=3", "clamp:v:calm=3@2/3#prompt"} {
		_, err := ParsePlan(text)
		require.ErrorIs(t, err, llama.ErrUnsupported, text)
		require.ErrorContains(t, err, "in this version")
	}
}

func TestParseVector(t *testing.T) {
	for text, want := range map[string][2]string{
		"v:calm":           {"v", "calm"},
		"a=b:c#d:at ease":  {"a=b:c#d", "at ease"},
		`'a:b':at-ease`:    {"a:b", "at-ease"},
		"clamp:calm":       {"clamp", "calm"},
		"C:\\v.x:worn out": {"C:\\v.x", "worn out"},
	} {
		vectors, emotion, err := ParseVector(text)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{vectors, emotion})
	}
	for text, want := range map[string]string{
		"calm":       "no colon between",
		"v:":         "no emotion is named",
		"v:calm=0.1": `emotion "calm=0.1": a name holds neither ':' nor '='`,
		"'v:calm":    "a quoted path ends",
	} {
		_, _, err := ParseVector(text)
		require.ErrorContains(t, err, want)
	}
}

func TestPlanJSON(t *testing.T) {
	data, err := json.Marshal(parse(t, "v.safetensors:at-ease=0.05@resid_post:67%,2/3#generated"))
	require.NoError(t, err)
	require.JSONEq(t, `{"vectors": "v.safetensors", "emotion": "at-ease", "operator": "add", "strength": 0.05,
		"unit": "mean_norm", "sites": ["resid_post:67%", "2/3"], "scope": "generated"}`, string(data))

	for _, tt := range planTests {
		data, err := json.Marshal(tt.plan)
		require.NoError(t, err)
		var p Plan
		require.NoError(t, json.Unmarshal(data, &p))
		require.Equal(t, tt.plan, p)
	}

	given := Plan{Emotion: "random-1", Strength: -2, Direction: []float32{0.1, -3e-9}}
	data, err = json.Marshal(given)
	require.NoError(t, err)
	var p Plan
	require.NoError(t, json.Unmarshal(data, &p))
	require.Equal(t, given, p)

	require.NoError(t, json.Unmarshal([]byte(`{"emotion": "calm", "strength": -0.0}`), &p))
	require.Equal(t, Plan{Emotion: "calm"}, p)
	require.False(t, math.Signbit(p.Strength))

	data, err = json.Marshal(Plan{Emotion: "calm", Strength: math.Copysign(0, -1)})
	require.NoError(t, err)
	require.Contains(t, string(data), `"strength":0`)

	for _, bad := range []Plan{{Vectors: "\xff", Emotion: "calm"}, {Vectors: "v"}, {Emotion: "calm", Strength: math.NaN()}, {Emotion: "calm", Scope: 9}} {
		_, err := json.Marshal(bad)
		require.ErrorContains(t, err, "steer: ")
	}
}

func TestPlanJSONErrors(t *testing.T) {
	for data, want := range map[string]string{
		`{"emotion": "calm", "strength": 1, "layer": 3}`:                         `unknown field "layer"`,
		`{"emotion": "calm"}`:                                                    `plan for "calm": no strength`,
		`{"emotion": "calm", "strength": null}`:                                  "no strength",
		`{"strength": 1}`:                                                        "no emotion is named",
		`{"emotion": "calm", "strength": "1"}`:                                   "cannot unmarshal string",
		`{"emotion": "calm", "strength": 1, "scope": "answer"}`:                  `unknown scope "answer"`,
		`{"emotion": "calm", "strength": 1, "sites": [""]}`:                      "a site is empty",
		`{"emotion": "calm", "strength": 1, "sites": ["a,b"]}`:                   `site "a,b": not a site's name`,
		`{"emotion": "calm", "strength": 1, "sites": "2/3"}`:                     "cannot unmarshal string",
		`{"emotion": "calm", "strength": 1, "operator": "project"}`:              `the operator "project" is not supported in this version`,
		`{"emotion": "calm", "strength": 1, "operator": "add", "unit": "sigma"}`: `the unit "sigma" is not supported in this version`,
	} {
		p := Plan{Vectors: "untouched"}
		require.ErrorContains(t, json.Unmarshal([]byte(data), &p), want, data)
		require.Equal(t, Plan{Vectors: "untouched"}, p)
	}
}

func TestScopeNames(t *testing.T) {
	for scope, name := range map[Scope]string{All: "all", Prompt: "prompt", Generated: "generated", 7: "Scope(7)"} {
		require.Equal(t, name, scope.String())
	}
	// What a sweep computes once.
	for n, want := range map[int][3]int{1: {0, 0, 0}, 2: {1, 1, 1}, 9: {1, 1, 8}} {
		require.Equal(t, want, [3]int{All.untouched(n), Prompt.untouched(n), Generated.untouched(n)})
	}
	_, err := Scope(7).MarshalText()
	require.Error(t, err)
}

func FuzzParsePlan(f *testing.F) {
	for _, tt := range planTests {
		f.Add(tt.text)
	}
	f.Add("clamp:v:calm=3")
	f.Add("'v:calm=0.1@")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlan(text)
		if err != nil {
			return
		}
		again, err := ParsePlan(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
		if !utf8.ValidString(p.String()) {
			return
		}
		data, err := json.Marshal(p)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &again))
		require.Equal(t, p, again)
	})
}
