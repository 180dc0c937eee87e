// Meter shows the emotions of a conversation while it goes on. It reads lines
// from standard input, the user's and the assistant's in turn:
//
//	printf 'I lost my dog.\nI am so sorry!\n' | go run ./examples/meter
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/probe"
)

// sample is read where standard input has nothing to say.
const sample = `My dog ran away last night. I looked for him everywhere!
I am so sorry. That must be very hard. Where did you see him last?
Wait, I hear something. He is at the door! He came home!
Oh, how lovely! Give him a big hug and some water.
`

// shown are the emotions with a bar.
var shown = []string{"calm", "desperate", "afraid", "happy"}

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		log.Fatal("meter: ", err)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	ctx := context.Background()
	flags := flag.NewFlagSet("meter", flag.ExitOnError)
	modelFile := flags.String("model", "", "read with the model in `FILE.gguf` instead of the embedded one; needs -vectors")
	vectorsFile := flags.String("vectors", "", "vectors of -model, in a `FILE` of limbic vectors build")
	flags.Parse(args)
	model, vectors, err := open(ctx, *modelFile, *vectorsFile)
	if err != nil {
		return err
	}
	defer model.Close()
	return meter(ctx, model, vectors, orSample(in), func(m chat.Message, emotions []string, scores []float64) error {
		fmt.Fprintf(out, "%s: %s\n", m.Role, m.Content)
		for _, name := range shown {
			i := slices.Index(emotions, name)
			if i < 0 {
				continue // these vectors lack it
			}
			fmt.Fprintf(out, "  %-10s %+.3f %s\n", name, scores[i], bar(scores[i]))
		}
		highest := slices.Index(scores, slices.Max(scores))
		_, err := fmt.Fprintf(out, "  highest of %d: %s %+.3f\n\n", len(scores), emotions[highest], scores[highest])
		return err
	})
}

// meter reads a conversation, one message a line, the user's and the assistant's
// in turn, and tells show how strong each emotion is in each message: the mean of
// the scores at its tokens.
func meter(ctx context.Context, model *llama.Model, vectors *probe.Vectors, in io.Reader,
	show func(m chat.Message, emotions []string, scores []float64) error) error {
	runner, err := model.NewRunner(llama.RunnerOptions{})
	if err != nil {
		return err
	}
	defer runner.Close()
	format, err := chat.FromGGUF(model.File(), model.Tokenizer(), "")
	if errors.Is(err, chat.ErrNoTemplate) {
		format, err = chat.HumanAssistant(model.Tokenizer()), nil
	}
	if err != nil {
		return err
	}
	reader, err := vectors.NewReader(probe.ReaderOptions{}) // of all emotions
	if err != nil {
		return err
	}
	var message chat.Span // the tokens to read
	means := make([]float64, len(reader.Emotions()))
	hook := reader.Hook(func(row llama.Row, scores, _ []float32) error {
		if message.From <= row.Pos && row.Pos < message.Until {
			for i, s := range scores {
				means[i] += float64(s) / float64(message.Until-message.From)
			}
		}
		return nil
	})

	sequence := runner.NewSequence()
	var c chat.Conversation
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		said := chat.Message{Role: []string{chat.User, chat.Assistant}[len(c.Messages)%2], Content: lines.Text()}
		c.Messages = append(c.Messages, said)
		prompt, err := format.Prompt(ctx, c, chat.Options{})
		if err != nil {
			return err
		}
		message = prompt.Turns[len(c.Messages)-1].Content
		if message.From == message.Until {
			return fmt.Errorf("message %d: the chat template leaves it out", len(c.Messages))
		}
		clear(means)
		// What the model has read before, it need not read again.
		known := sequence.Common(prompt.Tokens)
		sequence.Truncate(known)
		err = runner.Forward(ctx, &llama.Pass{
			Spans: []llama.Span{{Seq: sequence, Tokens: prompt.Tokens[known:], Roles: prompt.Roles[known:]}},
			Hooks: []*llama.Hook{hook},
		})
		if err != nil {
			return err
		}
		if err := show(said, reader.Emotions(), means); err != nil {
			return err
		}
	}
	return lines.Err()
}

// bar draws a score, to the left of the middle where it is negative.
func bar(score float64) string {
	const width, full = 12, 0.3
	n := min(width, int(math.Round(width*math.Abs(score)/full)))
	blocks, rest := strings.Repeat("█", n), strings.Repeat(" ", width-n)
	if score < 0 {
		return rest + blocks + "│"
	}
	return strings.Repeat(" ", width) + "│" + blocks
}

// open opens the embedded model and vectors, or those in files.
func open(ctx context.Context, modelFile, vectorsFile string) (*llama.Model, *probe.Vectors, error) {
	if (modelFile == "") != (vectorsFile == "") {
		return nil, nil, errors.New("-model and -vectors need each other: vectors are those of one model")
	}
	if modelFile == "" {
		vectors, err := demo.Vectors()
		if err != nil {
			return nil, nil, err
		}
		model, err := demo.Model()
		return model, vectors, err
	}
	model, err := llama.Open(modelFile)
	if err != nil {
		return nil, nil, err
	}
	vectors, err := probe.LoadFor(ctx, vectorsFile, model)
	return model, vectors, err
}

// orSample gives the sample for an input that is a terminal or empty.
func orSample(in io.Reader) io.Reader {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return strings.NewReader(sample)
		}
	}
	input := bufio.NewReader(in)
	if _, err := input.Peek(1); err == io.EOF {
		return strings.NewReader(sample)
	}
	return input
}
