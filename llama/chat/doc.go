// Package chat turns conversations into the tokens that a model reads.
//
// A [Format] says how turns are wrapped: by the chat template in the model's
// file ([FromGGUF]), as "Human: …" and "Assistant: …" ([HumanAssistant]), or not
// at all ([Raw]). All give a [Prompt]: the text, its tokens, who speaks in each,
// and where each message and the assistant's start stand.
//
//	format, err := chat.FromGGUF(model.File(), model.Tokenizer(), "")
//	prompt, err := format.Prompt(ctx, chat.Conversation{Messages: messages}, chat.Options{})
//	err = runner.Forward(ctx, &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: prompt.Tokens, Roles: prompt.Roles}}})
//
// # Special tokens
//
// What a template spells, such as <|im_end|>, is that token. What a message
// spells is text, even if it spells the same: nobody can end their turn and
// speak as somebody else. The text is nevertheless encoded as one, so that words
// are cut where they would be for a template's author.
//
// A prompt begins with BOS once: from the template if it writes BOS, else if the
// model's file asks for it.
//
// # The answer
//
// Where the last message is not the assistant's, the prompt ends with what the
// template writes to let the assistant begin, and then the prefill, if any.
// Templates are told enable_thinking=false unless asked otherwise.
package chat
