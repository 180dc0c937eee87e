package emotion_test

import (
	"fmt"

	"github.com/limbic-go/limbic/emotion"
)

func ExampleEmbedded() {
	c := emotion.Embedded()
	fmt.Println(len(c.Emotions), "emotions,", len(c.Topics), "topics,", len(c.Stories), "stories")
	s := c.StoriesOf("at ease")[0]
	fmt.Println(s.Topic, s.Writer)
	fmt.Println(s.Text[:58])
	// Output:
	// 171 emotions, 24 topics, 4104 stories
	// school h01
	// On his first day Emre had counted the ceiling tiles; by no
}

func ExampleResolve() {
	name, err := emotion.Resolve(emotion.Emotions(), "At-Ease")
	fmt.Println(name, err)
	_, err = emotion.Resolve(emotion.Emotions(), "desprate")
	fmt.Println(err)
	// Output:
	// at ease <nil>
	// emotion: unknown emotion "desprate": did you mean "desperate"?
}

func ExampleCorpus_Select() {
	train, err := emotion.Embedded().Select(emotion.Filter{
		Emotions:      emotion.Canonical12(),
		ExcludeTopics: []string{"night", "memory"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(train.Stories), "stories,", len(train.Neutral), "neutral texts")
	// Output:
	// 264 stories, 220 neutral texts
}
