package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// A usageError is an error in the command line itself, as opposed to one in
// what it asks for.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flagError puts the flag library's messages into words for users.
func flagError(err error) error {
	s := err.Error()
	if strings.HasPrefix(s, "unknown shorthand flag") {
		s += "; a TEXT that begins with - goes after --"
	}
	// The value stands before it already: strconv.ParseInt: parsing "x": …
	if before, rest, ok := strings.Cut(s, "strconv."); ok {
		s = before + rest[strings.LastIndex(rest, ": ")+2:]
	}
	return errors.New(s)
}

// exit reports how a command ended on standard error, and gives the exit
// status.
func (a *app) exit(ctx context.Context, cmd *cobra.Command, err error) int {
	// What writes tables and help may not have looked at its errors.
	if err == nil && a.stdout.err != nil {
		err = a.stdout.err
	}
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "limbic: %s (see '%s --help')\n", oneLine(err.Error()), cmd.CommandPath())
		return exitUsage
	case a.stdout.err != nil && errors.Is(a.stdout.err, syscall.EPIPE):
		return exitFailed // whoever read has seen enough: nothing to complain about
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(a.stderr, "limbic: interrupted%s\n", interruptedAt(err))
		return exitInterrupted
	}
	fmt.Fprintf(a.stderr, "limbic: %s\n", oneLine(err.Error()))
	return exitFailed
}

// An interruptedError says what had been done when the context ended.
type interruptedError struct {
	err  error
	done string
}

func (e interruptedError) Error() string { return e.done + ": " + e.err.Error() }
func (e interruptedError) Unwrap() error { return e.err }

func interruptedAt(err error) string {
	var at interruptedError
	if errors.As(err, &at) {
		return " " + oneLine(at.done)
	}
	return ""
}

// oneLine makes a message that may quote a file's contents fit for one line of
// a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}
