package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// IdentifyOptions are the options of Identify. The zero value is good.
type IdentifyOptions struct {
	// Site to read; nil means the vectors' default site. It must have been
	// chosen without looking at the test stories: the best of many sites on
	// some stories is a promise about those stories only.
	Site *llama.Site
	// Sidecar is the file of story means that was written beside the vectors
	// (see probe.SidecarPath); it saves running the training stories through
	// the model once more. "" means none. A file that was written with other
	// vectors is an error; one for another site is not used.
	Sidecar string
	// Known are story means of the same model that some build wrote, and
	// KnownCorpus the corpus of that build: stories among them, for training or
	// test, are not run through the model again. Another model or pooling, or
	// another corpus, is an error; means at another site are not used.
	Known       *probe.StoryFile
	KnownCorpus *emotion.Corpus
	// Center says which mean is subtracted from a story's before it is
	// compared with the vectors in the headline readout, and in those that
	// are compared with it: "grand", "neutral" or "set"; "" means grand. See
	// Centers.
	Center string
	// InSample allows test stories on topics, or themselves among the
	// stories, that the vectors were built from. The result is marked.
	InSample bool
	// Seed of permutations and bootstrap.
	Seed uint64
	// Permutations of labels for chance; 0 means 1000.
	Permutations int
	// Bootstrap draws of topics; 0 means 2000.
	Bootstrap int
	// Ridge is the penalty of the regressions as a share of the number of
	// stories; 0 means 0.01.
	Ridge float64
	// Progress, if not nil, is told how far a stage of the work is.
	Progress func(stage string, done, total int)
}

// The values of IdentifyOptions.Center.
const (
	// CenterGrand is the mean of the training emotions' means. It comes from
	// training stories alone, and it takes out what all stories have in
	// common, which is most of what a story's mean is: a neutral mean leaves
	// that in, and the emotions that it points to are then found in every
	// story.
	CenterGrand = "grand"
	// CenterNeutral is the mean of neutral texts, as probes of single texts
	// are centred by.
	CenterNeutral = "neutral"
	// CenterSet is the mean of the test stories.
	CenterSet = "set"
)

// Centers lists the values of IdentifyOptions.Center, the default first.
func Centers() []string { return []string{CenterGrand, CenterNeutral, CenterSet} }

// headlines are the readouts that the centers stand for.
var headlines = map[string]string{
	CenterGrand: ReadCenteredGrand, CenterNeutral: ReadCentered, CenterSet: ReadCenteredSet,
}

// The names of the readouts. The headline readout is one of the first three:
// see IdentifyOptions.Center.
const (
	// ReadCenteredGrand is cosine(h − c, v) with h the mean of the stream over
	// a story's pooled tokens, v the denoised vector and c the mean of the
	// training emotions' means.
	ReadCenteredGrand = "centered_grand"
	// ReadCentered is the same with the mean of neutral texts as c (the mean
	// of the training emotions' means where the vectors have no neutral one).
	ReadCentered = "centered"
	// ReadCenteredSet is the same with the mean of the test stories as c. It
	// looks at all test stories at once.
	ReadCenteredSet = "centered_set"
	// ReadZ is the projection of h on the unit denoised vector, standardised
	// for each emotion by mean and standard deviation over training stories.
	ReadZ = "z"
	// ReadZSet is the same, standardised over the test stories.
	ReadZSet = "z_set"
	// ReadCosine is cosine(h, v), not centred.
	ReadCosine = "cosine"
	// ReadContrast is the headline readout with the contrast vectors, from
	// which no neutral components were removed.
	ReadContrast = "centered_contrast"
	// ReadPlain is the headline readout with denoised vectors that were not
	// centred within hands.
	ReadPlain = "centered_plain"
)

// Readouts lists the names of the readouts.
func Readouts() []string {
	return []string{ReadCenteredGrand, ReadCentered, ReadCenteredSet, ReadZ, ReadZSet, ReadCosine, ReadContrast, ReadPlain}
}

// The names of the baselines.
const (
	// BaseTFIDF is the cosine between a story's tf-idf weighted words and the
	// centroid of each emotion's training stories: weight
	// tf·(ln((1+n)/(1+df)) + 1), stories and centroids scaled to length 1;
	// words are runs of at least two letters or digits, in lower case.
	BaseTFIDF = "tfidf"
	// BaseFunctionWords is the nearest centroid (Euclidean) of the shares of
	// emotion.FunctionWords among a story's words, standardised.
	BaseFunctionWords = "function_words"
	// BaseForm is the nearest centroid of punctuation and length,
	// standardised: how many , . ; : ? ! hyphens, dashes, apostrophes,
	// quotation marks, ellipses and parentheses there are for each word,
	// log words, words a sentence, letters a word, log lines.
	BaseForm = "punctuation_length"
	// BaseEmbeddings does with the model's token embeddings (resid_pre:0, the
	// same positions pooled) all that is done with the site's activations.
	BaseEmbeddings = "embeddings"
)

// Baselines lists the names of the baselines.
func Baselines() []string {
	return []string{BaseTFIDF, BaseFunctionWords, BaseForm, BaseEmbeddings}
}

// The names of the regressions.
const (
	RegressWriter = "writer"       // one indicator for each hand
	RegressStyle  = "style"        // the features of BaseFunctionWords and BaseForm
	RegressBoth   = "writer_style" // both together
)

// Regressions lists the names of the regressions.
func Regressions() []string { return []string{RegressWriter, RegressStyle, RegressBoth} }

// A Baseline is what can be had without the model's blocks.
type Baseline struct {
	Score
	// Readouts are those of BaseEmbeddings; others have none.
	Readouts map[string]Score `json:"readouts,omitempty"`
}

// A Regression is identification after the features of a story were regressed
// out of its activations by a ridge that was fitted to training stories alone,
// with vectors derived from what is left of those. Features such as question
// marks and pronouns go with the emotion as well as with the hand, so that this
// takes out some of what is sought: it bounds from below what is no style.
type Regression struct {
	Score // of the headline readout; neutral mean and components are the vectors' own
	// Readouts are ReadCenteredGrand, ReadCentered, ReadCenteredSet and ReadZ.
	Readouts map[string]Score `json:"readouts"`
	// Difference is this minus the same readout without regression.
	Difference map[string]Difference `json:"difference"`
	Features   int                   `json:"features"`
	// Explained is the share of the variance of the training stories'
	// activations that the features explain.
	Explained float64 `json:"explained"`
}

// FamilyRow is identification within one family.
type FamilyRow struct {
	Family   string  `json:"family"`
	N        int     `json:"n"`        // test stories of the family
	Accuracy float64 `json:"accuracy"` // share whose top emotion is of the family
	Top1     float64 `json:"top1"`
	Chosen   int     `json:"chosen"` // stories of any family whose top emotion is of this one
}

// TopicRow is identification on one topic.
type TopicRow struct {
	Topic string `json:"topic"`
	N     int    `json:"n"`
	Figures
}

// Confusion says how often stories of one emotion were read as another.
type Confusion struct {
	Emotion string `json:"emotion"`
	ReadAs  string `json:"read_as"`
	Count   int    `json:"count"`
	N       int    `json:"n"` // test stories of the emotion
}

// Chance is what guessing gives.
type Chance struct {
	Top1 float64 `json:"top1"` // 1/E for E emotions
	Top5 float64 `json:"top5"` // 5/E
	MRR  float64 `json:"mrr"`  // (1 + 1/2 + … + 1/E)/E
	// Family and FamilyInterval are from permuting the labels of the stories
	// under the headline readout.
	Family         float64  `json:"family"`
	FamilyInterval Interval `json:"family_interval"`
	Permutations   int      `json:"permutations"`
}

// An Identification is the result of Identify.
type Identification struct {
	Experiment string `json:"experiment"` // "identification"
	Score             // of the headline readout

	// Readout is the name of the headline readout, and Center what it
	// subtracts.
	Readout string `json:"readout"`
	Center  string `json:"center"`

	Chance   Chance           `json:"chance"`
	Readouts map[string]Score `json:"readouts"`
	// Baselines are by the names of Baselines.
	Baselines map[string]Baseline `json:"baselines"`
	// Paired holds, for the readouts ReadCenteredGrand, ReadCentered,
	// ReadCenteredSet and ReadZ, the model minus each baseline; the embeddings
	// are read in the same way.
	Paired map[string]map[string]Difference `json:"paired"`
	// Regressed is by the names of Regressions. Those of writers are missing
	// where the training corpus names none.
	Regressed map[string]Regression `json:"regressed"`
	Families  []FamilyRow           `json:"families"`
	PerTopic  []TopicRow            `json:"per_topic"`
	Confused  []Confusion           `json:"confused"` // the commonest, at most 20

	Site     string `json:"site"`
	SiteText string `json:"site_text"`
	N        int    `json:"n"` // test stories
	Dropped  int    `json:"dropped"`
	Cut      int    `json:"cut"`
	// Topics are those of the test stories, in the order of the stories.
	Topics   []string `json:"topics"`
	Emotions int      `json:"emotions"` // candidates
	// InSample says that the vectors were built from some of the test topics
	// or test stories.
	InSample      bool     `json:"in_sample"`
	SharedTopics  []string `json:"shared_topics,omitempty"`
	SharedStories int      `json:"shared_stories,omitempty"`
	TrainTopics   []string `json:"train_topics"`
	TrainStories  int      `json:"train_stories"`
	// TrainMeans says where the training stories' means are from: "sidecar"
	// or "captured".
	TrainMeans  string            `json:"train_means"`
	TrainCorpus string            `json:"train_corpus_sha256"`
	TestCorpus  string            `json:"test_corpus_sha256"`
	Means       string            `json:"means_sha256"`
	Model       string            `json:"model_sha256"`
	Precision   string            `json:"precision"`
	KV          string            `json:"kv"`
	From        int               `json:"from"`
	Seed        uint64            `json:"seed"`
	Bootstrap   int               `json:"bootstrap"`
	Ridge       float64           `json:"ridge"`
	Definitions map[string]string `json:"definitions"`
}

// Identify measures how often vectors find the emotion of test stories, beside
// chance and baselines on the same stories.
//
// train must be the corpus that the vectors were built from (see
// TrainingCorpus): baselines and regressions are fitted to its stories, and to
// nothing else. test holds the stories to be identified (see HeldOutCorpus);
// their emotions must be among the vectors'. Every way is scored on the same
// stories, those that are long enough to be pooled as the vectors were.
//
// Intervals come from a bootstrap over topics: the stories of a topic are not
// independent of each other, so topics are drawn with replacement, and with
// each all its stories. With few topics such intervals are coarse: six topics
// have 462 distinct draws, and percentile intervals from six draws are too
// narrow, holding the truth in about 86 of 100 cases where they should in 95.
//
// A test story's writer, where the corpus names one, is used by the
// regressions that say so, and by nothing else.
func Identify(ctx context.Context, r *llama.Runner, v *probe.Vectors, train, test *emotion.Corpus, o IdentifyOptions) (*Identification, error) {
	e, err := newIdentifier(ctx, r, v, train, test, o)
	if err != nil {
		return nil, err
	}
	if err := e.capture(ctx); err != nil {
		return nil, err
	}
	if err := e.score(); err != nil {
		return nil, err
	}
	return &e.out, nil
}

// A set is one side of the split: stories and what was captured of them.
type set struct {
	stories []emotion.Story
	emotion []int // indices into the vectors' emotions
	means   []float32
	embed   []float32
	// Texts as the model reads them.
	texts []probe.Text
}

// keep appends a story to the set.
func (s *set) keep(story emotion.Story, e int, t probe.Text) {
	s.stories = append(s.stories, story)
	s.emotion = append(s.emotion, e)
	s.texts = append(s.texts, t)
}

func (s *set) text(i int) string { return s.stories[i].Text }

type identifier struct {
	runner *llama.Runner
	v      *probe.Vectors
	site   *probe.SiteVectors
	corpus *emotion.Corpus // of training
	opts   IdentifyOptions
	out    Identification

	train, test set
	neutral     [][]float32 // embeddings of neutral texts
	hands       map[string]int
	labels      labels
	draws       *draws
}

func newIdentifier(ctx context.Context, r *llama.Runner, v *probe.Vectors, train, test *emotion.Corpus, o IdentifyOptions) (*identifier, error) {
	m, p := r.Model(), &v.Provenance
	sum, err := m.SHA256(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.CheckModel(sum, m.Tokenizer().Hash(), m.Config().Width); err != nil {
		return nil, err
	}
	if o.Center == "" {
		o.Center = CenterGrand
	}
	if o.Permutations == 0 {
		o.Permutations = 1000
	}
	if o.Bootstrap == 0 {
		o.Bootstrap = 2000
	}
	if o.Ridge == 0 {
		o.Ridge = 0.01
	}
	hash := train.Hash()
	precision, kv := r.Options().Precision.String(), r.Options().KV.String()
	switch {
	case headlines[o.Center] == "":
		return nil, fmt.Errorf("experiment: unknown center %q (known: %s)", o.Center, strings.Join(Centers(), ", "))
	case p.Format != probe.FormatRaw:
		return nil, fmt.Errorf("experiment: vectors of stories in the format %q: only %q can be evaluated", p.Format, probe.FormatRaw)
	case p.Precision != precision:
		return nil, fmt.Errorf("experiment: the vectors were built at precision %q and the model runs at %q", p.Precision, precision)
	case p.KVName() != kv:
		return nil, fmt.Errorf("experiment: the vectors were built with keys and values in %s and the model runs with them in %s", p.KVName(), kv)
	case p.Corpus != hash:
		return nil, fmt.Errorf("experiment: the vectors were built from %w: their corpus_sha256 is %s, that of the training stories given %s", ErrCorpus, p.Corpus, hash)
	case o.Permutations < 0 || o.Bootstrap < 0 || !(o.Ridge > 0):
		return nil, fmt.Errorf("experiment: %d permutations, %d bootstrap draws and a ridge penalty of %v: none may be negative", o.Permutations, o.Bootstrap, o.Ridge)
	case len(test.Stories) == 0:
		return nil, fmt.Errorf("experiment: there are no test stories")
	}
	shared, same := checkHeldOut(train, test)
	if (len(shared) > 0 || same > 0) && !o.InSample {
		return nil, inSampleError(shared, same)
	}
	at := v.DefaultSite()
	if o.Site != nil {
		at = *o.Site
	}
	site, err := v.At(at)
	if err != nil {
		return nil, err
	}
	e := &identifier{runner: r, v: v, site: site, corpus: train, opts: o, hands: map[string]int{"": 0}}
	for i, h := range train.Writers() {
		e.hands[h] = i + 1
	}
	e.out = Identification{
		Experiment: "identification", Site: at.String(), SiteText: at.Describe(p.Blocks),
		Readout: headlines[o.Center], Center: o.Center,
		Emotions: len(v.Emotions), InSample: len(shared) > 0 || same > 0,
		SharedTopics: shared, SharedStories: same, TrainTopics: train.Topics,
		TrainCorpus: hash, TestCorpus: test.Hash(), Means: p.MeansSHA256, Model: sum, Precision: precision, KV: kv,
		From: p.From, Seed: o.Seed, Bootstrap: o.Bootstrap, Ridge: o.Ridge,
	}
	if o.Center == CenterNeutral && site.NeutralMean[p.Format] == nil {
		return nil, fmt.Errorf("experiment: the vectors have no neutral mean to centre by: they were built without neutral texts; use another center")
	}

	for i := range train.Stories {
		s := &train.Stories[i]
		k := slices.Index(v.Emotions, s.Emotion)
		if k < 0 {
			return nil, fmt.Errorf("experiment: the vectors have no emotion %q of their own corpus", s.Emotion)
		}
		if t := probe.Encode(m, s.Text); len(t.Tokens)-t.Skip >= p.From {
			e.train.keep(*s, k, t)
		}
	}
	for i := range test.Stories {
		s := &test.Stories[i]
		k, err := v.Index(s.Emotion)
		if err != nil {
			return nil, fmt.Errorf("experiment: test story on %q: %w", s.Topic, err)
		}
		t := probe.Encode(m, s.Text)
		if len(t.Tokens)-t.Skip < p.From {
			e.out.Dropped++
			continue
		}
		if t.Cut {
			e.out.Cut++
		}
		e.test.keep(*s, k, t)
	}
	e.out.N, e.out.TrainStories = len(e.test.stories), len(e.train.stories)
	if e.out.N == 0 {
		return nil, fmt.Errorf("experiment: none of the %d test stories has the %d tokens from which the vectors were pooled", len(test.Stories), p.From)
	}
	e.label()
	return e, nil
}

// label says what each test story is.
func (e *identifier) label() {
	families := emotion.Families()
	l := labels{emotion: e.test.emotion, emotions: len(e.v.Emotions), families: len(families)}
	for _, s := range e.test.stories {
		at := slices.Index(e.out.Topics, s.Topic)
		if at < 0 {
			at = len(e.out.Topics)
			e.out.Topics = append(e.out.Topics, s.Topic)
		}
		l.topic = append(l.topic, at)
	}
	l.topics = len(e.out.Topics)
	for _, name := range e.v.Emotions {
		f, ok := emotion.FamilyOf(name)
		at := -1
		if ok {
			at = slices.IndexFunc(families, func(x emotion.Family) bool { return x.Name == f })
		}
		l.family = append(l.family, at)
	}
	e.labels = l
	e.draws = newDraws(&l, e.opts.Seed, e.opts.Bootstrap, e.opts.Permutations)
}

// embeddings is where the stream holds nothing but token embeddings.
var embeddings = llama.Site{Point: llama.ResidPre, Block: 0}

// capture finds the means of all stories.
func (e *identifier) capture(ctx context.Context) error {
	both := []llama.Site{embeddings, e.site.Site}
	if e.site.Site == embeddings {
		both = both[:1]
	}
	split := func(means [][]float32, s *set) {
		for _, m := range means {
			s.embed = append(s.embed, m[:e.v.Width]...)
			s.means = append(s.means, m[len(m)-e.v.Width:]...)
		}
	}
	known, err := e.known()
	if err != nil {
		return err
	}
	kept, err := e.readSidecar()
	if err != nil {
		return err
	}
	e.out.TrainMeans = "captured"
	if kept == nil {
		kept = known.means(&e.train)
	}
	for _, side := range []struct {
		name string
		set  *set
		kept []float32
	}{{"test stories", &e.test, known.means(&e.test)}, {"training stories", &e.train, kept}} {
		sites := both
		if side.kept != nil {
			sites = both[:1] // the embeddings, which need no block
		}
		means, err := e.pool(ctx, side.name, side.set.texts, sites)
		if err != nil {
			return err
		}
		split(means, side.set)
		if side.kept != nil {
			side.set.means = side.kept
		}
	}
	if kept != nil {
		e.out.TrainMeans = "sidecar"
	}

	e.neutral, err = e.pool(ctx, "neutral texts", neutralTexts(e.runner.Model(), &e.v.Provenance, e.corpus), both[:1])
	return err
}

// neutralTexts are the neutral texts of a corpus that vectors of a provenance
// were built with.
func neutralTexts(m *llama.Model, p *probe.Provenance, c *emotion.Corpus) []probe.Text {
	var texts []probe.Text
	for _, t := range c.Neutral {
		if n := p.Neutral; n == "dialogues" && t.Kind != emotion.KindDialogue || n == "passages" && t.Kind != emotion.KindPassage {
			continue
		}
		if x := probe.Encode(m, t.Text); len(x.Tokens)-x.Skip >= p.From {
			texts = append(texts, x)
		}
	}
	return texts
}

// knownMeans are the means of stories at the site, and their width.
type knownMeans struct {
	of    map[emotion.Story][]float32
	width int
}

// known reads IdentifyOptions.Known.
func (e *identifier) known() (*knownMeans, error) {
	f, c, p := e.opts.Known, e.opts.KnownCorpus, &e.v.Provenance
	if f == nil {
		return &knownMeans{}, nil
	}
	q := &f.Provenance
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"model_sha256", q.ModelSHA256, p.ModelSHA256}, {"tokenizer_sha256", q.Tokenizer, p.Tokenizer}, {"format", q.Format, p.Format},
		{"from", q.From, p.From}, {"precision", q.Precision, p.Precision}, {"kv", q.KVName(), p.KVName()}, {"width", f.Width, e.v.Width},
	} {
		if x.got != x.want {
			return nil, fmt.Errorf("experiment: known story means: %s is %v, the vectors' %v", x.what, x.got, x.want)
		}
	}
	if c == nil || c.Hash() != q.Corpus {
		return nil, fmt.Errorf("experiment: known story means: they are of %w than the one given: corpus_sha256 is %s", ErrCorpus, q.Corpus)
	}
	k := &knownMeans{of: map[emotion.Story][]float32{}, width: f.Width}
	if f.Site != e.site.Site {
		return k, nil
	}
	for i, at := range f.Index {
		if at >= len(c.Stories) {
			return nil, fmt.Errorf("experiment: known story means: row %d is of story %d of %d", i, at, len(c.Stories))
		}
		k.of[c.Stories[at]] = f.Means[i*f.Width:][:f.Width]
	}
	return k, nil
}

// means gives the means of a set's stories, or nil if some are not known.
func (k *knownMeans) means(s *set) []float32 {
	out := make([]float32, 0, len(s.stories)*k.width)
	for _, story := range s.stories {
		m, ok := k.of[story]
		if !ok {
			return nil
		}
		out = append(out, m...)
	}
	return out
}

// batchTexts is how many texts go through the model together.
const batchTexts = 16

// pool gives the means of texts, each of which is long enough to pool.
func (e *identifier) pool(ctx context.Context, stage string, texts []probe.Text, sites []llama.Site) ([][]float32, error) {
	return poolTexts(ctx, e.runner, e.v.Provenance.From, stage, texts, sites, e.opts.Progress)
}

// poolTexts gives the means of texts over the tokens from a position on, at
// sites: one row of all sites' means for each text. Each text must be long
// enough. progress may be nil.
func poolTexts(ctx context.Context, r *llama.Runner, from int, stage string, texts []probe.Text, sites []llama.Site, progress func(stage string, done, total int)) ([][]float32, error) {
	c, err := probe.NewCapturer(r, sites, from, false)
	if err != nil {
		return nil, err
	}
	var out [][]float32
	for batch := range slices.Chunk(texts, batchTexts) {
		pooled, err := c.Capture(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", stage, err)
		}
		for _, p := range pooled {
			out = append(out, slices.Clone(p.Means))
		}
		if progress != nil {
			progress(stage, len(out), len(texts))
		}
	}
	return out, nil
}

// readSidecar gives the training stories' means from the file beside the
// vectors, or nil if there is none for the site.
func (e *identifier) readSidecar() ([]float32, error) {
	if e.opts.Sidecar == "" {
		return nil, nil
	}
	f, err := probe.LoadStories(e.opts.Sidecar)
	if err != nil {
		return nil, err
	}
	if got, want := f.Provenance.MeansSHA256, e.v.Provenance.MeansSHA256; got != want {
		return nil, fmt.Errorf("experiment: %s was written with other vectors: its means_sha256 is %s, theirs %s", e.opts.Sidecar, got, want)
	}
	if f.Site != e.site.Site {
		return nil, nil
	}
	if n := len(e.train.stories); len(f.Emotion) != n || f.Width != e.v.Width {
		return nil, fmt.Errorf("experiment: %s has %d stories of width %d, the corpus %d long enough to pool and the vectors width %d", e.opts.Sidecar, len(f.Emotion), f.Width, n, e.v.Width)
	}
	for i, s := range e.train.stories {
		if f.Emotions[f.Emotion[i]] != s.Emotion || f.Topics[f.Topic[i]] != s.Topic || f.Writers[f.Writer[i]] != s.Writer {
			return nil, fmt.Errorf("experiment: %s: row %d is not the corpus's story of %q on %q", e.opts.Sidecar, i, s.Emotion, s.Topic)
		}
	}
	return f.Means, nil
}

// samples is the training stories, with the means given.
func (e *identifier) samples(site llama.Site, means []float32) *probe.Samples {
	s := &probe.Samples{
		Site: site, Width: e.v.Width, Emotions: len(e.v.Emotions), Hands: 1,
		Emotion: e.train.emotion, Means: means, Threshold: e.v.Provenance.Threshold,
		Hand: make([]int, len(e.train.stories)),
	}
	if e.v.Provenance.Hands { // as the vectors were centred
		s.Hands = len(e.hands)
		for i := range s.Hand {
			s.Hand[i] = e.hands[e.train.stories[i].Writer]
		}
	}
	return s
}

// score computes everything that follows from the means.
func (e *identifier) score() error {
	// Whatever else is derived from the training stories must start from the
	// same means as the vectors did.
	own := e.samples(e.site.Site, e.train.means)
	own.Basis = append([]float32{}, e.site.Basis...)
	check, err := own.Derive()
	if err != nil {
		return err
	}
	if !slices.Equal(check.ByForm[probe.RawMean], e.site.ByForm[probe.RawMean]) {
		return fmt.Errorf("experiment: the training stories' means at %v are not those that the vectors were built from", e.site.Site)
	}

	model, err := e.read(e.site, e.test.means, Readouts())
	if err != nil {
		return err
	}
	e.out.Readouts = scoresOf(model)
	e.out.Score = model[e.out.Readout].score
	if err := e.baselines(model); err != nil {
		return err
	}
	if err := e.regress(model); err != nil {
		return err
	}
	e.describe(model[e.out.Readout])
	return nil
}

func scoresOf(ways map[string]*way) map[string]Score {
	out := make(map[string]Score, len(ways))
	for name, w := range ways {
		out[name] = w.score
	}
	return out
}

// read scores test means [stories, width] with a site's vectors, in each of
// the ways named.
func (e *identifier) read(sv *probe.SiteVectors, means []float32, names []string) (map[string]*way, error) {
	v := &probe.Vectors{
		Provenance: e.v.Provenance, Emotions: e.v.Emotions, Width: e.v.Width, Sites: []probe.SiteVectors{*sv},
	}
	neutral := sv.NeutralMean[e.v.Provenance.Format]
	if neutral == nil {
		neutral = sv.Grand
	}
	centers := map[string][]float32{
		ReadCenteredGrand: sv.Grand, ReadCentered: neutral, ReadCenteredSet: meanRow(means, e.v.Width),
	}
	out := make(map[string]*way, len(names))
	for _, name := range names {
		o := probe.ReaderOptions{Site: &sv.Site, Center: centers[name]}
		if o.Center == nil {
			o.Center = centers[e.out.Readout]
		}
		switch name {
		case ReadZ, ReadZSet:
			o.Score = probe.Z
		case ReadCosine:
			o.Score = probe.CosineOf
		case ReadContrast:
			o.Form = probe.Contrast
		case ReadPlain:
			o.Form = probe.PlainDenoised
		}
		reader, err := v.NewReader(o)
		if err != nil {
			return nil, err
		}
		row := make([]float32, len(v.Emotions))
		var scores [][]float64
		for at := 0; at < len(means); at += e.v.Width {
			reader.Read(means[at:at+e.v.Width], row, nil)
			wide := make([]float64, len(row))
			for i, x := range row {
				wide[i] = float64(x)
			}
			scores = append(scores, wide)
		}
		if name == ReadZSet {
			s := fitScaling(scores)
			for i := range scores {
				scores[i] = s.apply(scores[i])
			}
		}
		if out[name], err = evaluate(&e.labels, e.draws, scores); err != nil {
			return nil, fmt.Errorf("%w, read as %q", err, name)
		}
	}
	return out, nil
}

// meanRow is the mean of rows, rounded once.
func meanRow(rows []float32, width int) []float32 {
	out := make([]float32, width)
	for j := range width {
		sum := 0.0
		for at := j; at < len(rows); at += width {
			sum += float64(rows[at])
		}
		out[j] = float32(sum / float64(len(rows)/width))
	}
	return out
}

// pairedReadouts are the readouts that are compared with baselines and
// repeated after regressions.
func pairedReadouts() []string {
	return []string{ReadCenteredGrand, ReadCentered, ReadCenteredSet, ReadZ}
}

// baselines scores the baselines and compares the model with them.
func (e *identifier) baselines(model map[string]*way) error {
	e.out.Baselines = map[string]Baseline{}
	e.out.Paired = map[string]map[string]Difference{}
	for _, r := range pairedReadouts() {
		e.out.Paired[r] = map[string]Difference{}
	}
	texts := make([]string, len(e.train.stories))
	for i := range texts {
		texts[i] = e.train.text(i)
	}
	n := len(e.v.Emotions)
	for _, name := range []string{BaseTFIDF, BaseFunctionWords, BaseForm} {
		var c classifier
		switch name {
		case BaseTFIDF:
			c = newTFIDF(texts, e.train.emotion, n)
		case BaseFunctionWords:
			c = newNearestCentroid(functionWordRates, texts, e.train.emotion, n)
		case BaseForm:
			c = newNearestCentroid(form, texts, e.train.emotion, n)
		}
		scores := make([][]float64, len(e.test.stories))
		for i := range scores {
			scores[i] = c.scores(e.test.text(i))
		}
		w, err := evaluate(&e.labels, e.draws, scores)
		if err != nil {
			return fmt.Errorf("%w, by %q", err, name)
		}
		e.out.Baselines[name] = Baseline{Score: w.score}
		for _, r := range pairedReadouts() {
			e.out.Paired[r][name] = model[r].minus(w)
		}
	}
	s := e.samples(embeddings, e.train.embed)
	s.Neutral = e.neutral
	sv, err := s.Derive()
	if err != nil {
		return err
	}
	ways, err := e.read(&sv, e.test.embed, Readouts())
	if err != nil {
		return err
	}
	e.out.Baselines[BaseEmbeddings] = Baseline{ways[e.out.Readout].score, scoresOf(ways)}
	for _, r := range pairedReadouts() {
		e.out.Paired[r][BaseEmbeddings] = model[r].minus(ways[r])
	}
	return nil
}

// confounds gives the features of a set's stories that a regression takes out.
// A hand that wrote no training story, and one that is not known, get the
// indicators' means (see scaling) and so nothing is taken out for them.
func (e *identifier) confounds(s *set, name string) [][]float64 {
	hands := len(e.hands) - 1
	share := make([]float64, hands)
	for i := range e.train.stories {
		if h := e.hands[e.train.stories[i].Writer]; h > 0 {
			share[h-1] += 1 / float64(len(e.train.stories))
		}
	}
	out := make([][]float64, len(s.stories))
	for i := range out {
		if name != RegressStyle {
			row := slices.Clone(share)
			if h := e.hands[s.stories[i].Writer]; h > 0 {
				clear(row)
				row[h-1] = 1
			}
			out[i] = append(out[i], row...)
		}
		if name != RegressWriter {
			out[i] = append(append(out[i], functionWordRates(s.text(i))...), form(s.text(i))...)
		}
	}
	return out
}

// regress repeats the identification without what writers and style explain.
func (e *identifier) regress(model map[string]*way) error {
	e.out.Regressed = map[string]Regression{}
	width := e.v.Width
	names := pairedReadouts()
	for k, name := range Regressions() {
		if e.opts.Progress != nil {
			e.opts.Progress("regressions", k, len(Regressions()))
		}
		if name != RegressStyle && len(e.hands) == 1 {
			continue
		}
		features := e.confounds(&e.train, name)
		fit, err := fitRidge(features, e.train.means, width, e.opts.Ridge)
		if err != nil {
			return err
		}
		without := func(s *set, features [][]float64) []float32 {
			var out []float32
			for i, f := range features {
				out = append(out, fit.residual(f, s.means[i*width:][:width])...)
			}
			return out
		}
		s := e.samples(e.site.Site, without(&e.train, features))
		s.Basis = append([]float32{}, e.site.Basis...)
		sv, err := s.Derive()
		if err != nil {
			return err
		}
		sv.NeutralMean = e.site.NeutralMean
		ways, err := e.read(&sv, without(&e.test, e.confounds(&e.test, name)), names)
		if err != nil {
			return err
		}
		r := Regression{
			Score: ways[e.out.Readout].score, Readouts: scoresOf(ways), Difference: map[string]Difference{},
			Features: len(features[0]), Explained: fit.explained,
		}
		for _, n := range names {
			r.Difference[n] = ways[n].minus(model[n])
		}
		e.out.Regressed[name] = r
	}
	if e.opts.Progress != nil {
		e.opts.Progress("regressions", len(Regressions()), len(Regressions()))
	}
	return nil
}

// maxConfused is how many pairs of emotions are listed as confused.
const maxConfused = 20

// describe fills in the tables and texts of the headline readout.
func (e *identifier) describe(w *way) {
	l := &e.labels
	n := float64(l.emotions)
	e.out.Chance = Chance{
		Top1: 1 / n, Top5: min(5/n, 1), MRR: harmonic(l.emotions) / n,
		Family: w.score.FamilyChance, FamilyInterval: w.score.FamilyChanceInterval, Permutations: e.opts.Permutations,
	}
	for k, name := range e.out.Topics {
		t := &w.perTop[k]
		e.out.PerTopic = append(e.out.PerTopic, TopicRow{name, int(t.n), t.figures()})
	}
	for f, family := range emotion.Families() {
		row := FamilyRow{Family: family.Name}
		for i, x := range l.emotion {
			first := w.ranking.first[i]
			if l.family[first] == f {
				row.Chosen++
			}
			if l.family[x] != f {
				continue
			}
			row.N++
			if l.family[first] == f {
				row.Accuracy++
			}
			if first == x {
				row.Top1++
			}
		}
		if row.N > 0 {
			row.Accuracy /= float64(row.N)
			row.Top1 /= float64(row.N)
		}
		e.out.Families = append(e.out.Families, row)
	}
	e.out.Confused = e.confused(w)
	e.out.Definitions = e.definitions()
}

// confused lists the pairs of emotions that were most often confused, ties in
// the order of emotions.
func (e *identifier) confused(w *way) []Confusion {
	n := e.labels.emotions
	counts, stories := make([]int, n*n), make([]int, n)
	for i, x := range e.labels.emotion {
		stories[x]++
		if y := w.ranking.first[i]; y != x {
			counts[x*n+y]++
		}
	}
	var out []Confusion
	for k, c := range counts {
		if c > 0 {
			out = append(out, Confusion{e.v.Emotions[k/n], e.v.Emotions[k%n], c, stories[k/n]})
		}
	}
	slices.SortStableFunc(out, func(a, b Confusion) int { return b.Count - a.Count })
	return out[:min(len(out), maxConfused)]
}

func (e *identifier) definitions() map[string]string {
	from := e.v.Provenance.From
	neutral := "neutral texts"
	if e.site.NeutralMean[e.v.Provenance.Format] == nil {
		neutral = "the training emotions' means, for want of neutral texts,"
	}
	return map[string]string{
		"pooling":           fmt.Sprintf("mean of the residual stream over tokens %d to the last, counted from 1 without BOS; shorter stories are dropped", from),
		"top1":              "share of stories whose own emotion has the highest score of all",
		"top5":              "share of stories whose own emotion is among the five highest scores",
		"mrr":               "mean of 1/rank of the story's own emotion",
		"family":            "share of stories whose highest-scoring emotion is of the story's family, averaged over the families that have stories",
		"intervals":         fmt.Sprintf("95 %% percentile intervals of %d bootstrap draws of the %d test topics with replacement, all stories of a drawn topic together; coarse and somewhat too narrow for few topics", e.opts.Bootstrap, e.labels.topics),
		"family_chance":     fmt.Sprintf("mean of family over %d permutations of the stories' labels, with the interval that holds 95 %% of them", e.opts.Permutations),
		"p":                 "(k+1)/(N+1), k of N permutations of the stories' labels reaching the figure",
		"headline":          fmt.Sprintf("the figures at the top are those of the readout %s; a neutral mean leaves in what all stories have in common, the mean of the training emotions' means takes it out without looking at test stories", e.out.Readout),
		ReadCenteredGrand:   "cosine(h - c, v): h the pooled mean, v the denoised vector, c the mean of the training emotions' means",
		ReadCentered:        fmt.Sprintf("the same with the mean of %s as c", neutral),
		ReadCenteredSet:     "the same with the mean of the test stories as c; uses all test stories at once",
		ReadZ:               "projection of h on the unit denoised vector, standardised for each emotion over the training stories",
		ReadZSet:            "the same, standardised over the test stories; uses all test stories at once",
		ReadCosine:          "cosine(h, v), not centred",
		ReadContrast:        "as the headline readout, with contrast vectors from which no neutral components were removed",
		ReadPlain:           "as the headline readout, with denoised vectors that were not centred within hands",
		BaseTFIDF:           "cosine of the story's words, weighted tf*(ln((1+n)/(1+df))+1) and scaled to length 1, with each emotion's centroid, scaled to length 1; words are runs of at least two letters or digits, in lower case; whole stories",
		BaseFunctionWords:   "nearest centroid (Euclidean) of the shares of function words, standardised over the training stories; whole stories",
		BaseForm:            "nearest centroid (Euclidean) of punctuation marks a word, log words, words a sentence, letters a word and log lines, standardised over the training stories; whole stories",
		BaseEmbeddings:      "the vectors' own recipe and readings applied to the token embeddings (resid_pre:0) of the same positions",
		"paired":            "model minus baseline on the same stories, the same topics drawn for both; embeddings are read in the same way as the model",
		"regressed":         fmt.Sprintf("ridge regression of the stories' pooled means on standardised features, fitted to training stories with penalty %v times their number; taken out of training and test stories; vectors derived anew from what is left, with the neutral mean and components of the vectors", e.opts.Ridge),
		"regress_writer":    "features: one indicator for each hand",
		"regress_style":     "features: those of function_words and punctuation_length",
		"baselines_fit":     "on the stories that the vectors were built from, and nothing else",
		"confused":          "pairs (emotion, read as) by the number of stories of the one whose highest score was the other's",
		"chance_analytical": "top1 1/E, top5 5/E, mrr (1+1/2+...+1/E)/E for E emotions",
	}
}
