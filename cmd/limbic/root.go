package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/asm"
)

// commands lists the constructors of all commands, in the order of the help.
var commands = []func(*app) *cobra.Command{
	newDemo,
	newInfo,
	newTokenize,
	newLogits,
	newTrace,
	newPerplexity,
	newGenerate,
	newChat,
	newProbe,
	newSteer,
	newVectors,
	newGeometry,
	newBench,
	newPull,
	newModels,
	newConvert,
	newVersion,
}

// An app is one run of the program: where it reads and writes, and the flags
// that all commands share.
type app struct {
	stdin          io.Reader
	stdout         *output
	stderr         io.Writer
	stdoutTerminal bool // a person is looking at stdout
	stderrTerminal bool
	json           bool // --json
}

// run runs one command line and gives the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{
		stdin:          stdin,
		stdout:         &output{w: stdout},
		stderr:         stderr,
		stdoutTerminal: isTerminal(stdout),
		stderrTerminal: isTerminal(stderr),
	}
	root := a.root()
	args = commandFirst(root, args)
	root.SetArgs(args)
	if err := asm.EnvironmentError(); err != nil {
		return a.exit(ctx, root, usageError{err})
	}
	// Find is asked beforehand because its own message has several lines.
	if _, _, err := root.Find(args); err != nil {
		return a.exit(ctx, root, unknownCommand(root, args))
	}
	cmd, err := root.ExecuteContextC(ctx)
	return a.exit(ctx, cmd, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "limbic",
		Short: "Find, read and steer emotion vectors in language models",
		Long: `limbic runs language models on the CPU and finds, reads and steers
emotion vectors inside them.

MODEL is a path to a .gguf file or to a folder from Hugging Face, the name of a
model that limbic pull fetched or another program keeps (limbic models lists
them), or demo for the small model in the program, and VECTORS a vectors file, or
demo for the vectors of that model. TEXT is taken as it is; - reads it from
standard input, and --file F from a file. Flags may stand anywhere; -- ends them.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`,
		Version:                    version,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	root.SetHelpCommand(newHelp())
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON document on standard output and nothing else")
	for _, c := range commands {
		root.AddCommand(c(a))
	}
	// Cobra adds these only when it executes, after run has looked at them.
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// newHelp replaces cobra's own command, which succeeds on unknown topics.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), args)
			}
			topic.InitDefaultHelpFlag()
			topic.InitDefaultVersionFlag()
			return topic.Help()
		},
	}
}

// newGroup makes a command that only holds others, such as "limbic vectors".
func newGroup(use, short string, children ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		// Cobra sets this only for the parent of a command that it finds itself.
		SuggestionsMinimumDistance: 2,
		// An unknown subcommand is worth a better message than its flags are.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args)
			}
			return cmd.Help()
		},
	}
	group.AddCommand(children...)
	return group
}

// unknownCommand says that the first of args that is no flag is not a command,
// and which command comes near.
func unknownCommand(parent *cobra.Command, args []string) error {
	name := ""
	if i := slices.IndexFunc(args, func(s string) bool { return !strings.HasPrefix(s, "-") }); i >= 0 {
		name = args[i]
	}
	hint := ""
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return usagef("unknown command %q%s", name, hint)
}

// commandFirst moves the command's name before the flags that stand before it,
// because cobra would take it for the value of a flag that it doesn't know yet.
func commandFirst(root *cobra.Command, args []string) []string {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") {
		return slices.Concat([]string{}, args) // never nil: cobra would read os.Args
	}
	for i, s := range args {
		if s == "--" {
			break
		}
		if slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == s }) {
			return slices.Concat([]string{s}, args[:i], args[i+1:])
		}
	}
	return args
}
