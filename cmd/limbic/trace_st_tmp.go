package main

import (
	"errors"
	"io"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
)

func writeTraceSafetensors(w io.Writer, s *spool, sites []llama.Site, tokens []token.Token, p provenance) error {
	return errors.New("x")
}
