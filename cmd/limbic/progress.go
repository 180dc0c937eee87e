package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressDelay is how long work must take before a bar appears: one that
// flashes by tells nothing.
const progressDelay = 400 * time.Millisecond

// progress gives a function that is told how much of a long work is done, and
// one to call at its end. They show a bar with the time left on standard
// error if that is a terminal, and do nothing otherwise.
func (a *app) progress(what string) (update func(done, total int), finish func()) {
	if !a.stderrTerminal {
		return func(int, int) {}, func() {}
	}
	start := time.Now()
	var bar *progressbar.ProgressBar
	update = func(done, total int) {
		if bar == nil {
			bar = progressbar.NewOptions(total,
				progressbar.OptionSetWriter(a.stderr),
				progressbar.OptionSetDescription(what),
				progressbar.OptionSetWidth(30),
				progressbar.OptionShowCount(),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
				progressbar.OptionSetRenderBlankState(false),
			)
		}
		if time.Since(start) >= progressDelay {
			// A bar that cannot be drawn is no reason to stop the work.
			_ = bar.Set(done)
		}
	}
	finish = func() {
		if bar != nil && time.Since(start) >= progressDelay {
			_ = bar.Clear()
		}
	}
	return update, finish
}
