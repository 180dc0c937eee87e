package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every word of the committed kernels is what LLVM assembles the text beside it
// to. Without LLVM the test is skipped; .ci/run installs it.
func TestWordsAreTheirText(t *testing.T) {
	llvm, err := exec.LookPath("llvm-mc")
	if err != nil {
		t.Skip("no llvm-mc")
	}
	words := map[string]string{} // by text
	for _, file := range []string{"../../kernels_arm64.s", "../../packed_arm64.s"} {
		kernels, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`WORD \$0x([0-9a-f]{8}) // (.*)`).FindAllStringSubmatch(string(kernels), -1) {
			if w, ok := words[m[2]]; ok && w != m[1] {
				t.Errorf("%s is both %s and %s", m[2], w, m[1])
			}
			words[m[2]] = m[1]
		}
	}
	if len(words) < 100 {
		t.Fatalf("%d instructions found", len(words))
	}
	var texts []string
	for text := range words {
		texts = append(texts, text)
	}
	cmd := exec.Command(llvm, "-triple=aarch64", "-mattr=+dotprod", "--show-encoding")
	cmd.Stdin = strings.NewReader(strings.Join(texts, "\n"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	encodings := regexp.MustCompile(`encoding: \[0x(..),0x(..),0x(..),0x(..)\]`).FindAllStringSubmatch(string(out), -1)
	if len(encodings) != len(texts) {
		t.Fatalf("%d of %d texts assembled", len(encodings), len(texts))
	}
	for i, e := range encodings {
		if got := fmt.Sprint(e[4], e[3], e[2], e[1]); got != words[texts[i]] {
			t.Errorf("%s is %s, written as %s", texts[i], got, words[texts[i]])
		}
	}
}
