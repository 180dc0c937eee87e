// Package token turns text into the token ids of a language model and back,
// from the vocabulary that a GGUF file carries.
//
// Two families are supported, named as in the key tokenizer.ggml.model:
//
//   - "llama", SentencePiece-style: the text is cut into characters and the
//     adjacent pair whose union is the best-scored token is joined until no
//     union is a token. Characters outside the vocabulary become byte tokens.
//   - "gpt2", byte-level BPE: the text is first cut into words by a splitter
//     that the key tokenizer.ggml.pre names, and the bytes of each word are
//     joined in the order of the merge list. See [Splitters].
//
// # Offsets
//
// Every token knows which bytes of the input it stands for. Spans are in
// order and contiguous: one ends where the next begins, and together they
// cover the input. Tokens that stand for no input (beginning and end of
// sequence, a prefix space that stands alone) have an empty span. A character
// that is spelled by byte tokens gives each of them its own byte.
//
// # Any bytes in, the same bytes out
//
// Input need not be valid UTF-8: an invalid byte is one character, of the class
// of U+FFFD. For a vocabulary that can spell every byte ([Tokenizer.Lossless])
// [Tokenizer.Decode] gives exactly the bytes that [Tokenizer.Encode] was given
// (with special tokens unparsed, and where none takes white space). A vocabulary that can't spell every byte has
// no exact way back: a character that it can't spell becomes the unknown
// token, or no token at all where the vocabulary names no unknown token; only
// then do spans leave a gap.
//
// SentencePiece writes a space as U+2581 (▁). Text that contains that very
// character would come back as a space; so that it doesn't, a ▁ in the input is
// spelled by its three byte tokens. This is the one place where ids differ
// from those of other programs on valid UTF-8.
//
// # Unicode
//
// Splitters know letters, numbers and white space from the tables of Go's
// unicode package (unicode.Version). Characters that a later version of
// Unicode assigned belong to no class here.
package token
