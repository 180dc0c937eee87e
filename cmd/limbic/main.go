// Command limbic finds, reads and steers emotion vectors in language models.
//
// This package turns flags into calls of the library and results into text or
// JSON; it computes nothing itself. Each command has a file of its own, which
// ends in a constructor that root.go lists.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Without this, a write to a closed pipe would kill the process before
	// temporary files are gone; so it becomes an error of the write.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
