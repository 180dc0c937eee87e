// Package steer adds emotion vectors to the residual stream of a model while
// it runs, and says what that did.
//
// A Plan says what to add, how much, at which sites and to which tokens. New
// resolves plans against vectors and makes an Injector, whose hooks go into
// llama.Pass or llama.GenerateOptions:
//
//	plan, err := steer.ParsePlan("v.safetensors:calm=+0.05#generated")
//	injector, err := steer.New(model, []steer.Plan{plan}, steer.Files(ctx, model), steer.Options{})
//	for step, err := range runner.Generate(ctx, sequence, llama.GenerateOptions{
//		Prompt: prompt, Hooks: injector.Hooks(),
//	}) {
//		...
//	}
//	receipt := injector.Receipt()
//	err = receipt.Err()
//
// # What is added
//
// At every row h of a site that the plan's scope covers,
//
//	h ← h + strength · N · v/‖v‖
//
// with v the emotion's denoised contrast vector at that site and N the mean
// norm of the residual stream there, as the vectors were calibrated (Sofroniew
// et al., "Emotion Concepts and their Function in a Large Language Model",
// 2026). The coefficient is rounded once to float32, and so is the unit
// vector; the sum is one fused multiply-add an element. So steered runs have
// the same bits on every machine, given the same vectors file.
//
// # Which tokens
//
// Position 0 is never edited: it is mostly BOS, whose state is an outlier that
// every later position attends to. Of the others, the scope Prompt covers the
// prompt but its last token; Generated covers that token, whose state emits
// the first new one, and all behind it; All covers both.
//
// # Controls
//
// RandomDirections, Permuted and WithoutSubspace make the directions that an
// effect must beat, KL and MeanKL measure how far steering moves the model's
// predictions, and Sweep puts all of them side by side.
package steer
