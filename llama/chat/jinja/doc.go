// Package jinja renders the chat templates that model files carry, as
// transformers renders them with Python's Jinja2: trim_blocks and lstrip_blocks
// on, an immutable sandbox, break and continue, {% generation %}, and the
// functions raise_exception, strftime_now and tojson.
//
//	t, err := jinja.Parse(source)
//	out, err := t.Render(ctx, jinja.Options{Variables: ...})
//
// # Where text comes from
//
// Strings remember which of their bytes were given as [Marked], through all that
// a template does with them: joining, cutting, trimming, replacing. The output
// says for every byte whether the template or a mark wrote it ([Part]). So a
// caller can treat as special what the template spells, and as text what a user
// wrote, even where both spell the same.
//
// # What is left out
//
// include, import, extends, block and trans are errors that say the line; so are
// filters, tests and methods that no chat template uses, where one is come to. Integers have 64 bits, and
// overflow is an error.
//
// # Hostile templates
//
// A template comes from a file that anybody may have made. Rendering it does
// nothing but compute a text: it reads no file, no clock and no environment.
// Every step and every byte of every string that it makes counts against
// [Options.MaxSteps] and [Options.MaxBytes], which bound time and memory, nesting
// and recursion are bounded, and the context is looked at as it goes.
package jinja
