package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/experiment"
	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/report"
	"github.com/limbic-go/limbic/steer"
)

// A demoStudy is what a demonstration shows.
type demoStudy struct {
	// Unseen are the topics that the geometry's headline and the
	// identification are about; for the embedded model those that it was not
	// trained on.
	Unseen []string
	// Story says which story is read token by token: what it shows, and on
	// which topic. StoryEmotions are the emotions to look at, the first of
	// them colours it.
	StoryEmotion, StoryTopic string
	StoryEmotions            []string
	// Conversation is read too, in the model's chat template if it has one,
	// coloured by the first of ConversationEmotions.
	Conversation         []chat.Message
	ConversationEmotions []string
	// Prompt is continued under SteerEmotion at Strengths, beside Random
	// random directions, with at most MaxTokens new tokens each.
	Prompt       string
	SteerEmotion string
	Strengths    []float64
	Random       int
	MaxTokens    int
	// Feelings are the options of the dose–response curves.
	Feelings experiment.FeelingOptions
}

// theStudy is what limbic demo shows. The prompts suit a model of children's
// stories as well as a larger one.
func theStudy() demoStudy {
	return demoStudy{
		Unseen:        demo.UnseenTopics(),
		StoryEmotion:  demo.StoryEmotion,
		StoryTopic:    demo.StoryTopic,
		StoryEmotions: []string{"afraid", "calm", "desperate", "happy"},
		Conversation: []chat.Message{
			{Role: chat.User, Content: "My back hurt so much that I took ten of my pills this morning. Should I take more now?"},
			{Role: chat.Assistant, Content: "Please take no more. Ten is far too many, and it can hurt you badly. Call a doctor now, and do not stay alone."},
		},
		ConversationEmotions: []string{"afraid", "calm", "desperate", "happy"},
		Prompt:               "Once upon a time there was a little girl. She felt",
		SteerEmotion:         "happy",
		Strengths:            []float64{-0.5, -0.25, 0, 0.25, 0.5},
		Random:               5,
		MaxTokens:            24,
		Feelings: experiment.FeelingOptions{
			Controls: []steer.Control{steer.Isotropic, steer.Covariance},
		},
	}
}

// A demoResult sums up a demonstration. Vectors, Story, Conversation and Steer
// are what the commands of their kind print; every step stands in a file of
// its name beside the report too.
type demoResult struct {
	Report       string      `json:"report"`
	MeansSHA256  string      `json:"means_sha256"`
	ReadmeSHA256 string      `json:"readme_sha256"`
	Seconds      float64     `json:"seconds"`
	Model        demoModel   `json:"model"`
	Checks       []demoCheck `json:"checks"`

	Vectors        *vectorsBuildResult        `json:"vectors"`
	Geometry       demoGeometry               `json:"geometry"`
	Identification *experiment.Identification `json:"identification,omitempty"`
	Story          json.RawMessage            `json:"story"`
	Conversation   json.RawMessage            `json:"conversation"`
	Prompt         string                     `json:"prompt"`
	Steer          json.RawMessage            `json:"steer"`
	Feelings       *experiment.FeelingResult  `json:"feelings,omitempty"`
	Card           *demo.Card                 `json:"card,omitempty"`
	// Skipped says which steps a selection of emotions or topics left out,
	// and why.
	Skipped    map[string]string `json:"skipped,omitempty"`
	Provenance provenance        `json:"provenance"`
}

// A demoModel says what model was looked at.
type demoModel struct {
	Name       string `json:"name"`
	Embedded   bool   `json:"embedded"`
	SHA256     string `json:"sha256"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
	Blocks     int    `json:"blocks"`
	Width      int    `json:"width"`
	Vocabulary int    `json:"vocabulary"`
	Context    int    `json:"context"`
	Format     string `json:"quantisation"`
}

// demoGeometry is the geometry of vectors from stories on the unseen topics,
// and on all.
type demoGeometry struct {
	Unseen *experiment.GeometryResult `json:"unseen,omitempty"`
	All    *experiment.GeometryResult `json:"all,omitempty"`
}

// A demoCheck compares a hash with what it is stated to be.
type demoCheck struct {
	Name  string `json:"name"`
	What  string `json:"what"`
	Got   string `json:"got"`
	Want  string `json:"want,omitempty"` // "" where nothing is stated, as for other models
	Match bool   `json:"match"`
}

func newDemo(a *app) *cobra.Command {
	var flags engineFlags
	d := &demonstration{app: a, study: theStudy(), flags: &flags}
	cmd := &cobra.Command{
		Use:   "demo [MODEL]",
		Short: "The whole way in one go: build vectors, test, probe and steer with them",
		Long: `The whole way in one command, on the small model in the program or on MODEL:
build emotion vectors from the embedded stories, compare their geometry with
people's ratings, find the emotions of stories that were left out, colour a
story and a conversation token by token, steer a prompt with an emotion turned
down and up, and measure what steering does to words for feelings, all beside
chance, baselines and controls.

The folder DIR gets the vectors, the page report.html, and the result of each
step as JSON. An interrupted demonstration goes on where it stopped. With the
model in the program and all of its stories, two hashes are compared with those
that the README states; if they differ, the exit status is 1.`,
		Example: examples(
			`limbic demo --emotions afraid,calm,desperate,happy --topics sea,cafe --out /tmp/limbic-demo`,
			`limbic demo MODEL --emotions afraid,calm,desperate,happy --topics sea,cafe --out /tmp/limbic-demo --json`,
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d.name = demo.Name
			if len(args) > 0 {
				d.name = args[0]
			}
			if d.out == "" {
				return usagef("--out is empty")
			}
			if err := flags.check(); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&d.out, "out", "limbic-demo", "write to the folder `DIR`")
	cmd.Flags().Var(&d.corpus.emotions, "emotions", "build only the vectors of these emotions (must hold afraid, calm, desperate and happy)")
	cmd.Flags().Var(&d.corpus.topics, "topics", "build only from stories on these topics")
	return cmd
}

// A demonstration is one run of limbic demo.
type demonstration struct {
	app    *app
	study  demoStudy
	name   string // of the model
	out    string
	flags  *engineFlags
	corpus vectorsBuildFlags

	engine   *engine
	examples []string // emotions of the study's small figures that the vectors have
	result   demoResult
}

func (d *demonstration) path(name string) string { return filepath.Join(d.out, name) }

func (d *demonstration) vectorsPath() string { return d.path("vectors.safetensors") }

func (d *demonstration) run(ctx context.Context) error {
	start := time.Now()
	d.corpus.corpus = embeddedCorpus
	corpus, excluded, err := d.corpus.selection()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.out, 0o777); err != nil {
		return fmt.Errorf("write %s: %w", d.out, pathCause(err))
	}
	if d.engine, err = openEngine(d.name, d.flags); err != nil {
		return err
	}
	defer d.engine.close()
	d.result.Report, d.result.Prompt = d.path("report.html"), d.study.Prompt
	d.result.Skipped = map[string]string{}
	if err := d.describeModel(ctx); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return d.build(ctx, corpus, excluded) },
		func() error { return d.probe(ctx) },
		func() error { return d.steer(ctx) },
		func() error { return d.hashes(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return d.finish(ctx, start)
}

// describeModel says what model is looked at.
func (d *demonstration) describeModel(ctx context.Context) error {
	e := d.engine
	f := e.model.File()
	sum, err := f.SHA256(ctx)
	if err != nil {
		return err
	}
	c, q := e.model.Config(), quantisationOf(f)
	m := demoModel{
		Name: c.Name, Embedded: d.name == demo.Name, SHA256: sum, Parameters: int64(q.elements), Bytes: f.Size(),
		Blocks: c.Blocks, Width: c.Width, Vocabulary: c.Vocabulary, Context: c.Context, Format: e.model.Quantisation(),
	}
	d.result.Model = m
	if m.Embedded {
		card, err := demo.ModelCard()
		if err != nil {
			return err
		}
		d.result.Card = &card
	}
	where := d.name
	if m.Embedded {
		where = "in the program"
	}
	return d.say("model %s (%s): %s parameters, %d blocks of width %d, %s, %s", oneLine(m.Name), oneLine(where),
		grouped(int(m.Parameters)), m.Blocks, m.Width, m.Format, inBytes(m.Bytes))
}

// inBytes writes a size for people.
func inBytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// say tells a person something, in one line.
func (d *demonstration) say(format string, args ...any) error {
	if d.app.json {
		return nil
	}
	_, err := fmt.Fprintln(d.app.stdout, fmt.Sprintf(format, args...))
	return err
}

// title announces a step to a person.
func (d *demonstration) title(title string) error {
	if d.app.colour() {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	return d.say("\n%s", title)
}

// save writes the result of a step beside the report.
func (d *demonstration) save(name string, v any) error {
	b, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			return fmt.Errorf("%s has no JSON form: %w", name, err)
		}
	}
	return atomicfile.Write(d.path(name+".json"), 0o666, func(w io.Writer) error {
		_, err := w.Write(append(slices.Clip(b), '\n'))
		return err
	})
}

// build makes the vectors, and tests those of the topics that are not unseen.
func (d *demonstration) build(ctx context.Context, corpus *emotion.Corpus, excluded []string) error {
	if err := d.title("1. Emotion vectors, from stories that show an emotion and never name it"); err != nil {
		return err
	}
	o := probe.BuildOptions{Version: version, Excluded: excluded, Out: d.vectorsPath(), Journal: d.vectorsPath() + ".part"}
	train, why := d.trainingPart(corpus)
	if train != nil {
		o.Parts = append(o.Parts, train)
	}
	start := time.Now()
	built, err := d.app.buildVectors(ctx, d.engine, corpus, o)
	if err != nil {
		return err
	}
	r, err := buildResult(ctx, d.engine, built, o.Out, probe.SidecarPath(o.Out), time.Since(start))
	if err != nil {
		return err
	}
	d.app.warnOfNorms(r.Report)
	d.result.Vectors, d.result.MeansSHA256 = r, r.MeansSHA256
	check := demoCheck{Name: "means_sha256", What: "the raw means of all emotions at all blocks", Got: r.MeansSHA256}
	if d.result.Model.Embedded && len(d.corpus.emotions)+len(d.corpus.topics) == 0 && d.engine.runner.Options().Precision == llama.Probe {
		check.Want = demo.MeansSHA256
	}
	d.check(check)
	if err := d.save("vectors", r); err != nil {
		return err
	}
	same := ""
	switch {
	case check.Want == "":
	case check.Want == check.Got:
		same = "; their raw means are those of the vectors in the program"
	default:
		same = "; THEIR RAW MEANS ARE NOT THOSE of the vectors in the program"
	}
	if err := d.say("%s at the output of %s, from %s on %s:\n%s tokens in %.0f s%s",
		counted(r.Emotions, "emotion"), counted(len(r.Sites), "block"), plural(r.Stories, "story", "stories"), counted(len(r.Recipe.Topics), "topic"),
		grouped(r.Tokens), r.Seconds, same); err != nil {
		return err
	}
	for _, e := range emotion.Canonical12() {
		if slices.Contains(built.Vectors.Emotions, e) {
			d.examples = append(d.examples, e)
		}
	}
	stories, err := probe.LoadStories(r.Sidecar)
	if err != nil {
		return err
	}
	if err := d.geometry(ctx, built.Vectors, corpus, r.Sidecar); err != nil {
		return err
	}
	if train == nil {
		d.result.Skipped["identification"] = why
	} else if err := d.identify(ctx, built.Parts[0].Vectors, train, corpus, stories); err != nil {
		return err
	}
	return d.sayFigures()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// trainingPart is the corpus without the unseen topics, or nil and the reason
// where there would be nothing left to train or test on.
func (d *demonstration) trainingPart(c *emotion.Corpus) (*emotion.Corpus, string) {
	var unseen, seen []string
	for _, t := range c.Topics {
		if slices.Contains(d.study.Unseen, t) {
			unseen = append(unseen, t)
		} else {
			seen = append(seen, t)
		}
	}
	if len(unseen) < 2 || len(seen) < 2 {
		return nil, fmt.Sprintf("of the topics chosen, %d are unseen and %d are not; both should be two or more", len(unseen), len(seen))
	}
	part, err := c.Select(emotion.Filter{ExcludeTopics: unseen})
	if err != nil || len(part.Emotions) < len(c.Emotions) {
		return nil, "some emotions have no story on the topics that are not unseen"
	}
	return part, ""
}

// minGeometry is how many emotions a geometry is worth drawing for.
const minGeometry = 20

// geometry compares the vectors with people's ratings.
func (d *demonstration) geometry(ctx context.Context, v *probe.Vectors, corpus *emotion.Corpus, sidecar string) error {
	if len(v.Emotions) < minGeometry {
		d.result.Skipped["geometry"] = fmt.Sprintf("%d emotions are too few to draw a map of", len(v.Emotions))
		return nil
	}
	var unseen []string
	for _, t := range corpus.Topics {
		if slices.Contains(d.study.Unseen, t) {
			unseen = append(unseen, t)
		}
	}
	for _, x := range []struct {
		name   string
		topics []string
		draws  int // of controls: the figure in sample needs only a glance at them
		to     **experiment.GeometryResult
	}{{"geometry", unseen, 0, &d.result.Geometry.Unseen}, {"geometry-all", corpus.Topics, 20, &d.result.Geometry.All}} {
		if len(x.topics) == 0 {
			continue
		}
		o := experiment.GeometryOptions{Sidecar: sidecar, Topics: x.topics, Corpus: corpus, Runner: d.engine.runner, Draws: x.draws}
		if d.result.Model.Embedded {
			o.UnseenTopics = unseen
		}
		var finish func()
		o.Progress, finish = d.app.stages()
		got, err := experiment.Geometry(ctx, v, o)
		finish()
		if err != nil {
			return err
		}
		*x.to = got
		if err := d.save(x.name, got); err != nil {
			return err
		}
	}
	return nil
}

// sayFigures tells the main figures of geometry and identification beside their
// baselines.
func (d *demonstration) sayFigures() error {
	head, all := d.result.Geometry.Unseen, d.result.Geometry.All
	if head == nil {
		head, all = all, nil
	}
	id := d.result.Identification
	if d.app.json || head == nil && id == nil {
		return nil
	}
	title := "2. What they have to do with people's ratings, and with stories that were left out"
	if head != nil && !head.InSample {
		title = fmt.Sprintf("2. What they know of stories on %s that the model never read", counted(len(head.Topics), "topic"))
	}
	if err := d.title(title); err != nil {
		return err
	}
	t := table{
		head:  []string{"", "these vectors", "words", "embeddings", "shuffled labels", "chance", "p"},
		right: []bool{false, true, true, true, true, true, true},
	}
	if head != nil {
		for _, kind := range []string{experiment.RateValence, experiment.RateArousal} {
			own := head.Tests[kind]
			if own.Component == 0 {
				continue
			}
			row := []string{fmt.Sprintf("|r| of component %d with %s", own.Component, kind), largest(own)}
			for _, base := range []string{experiment.BaseTFIDF, experiment.BaseEmbeddings} {
				row = append(row, largest(head.Baselines[base].Tests[kind]))
			}
			shuffled := "-"
			if c, ok := head.Controls[experiment.ControlShuffled]; ok {
				shuffled = fmt.Sprintf("%.2f", c.Best95[kind])
			}
			t.add(append(row, shuffled, fmt.Sprintf("%.2f", own.Null95), fmt.Sprintf("%.4f", own.P[own.Component-1]))...)
		}
		if a := head.Agreement; a != nil {
			row := []string{"agreement with families, Rand", fmt.Sprintf("%.2f", a.ARI)}
			for _, base := range []string{experiment.BaseTFIDF, experiment.BaseEmbeddings} {
				text := "-"
				if x := head.Baselines[base].Agreement; x != nil {
					text = fmt.Sprintf("%.2f", x.ARI)
				}
				row = append(row, text)
			}
			t.add(append(row, "-", fmt.Sprintf("%.2f", a.Chance95.ARI), fmt.Sprintf("%.4f", a.P.ARI))...)
		}
	}
	if id != nil {
		words, embeddings := id.Baselines[experiment.BaseTFIDF], id.Baselines[experiment.BaseEmbeddings]
		t.add("family of a story, found", inPercent(id.Family), inPercent(words.Family), inPercent(embeddings.Family), "-", inPercent(id.Chance.Family), fmt.Sprintf("%.4f", id.P.Family))
		t.add(fmt.Sprintf("emotion, of %d", id.Emotions), inPercent(id.Top1), inPercent(words.Top1), inPercent(embeddings.Top1), "-", inPercent(id.Chance.Top1), fmt.Sprintf("%.4f", id.P.Top1))
	}
	if err := d.app.print(&t); err != nil {
		return err
	}
	if all != nil {
		return d.say("in sample, from all %d topics: valence %s, arousal %s", len(all.Topics), largest(all.Tests[experiment.RateValence]), largest(all.Tests[experiment.RateArousal]))
	}
	return nil
}

// largest is the largest |r| of the components.
func largest(t experiment.RatingTest) string {
	if t.Component == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", math.Abs(t.R[t.Component-1]))
}

// identify finds the emotions of stories on the unseen topics.
func (d *demonstration) identify(ctx context.Context, v *probe.Vectors, train, corpus *emotion.Corpus, stories *probe.StoryFile) error {
	test, err := experiment.HeldOutCorpus(v, corpus, nil)
	if err != nil {
		return err
	}
	o := experiment.IdentifyOptions{Known: stories, KnownCorpus: corpus}
	var finish func()
	o.Progress, finish = d.app.stages()
	got, err := experiment.Identify(ctx, d.engine.runner, v, train, test, o)
	finish()
	if err != nil {
		return err
	}
	d.result.Identification = got
	return d.save("identification", got)
}

// command runs a command of limbic and gives the document that it prints.
func (d *demonstration) command(ctx context.Context, name string, result *json.RawMessage, into any, make func(*app) *cobra.Command, args ...string) error {
	run := d.app.silent()
	args = append(args, fmt.Sprintf("--threads=%d", d.flags.threads), "--precision="+d.flags.precision.String(), "--kv="+d.flags.kv.String())
	var err error
	if *result, err = run.capture(ctx, make(run), args); err != nil {
		return err
	}
	if err := json.Unmarshal(*result, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return d.save(name, *result)
}

// probe reads a story and a conversation token by token.
func (d *demonstration) probe(ctx context.Context) error {
	if err := d.title("3. A story and a conversation, read token by token"); err != nil {
		return err
	}
	story := ""
	for _, s := range emotion.Embedded().StoriesOf(d.study.StoryEmotion) {
		if s.Topic == d.study.StoryTopic {
			story = s.Text
		}
	}
	messages := d.path("messages.json")
	if err := d.save("messages", d.study.Conversation); err != nil {
		return err
	}
	talk := []string{"--messages", messages}
	if template, err := d.engine.model.File().StringOr("tokenizer.chat_template", ""); err != nil || template == "" {
		talk = append(talk, "--format", chat.NameHumanAssistant)
	}
	for _, x := range []struct {
		name, title string
		text        []string
		emotions    []string
		result      *json.RawMessage
	}{
		{"story", fmt.Sprintf("a story that shows %q, on the topic %q", d.study.StoryEmotion, d.study.StoryTopic), []string{story}, d.study.StoryEmotions, &d.result.Story},
		{"conversation", "a conversation", talk, d.study.ConversationEmotions, &d.result.Conversation},
	} {
		var probed probeResult
		args := append([]string{d.name, d.vectorsPath(), "--emotions", strings.Join(d.shown(x.emotions), ",")}, x.text...)
		if err := d.command(ctx, x.name, x.result, &probed, newProbe, args...); err != nil {
			return err
		}
		if d.app.json {
			continue
		}
		if err := d.say("%s", x.title); err != nil {
			return err
		}
		t := &probed.Tokens
		if d.app.colour() {
			if err := d.app.printProbeText(t, t.Display(1)[0], t.Scale()); err != nil {
				return err
			}
			continue
		}
		if err := d.app.printProbeCurves(t, t.Display(1)[:min(3, len(x.emotions))], t.Scale(), true); err != nil {
			return err
		}
	}
	return nil
}

// shown puts the study's examples that the vectors have behind some emotions.
func (d *demonstration) shown(first []string) []string {
	list := slices.Clone(first)
	for _, e := range d.examples {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}

// steer continues a prompt, and measures words for feelings.
func (d *demonstration) steer(ctx context.Context) error {
	if err := d.title(fmt.Sprintf("4. The same prompt with %s turned down and up", d.study.SteerEmotion)); err != nil {
		return err
	}
	s := strengthsFlag(d.study.Strengths)
	var steered steerResult
	err := d.command(ctx, "steer", &d.result.Steer, &steered, newSteer, d.name, d.study.Prompt,
		"--vector", d.vectorsPath()+":"+d.study.SteerEmotion, "--strengths", s.String(),
		"--random", fmt.Sprint(d.study.Random), "--max-tokens", fmt.Sprint(d.study.MaxTokens))
	if err != nil {
		return err
	}
	if err := d.say("%s ...", oneLine(d.study.Prompt)); err != nil {
		return err
	}
	for _, row := range steered.Rows {
		ends := row.Strength == d.study.Strengths[0] || row.Strength == d.study.Strengths[len(d.study.Strengths)-1]
		if row.Control && (row.Name != "random-1" || !ends) { // the page has them all
			continue
		}
		if err := d.say("  %-8s %+.2f  KL %.2f  %s", row.Name, row.Strength, row.KL, short(strings.TrimSpace(oneLine(row.Text)), 70)); err != nil {
			return err
		}
	}
	v, err := newVectorFiles(ctx, d.engine).load(d.vectorsPath())
	if err != nil {
		return err
	}
	o := d.study.Feelings
	if o.Emotions == nil {
		o.Emotions = d.examples
	}
	if o.Stories, err = loadStories(d.vectorsPath()); err != nil {
		return err
	}
	var finish func()
	o.Progress, finish = d.app.progress("feelings")
	got, err := experiment.Feelings(ctx, d.engine.runner, v, o)
	finish()
	if err != nil {
		return err
	}
	d.result.Feelings = got
	if err := d.save("feelings", got); err != nil {
		return err
	}
	if err := d.say("\nwords for a feeling follow its vector, more than any of %d random directions:", got.Directions); err != nil {
		return err
	}
	return d.say("%d of %d emotions (by chance %.1f; vectors dealt at random %.1f, p %.4f)", got.Passes, len(got.Emotions), got.Chance, got.Dealt, got.P)
}

// short cuts a line at n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// hashes computes what the README states.
func (d *demonstration) hashes(ctx context.Context) error {
	if err := d.title("5. The same bits as everywhere"); err != nil {
		return err
	}
	// The hash is defined for one precision, whatever the rest runs in.
	o := d.engine.runner.Options()
	o.Precision = llama.Exact
	r, err := d.engine.model.NewRunner(o)
	if err != nil {
		return err
	}
	defer r.Close()
	sum, err := demo.Hash(ctx, r)
	if err != nil {
		return err
	}
	d.result.ReadmeSHA256 = sum
	check := demoCheck{Name: "readme_sha256", What: fmt.Sprintf("residual streams and logits of %d tokens of one story", demo.StoryTokens), Got: sum}
	if d.result.Model.Embedded {
		check.Want = demo.ReadmeSHA256
	}
	d.check(check)
	for _, c := range d.result.Checks {
		verdict := ""
		switch {
		case c.Match:
			verdict = "  matches the README"
		case c.Want != "":
			verdict = "  DIFFERS FROM THE README: " + c.Want
		}
		if err := d.say("%-14s %s%s", c.Name, c.Got, verdict); err != nil {
			return err
		}
	}
	return nil
}

// check keeps the comparison of a hash.
func (d *demonstration) check(c demoCheck) {
	c.Match = c.Want != "" && c.Got == c.Want
	d.result.Checks = append(d.result.Checks, c)
}

// finish writes the report and ends.
func (d *demonstration) finish(ctx context.Context, start time.Time) error {
	var err error
	if d.result.Provenance, err = d.engine.provenance(ctx, nil); err != nil {
		return err
	}
	d.result.Seconds = time.Since(start).Seconds()
	// The page is drawn from the document and nothing else.
	doc, err := json.Marshal(d.result)
	if err != nil {
		return fmt.Errorf("the result has no JSON form: %w", err)
	}
	if err := d.save("demo", json.RawMessage(doc)); err != nil {
		return err
	}
	var page report.Demo
	if err := json.Unmarshal(doc, &page); err != nil {
		return err
	}
	if err := atomicfile.Write(d.result.Report, 0o666, func(w io.Writer) error { return report.WriteDemo(w, page) }); err != nil {
		return err
	}
	if d.app.json {
		err = d.app.writeJSON(d.result)
	} else {
		err = d.say("\nDone in %.0f s. Look at %s, and at the results beside it.", d.result.Seconds, d.result.Report)
	}
	if err != nil {
		return err
	}
	for _, c := range d.result.Checks {
		if c.Want != "" && !c.Match {
			return fmt.Errorf("%s is %s where the README states %s: this machine, or this build, computes other bits", c.Name, c.Got, c.Want)
		}
	}
	return nil
}

// silent is an app whose output is kept as JSON while progress and warnings go
// where a's go.
func (a *app) silent() *app {
	return &app{stdin: a.stdin, stdout: &output{w: &bytes.Buffer{}}, stderr: a.stderr, stderrTerminal: a.stderrTerminal, json: true}
}

// capture runs a command of a silent app and gives the document it printed.
func (a *app) capture(ctx context.Context, cmd *cobra.Command, args []string) (json.RawMessage, error) {
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(ctx); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.TrimSpace(a.stdout.w.(*bytes.Buffer).Bytes())), nil
}
