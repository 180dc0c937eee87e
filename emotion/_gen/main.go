// Gen makes the archive of the corpus that package emotion embeds, and turns it
// back into a folder that people can read and change:
//
//	go run ./emotion/_gen -extract DIR                         # archive to folder
//	go run ./emotion/_gen -o emotion/corpus.tar.gz DIR         # folder to archive
//	go run ./emotion/_gen -embedded -o emotion/corpus.tar.gz   # compress again
//
// A folder is read and checked as any user's corpus is, so the archive holds
// nothing that the layout does not name. After a change of the corpus, set
// emotion.Version and emotion.EmbeddedHash to what is printed.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/limbic-go/limbic/emotion"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("o", "", "write the archive to this `file`")
	extract := flag.String("extract", "", "write the embedded corpus to this `folder`")
	same := flag.Bool("embedded", false, "take the embedded corpus instead of a folder")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: gen -extract DIR | gen -o FILE DIR | gen -o FILE -embedded")
		flag.PrintDefaults()
	}
	flag.Parse()

	if *extract != "" {
		if *out != "" || *same || flag.NArg() != 0 {
			return errors.New("-extract goes with nothing else")
		}
		return emotion.Embedded().Export(*extract)
	}
	if *out == "" {
		return errors.New("nothing to do: give -o or -extract (see -h)")
	}
	var c *emotion.Corpus
	switch {
	case *same && flag.NArg() == 0:
		c = emotion.Embedded()
	case !*same && flag.NArg() == 1:
		var err error
		if c, err = emotion.LoadDir(flag.Arg(0)); err != nil {
			return err
		}
	default:
		return errors.New("give either one folder or -embedded")
	}
	var b bytes.Buffer
	// The header carries neither name nor time, so equal corpora give equal
	// bytes as long as the compressor stays the same.
	zw, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := c.WriteTar(zw); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(*out, b.Bytes(), 0o666); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes\n", *out, b.Len())
	fmt.Printf("%d emotions, %d topics, %d stories, %d neutral texts, %d dialogues\n",
		len(c.Emotions), len(c.Topics), len(c.Stories), len(c.Neutral), len(c.Dialogues))
	hash := c.Hash()
	fmt.Println("hash", hash)
	switch {
	case hash == emotion.EmbeddedHash:
		fmt.Printf("this is version %s\n", emotion.Version)
	default:
		fmt.Printf("this is not version %s: raise emotion.Version and set emotion.EmbeddedHash\n", emotion.Version)
	}
	return nil
}
