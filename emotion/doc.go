// Package emotion is the data that limbic studies emotions with: the 171
// emotion words of the study, 4,104 short stories that show them, 240
// emotion-free texts, one chat per emotion, the families the words fall into,
// and human ratings of their valence and arousal.
//
// The corpus is embedded in the package as one compressed tar archive that is
// decoded once, on the first call of [Embedded]. The same layout is read from
// a folder by [LoadDir] and written to one by [Corpus.Export], so anyone can
// look at the texts, change them, or bring their own:
//
//	emotions.txt                 one emotion a line; the order is that of the corpus
//	stories/<emotion>.txt        stories, each under a line "## topic"
//	neutral/<topic>.txt          optional; emotion-free texts, each under
//	                             "## dialogue" or "## passage"
//	dialogues/<emotion>.txt      optional; one chat, lines "User: " and "Assistant: "
//	writers.tsv                  optional; which hand wrote which topics
//
// In file names spaces become hyphens ("at ease" is at-ease.txt). Other files,
// and files in these folders whose names do not end in .txt, are ignored.
//
// # What exactly a text is
//
// Activations depend on every byte, so the bytes of a text are defined. Files
// are UTF-8. A byte order mark at the start of a file is dropped, and CR LF and
// lone CR are read as LF, so that a checkout on Windows gives the same corpus.
// A heading is a line that begins with "## "; the rest of it, without
// surrounding white space, is the name. A line that begins with "##" in any
// other way is an error, because it is a heading gone wrong. A text is what
// stands between one heading and the next (or the end of the file), without
// the blank lines at its two ends and without its last line feed; a line is
// blank if it holds nothing but white space. Everything else, spaces at the
// ends of lines included, is kept as it is. A chat in dialogues/ is the whole
// file, trimmed in the same way.
//
// # Order
//
// Emotions come in the order of emotions.txt. Topics come in the order in which
// they first appear, reading the story files in the order of the emotions.
// Stories are ordered by emotion, then topic, then place in the file: a topic
// may stand several times in one file, and an emotion may lack a topic. Neutral
// texts are ordered by topic (topics without stories last, by name), then place
// in the file; dialogues by emotion. The order of files on a disk never matters.
//
// # writers.tsv
//
// The first line is "emotion" and then one column for each block of topics,
// separated by tabs: writer_of_topics_1_to_12 means the first twelve topics in
// the order above. A single column named "writer" means all topics. Every
// emotion has one line; a cell "-" means that the writer is not known. Whoever
// compares emotions written by different hands should centre activations
// within hands first: see the README of this folder.
package emotion
