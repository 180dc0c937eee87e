package emotion

import "slices"

// A Family is a cluster of emotions that lie close together.
type Family struct {
	Name    string
	Members []string // in alphabetical order
}

// families are the ten k-means clusters of the study's emotion vectors
// (Sofroniew, Kauvar, Saunders, Chen et al., "Emotion Concepts and their
// Function in a Large Language Model", 2026, arXiv 2604.07729, table 12),
// ordered by valence. They were found in another model than yours: they are a
// yardstick, not the truth.
var families = []Family{
	{"Exuberant Joy", []string{
		"blissful", "cheerful", "delighted", "eager", "ecstatic", "elated", "energized",
		"enthusiastic", "euphoric", "excited", "exuberant", "happy", "invigorated", "joyful",
		"jubilant", "optimistic", "pleased", "stimulated", "thrilled", "vibrant",
	}},
	{"Peaceful Contentment", []string{
		"at ease", "calm", "content", "patient", "peaceful", "refreshed", "relaxed", "safe", "serene",
	}},
	{"Compassionate Gratitude", []string{
		"compassionate", "empathetic", "fulfilled", "grateful", "hope", "hopeful", "inspired", "kind",
		"loving", "rejuvenated", "relieved", "satisfied", "sentimental", "sympathetic", "thankful",
	}},
	{"Competitive Pride", []string{
		"greedy", "proud", "self-confident", "smug", "spiteful", "triumphant", "valiant", "vengeful",
		"vindictive",
	}},
	{"Playful Amusement", []string{
		"amused", "playful",
	}},
	{"Depleted Disengagement", []string{
		"bored", "depressed", "docile", "droopy", "indifferent", "lazy", "listless", "resigned",
		"restless", "sleepy", "sluggish", "sullen", "tired", "weary", "worn out",
	}},
	{"Vigilant Suspicion", []string{
		"paranoid", "suspicious", "vigilant",
	}},
	{"Hostile Anger", []string{
		"angry", "annoyed", "contemptuous", "defiant", "disdainful", "enraged", "exasperated",
		"frustrated", "furious", "grumpy", "hateful", "hostile", "impatient", "indignant", "insulted",
		"irate", "irritated", "mad", "obstinate", "offended", "outraged", "resentful", "scornful",
		"skeptical", "stubborn",
	}},
	{"Fear and Overwhelm", []string{
		"afraid", "alarmed", "alert", "amazed", "anxious", "aroused", "astonished", "awestruck",
		"bewildered", "disgusted", "disoriented", "distressed", "disturbed", "dumbstruck",
		"embarrassed", "frightened", "horrified", "hysterical", "mortified", "mystified", "nervous",
		"on edge", "overwhelmed", "panicked", "perplexed", "puzzled", "rattled", "scared",
		"self-conscious", "sensitive", "shaken", "shocked", "stressed", "surprised", "tense",
		"terrified", "uneasy", "unnerved", "unsettled", "upset", "worried",
	}},
	{"Despair and Shame", []string{
		"ashamed", "bitter", "brooding", "dependent", "desperate", "dispirited", "envious", "gloomy",
		"grief-stricken", "guilty", "heartbroken", "humiliated", "hurt", "infatuated", "jealous",
		"lonely", "melancholy", "miserable", "nostalgic", "reflective", "regretful", "remorseful",
		"sad", "self-critical", "sorry", "stuck", "tormented", "trapped", "troubled", "unhappy",
		"vulnerable", "worthless",
	}},
}

// emotions are the members of all families, sorted. The list is kept here, and
// not taken from the corpus, so that names can be looked up without decoding
// the archive.
var emotions = func() []string {
	var all []string
	for _, f := range families {
		all = append(all, f.Members...)
	}
	slices.Sort(all)
	return all
}()

// Emotions returns the 171 emotion words of the study in alphabetical order,
// which is that of the embedded corpus.
func Emotions() []string { return slices.Clone(emotions) }

// Families returns the ten families of the study, ordered by valence from
// exuberant joy to despair. Every one of the 171 emotions is in exactly one.
func Families() []Family {
	out := slices.Clone(families)
	for i := range out {
		out[i].Members = slices.Clone(out[i].Members)
	}
	return out
}

// FamilyOf returns the name of the family of an emotion, which may be spelled
// as [Canonical] allows. It is false if the emotion is not one of the 171.
func FamilyOf(emotion string) (string, bool) {
	name, ok := Canonical(emotion)
	if !ok {
		return "", false
	}
	for _, f := range families {
		if slices.Contains(f.Members, name) {
			return f.Name, true
		}
	}
	return "", false
}

// Canonical12 returns the twelve emotions that the study uses as examples in
// most of its small figures, in its order.
func Canonical12() []string {
	return []string{
		"happy", "inspired", "loving", "proud", "calm", "desperate",
		"angry", "guilty", "sad", "afraid", "nervous", "surprised",
	}
}
