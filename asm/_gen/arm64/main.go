// Command arm64 writes the arm64 assembly of package asm.
//
// Run it with `go generate ./asm` after a change; .ci/run fails when its
// output and the committed files differ.
//
// Go's assembler lacks most of the vector instructions that the kernels need.
// So all of them are encoded here (see encode.go) and written as WORD, each with
// its text in Arm's syntax beside it: destination first, v0.4s for the four
// float32 or int32 of register 0. Only the general registers' instructions are
// in Go's syntax, destination last. A test assembles the texts with LLVM and
// compares the words.
//
// No kernel was timed on an arm64 processor. What the comments say of speed
// counts instructions.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	family := flag.String("family", "", "which kernels to write: kernels or packed")
	assembly := flag.String("out", "", "write the assembly to this `file`")
	stubs := flag.String("stubs", "", "write the Go declarations to this `file`")
	flag.Parse()
	switch *family {
	case "kernels":
		kernels()
	case "packed":
		packed()
	default:
		fmt.Fprintf(os.Stderr, "unknown family %q\n", *family)
		os.Exit(2)
	}
	for file, text := range map[string]string{*assembly: assemblyText(*family), *stubs: stubsText(*family)} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func kernels() {
	for cols := 1; cols <= 6; cols++ {
		panels(1, cols, false)
		if cols > 1 {
			panels(1, cols, true)
		}
	}
	panels(4, 1, false)
	transpose()
	sumSquares()
	dot()
	maximum()
	expSum()
	siluMul()
	geluMul()
	softCap()
	sumSquaresRows()
	dotRows()
	finite()
	scaleMul()
	scale()
	rotate(false)
	rotate(true)
	narrow()
	add()
	axpy()
	q8()
	integers()
	pause()
}

func pause() {
	function("pause", "pause tells the processor that the caller spins.", "", "")
	// YIELD does nothing on most processors; Go's runtime waits in this way, too.
	scalar("ISB $15")
	ret()
}
