package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/probe"
)

// A batch of texts goes through the model together: so many, or fewer where
// they have so many tokens. What a text scores does not depend on its company.
const (
	probeBatchTexts  = 16
	probeBatchTokens = 1024
)

// many scores the texts of --input.
func (p *prober) many(ctx context.Context) error {
	name, in := "standard input", p.app.stdin
	if p.flags.input != "-" {
		f, err := os.Open(p.flags.input)
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		defer f.Close()
		name, in = p.flags.input, f
	}
	if p.flags.csv {
		if err := p.writeCSV([][]string{{"id", "token_index", "start", "end", "token", "emotion", "score", "cosine"}}); err != nil {
			return err
		}
	}
	// The reader must not wait for somebody to take its lines once this
	// function has returned.
	reading, stop := context.WithCancel(ctx)
	defer stop()
	lines := readLines(reading, in)

	done, size := 0, 0
	progress, finish := func(int, int) {}, func() {}
	if !p.app.stdoutTerminal { // where lines show how far it is
		progress, finish = p.app.progress("texts")
	}
	defer finish()
	var batch []*probeDoc
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := p.batch(ctx, batch); err != nil {
			return err
		}
		done, size, batch = done+len(batch), 0, nil
		progress(done, -1) // nobody knows of how many
		return nil
	}
	err := func() error {
		for {
			var l line
			ok := true
			select {
			case l, ok = <-lines:
			default:
				// Whoever writes the lines waits, perhaps for an answer.
				if err := flush(); err != nil {
					return err
				}
				select {
				case l, ok = <-lines:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if !ok {
				return flush()
			}
			d, err := p.parse(ctx, l)
			if err != nil {
				// Good lines before a bad one are not lost.
				return cmp.Or(flush(), fmt.Errorf("%s: line %d: %w", name, l.number, err))
			}
			if d == nil {
				continue
			}
			batch, size = append(batch, d), size+len(d.prompt.Tokens)
			if len(batch) >= probeBatchTexts || size >= probeBatchTokens {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}()
	if err != nil && ctx.Err() != nil {
		return interruptedError{err, fmt.Sprintf("after %s", counted(done, "text"))}
	}
	return err
}

// A line of an input; err is an error in reading it.
type line struct {
	number int // counted from 1
	text   []byte
	err    error
}

// readLines gives the lines of r until ctx ends.
func readLines(ctx context.Context, r io.Reader) <-chan line {
	lines := make(chan line, 2*probeBatchTexts)
	go func() {
		defer close(lines)
		b := bufio.NewReader(r)
		for n := 1; ; n++ {
			text, err := b.ReadBytes('\n')
			l := line{number: n, text: text}
			if err != nil && err != io.EOF {
				l.err = err
			}
			if len(text) > 0 || l.err != nil {
				select {
				case lines <- l:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// parse reads a line as a text to score: nil for a blank line. The number of
// the line stands in for an id.
func (p *prober) parse(ctx context.Context, l line) (*probeDoc, error) {
	doc, err := parseLine(l)
	if doc == nil || err != nil {
		return nil, err
	}
	d := &probeDoc{id: doc.ID}
	if d.id == nil || string(d.id) == "null" {
		d.id = json.RawMessage(strconv.Itoa(l.number))
	}
	var c chat.Conversation
	if doc.Messages != nil {
		if p.text.chat.format == chat.NameRaw {
			return nil, errors.New(`"messages" and --format raw exclude each other: raw text has no turns`)
		}
		c, err = p.text.chat.ofMessages(doc.Messages)
	} else {
		c, err = p.text.chat.ofText(*doc.Text)
	}
	if err != nil {
		return nil, err
	}
	if d.prompt, err = p.prompts.prompt(ctx, c, doc.Messages != nil); err != nil {
		return nil, err
	}
	return d, p.engine.checkContext(d.prompt.Tokens)
}

// A textLine is a line of a file of texts.
type textLine struct {
	ID       json.RawMessage `json:"id"`
	Text     *string         `json:"text"`
	Messages json.RawMessage `json:"messages"`
}

// parseLine reads a line of JSON: nil for a blank line.
func parseLine(l line) (*textLine, error) {
	text := bytes.TrimSpace(l.text)
	switch {
	case l.err != nil:
		return nil, l.err
	case len(text) == 0:
		return nil, nil
	case !utf8.Valid(text):
		return nil, errors.New("is not valid UTF-8")
	}
	var doc *textLine
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf(`want {"id": ..., "text": "..."}: %w`, err)
	}
	switch {
	case doc == nil:
		return nil, errors.New(`want {"id": ..., "text": "..."}: there is null`)
	case doc.Text != nil && doc.Messages != nil:
		return nil, errors.New(`there are "text" and "messages": give one`)
	case doc.Text == nil && doc.Messages == nil:
		return nil, errors.New(`"text" is missing`)
	}
	if doc.ID != nil && strings.ContainsAny(string(doc.ID[:1]), "{[tf") {
		return nil, errors.New(`"id" is neither a string nor a number`)
	}
	return doc, nil
}

// batch scores texts together and writes what they give.
func (p *prober) batch(ctx context.Context, docs []*probeDoc) error {
	pass := &llama.Pass{}
	var in []*probeDoc // that of each span
	pass.Hooks = []*llama.Hook{p.reader.Hook(func(row llama.Row, scores, cosine []float32) error {
		in[row.Span].add(scores, cosine)
		return nil
	})}
	for _, d := range docs {
		if len(d.prompt.Tokens) == 0 {
			continue
		}
		s := p.engine.runner.NewSequence()
		defer s.Close()
		pass.Spans = append(pass.Spans, llama.Span{Seq: s, Tokens: d.prompt.Tokens, Roles: d.prompt.Roles})
		in = append(in, d)
	}
	if len(in) > 0 {
		if err := p.engine.runner.Forward(ctx, pass); err != nil {
			return err
		}
	}
	for _, d := range docs {
		r, err := p.result(d)
		if err != nil {
			return fmt.Errorf("text %s: %w", d.id, err)
		}
		if p.flags.csv {
			err = p.writeCSV(r.rows())
		} else {
			err = p.app.writeJSON(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *prober) writeCSV(rows [][]string) error {
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		return err
	}
	_, err := p.app.stdout.Write(b.Bytes())
	return err
}

// rows gives the scores as rows of a long table.
func (r *probeResult) rows() [][]string {
	id := string(r.ID)
	var s string
	if json.Unmarshal(r.ID, &s) == nil {
		id = s
	}
	var rows [][]string
	for i, t := range r.Tokens.Tokens {
		for k, name := range r.Emotions {
			rows = append(rows, []string{
				id, strconv.Itoa(i), strconv.Itoa(t.Start), strconv.Itoa(t.End), t.Text, name,
				strconv.FormatFloat(float64(r.Scores[i][k]), 'g', -1, 32), strconv.FormatFloat(float64(r.Cosine[i][k]), 'g', -1, 32),
			})
		}
	}
	return rows
}

// centerOf computes the centre that --center set:FILE asks for, the mean of
// the texts' means, and says what it is. Texts are pooled as the stories were.
func (p *prober) centerOf(ctx context.Context, path string, site llama.Site) (center []float32, about string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	sum, err := probe.FileSHA256(path)
	if err != nil {
		return nil, "", err
	}
	var texts []probe.Text
	add := func(s string) error {
		t := probe.Text{Tokens: p.text.encode(p.app, p.engine.tok, s)}
		if bos, ok := p.engine.tok.BOS(); ok && len(t.Tokens) > 0 && t.Tokens[0].ID == bos {
			t.Skip = 1
		}
		texts = append(texts, t)
		return p.engine.checkContext(t.Tokens)
	}
	if strings.ToLower(filepath.Ext(path)) == ".jsonl" {
		number := 0
		for text := range bytes.Lines(b) {
			number++
			doc, err := parseLine(line{number: number, text: text})
			if err == nil && doc != nil {
				if doc.Text == nil {
					err = errors.New(`"text" is missing`)
				} else {
					err = add(*doc.Text)
				}
			}
			if err != nil {
				return nil, "", fmt.Errorf("line %d: %w", number, err)
			}
		}
	} else if err := add(string(b)); err != nil {
		return nil, "", err
	}

	from := p.vectors.Provenance.From
	c, err := probe.NewCapturer(p.engine.runner, []llama.Site{site}, from, false)
	if err != nil {
		return nil, "", err
	}
	var mean probe.Sum
	progress, finish := p.app.progress("centre")
	defer finish()
	for at := 0; at < len(texts); at += probeBatchTexts {
		until := min(at+probeBatchTexts, len(texts))
		pooled, err := c.Capture(ctx, texts[at:until])
		if err != nil {
			return nil, "", err
		}
		for _, t := range pooled {
			if t.Positions == 0 {
				continue
			}
			if err := mean.Add(t.Means); err != nil {
				return nil, "", err
			}
		}
		progress(until, len(texts))
	}
	used := int(mean.N)
	switch {
	case used == 0:
		return nil, "", fmt.Errorf("none of %s has %d tokens or more, from where the vectors' stories were pooled", counted(len(texts), "text"), from)
	case used < len(texts):
		p.app.warn("--center: %s of %d shorter than %d tokens left out", counted(len(texts)-used, "text"), len(texts), from)
	}
	center = make([]float32, p.vectors.Width)
	mean.Mean(center)
	return center, fmt.Sprintf("the mean of the means of %s, pooled from token %d, of the file with SHA-256 %s", counted(used, "text"), from, sum), nil
}
