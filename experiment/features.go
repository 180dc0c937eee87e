package experiment

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/limbic-go/limbic/emotion"
)

// words splits a text into its words in lower case: maximal runs of letters
// and digits, in which an apostrophe may stand between two of them. Curly
// apostrophes count as straight ones.
func words(text string) []string {
	var out []string
	var word []rune
	runes := []rune(strings.ReplaceAll(text, "’", "'"))
	for i, r := range runes {
		inner := r == '\'' && len(word) > 0 && i+1 < len(runes) && isWord(runes[i+1])
		if isWord(r) || inner {
			word = append(word, unicode.ToLower(r))
			continue
		}
		if len(word) > 0 {
			out = append(out, string(word))
			word = word[:0]
		}
	}
	if len(word) > 0 {
		out = append(out, string(word))
	}
	return out
}

// terms are the words that tf-idf weighs, as scikit-learn's vectorizer finds
// them by default: maximal runs of at least two letters or digits, in lower
// case.
func terms(text string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !isWord(r) }) {
		if len([]rune(w)) > 1 {
			out = append(out, w)
		}
	}
	return out
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

var functionWords = emotion.FunctionWords()

// functionWordRates is, for each of emotion.FunctionWords, its share of the
// words of a text.
func functionWordRates(text string) []float64 {
	list := functionWords
	rates := make([]float64, len(list))
	all := words(text)
	for _, w := range all {
		if i, ok := slices.BinarySearch(list, w); ok {
			rates[i]++
		}
	}
	for i := range rates {
		rates[i] /= float64(max(len(all), 1))
	}
	return rates
}

// punctuationMarks are counted each by itself; members of a group count as one.
var punctuationMarks = [...]string{
	",", ".", ";", ":", "?", "!", "-", "–—", "'’‘", "\"“”", "…", "()",
}

// formNames name the features of form.
var formNames = func() []string {
	var names []string
	for _, m := range punctuationMarks {
		names = append(names, m+" a word")
	}
	return append(names, "log words", "words a sentence", "letters a word", "log lines")
}()

// form is what can be said of a text without reading its words: how many of
// each punctuation mark there are for each word, the logarithm of the number
// of words, words for each sentence, letters for each word, and the logarithm
// of the number of lines that are not blank. A sentence ends with a run of
// . ! ? and … that no letter or digit follows; there is at least one.
func form(text string) []float64 {
	all := words(text)
	n := float64(max(len(all), 1))
	out := make([]float64, 0, len(formNames))
	for _, group := range punctuationMarks {
		count := 0
		for _, r := range text {
			if strings.ContainsRune(group, r) {
				count++
			}
		}
		out = append(out, float64(count)/n)
	}
	letters, sentences, lines := 0, 0, 0
	for _, w := range all {
		letters += len([]rune(w))
	}
	ending := false
	for _, r := range text + "\n" {
		end := strings.ContainsRune(".!?…", r)
		if ending && !end && !isWord(r) {
			sentences++
		}
		ending = end
	}
	for _, l := range strings.Split(text, "\n") {
		if strings.TrimSpace(l) != "" {
			lines++
		}
	}
	return append(out, math.Log(n), n/float64(max(sentences, 1)), float64(letters)/n, math.Log(float64(max(lines, 1))))
}

// A scaling standardises features with the mean and the standard deviation
// that they had where it was fitted.
type scaling struct{ mean, sd []float64 }

// fitScaling finds the mean and the standard deviation (n) of each column.
func fitScaling(rows [][]float64) scaling {
	width := len(rows[0])
	s := scaling{make([]float64, width), make([]float64, width)}
	n := float64(len(rows))
	for _, r := range rows {
		for j, x := range r {
			s.mean[j] += x / n
		}
	}
	for _, r := range rows {
		for j, x := range r {
			d := x - s.mean[j]
			s.sd[j] += float64(d*d) / n
		}
	}
	for j := range s.sd {
		s.sd[j] = math.Sqrt(s.sd[j])
		// A constant column differs from its mean by rounding alone.
		if s.sd[j] <= 1e-12*math.Abs(s.mean[j]) {
			s.sd[j] = 0
		}
	}
	return s
}

// apply standardises a row; columns that were constant become 0.
func (s scaling) apply(row []float64) []float64 {
	out := make([]float64, len(row))
	for j, x := range row {
		if s.sd[j] > 0 {
			out[j] = (x - s.mean[j]) / s.sd[j]
		}
	}
	return out
}

// A classifier scores a text for each emotion; higher is likelier.
type classifier interface {
	scores(text string) []float64
}

// A nearestCentroid classifies by the distance between a text's standardised
// features and the mean of each class's.
type nearestCentroid struct {
	features  func(string) []float64
	scaling   scaling
	centroids [][]float64
}

// newNearestCentroid fits scaling and centroids to texts of given classes.
func newNearestCentroid(features func(string) []float64, texts []string, class []int, classes int) *nearestCentroid {
	rows := make([][]float64, len(texts))
	for i, t := range texts {
		rows[i] = features(t)
	}
	c := &nearestCentroid{features: features, scaling: fitScaling(rows), centroids: make([][]float64, classes)}
	counts := make([]float64, classes)
	for k := range c.centroids {
		c.centroids[k] = make([]float64, len(rows[0]))
	}
	for i, r := range rows {
		counts[class[i]]++
		for j, x := range c.scaling.apply(r) {
			c.centroids[class[i]][j] += x
		}
	}
	for k, n := range counts {
		for j := range c.centroids[k] {
			c.centroids[k][j] /= max(n, 1)
		}
	}
	return c
}

// scores gives minus the squared Euclidean distance to each centroid.
func (c *nearestCentroid) scores(text string) []float64 {
	x := c.scaling.apply(c.features(text))
	out := make([]float64, len(c.centroids))
	for k, m := range c.centroids {
		for j := range x {
			d := x[j] - m[j]
			out[k] -= float64(d * d)
		}
	}
	return out
}

// A tfidf classifies by the cosine between a text's weighted words and the
// centroid of each class. With n training texts, df of which hold a word, the
// weight of a word that stands tf times in a text is
// tf·(ln((1+n)/(1+df)) + 1), and each text is scaled to length 1. A centroid
// is the mean of its class's texts, scaled to length 1. Words that no training
// text holds are left out.
type tfidf struct {
	index     map[string]int
	idf       []float64
	centroids [][]float64 // [class][word]
}

func newTFIDF(texts []string, class []int, classes int) *tfidf {
	t := &tfidf{index: map[string]int{}}
	var df []float64
	for _, text := range texts {
		seen := map[int]bool{}
		for _, w := range terms(text) {
			i, ok := t.index[w]
			if !ok {
				i = len(df)
				t.index[w] = i
				df = append(df, 0)
			}
			if !seen[i] {
				seen[i] = true
				df[i]++
			}
		}
	}
	n := float64(len(texts))
	for _, d := range df {
		t.idf = append(t.idf, math.Log((1+n)/(1+d))+1)
	}
	t.centroids = make([][]float64, classes)
	for k := range t.centroids {
		t.centroids[k] = make([]float64, len(df))
	}
	for i, text := range texts {
		at, weight := t.weights(text)
		for j, w := range at {
			t.centroids[class[i]][w] += weight[j]
		}
	}
	for _, c := range t.centroids {
		normalise(c)
	}
	return t
}

// weights gives the words of a text that have a weight, in the order in which
// they first come, and their weights.
func (t *tfidf) weights(text string) (at []int, weight []float64) {
	place := map[int]int{}
	for _, w := range terms(text) {
		i, ok := t.index[w]
		if !ok {
			continue
		}
		p, ok := place[i]
		if !ok {
			p = len(at)
			place[i] = p
			at, weight = append(at, i), append(weight, 0)
		}
		weight[p] += t.idf[i]
	}
	normalise(weight)
	return at, weight
}

func (t *tfidf) scores(text string) []float64 {
	at, weight := t.weights(text)
	out := make([]float64, len(t.centroids))
	for k, c := range t.centroids {
		for j, w := range at {
			out[k] += float64(weight[j] * c[w])
		}
	}
	return out
}

// normalise scales a vector to length 1; a zero vector stays zero.
func normalise(x []float64) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v * v)
	}
	if sum == 0 {
		return
	}
	norm := math.Sqrt(sum)
	for i := range x {
		x[i] /= norm
	}
}
